"""Runs a program that ends with us: `python reaper.py SIGNAL PARENT UID GID PROGRAM …`; the stack uses it.

The kernel sends the program SIGNAL when its parent is gone (Linux), so a killed supervisor leaves nothing
behind. A program of its own instead of a preexec_fn, because code run between fork and exec in a process
that uses gRPC's threads can crash.
"""

import ctypes
import os
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def wrapped(number: int, program: Sequence[str], uid: int = -1, gid: int = -1) -> list[str]:
    """The command that runs `program`, as another user if `uid` is given, and ends it by signal `number`."""
    own = [sys.executable, "-I", "-S", os.path.abspath(__file__)]
    return [*own, str(number), str(os.getpid()), str(uid), str(gid), *program]


def main(arguments: Sequence[str]) -> None:
    """Becomes the program; never returns."""
    number, parent, uid, gid = (int(text) for text in arguments[:4])
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform.startswith("linux"):
        # After the change of user, which would clear it.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("the parent is gone")
    os.execv(arguments[4], list(arguments[4:]))


if __name__ == "__main__":
    main(sys.argv[1:])
