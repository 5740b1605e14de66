"""Waiting for the database to be in some state, woken by the worker's own hints; no sleeps."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from execution_engine.store.hints import CHANGED, HintListener


class Changes:
    """Hears every change that workers tell of, and re-asks a question at each."""

    def __init__(self, dsn: str) -> None:
        self._heard = asyncio.Event()
        self._listener = HintListener(dsn, CHANGED, lambda _accounts: self._heard.set())

    async def until(self, holds: Callable[[], Awaitable[bool]], timeout_s: float, what: str) -> None:
        """Returns once `holds()`, asked at each change and twice a second; TimeoutError names `what`."""
        deadline = time.monotonic() + timeout_s
        while True:
            self._heard.clear()
            try:
                if await holds():
                    return
            except OSError:
                pass  # the database is being restarted under us: ask again
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"not within {timeout_s:g} s: {what}")
            try:
                await asyncio.wait_for(self._heard.wait(), min(left, 0.5))
            except TimeoutError:
                continue

    async def __aenter__(self) -> Self:
        await self._listener.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._listener.__aexit__(kind, error, trace)
