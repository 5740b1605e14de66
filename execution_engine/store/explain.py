"""Why an execution does not move, until when, and what would move it; ExplainExecution shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from execution_engine import ports
from execution_engine.model import AGEING_S, TERMINAL, BlockedOn, ErrorClass, ExecutionView, Status
from execution_engine.store import executions, lanes

_LIMIT = """SELECT a.active_limit, wf_now() AS now,
    (SELECT count(*) FROM execution e WHERE e.account_id = $1 AND e.status = 2) AS active
FROM account a WHERE a.account_id = $1"""
_AHEAD = """SELECT count(*) FROM execution e
WHERE e.account_id = $1 AND e.lane BETWEEN 1 AND 3 AND e.wake_at <= wf_now()
    AND e.wake_at + make_interval(secs => ($4::float8[])[e.lane])
        < $2::timestamptz + make_interval(secs => ($4::float8[])[$3])"""
_WAIT = "SELECT wait_seq, wait_sealed FROM execution WHERE account_id = $1 AND execution_id = $2"
_WORKFLOW = "SELECT status, updated_at FROM workflow WHERE account_id = $1 AND workflow_id = $2"
_DUE = (Status.QUEUED, Status.WAITING)
_REFUSED = (ErrorClass.AUTHENTICATION, ErrorClass.AUTHORIZATION, ErrorClass.CONFIGURATION)


@dataclass(frozen=True, slots=True)
class Blocker:
    """One thing that keeps an execution from moving. `position` counts from 1 in its queue, 0 for none."""

    kind: BlockedOn
    description: str
    remedy: str
    since: datetime | None = None
    until: datetime | None = None
    position: int = 0
    detail: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A provider refuses the account's credentials for a channel; `problem` says how, for a person."""

    channel: str
    provider: str
    problem: str
    since: datetime


def provider_at_fault(view: ExecutionView) -> str:
    """The provider whose refusal of the account may be what stops an execution; empty for none."""
    if view.blocked_on is BlockedOn.REAUTHORISATION:
        return view.blocked_by
    failure: dict[str, Any] = orjson.loads(view.failure) if view.failure else {}
    return str(failure.get("provider", "")) if failure.get("class") in _REFUSED else ""


def with_refusals(blockers: Sequence[Blocker], refusals: Sequence[Refusal]) -> list[Blocker]:
    """The same blockers, and each refusal in place of the word that there is one."""
    named = [
        Blocker(
            BlockedOn.REAUTHORISATION,
            f"{one.provider} refuses the account's credentials for {one.channel}: {one.problem}",
            _TEXTS[BlockedOn.REAUTHORISATION][1],
            since=one.since,
            detail={"provider": one.provider, "channel": one.channel},
        )
        for one in refusals
    ]
    others = [one for one in blockers if one.kind is not BlockedOn.REAUTHORISATION or not named]
    return [*others, *named]


async def mark_limited(
    connection: asyncpg.Connection, account_id: int, views: list[ExecutionView]
) -> list[ExecutionView]:
    """The same views; those that are due and only lack a slot say so."""
    if not any(view.status in _DUE and view.wake_at is not None for view in views):
        return views
    row = await connection.fetchrow(_LIMIT, account_id)
    if row["active"] < row["active_limit"]:
        return views
    return [
        replace(view, blocked_on=BlockedOn.ACCOUNT_LIMIT) if _is_due(view, row["now"]) else view
        for view in views
    ]


def _is_due(view: ExecutionView, now: datetime) -> bool:
    return view.status in _DUE and view.wake_at is not None and view.wake_at <= now


async def explain(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    account_id: int,
    execution_id: UUID,
    families: Mapping[str, str],
    outline: tuple[tuple[str, str], ...],
) -> list[Blocker]:
    """What blocks an execution, most immediate first. `families`: that of each type of step at hand."""
    view = await executions.get(connection, account_id, execution_id)
    if view.status in TERMINAL:
        return [_failed(view)] if view.status is Status.FAILED else []
    blockers: list[Blocker] = []
    if view.status is Status.PAUSED:
        blockers.append(_paused(view))
        if view.held_on is not BlockedOn.NOTHING:
            blockers.append(_waiting(replace(view, blocked_on=view.held_on, wake_at=view.resume_at), {}))
        return blockers
    workflow = await connection.fetchrow(_WORKFLOW, account_id, view.workflow_id)
    if workflow["status"] == 3:
        blockers.append(
            Blocker(
                BlockedOn.WORKFLOW_PAUSED,
                "its workflow is paused",
                "resume the workflow",
                since=workflow["updated_at"],
            )
        )
    if view.status is Status.ACTIVE:
        return blockers
    limit = await connection.fetchrow(_LIMIT, account_id)
    if _is_due(view, limit["now"]) or view.blocked_on is BlockedOn.WORKFLOW_PAUSED:
        blockers += await _due(connection, account_id, view, limit, families, outline)
        return blockers
    row = await connection.fetchrow(_WAIT, account_id, execution_id)
    wait: dict[str, Any] = {}
    if row["wait_seq"] and row["wait_sealed"]:
        wait = orjson.loads(vault.open(ports.WAIT, account_id, row["wait_sealed"]))
    return [*blockers, _waiting(await _until_lane_opens(connection, account_id, view), wait)]


async def _until_lane_opens(
    connection: asyncpg.Connection, account_id: int, view: ExecutionView
) -> ExecutionView:
    """A turn in a lane may come later than was said when it was given out."""
    if not view.blocked_by or view.wake_at is None:
        return view
    owner = 0 if view.blocked_on is BlockedOn.EXECUTOR else account_id
    lane = await lanes.find(connection, owner, view.blocked_by)
    known = [at for at in (lane.paused_until, lane.open_until) if at is not None] if lane is not None else []
    return replace(view, wake_at=max([view.wake_at, *known]))


async def _due(
    connection: asyncpg.Connection,
    account_id: int,
    view: ExecutionView,
    limit: asyncpg.Record,
    families: Mapping[str, str],
    outline: tuple[tuple[str, str], ...],
) -> list[Blocker]:
    """It is due: only a slot, its executor or a worker can be missing."""
    found: list[Blocker] = []
    kind = outline[view.step][1] if view.step >= 0 else ""
    if limit["active"] >= limit["active_limit"]:
        ahead = await connection.fetchval(
            _AHEAD, account_id, view.wake_at, int(view.priority), list(AGEING_S)
        )
        found.append(
            Blocker(
                BlockedOn.ACCOUNT_LIMIT,
                f"{limit['active']} of {limit['active_limit']} executions of the account are ACTIVE",
                "one of them leaves ACTIVE, or the account's limit is raised",
                since=view.wake_at,
                position=ahead + 1,
                detail={"active": str(limit["active"]), "limit": str(limit["active_limit"])},
            )
        )
    if kind and kind not in families:
        found.append(_no_executor(view, kind))
    if not found and view.blocked_on is not BlockedOn.WORKFLOW_PAUSED:
        found.append(
            Blocker(BlockedOn.WORKER, *_TEXTS[BlockedOn.WORKER], since=view.wake_at, until=view.wake_at)
        )
    return found


def _no_executor(view: ExecutionView, kind: str) -> Blocker:
    return Blocker(
        BlockedOn.EXECUTOR,
        f"no executor at hand serves {kind!r}",
        "start the executor family that serves it",
        since=view.updated_at,
        detail={"action_type": kind},
    )


def _paused(view: ExecutionView) -> Blocker:
    if view.held_on is BlockedOn.OUTCOME_UNKNOWN:
        text = "whether its last effect happened cannot be told, and its step says hold"
        return Blocker(
            BlockedOn.OUTCOME_UNKNOWN, text, "resume it to go on, or cancel it", since=view.updated_at
        )
    return Blocker(BlockedOn.OPERATOR, "somebody paused it", "resume it", since=view.updated_at)


def _failed(view: ExecutionView) -> Blocker:
    return Blocker(
        BlockedOn.OPERATOR,
        f"it failed: {view.reason}",
        "retry it from the failed step, from an earlier one, or after it",
        since=view.ended_at,
        detail={"reason": view.reason},
    )


_TEXTS = {
    BlockedOn.WORKER: ("it is due", "a worker takes it up"),
    BlockedOn.TIMER: (
        "a wait of its workflow",
        "its time comes, or the wait is resumed or cancelled",
    ),
    BlockedOn.RETRY: ("the next try of its step", "its time comes"),
    BlockedOn.RECONCILE: (
        "what became of an interrupted attempt is being found out",
        "its executor answers",
    ),
    BlockedOn.EXECUTOR: ("the executor of its step cannot be reached", "the executor comes back"),
    BlockedOn.DEFERRAL: ("its action asked to be tried later", "its time comes"),
    BlockedOn.PENDING: ("its provider works on it", "the provider tells, or the deadline comes"),
    BlockedOn.EVENT: ("an event it waits for", "the event comes, or the wait times out"),
    BlockedOn.AD_HOC_WAIT: ("an ad-hoc wait", "its time comes, or the wait is resumed or cancelled"),
    BlockedOn.LANE: ("its provider asked the account for fewer requests", "the pause is over"),
    BlockedOn.BREAKER: ("the circuit breaker of its provider is open", "a probe succeeds"),
    BlockedOn.RATE_LIMIT: ("the account's rate limit of its channel", "its turn comes"),
    BlockedOn.QUIET_HOURS: ("quiet hours, or outside the send window, on the clocks that count", "they end"),
    BlockedOn.FREQUENCY_CAP: (
        "the contact got as many messages as the account allows",
        "the first of them is long enough ago",
    ),
    BlockedOn.REAUTHORISATION: (
        "its provider refuses the account's credentials",
        "new credentials are set (SetProvider)",
    ),
    BlockedOn.OUTCOME_UNKNOWN: ("an outcome nobody can tell", "resume it to go on, or cancel it"),
}


def _waiting(view: ExecutionView, wait: Mapping[str, Any]) -> Blocker:
    text, remedy = _TEXTS.get(view.blocked_on, ("it waits", "its time comes"))
    detail: dict[str, str] = {}
    if wait:
        detail["rule"] = str(wait["rule"])
        if "types" in wait:
            detail["events"] = ", ".join(wait["types"])
    if view.blocked_by:
        name = "provider" if view.blocked_on is BlockedOn.REAUTHORISATION else "lane"
        detail[name] = view.blocked_by
    since = datetime.fromisoformat(wait["began"]) if wait else view.updated_at
    return Blocker(view.blocked_on, text, remedy, since=since, until=view.wake_at, detail=detail)
