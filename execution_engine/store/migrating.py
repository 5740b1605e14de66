"""Moves executions to another version of their workflow by step id, and tells before how many go where."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from execution_engine import ports
from execution_engine.bulk import Removed
from execution_engine.definition import links
from execution_engine.definition.program import END
from execution_engine.model import TERMINAL, BlockedOn, LogEvent, Status
from execution_engine.moves import Count
from execution_engine.signals import Ask
from execution_engine.store.locked import Locked, lock
from execution_engine.store.workflows import Outlines, version_document

MOVED, ENDED, THERE, KEPT, EXITED = "moved", "ended", "already_there", "kept", "exited"


@dataclass(frozen=True, slots=True)
class Plan:
    """Where each step of one version goes in another: a position there, or None where it has none."""

    to_version: int
    steps: tuple[str, ...]
    targets: tuple[int | None, ...]
    ids: tuple[str, ...]
    """Step ids of the newer version, by position."""

    def target(self, position: int, removed: Removed) -> int | None:
        """Where an execution at `position` goes: a position, END, or None to stay."""
        if position == END:
            return END
        found = self.targets[position]
        if found is not None or removed is Removed.KEEP:
            return found
        if removed is Removed.EXIT:
            return END
        later = (target for target in self.targets[position + 1 :] if target is not None)
        return next(later, END)


def plan(old: Mapping[str, Any], new: Mapping[str, Any], to_version: int, renamed: Mapping[str, str]) -> Plan:
    """The plan by step id, or by the new id that `renamed` gives for an old one."""
    targets = tuple(links.place_of(new, renamed.get(step["id"], step["id"])) for step in old["steps"])
    return Plan(
        to_version,
        tuple(step["id"] for step in old["steps"]),
        targets,
        tuple(step["id"] for step in new["steps"]),
    )


async def plan_of(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    account_id: int,
    workflow_id: UUID,
    from_version: int,
    to_version: int,
    renamed: Mapping[str, str],
) -> Plan:
    """The plan between two stored versions. Raises NotFound."""
    old = await version_document(connection, vault, account_id, workflow_id, from_version)
    new = await version_document(connection, vault, account_id, workflow_id, to_version)
    return plan(orjson.loads(old), orjson.loads(new), to_version, renamed)


async def migrate(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    outlines: Outlines,
    account_id: int,
    execution_id: UUID,
    plans: Mapping[int, Plan],
    removed: Removed,
    actor: str,
) -> str | None:
    """Moves one execution; what it came to, or None if it must be tried again because it is driven just now.

    Raises NotFound.
    """
    row = await lock(connection, vault, outlines, account_id, execution_id, Status.QUEUED)
    plan = plans.get(row.version)
    if row.status in TERMINAL and row.status is not Status.FAILED:
        return ENDED
    if plan is None or row.version == plan.to_version:
        return THERE
    if row.driven or row.attempt_open:
        if row.driven and not row.asked & Ask.LET_GO:
            await row.ask(connection, Ask.LET_GO)
        return None
    target = plan.target(row.step, removed)
    if target is None:
        return KEPT
    before = row.step_id
    waited = bool(row.wait_seq) and target != END and plan.ids[target] == before
    if row.wait_seq:
        row.count(row.step, Count.NOT_WAITING)
    position, from_version, row.version = row.step, row.version, plan.to_version
    row.seen_in(await outlines.of(connection, account_id, row.workflow_id, plan.to_version))
    moved_on = target == END or plan.ids[target] != before
    row.step = target
    if moved_on:
        row.attempt, row.failures, row.crashes, row.wait_seq = 0, 0, 0, 0
        row.visit = _next_visit(row, plan, position, target)
        if row.status is Status.WAITING:
            row.rest(BlockedOn.WORKER, row.now)
        elif row.status is Status.PAUSED:
            row.held_on, row.resume_at = BlockedOn.NOTHING, None
    if waited:
        row.count(target, Count.WAITING)
    row.append(
        LogEvent.MIGRATED,
        {"from": from_version, "to": plan.to_version, "step": before, "to_step": row.step_id, "actor": actor},
    )
    if target == END and row.status is not Status.FAILED:
        return await _exit(connection, row)
    await row.write(connection)
    return MOVED


def _next_visit(row: Locked, plan: Plan, position: int, target: int) -> int:
    """Which arrival at its new step this is: a step it has been at is visited anew, under another key."""
    if target == END:
        return 1
    state, name = row.state(), plan.ids[target]
    seen = state.get("visits") or dict.fromkeys(plan.steps[: position + 1], 1)
    visit: int = seen.get(name, 0) + 1
    if visit > 1 or state.get("visits"):
        row.set_state(state.get("outputs", {}), {**seen, name: visit})
    return visit


async def _exit(connection: asyncpg.Connection, row: Locked) -> str:
    """Its step is gone, and that is its end."""
    if row.status is Status.PAUSED:
        row.move_to(Status.QUEUED)
    row.append(LogEvent.EXECUTION_COMPLETED, {"reason": "step_removed"})
    row.end(Status.COMPLETED, "step_removed")
    row.count(END, Count.DONE)
    await row.write(connection)
    return EXITED
