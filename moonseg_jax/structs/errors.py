"""The one exception that means "the user's input is wrong"."""


class InputError(Exception):
    """Bad input: one sentence naming the file and the remedy.

    The command line prints it and exits with code 2; no traceback. Raise it before anything is
    written, or after what was half-written is removed.
    """
