"""Writes attempts' outcomes back to the ledger in natural batches; outbound.py hands them in.

Whatever is ready goes in one statement; while that runs the next batch gathers.
"""

import asyncio
from collections.abc import Callable
from typing import Final, TypeAlias

import asyncpg
import structlog
from tenacity import (
    AsyncRetrying,
    RetryError,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from services.executors.gathering import Gathering
from services.executors.ledger import Ledger, Written

log = structlog.get_logger(__name__)

_TRIES: Final = 4
_DATABASE_FAULTS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server went away in the middle of a COMMIT
    OSError,
    TimeoutError,
)
_Waiting: TypeAlias = tuple[Written, "asyncio.Future[None]"]


class OutcomeLog:
    """The one writer of a process's outcomes."""

    def __init__(self, ledger: Ledger, under_way: Callable[[], int]) -> None:
        """`under_way` tells how many attempts are, those among them whose outcomes wait here."""
        self._ledger = ledger
        self._gathering: Gathering[_Waiting] = Gathering(
            self._write_all, lambda: under_way() - len(self._gathering)
        )

    async def record(self, outcome: Written) -> None:
        """Return when the outcome is durable, or when writing it was given up, which is logged.

        The true result still goes to the caller; the ledger answers UNKNOWN after the attempt's deadline.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._gathering.add([(outcome, written)])
        await asyncio.shield(written)

    async def close(self) -> None:
        """Wait for what was handed in."""
        await self._gathering.close()

    async def _write_all(self, batch: list[_Waiting]) -> None:
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
