"""The one exception that means "the user's input is wrong", and words that many of them need."""


class InputError(Exception):
    """Bad input: one sentence naming the file and the remedy.

    The command line prints it and exits with code 2; no traceback. Raise it before anything is
    written, or after what was half-written is removed.
    """


def install(extra: str) -> str:
    """The command that installs what an extra of this package brings."""
    return f"pip install 'moonseg-jax[{extra}]'"
