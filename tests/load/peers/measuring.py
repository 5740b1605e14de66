"""What every peer here measures with: what it is told, a record of its steps, and the line it prints.

Only the standard library: it runs in each peer's own environment. Times are CLOCK_MONOTONIC's, which all
processes of a machine share.
"""

import json
import multiprocessing
import os
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, Final

STEPS: Final = 5
WARM_UP: Final = 40
"""Executions that run before the clock does."""
CORES: Final = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_PAIR: Final = struct.Struct("dd")
_PATIENCE_S: Final = 600.0
Work = Callable[[Sequence[Any], Sequence[Any], Callable[[], object]], None]


@dataclass(frozen=True, slots=True)
class Told:
    """What the runner tells a peer, in its environment; a server that it does not need is ''."""

    executions: int
    record: Path
    postgres: str
    redis: str
    temporal: str


def told() -> Told:
    """What the runner told this process."""
    return Told(
        executions=int(os.environ["PEER_EXECUTIONS"]),
        record=Path(os.environ["PEER_RECORD"]),
        postgres=os.environ.get("PEER_POSTGRES", ""),
        redis=os.environ.get("PEER_REDIS", ""),
        temporal=os.environ.get("PEER_TEMPORAL", ""),
    )


class Record:
    """When each step began and was durable: 16 bytes per step, appended by any number of processes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)

    def durable(self, begun: float) -> None:
        """A step that began then is durable now."""
        os.write(self._file, _PAIR.pack(begun, time.monotonic()))

    def forget(self) -> None:
        """Forgets what the warm-up left."""
        os.truncate(self._path, 0)

    def wait(self, steps: int) -> None:
        """Returns once so many steps are durable. Raises TimeoutError."""
        until = time.monotonic() + _PATIENCE_S
        while self._path.stat().st_size < steps * _PAIR.size:
            if time.monotonic() > until:
                raise TimeoutError(f"not all of {steps} steps within {_PATIENCE_S:g} s")
            time.sleep(0.02)

    def figures(self, executions: int, configuration: str) -> dict[str, Any]:
        """Steps per second from the first step's beginning to the last one's end, and what a step took."""
        pairs = list(_PAIR.iter_unpack(self._path.read_bytes()))
        if len(pairs) != executions * STEPS:
            raise RuntimeError(f"{executions} executions left {len(pairs)} steps on record")
        elapsed = max(end for _, end in pairs) - min(begun for begun, _ in pairs)
        took = sorted(end - begun for begun, end in pairs)
        return {
            "steps_per_s": round(len(pairs) / elapsed, 1),
            "p50_ms": round(1000 * took[len(took) // 2], 2),
            "p95_ms": round(1000 * took[int(len(took) * 0.95)], 2),
            "executions": executions,
            "configuration": configuration,
        }


def tell(figures: dict[str, Any]) -> None:
    """Prints the line that the runner reads."""
    print(json.dumps(figures), flush=True)


def side_by_side(work: Work, warm_up: Sequence[Any], load: Sequence[Any], record: Path) -> None:
    """Runs `work(its warm-up, its load, ready)` in a process per core; `ready` returns once all are warm.

    Raises RuntimeError if one of them fails.
    """
    context = multiprocessing.get_context("spawn")
    warm = context.Barrier(CORES, action=partial(os.truncate, record, 0))
    crew = [
        context.Process(target=_member, args=(work, warm_up[n::CORES], load[n::CORES], warm))
        for n in range(CORES)
    ]
    for process in crew:
        process.start()
    for process in crew:
        process.join()
    if failed := [process.exitcode for process in crew if process.exitcode]:
        raise RuntimeError(f"{len(failed)} of the peer's {CORES} processes failed")


def _member(work: Work, warm_up: Sequence[Any], load: Sequence[Any], warm: Barrier) -> None:
    try:
        work(warm_up, load, partial(warm.wait, _PATIENCE_S))
    except BaseException:
        # Or the others would wait for this one.
        warm.abort()
        raise
