"""Brings events in: callers' in natural batches per account, and those from the inbox as they are written."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

import asyncpg
import structlog

from dispatcher.flights import Flights
from execution_engine import ports
from execution_engine.errors import WayfarerError
from execution_engine.store import inbox
from execution_engine.store.accounts import account_transaction
from execution_engine.store.definitions import Definitions
from execution_engine.store.events import Answer, Arrival, Receipt, ingest
from execution_engine.store.faults import DATABASE_FAULTS
from execution_engine.store.hints import HintSender
from execution_engine.store.workflows import Outlines

log = structlog.get_logger(__name__)
_MOST_ACCOUNTS = 10_000
_BATCH = 200


class Intake:
    """One per process that takes events in."""

    def __init__(self, pool: asyncpg.Pool, vault: ports.Vault, outlines: Outlines, due: HintSender) -> None:
        self._pool = pool
        self._vault = vault
        self._outlines = outlines
        self._definitions = Definitions(vault)
        self._due = due
        self._lines: OrderedDict[int, Flights[Arrival, Answer]] = OrderedDict()
        self.stirred = asyncio.Event()
        """Set when the inbox may have something: look at once."""

    async def publish(self, account_id: int, arrivals: Sequence[Arrival]) -> list[Answer]:
        """One answer per event, in order. An error that is no answer is raised: then nothing was taken in."""
        line = self._lines.get(account_id)
        if line is None:
            line = self._lines[account_id] = Flights(
                lambda batch: self._ingest(account_id, batch),
                cap=_BATCH,
                flights=1,
                name=f"events:{account_id}",
            )
            if len(self._lines) > _MOST_ACCOUNTS:
                self._lines.popitem(last=False)
        submitted = (line.submit(arrival) for arrival in arrivals)
        answers: list[Answer] = []
        for answer in await asyncio.gather(*submitted, return_exceptions=True):
            if not isinstance(answer, Receipt | WayfarerError):
                raise answer
            answers.append(answer)
        return answers

    async def _ingest(self, account_id: int, batch: list[Arrival]) -> Sequence[Answer]:
        async with account_transaction(self._pool, account_id) as connection:
            answers = await ingest(
                connection, self._vault, self._outlines, self._definitions, account_id, batch
            )
        self._due.tell(account_id)
        return answers

    async def sweep(self) -> bool:
        """Takes in what the inbox has; True if there may be more."""
        self.stirred.clear()
        more = False
        for account_id in await inbox.accounts(self._pool, 100):
            taken = await self._take_in(account_id, _BATCH)
            if taken:
                self._due.tell(account_id)
            more = more or taken == _BATCH
        return more

    async def _take_in(self, account_id: int, most: int) -> int:
        """A batch of one account; one event that cannot be taken in is found by taking them singly."""
        try:
            async with account_transaction(self._pool, account_id) as connection:
                return await inbox.take_in(
                    connection, self._vault, self._outlines, self._definitions, account_id, most
                )
        except DATABASE_FAULTS:
            raise
        except Exception:
            log.exception("inbox_cannot_be_taken_in", account_id=account_id, events=most)
            if most > 1:
                return await self._take_in(account_id, 1)
        async with account_transaction(self._pool, account_id) as connection:
            await inbox.set_aside(connection, account_id)
        return 1

    async def run(self, stop: asyncio.Event) -> None:
        """Sweeps when stirred, and each second at least."""
        while not stop.is_set():
            try:
                while await self.sweep():
                    pass
            except Exception:
                log.exception("intake_failed")
            try:
                await asyncio.wait_for(self.stirred.wait(), 1.0)
            except TimeoutError:
                continue
