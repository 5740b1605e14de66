"""An event meets the executions of its contact: waits, goals, exits; store/events.py calls it.

The contact's gate and the executions' rows are locked: what is decided here is what the receipt says.
"""

from datetime import datetime
from typing import Any

import asyncpg

from execution_engine.definition import patterns
from execution_engine.definition.program import END
from execution_engine.definition.triggers import CONTACT_UPDATED, Watch
from execution_engine.model import LIVE, BlockedOn, LogEvent, Status
from execution_engine.moves import Count
from execution_engine.receipts import Consequence, ConsequenceKind
from execution_engine.signals import Ask, SignalKind, first, signal
from execution_engine.store.definitions import Definitions, Watched
from execution_engine.store.locked import Locked

Event = dict[str, Any]
_PROVIDERS_WORD = frozenset({"call_completed", "call_no_answer", "call_busy", "call_failed"})


async def meet(
    connection: asyncpg.Connection, definitions: Definitions, row: Locked, event: Event
) -> list[Consequence]:
    """What the event does to one execution, written. It may be of no concern to it: then nothing."""
    if row.status not in LIVE:
        return []
    watched = await definitions.of(connection, row.account_id, row.workflow_id, row.version)
    watch = _met(row, watched, event)
    if watch is not None:
        return [await _end(connection, row, watch, event)]
    if _tells_of_its_action(row, event):
        # What it came to is asked of the executor, who knows the provider's last word.
        if row.driven:
            # The provider was quicker than its own answer: the run must not come to rest unaware of it.
            await _wake(connection, row, signal(SignalKind.RECHECK))
        else:
            row.wake_at = row.now
            await row.write(connection)
        return [_told(row, ConsequenceKind.RESUMED)]
    wait = row.wait()
    if event["type"] == CONTACT_UPDATED and wait.get("on_contact"):
        await _wake(connection, row, signal(SignalKind.RECHECK))
    if event["type"] not in wait.get("types", ()):
        return []
    if not patterns.admits(wait["match"], wait["filter"], event, row.now):
        return []
    return [await _resume(connection, row, wait, event)]


def _tells_of_its_action(row: Locked, event: Event) -> bool:
    """Whether it is a provider's word on the action that this execution waits for, or is at."""
    mine = event["data"].get("execution_id") == str(row.execution_id)
    waits = row.status is Status.WAITING and row.blocked_on is BlockedOn.PENDING and not row.parked
    at_it = row.driven and row.attempt_open
    return mine and event["type"] in _PROVIDERS_WORD and (waits or at_it)


def _met(row: Locked, watched: Watched, event: Event) -> Watch | None:
    for watch in watched.watches:
        if event["type"] not in watch.types:
            continue
        if watch.ahead_only and (row.step == END or row.step >= watched.places[watch.go_to]):
            continue
        if patterns.admits(watch.config.get("match", {}), watch.config.get("filter", ""), event, row.now):
            return watch
    return None


async def _end(connection: asyncpg.Connection, row: Locked, watch: Watch, event: Event) -> Consequence:
    """A goal or an exit: ends the execution, or sends it to a step; kept for later while it is paused."""
    kind = ConsequenceKind.GOAL_ACHIEVED if watch.is_goal else ConsequenceKind.EXIT_REACHED
    told = signal(
        SignalKind.END,
        reason=watch.reason,
        goal=watch.is_goal,
        go_to=watch.go_to,
        event=event["type"],
        event_id=event["id"],
    )
    if row.status is Status.PAUSED:
        row.signals.append(told)
        await row.write(connection)
        return _told(row, ConsequenceKind.KEPT, "PAUSED")
    if watch.go_to:
        await _wake(connection, row, told)
        return _told(row, kind, watch.reason)
    entry = LogEvent.GOAL_ACHIEVED if watch.is_goal else LogEvent.EXIT_REACHED
    row.append(entry, {"event": event["type"], "event_id": event["id"]})
    row.append(LogEvent.EXECUTION_COMPLETED, {"reason": watch.reason})
    row.end(Status.COMPLETED, watch.reason)
    row.count(END, Count.DONE)
    await row.write(connection)
    return _told(row, kind, watch.reason)


async def _resume(
    connection: asyncpg.Connection, row: Locked, wait: dict[str, Any], event: Event
) -> Consequence:
    """The first of event and timeout wins, once; the row's lock decides which that is."""
    if first(row.signals, SignalKind.EVENT, SignalKind.RESUME, SignalKind.LIFT) is not None:
        return _told(row, ConsequenceKind.NOT_WAITED_FOR, "ALREADY_RESUMED")
    told = signal(SignalKind.EVENT, event=event)
    if row.status is Status.PAUSED:
        row.signals.append(told)
        row.resume_at = row.now
        await row.write(connection)
        return _told(row, ConsequenceKind.KEPT, "PAUSED")
    timed_out = datetime.fromisoformat(wait["until"]) <= row.now
    if row.status is not Status.WAITING or row.blocked_on is not BlockedOn.EVENT or timed_out:
        return _told(row, ConsequenceKind.NOT_WAITED_FOR, "TIMED_OUT")
    await _wake(connection, row, told)
    return _told(row, ConsequenceKind.RESUMED)


async def _wake(connection: asyncpg.Connection, row: Locked, told: dict[str, Any]) -> None:
    """Leaves a signal: its driver decides anew, or whoever takes the run up next."""
    row.signals.append(told)
    if row.driven:
        await row.ask(connection, Ask.NOTHING)
        return
    if row.status is Status.PAUSED:
        row.resume_at = row.now
    elif not row.parked:
        row.wake_at = row.now
    await row.write(connection)


def _told(row: Locked, kind: ConsequenceKind, reason: str = "") -> Consequence:
    return Consequence(kind, str(row.workflow_id), str(row.execution_id), reason)
