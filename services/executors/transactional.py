"""Executes TX actions: a batch's effects and their ledger rows in one transaction; the servicer calls it.

Optimistic: effects first, then the ledger, which is the arbiter. Only when it knows a key already is the
batch rolled back and the ledger read. All writers lock effects before ledger rows, in order: no deadlocks.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, TypeAlias, assert_never

import asyncpg
import structlog

from services.executors.action import Certainty, ErrorClass
from services.executors.decisions import Refuse, Replay, Run, decide
from services.executors.intake import Answer, Item
from services.executors.ledger import Ledger
from services.executors.results import Encoded, LedgerState, ResultCodec, refusal
from services.runtime.database import DatabaseUnavailableError

log = structlog.get_logger(__name__)

_ROUNDS: Final = 5
"""How often a batch is tried again because others wrote its keys, or it met a deadlock."""

_POISON_CLASSES: Final = ("22", "23", "54")
_MEET_AGAIN: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_LOST: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what a COMMIT or ROLLBACK raises whose server went away
    DatabaseUnavailableError,
)
_PATIENCE_S: Final = 5.0
"""How long a batch waits for a database that is being restarted, if its budgets allow."""
_PAUSE_S: Final = 0.2
_RESERVE_S: Final = 1.0
"""What must be left of the shortest budget for another try."""


@dataclass(frozen=True, slots=True)
class Applied:
    """Effects and ledger rows are committed."""

    encoded: Sequence[Encoded]


@dataclass(frozen=True, slots=True)
class Contended:
    """Rolled back: the ledger knows a key, a budget ended, or writers met; look and try again."""


@dataclass(frozen=True, slots=True)
class Poisoned:
    """Rolled back: some item of the batch cannot be applied."""

    result_class: ErrorClass
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The database failed; `certainty` is INDETERMINATE if the answer to COMMIT was lost."""

    code: str
    certainty: Certainty


BatchOutcome: TypeAlias = Applied | Contended | Poisoned | Broken


class HandlerFaultError(Exception):
    """An action's apply broke its contract or raised; `__cause__` has what it raised."""


class Transactional:
    """Executes TX batches of one family on its own database."""

    def __init__(self, pool: asyncpg.Pool, ledger: Ledger, codec: ResultCodec, tools: object) -> None:
        self._pool = pool
        self._ledger = ledger
        self._codec = codec
        self._tools = tools

    async def execute(self, items: Sequence[Item]) -> list[Answer]:
        """Make the attempts and give one answer per item; an item's or the database's fault is in it."""
        ordered = sorted(items, key=lambda item: item.call.key)
        first = {item.call.key: item for item in reversed(ordered)}
        if len(first) == len(ordered):
            return await self._settle(ordered)
        # The same key twice in one request: the later one finds what the first has recorded.
        once = sorted(first.values(), key=lambda item: item.call.key)
        taken = {item.place for item in once}
        answers = await self._settle(once)
        return answers + await self.execute([item for item in items if item.place not in taken])

    async def _settle(self, items: list[Item]) -> list[Answer]:
        """Try until everything is applied, known or failed; `items` in key order, each key once."""
        answers: list[Answer] = []
        outcome: BatchOutcome = Contended()
        look = _any_expired(items)
        rounds, patience = _ROUNDS, asyncio.get_running_loop().time() + _PATIENCE_S
        while rounds > 0:
            if look:
                items, known = await self._look(items)
                answers += known
            if not items:
                return answers
            outcome = await self._attempt(items)
            if isinstance(outcome, Broken) and _may_wait(items, patience):
                # Being restarted, most likely. Whether a lost COMMIT was made, the ledger tells.
                await asyncio.sleep(_PAUSE_S)
            elif isinstance(outcome, Contended):
                rounds -= 1
            else:
                break
            look = not isinstance(outcome, Broken) or outcome.certainty is Certainty.INDETERMINATE
        return answers + await self._finish(items, outcome)

    async def _finish(self, items: list[Item], outcome: BatchOutcome) -> list[Answer]:
        match outcome:
            case Applied(encoded):
                return [Answer(item.place, one.message) for item, one in zip(items, encoded, strict=True)]
            case Poisoned() if len(items) > 1:
                middle = len(items) // 2
                return await self._settle(items[:middle]) + await self._settle(items[middle:])
            case Poisoned():
                result = refusal(outcome.result_class, outcome.code, outcome.message)
            case Broken():
                text = "the family's database failed"
                result = refusal(ErrorClass.DATABASE, outcome.code, text, outcome.certainty)
            case Contended():
                result = refusal(ErrorClass.DATABASE, "CONTENDED", "other writers kept interfering")
            case _:
                assert_never(outcome)
        return [Answer(item.place, result) for item in items]

    async def _look(self, items: list[Item]) -> tuple[list[Item], list[Answer]]:
        """Split into what may still run and what the ledger, or the clock, answers."""
        try:
            rows = await self._ledger.read([item.call.key for item in items])
        except (asyncpg.PostgresError, *_LOST) as error:
            log.warning("ledger_unreadable", error=type(error).__name__)
            return [], await self._finish(items, Broken(_code(error), Certainty.NOT_DONE))
        now = asyncio.get_running_loop().time()
        left: list[Item] = []
        answers: list[Answer] = []
        for item in items:
            call = item.call
            match decide(rows.get(call.key), call.fence, call.attempt, expired=call.deadline <= now):
                case Run():
                    left.append(item)
                case Replay(stored):
                    answers.append(Answer(item.place, self._codec.replay(call.key.account_id, stored)))
                case Refuse(result):
                    answers.append(Answer(item.place, result))
        return left, answers

    async def _attempt(self, items: list[Item]) -> BatchOutcome:
        """Apply and record everything in one transaction."""
        try:
            async with self._pool.acquire() as connection:
                transaction = connection.transaction()
                await transaction.start()
                try:
                    encoded = await self._apply(connection, items)
                except BaseException:
                    await _roll_back(transaction)
                    raise
                if encoded is None or _any_expired(items):
                    await _roll_back(transaction)
                    return Contended()
                return await _commit(transaction, encoded)
        except HandlerFaultError as fault:
            log.error("apply_failed", action=str(fault), exc_info=fault.__cause__)
            text = f"the action failed with {type(fault.__cause__ or fault).__name__}"
            return Poisoned(ErrorClass.SERVER_ERROR, "HANDLER_RAISED", text)
        except _MEET_AGAIN:
            return Contended()
        except asyncpg.PostgresError as error:
            state = _code(error)
            if state[:2] in _POISON_CLASSES:
                text = f"the database refuses its data ({type(error).__name__})"
                return Poisoned(ErrorClass.VALIDATION, state, text)
            log.warning("batch_failed", sqlstate=state, items=len(items))
            return Broken(state, Certainty.NOT_DONE)
        except _LOST as error:
            log.warning("batch_failed", error=type(error).__name__, items=len(items))
            return Broken(_code(error), Certainty.NOT_DONE)

    async def _apply(self, connection: asyncpg.Connection, items: list[Item]) -> list[Encoded] | None:
        """Do the effects, then record them; None if the ledger refuses one."""
        by_place: list[Encoded | None] = [None] * len(items)
        # Types in the order of their names, so that batches of several take their locks alike.
        places = sorted(range(len(items)), key=lambda place: items[place].definition.name)
        for name, group in groupby(places, key=lambda place: items[place].definition.name):
            mine = list(group)
            results = await self._apply_type(connection, name, [items[place] for place in mine])
            for place, encoded in zip(mine, results, strict=True):
                by_place[place] = encoded
        done = [one for one in by_place if one is not None]
        calls = [item.call for item in items]
        stored = [
            one.plain or self._codec.stored(call.key.account_id, one)
            for call, one in zip(calls, done, strict=True)
        ]
        states = [one.state for one in done]
        return done if await self._ledger.record_applied(connection, calls, states, stored) else None

    async def _apply_type(
        self, connection: asyncpg.Connection, name: str, items: list[Item]
    ) -> list[Encoded]:
        apply = items[0].definition.apply
        assert apply is not None  # TX goes with apply
        try:
            results = await apply(connection, [item.call for item in items], self._tools)
            encoded = [self._codec.encode(result) for result in results]
        except (asyncpg.PostgresError, *_LOST):
            raise
        except Exception as error:
            raise HandlerFaultError(name) from error
        if len(encoded) != len(items) or LedgerState.UNKNOWN in [one.state for one in encoded]:
            raise HandlerFaultError(f"{name}: a result is missing or INDETERMINATE")
        return encoded


async def _commit(transaction: "asyncpg.transaction.Transaction", encoded: list[Encoded]) -> BatchOutcome:
    try:
        await transaction.commit()
    except _MEET_AGAIN:
        return Contended()
    except (asyncpg.PostgresError, *_LOST) as error:
        # Whatever came instead of COMMIT's answer, the commit may have been made before it.
        log.warning("commit_answer_lost", error=type(error).__name__)
        return Broken(_code(error), Certainty.INDETERMINATE)
    return Applied(encoded)


async def _roll_back(transaction: "asyncpg.transaction.Transaction") -> None:
    try:
        await transaction.rollback()
    except (asyncpg.PostgresError, *_LOST) as error:
        # A connection that is gone has rolled back by itself; the pool drops it.
        log.warning("rollback_failed", error=type(error).__name__)


def _may_wait(items: Sequence[Item], patience: float) -> bool:
    """Whether there is time for another try before patience or the shortest budget ends."""
    until = min(patience, min(item.call.deadline for item in items) - _RESERVE_S)
    return asyncio.get_running_loop().time() + _PAUSE_S < until


def _any_expired(items: Sequence[Item]) -> bool:
    now = asyncio.get_running_loop().time()
    return any(item.call.deadline <= now for item in items)


def _code(error: BaseException) -> str:
    return getattr(error, "sqlstate", None) or type(error).__name__
