"""NOTIFY as a hint between processes: the API tells of due executions, workers of changed ones.

Hints are coalesced to at most ten a second per process and sent outside the hot transactions,
because a NOTIFY takes a database-wide lock at commit. Losing one costs a poll interval, nothing else.
"""

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

import asyncpg

from execution_engine.store.faults import DATABASE_FAULTS

DUE = "wayfarer_due"
CHANGED = "wayfarer_changed"
_INTERVAL = 0.1
_MOST = 400
"""Accounts in one payload; more become "*", which means look at all (a payload holds 8,000 bytes)."""


class HintSender:
    """Sends coalesced hints on one channel: at once when quiet, then every 100 ms."""

    def __init__(self, pool: asyncpg.Pool, channel: str) -> None:
        self._pool = pool
        self._channel = channel
        self._accounts: set[int] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def tell(self, *account_ids: int) -> None:
        """Something of these accounts is due, or has changed."""
        if account_ids:
            self._accounts.update(account_ids)
            self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            accounts, self._accounts = self._accounts, set()
            payload = ",".join(map(str, accounts)) if len(accounts) <= _MOST else "*"
            with contextlib.suppress(*DATABASE_FAULTS):
                await self._pool.execute("SELECT pg_notify($1, $2)", self._channel, payload)
            await asyncio.sleep(_INTERVAL)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=f"hints:{self._channel}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


class HintListener:
    """Hears hints on its own connection and reconnects for ever.

    `heard` gets the accounts named, or None for "look at everything": it is called so after every
    (re)connect, since hints may have been missed before it.
    """

    def __init__(self, dsn: str, channel: str, heard: Callable[[frozenset[int] | None], None]) -> None:
        self._dsn = dsn
        self._channel = channel
        self._heard = heard
        self._task: asyncio.Task[None] | None = None

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(*DATABASE_FAULTS):
                await self._listen()
            await asyncio.sleep(1.0)

    async def _listen(self) -> None:
        connection = await asyncpg.connect(
            self._dsn, timeout=5, server_settings={"application_name": f"wayfarer listen {self._channel}"}
        )
        try:
            await connection.add_listener(self._channel, self._on_notify)
            self._heard(None)
            # A half-open connection gives no error by itself: ask now and then.
            while True:
                await asyncio.sleep(5)
                await connection.execute("SELECT 1", timeout=5)
        finally:
            connection.terminate()

    def _on_notify(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        text = str(payload)
        self._heard(None if text == "*" else frozenset(int(part) for part in text.split(",") if part))

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=f"listen:{self._channel}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
