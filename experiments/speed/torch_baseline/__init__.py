"""The method in PyTorch, as one would write it for a GPU: the baseline of the speed tables.

`tests/reference` is written for reading, a mask and a key at a time. Here everything is a tensor
operation over all masks, keys and clips; only the assignment goes through SciPy on the host, and
training runs through the frames of a clip in a loop, for the memory. `tests/speed` holds both to
our own numbers.
"""
