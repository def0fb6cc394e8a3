"""Why a stack cannot run. The message is for the person at the terminal."""


class StackError(Exception):
    """The stack did not start, or may not; nothing of it is left running."""
