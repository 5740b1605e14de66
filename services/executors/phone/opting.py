"""Which messages of people end, or begin again, what they are sent; readers of callbacks ask."""

from typing import Final

_OUT: Final = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT"})
_IN: Final = frozenset({"START", "UNSTOP"})


def is_opt_out(text: str) -> bool:
    """Whether it says, and says nothing else, that nothing more is wanted."""
    return text.strip().upper() in _OUT


def is_opt_in(text: str) -> bool:
    """Whether it says, and says nothing else, that messages are wanted again."""
    return text.strip().upper() in _IN
