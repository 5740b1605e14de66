"""Writes attempts' outcomes back to the ledger in natural batches; outbound.py hands them in.

Whatever is ready goes in one statement; while that runs the next batch gathers.
"""

import asyncio
from typing import Final

import asyncpg
import structlog
from tenacity import (
    AsyncRetrying,
    RetryError,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from services.executors.ledger import Ledger, Written

log = structlog.get_logger(__name__)

_BATCH: Final = 500
_TRIES: Final = 4
_DATABASE_FAULTS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server went away in the middle of a COMMIT
    OSError,
    TimeoutError,
)


class OutcomeLog:
    """The one writer of a process's outcomes."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._ready: list[tuple[Written, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def record(self, outcome: Written) -> None:
        """Return when the outcome is durable, or when writing it was given up, which is logged.

        The true result still goes to the caller; the ledger answers UNKNOWN after the attempt's deadline.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ready.append((outcome, written))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())
        await asyncio.shield(written)

    async def close(self) -> None:
        """Wait for what was handed in."""
        if self._writer is not None:
            await self._writer

    async def _write_all(self) -> None:
        while self._ready:
            batch, self._ready = self._ready[:_BATCH], self._ready[_BATCH:]
            try:
                await self._write([outcome for outcome, _ in batch])
            finally:
                for _, written in batch:
                    if not written.done():
                        written.set_result(None)

    async def _write(self, outcomes: list[Written]) -> None:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_DATABASE_FAULTS),
            stop=stop_after_attempt(_TRIES),
            wait=wait_exponential_jitter(multiplier=0.05, max=1.0),
        )
        try:
            async for attempt in retrying:
                with attempt:
                    kept = await self._ledger.record_outcomes(outcomes)
        except RetryError as error:
            cause = error.last_attempt.exception()
            log.error("outcomes_not_recorded", count=len(outcomes), error=type(cause).__name__)
            return
        if kept < len(outcomes):
            log.warning("outcomes_superseded", count=len(outcomes) - kept)
