"""The family's sandbox processes: started when needed, bounded in number, replaced when spent; its one tool.

A process that was disturbed in any way is never used again.
"""

import asyncio
from collections import Counter
from types import TracebackType
from typing import Final, Self

import structlog

from services.executors.sandbox.script import Script, Verdict
from services.executors.sandbox.worker import Worker, WorkerDiedError, machine_code

log = structlog.get_logger(__name__)

NOBODY: Final = 0
"""Whoever checks a source before there is an account to run it for."""


class BusyError(Exception):
    """Every process this account may use is taken, and stayed so while it waited."""


class SandboxPool:
    """At most `size` processes; one account has at most half of them, so that it cannot keep others out.

    Enter it to use it; leaving kills every process.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._share = (size + 1) // 2
        self._taken: Counter[int] = Counter()
        self._freed = asyncio.Condition()
        self._idle: list[Worker] = []
        self._compiling: asyncio.Task[bytes] | None = None
        self._ends: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._idle:
            self._let_go(self._idle.pop())
        if self._compiling is not None:
            self._compiling.cancel()
            await asyncio.wait([self._compiling])
        await asyncio.gather(*self._ends)

    async def run(self, account_id: int, script: Script, *, wait_s: float) -> Verdict:
        """Run a script as soon as a process is free. Raises BusyError after `wait_s`, WorkerDiedError."""
        await self._take(account_id, wait_s)
        try:
            return await self._ask(script)
        finally:
            self._taken[account_id] -= 1
            self._taken += Counter()  # drops those who have none left
            async with self._freed:
                self._freed.notify_all()

    async def _take(self, account_id: int, wait_s: float) -> None:
        def is_free() -> bool:
            return self._taken.total() < self._size and self._taken[account_id] < self._share

        async with self._freed:
            try:
                async with asyncio.timeout(wait_s):
                    await self._freed.wait_for(is_free)
            except TimeoutError:
                raise BusyError from None
            self._taken[account_id] += 1

    async def _ask(self, script: Script) -> Verdict:
        worker = await self._ready()
        unspent = False
        try:
            verdict = await worker.ask(script)
            unspent = worker.alive and not verdict.worn
            return verdict
        except WorkerDiedError as error:
            log.warning("sandbox_process_died", reason=str(error))
            raise
        finally:
            if unspent:
                self._idle.append(worker)
            else:
                self._let_go(worker)

    async def _ready(self) -> Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
            self._let_go(worker)
        return await Worker.start(await self._machine_code())

    async def _machine_code(self) -> bytes:
        """Compile once; who asks first may give up waiting without spoiling it for the others."""
        if self._compiling is None or (self._compiling.done() and self._compiling.exception()):
            self._compiling = asyncio.create_task(machine_code())
        return await asyncio.shield(self._compiling)

    def _let_go(self, worker: Worker) -> None:
        """End a process beside the caller, who may himself be cancelled."""
        task = asyncio.create_task(worker.end())
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)
