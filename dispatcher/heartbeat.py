"""Keeps a worker alive in the database from a thread and connection of its own; worker.py starts it.

A busy event loop must not look like a dead worker (its executions would be taken over and their
actions reconciled for nothing), so the beat runs beside it. And a worker that cannot beat must not
look alive to itself: `holding` turns False before others may retire it, and it stops its own work.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self
from uuid import UUID

import asyncpg
import structlog

from dispatcher.settings import WorkerSettings
from execution_engine.store import leases
from execution_engine.store.faults import DATABASE_FAULTS

Held = list[tuple[int, UUID, int]]
_CHUNK = 1_000
log = structlog.get_logger(__name__)


class Heartbeat:
    """Beats and renews leases until closed. `held` is called on the beat's thread: it must only copy."""

    def __init__(self, dsn: str, worker_id: int, settings: WorkerSettings, held: Callable[[], Held]) -> None:
        self._dsn = dsn
        self._worker_id = worker_id
        self._settings = settings
        self._held = held
        self._stop = threading.Event()
        self._last_beat = time.monotonic()
        self._last_renewal = time.monotonic()
        self._retired = False
        self._thread = threading.Thread(target=self._main, name="heartbeat", daemon=True)

    @property
    def holding(self) -> bool:
        """False once others may believe this worker dead, or it has been retired."""
        margin = self._settings.dead_after_s - 1.5 * self._settings.heartbeat_s
        return not self._retired and time.monotonic() - self._last_beat < margin

    @property
    def retired(self) -> bool:
        """True once another worker has retired this one: the process must start anew."""
        return self._retired

    def _main(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._beat_for_ever())

    async def _beat_for_ever(self) -> None:
        connection: asyncpg.Connection | None = None
        while not self._stop.is_set() and not self._retired:
            try:
                if connection is None or connection.is_closed():
                    connection = await asyncpg.connect(
                        self._dsn,
                        timeout=2,
                        command_timeout=2,
                        server_settings={"application_name": "wayfarer heartbeat"},
                    )
                await self._beat(connection)
            except DATABASE_FAULTS as error:
                log.warning("heartbeat_failed", problem=str(error) or type(error).__name__)
                if connection is not None:
                    connection.terminate()
                    connection = None
            await asyncio.to_thread(self._stop.wait, self._settings.heartbeat_s)
        if connection is not None:
            with contextlib.suppress(Exception):
                await connection.close(timeout=1)

    async def _beat(self, connection: asyncpg.Connection) -> None:
        asked = time.monotonic()
        if not await leases.beat(connection, self._worker_id):
            self._retired = True
            log.error("worker_retired", worker_id=self._worker_id)
            return
        self._last_beat = asked
        if asked - self._last_renewal >= self._settings.lease_s / 4:
            held = self._held()
            for at in range(0, len(held), _CHUNK):
                await leases.renew(connection, self._worker_id, held[at : at + _CHUNK], self._settings.lease)
            self._last_renewal = asked

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        await asyncio.to_thread(self._thread.join, 5)
