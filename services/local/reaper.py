"""Ties children to their parent's life, on Linux; postgres.py and supervisor.py pass it as preexec_fn."""

import ctypes
import os
import sys
from collections.abc import Callable
from functools import partial

_PR_SET_PDEATHSIG = 1


def die_with_parent(number: int) -> Callable[[], object] | None:
    """What a child runs before its program so that it gets signal `number` when we are gone."""
    if not sys.platform.startswith("linux"):
        return None
    # Loaded here, in the parent: after the fork only the call itself is safe.
    return partial(_ask, ctypes.CDLL(None).prctl, number, os.getpid())


def _ask(prctl: Callable[..., object], number: int, parent: int) -> None:
    prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
