"""Keeps the stack's processes up: starts, restarts with growing pauses, stops; stack.py owns it."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from services.local.reaper import wrapped
from services.local.state_files import MOST_LOG_BYTES, cut_log, make_folder, open_log

log = structlog.get_logger(__name__)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
_STEADY_S = 10.0
"""A child that ran so long has its pause reset."""
_GRACE_S = 12.0
_CUT_EVERY_S = 20.0


@dataclass(slots=True, eq=False)
class Child:
    """One process of the stack."""

    name: str
    module: str
    environment: Mapping[str, str]
    process: asyncio.subprocess.Process | None = None
    watch: asyncio.Task[None] | None = None
    starts: int = 0
    started: asyncio.Event = field(default_factory=asyncio.Event)


class Supervisor:
    """Runs `python -m MODULE` for each child; their output goes to `logs`/NAME.log.

    Every *.log in `logs` is kept below `most_log_bytes`, and as much again in NAME.log.1. `on_change` is
    called whenever a process id has changed.
    """

    def __init__(
        self,
        logs: Path,
        *,
        on_change: Callable[[], None] | None = None,
        most_log_bytes: int = MOST_LOG_BYTES,
        cut_every_s: float = _CUT_EVERY_S,
    ) -> None:
        self._logs = logs
        self._on_change = on_change
        self._most_log_bytes = most_log_bytes
        self._cut_every_s = cut_every_s
        self._cutting: asyncio.Task[None] | None = None
        self.children: dict[str, Child] = {}

    async def start(self, name: str, module: str, environment: Mapping[str, str]) -> None:
        """Starts a child and keeps it up from then on."""
        child = Child(name, module, environment)
        self.children[name] = child
        await self._spawn(child)
        child.watch = asyncio.create_task(self._keep_up(child), name=f"child:{name}")

    def pids(self) -> dict[str, int]:
        """The process id of each child that is up."""
        return {
            name: child.process.pid
            for name, child in self.children.items()
            if child.process is not None and child.process.returncode is None
        }

    def kill(self, name: str) -> int:
        """Ends a child with SIGKILL, as a crash would; it is started again. Its process id."""
        pid = self.pids()[name]
        self.children[name].started.clear()
        os.kill(pid, signal.SIGKILL)
        return pid

    async def stop(self, name: str) -> None:
        """Stops a child for good: SIGTERM, and SIGKILL after 12 s."""
        child = self.children[name]
        if child.watch is not None:
            child.watch.cancel()
            await asyncio.wait([child.watch])
        process = child.process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), _GRACE_S)
        except TimeoutError:
            log.warning("child_had_to_be_killed", name=name)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _spawn(self, child: Child) -> None:
        path = self._logs / f"{child.name}.log"
        cut_log(path, self._most_log_bytes)
        with open_log(path) as output:
            child.process = await asyncio.create_subprocess_exec(
                *wrapped(signal.SIGTERM, [sys.executable, "-m", child.module]),
                env={**os.environ, **child.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Of a session of its own: Ctrl-C reaches us alone, and we stop it in order.
                start_new_session=True,
            )
        child.starts += 1
        child.started.set()

    async def _keep_up(self, child: Child) -> None:
        loop = asyncio.get_running_loop()
        pause = _FIRST_PAUSE_S
        while True:
            assert child.process is not None
            began = loop.time()
            code = await child.process.wait()
            if loop.time() - began > _STEADY_S:
                pause = _FIRST_PAUSE_S
            log.warning("child_died", name=child.name, code=code)
            pause = await self._respawn(child, pause)
            if self._on_change is not None:
                self._on_change()

    async def _respawn(self, child: Child, pause: float) -> float:
        """Starts it after a pause, and again if the machine refuses; the next pause, in seconds."""
        while True:
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)
            try:
                await self._spawn(child)
            except OSError as error:
                log.error("child_did_not_start", name=child.name, reason=str(error))
            else:
                return pause

    async def _cut_logs(self) -> None:
        while True:
            await asyncio.sleep(self._cut_every_s)
            for path in self._logs.glob("*.log"):
                try:
                    await asyncio.to_thread(cut_log, path, self._most_log_bytes)
                except OSError as error:
                    log.error("log_not_cut", path=str(path), reason=str(error))

    async def __aenter__(self) -> Self:
        make_folder(self._logs)
        self._cutting = asyncio.create_task(self._cut_logs(), name="cut-logs")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._cutting is not None:
            self._cutting.cancel()
        # The API and the workers drain while their executors are still there.
        names = list(self.children)[::-1]
        first = [name for name in names if name == "api" or name.startswith("worker")]
        await asyncio.gather(*(self.stop(name) for name in first))
        await asyncio.gather(*(self.stop(name) for name in names if name not in first))
