"""Single keys from the terminal, without echo and without waiting for a line; `wayfarer top` listens."""

import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Next = Callable[[float], str]


@contextmanager
def key_presses() -> Iterator[Next]:
    """A function that waits so many seconds at most, and gives what was typed; "" if nothing was.

    Without a terminal to read from it only waits.
    """
    descriptor = sys.stdin.fileno()
    if not os.isatty(descriptor):
        yield lambda seconds: _typed([], seconds)
        return
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield lambda seconds: _typed([descriptor], seconds)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _typed(sources: list[int], seconds: float) -> str:
    ready, _, _ = select.select(sources, [], [], seconds)
    # An empty read is the terminal hanging up: as good as asking to quit.
    return (os.read(ready[0], 1).decode(errors="replace") or "q") if ready else ""
