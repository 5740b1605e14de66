"""Pauses, resumes and retries one execution at an operator's word; the API and bulk operations use it."""

from typing import Any
from uuid import UUID

import asyncpg
import orjson

from execution_engine import ports
from execution_engine.definition import links
from execution_engine.definition.program import END
from execution_engine.errors import IllegalTransition, InvalidValue
from execution_engine.masking import mask_text
from execution_engine.model import BlockedOn, LogEvent, Status
from execution_engine.moves import Count
from execution_engine.signals import Ask
from execution_engine.store import workflows
from execution_engine.store.locked import Locked, lock
from execution_engine.store.workflows import Outlines

_AS_NEW = frozenset({"outcome_unknown", "crash_limit"})
"""Reasons of failures after which the step is done as a new visit: its effect may have happened."""


async def pause(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    outlines: Outlines,
    account_id: int,
    execution_id: UUID,
    actor: str,
    words: str,
) -> bool:
    """Stops an execution before its next step; False if a driver will, once what it does has ended.

    Raises NotFound, IllegalTransition.
    """
    row = await lock(connection, vault, outlines, account_id, execution_id, Status.PAUSED)
    detail = _detail(actor, words)
    if row.driven:
        row.ask_detail = orjson.dumps(detail).decode()
        await row.ask(connection, Ask.PAUSE)
        return False
    held_on, resume_at = row.blocked_on, row.wake_at
    row.move_to(Status.PAUSED)
    row.rest(BlockedOn.OPERATOR, None)
    row.held_on, row.resume_at = held_on, resume_at
    row.append(LogEvent.PAUSED, detail)
    await row.write(connection)
    return True


async def resume(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    outlines: Outlines,
    account_id: int,
    execution_id: UUID,
    actor: str,
    words: str,
) -> None:
    """Undoes a pause, one that has not taken effect yet included. Raises NotFound, IllegalTransition."""
    row = await lock(connection, vault, outlines, account_id, execution_id, Status.QUEUED)
    if row.driven and row.asked & Ask.PAUSE:
        row.asked &= ~Ask.PAUSE
        row.ask_detail = ""
        await row.ask(connection, Ask.NOTHING)
        return
    if row.status is not Status.PAUSED:
        raise IllegalTransition(row.status.name, Status.QUEUED.name)
    waits = row.held_on not in (BlockedOn.NOTHING, BlockedOn.WORKER, BlockedOn.OUTCOME_UNKNOWN)
    row.move_to(Status.WAITING if waits else Status.QUEUED)
    due = row.resume_at if waits and row.resume_at is not None and not row.signals else row.now
    row.rest(row.held_on or BlockedOn.WORKER, due)
    row.held_on, row.resume_at, row.reason = BlockedOn.NOTHING, None, ""
    row.append(LogEvent.RESUMED, _detail(actor, words))
    await row.write(connection)


async def retry(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    outlines: Outlines,
    account_id: int,
    execution_id: UUID,
    actor: str,
    words: str,
    from_step: str = "",
    skip: bool = False,
) -> None:
    """Queues a FAILED execution again: at the failed step, at an earlier one, or after the failed one.

    Raises NotFound, IllegalTransition, InvalidValue.
    """
    row = await lock(connection, vault, outlines, account_id, execution_id, Status.QUEUED)
    if row.status is not Status.FAILED:
        raise IllegalTransition(row.status.name, Status.QUEUED.name)
    document = await workflows.version_document(connection, vault, account_id, row.workflow_id, row.version)
    data = orjson.loads(document)
    target = _target(row, data, from_step, skip)
    detail = {**_detail(actor, words), "from": data["steps"][target]["id"] if target != END else "end"}
    row.append(LogEvent.MANUAL_RETRY, {**detail, **({"skipped": row.step_id} if skip else {})})
    row.count(row.step, Count.NOT_FAILED)
    row.count(END, Count.NOT_FAILED)
    if target != row.step or row.reason in _AS_NEW:
        _revisit(row, data, target)
    row.failures, row.crashes, row.attempt_open = 0, 0, False
    row.move_to(Status.QUEUED)
    row.rest(BlockedOn.WORKER, row.now)
    row.reason, row.failure, row.ended_at = "", None, None
    await row.write(connection)


def _target(row: Locked, data: dict[str, Any], from_step: str, skip: bool) -> int:
    if skip and from_step:
        raise InvalidValue("skip_failed", "exclusive", "cannot go with from_step")
    if skip:
        target = links.following(data, row.step)
        if target is None:
            raise InvalidValue("skip_failed", "branch", "a step that only branches cannot be skipped")
        return target
    if not from_step:
        return row.step
    place = links.place_of(data, from_step)
    if place is None:
        raise InvalidValue("from_step", "unknown_step", f"there is no step {from_step!r} in its version")
    if place > row.step:
        raise InvalidValue("from_step", "earlier", f"{from_step!r} comes after the failed step")
    return links.landing(data, place)


def _revisit(row: Locked, data: dict[str, Any], target: int) -> None:
    """The step is done as if for the first time: under a new visit, and so a new effect key."""
    state = row.state()
    seen = state.get("visits") or {step["id"]: 1 for step in data["steps"][: row.step + 1]}
    row.step, row.attempt = target, 0
    row.visit = 1
    if target != END:
        name = data["steps"][target]["id"]
        row.visit = seen[name] = seen.get(name, 0) + 1
        row.count(target, Count.ENTERED)
    row.set_state(state.get("outputs", {}), seen)


def _detail(actor: str, words: str) -> dict[str, str]:
    return {"actor": actor, **({"words": mask_text(words)} if words else {})}
