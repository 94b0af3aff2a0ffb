"""The `moonseg` command line: the one room that knows both the bridges and the JAX core."""
