"""Stops a PostgreSQL that a killed supervisor left on a data directory; postgres.py calls it first.

A process belongs to a data directory if it works in it: postmaster and backends change to it when they start.
That is certain where the number in postmaster.pid is not, as it may have been given to another process since.
"""

import contextlib
import os
import signal
import time
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)
_PROC = Path("/proc")
_PATIENCE_S = {signal.SIGINT: 20.0, signal.SIGQUIT: 10.0, signal.SIGKILL: 5.0}


def end_orphans(data_dir: Path) -> None:
    """Returns once no server works in `data_dir`: fast shutdown, then harder. Blocks.

    Elsewhere than on Linux it leaves that to PostgreSQL, which refuses to start twice.

    The caller holds the directory's lock, so whoever works in it has no supervisor any more.
    """
    if not _PROC.joinpath("self", "cwd").exists():
        return
    postmaster = _postmaster(data_dir)
    for number, patience_s in _PATIENCE_S.items():
        there = _working_in(data_dir)
        if not there:
            break
        # The postmaster stops its own; backends without one leave by themselves, unless they hang.
        victims = [postmaster] if postmaster in there and number is not signal.SIGKILL else there
        log.warning("postgres_orphan_found", pids=there, signal=number.name)
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        _wait_until_left(data_dir, patience_s)
    if not _working_in(data_dir):
        # Left by a crash. The server would not start if some process now had the number in it.
        (data_dir / "postmaster.pid").unlink(missing_ok=True)


def _postmaster(data_dir: Path) -> int:
    """The number in postmaster.pid; 0 if there is none."""
    try:
        return int((data_dir / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
    except (OSError, ValueError):
        return 0


def _working_in(data_dir: Path) -> list[int]:
    """The postgres processes whose working directory is `data_dir`."""
    wanted, found = str(data_dir.resolve()), []
    for folder in _PROC.iterdir():
        # Processes end while we look, and those of other users are hidden: neither is an orphan of ours.
        with contextlib.suppress(OSError):
            if (
                folder.name.isdigit()
                and os.readlink(folder / "cwd") == wanted
                and (folder / "comm").read_text().startswith("postgres")
            ):
                found.append(int(folder.name))
    return found


def _wait_until_left(data_dir: Path, patience_s: float) -> None:
    until = time.monotonic() + patience_s
    while _working_in(data_dir) and time.monotonic() < until:
        time.sleep(0.05)
