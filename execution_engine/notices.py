"""Which failures are told of now, in which notice, and in what words: pure; dispatcher/notices.py does it.

The first failure of a kind is told at once; like ones that follow are gathered, and told in one digest when
the window since the last notice of that kind has passed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

_DEFAULT_DIGEST_S = 60.0
MOST_TRIES = 6
_MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Group:
    """Failures of one kind that nobody has been told of."""

    account_id: int
    workflow_id: UUID
    step_id: str
    error_class: int
    code: str
    last_notice_at: datetime | None


@dataclass(frozen=True, slots=True)
class Target:
    """Where a notice goes: `kind` is email, webhook or slack."""

    kind: str
    address: str


def targets_of(settings: Mapping[str, Any]) -> list[Target]:
    """Where the account wants to be told of failures; nowhere if it does not."""
    wanted = settings.get("notifications") or {}
    if not wanted.get("on_failure", True):
        return []
    return [Target(kind, str(a)) for kind in ("email", "webhook", "slack") for a in wanted.get(kind) or ()]


def is_due(group: Group, settings: Mapping[str, Any], now: datetime) -> bool:
    """Whether the failures of this kind are told of now."""
    digest = float((settings.get("notifications") or {}).get("digest_seconds", _DEFAULT_DIGEST_S))
    last = group.last_notice_at
    return last is None or now - last >= timedelta(seconds=digest)


def retry_after(tries: int) -> timedelta | None:
    """When a notice that did not reach its target is sent again; None to give it up, after about an hour."""
    if tries >= MOST_TRIES:
        return None
    return timedelta(seconds=float(min(15 * 4 ** (tries - 1), 1_800)))


@dataclass(frozen=True, slots=True)
class Told:
    """What a notice tells. `executions` are some of those concerned, earliest first."""

    workflow: str
    step_id: str
    error_class: str
    code: str
    message: str
    count: int
    first_at: datetime
    last_at: datetime
    executions: Sequence[UUID]


def subject(told: Told) -> str:
    """One line."""
    if told.count == 1:
        return f"Workflow {told.workflow}: an execution failed at {told.step_id or 'its end'}"
    return f"Workflow {told.workflow}: {told.count} executions failed at {told.step_id or 'their end'}"


def text(told: Told) -> str:
    """The words of a notice."""
    named = [str(one) for one in told.executions[:_MOST_NAMED]]
    more = told.count - len(named)
    lines = [
        subject(told) + ".",
        "",
        f"Workflow:  {told.workflow}",
        f"Step:      {told.step_id or '-'}",
        f"Error:     {told.error_class} {told.code}",
        f"           {told.message}",
        f"When:      {told.first_at:%Y-%m-%d %H:%M:%S} UTC"
        + (f" to {told.last_at:%Y-%m-%d %H:%M:%S} UTC" if told.count > 1 else ""),
        "",
        "Executions:",
        *(f"  {one}" for one in named),
        *([f"  and {more} more"] if more > 0 else []),
        "",
        f"See one:   wayfarer logs {named[0]}" if named else "",
    ]
    return "\n".join(lines)


def body(told: Told, notice_id: UUID) -> dict[str, Any]:
    """What a webhook gets."""
    return {
        "type": "execution_failed",
        "notice_id": str(notice_id),
        "workflow": told.workflow,
        "step_id": told.step_id,
        "error": {"class": told.error_class, "code": told.code, "message": told.message},
        "count": told.count,
        "first_at": told.first_at.isoformat(),
        "last_at": told.last_at.isoformat(),
        "execution_ids": [str(one) for one in told.executions[:_MOST_NAMED]],
    }
