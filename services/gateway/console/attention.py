"""What an operator should look at first, most urgent first. Pure; the overview shows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from wayfarer.admin.v1.admin_service_pb2 import PROVIDER_STATE_NEEDS_REAUTHORISATION, Provider
from wayfarer.execution.v1.bulk_service_pb2 import BULK_STATE_GATHERING, BULK_STATE_RUNNING, BulkOperation
from wayfarer.execution.v1.execution_pb2 import EXECUTION_STATUS_ACTIVE
from wayfarer.execution.v1.overview_service_pb2 import GetOverviewResponse
from wayfarer.execution.v1.workflow_pb2 import WORKFLOW_STATUS_PAUSED, Workflow

from services.gateway.console.rendering import count, link, span
from services.gateway.console.words import BULK_KINDS, ERROR_CLASSES

LATE_S: Final = 10.0
_MOST_GROUPS: Final = 5


@dataclass(frozen=True, slots=True)
class Concern:
    """One thing: how bad ("bad", "warn", "info"), what, why, and where to see it."""

    tone: str
    title: str
    text: str
    href: str


def concerns(
    now: GetOverviewResponse,
    operations: Sequence[BulkOperation],
    workflows: Sequence[Workflow],
    providers: Sequence[Provider] = (),
    at: datetime | None = None,
) -> list[Concern]:
    """All of them; none is good."""
    moment = at or datetime.now(UTC)
    found = [*_late(now), *_refused(providers), *_lanes(now, moment), *_failures(now)]
    found += [
        Concern(
            "warn",
            f"{workflow.name} is paused",
            "It takes no starts, and what runs stops before its next step.",
            link(f"/console/workflows/{workflow.key}"),
        )
        for workflow in workflows
        if workflow.status == WORKFLOW_STATUS_PAUSED
    ]
    found += [
        Concern(
            "info",
            f"{BULK_KINDS.get(one.kind, 'Bulk operation')} of {count(one.total)} under way",
            f"{count(one.finished)} are done.",
            f"/console/bulk/{one.id}",
        )
        for one in operations
        if one.state in (BULK_STATE_RUNNING, BULK_STATE_GATHERING)
    ]
    urgency = {"bad": 0, "warn": 1, "info": 2}
    return sorted(found, key=lambda concern: urgency[concern.tone])


def _late(now: GetOverviewResponse) -> list[Concern]:
    found = []
    lateness = now.lateness.ToTimedelta()
    active = next((c.executions for c in now.statuses if c.status == EXECUTION_STATUS_ACTIVE), 0)
    full = now.active_limit and active >= now.active_limit
    if lateness.total_seconds() >= LATE_S:
        why = (
            "All slots of the account are taken." if full else "No worker has taken them up: is one running?"
        )
        text = f"The one that is due longest has waited {span(lateness)}. {why}"
        found.append(
            Concern("bad", f"{count(now.due)} executions are late", text, "/console/executions?status=queued")
        )
    elif full:
        text = f"{count(active)} executions are active, which is the account's limit; others wait for a slot."
        found.append(Concern("warn", "Every slot is taken", text, "/console/executions?status=active"))
    return found


def _refused(providers: Sequence[Provider]) -> list[Concern]:
    return [
        Concern(
            "bad",
            f"{one.provider} refuses the credentials for {one.channel}",
            f"{one.refusal.message or one.refusal.code}. What would go through it waits for new ones.",
            "/console/settings#providers",
        )
        for one in providers
        if one.state == PROVIDER_STATE_NEEDS_REAUTHORISATION
    ]


def _lanes(now: GetOverviewResponse, moment: datetime) -> list[Concern]:
    found = []
    for lane in now.lanes:
        if lane.HasField("open_until") and lane.open_until.ToDatetime(UTC) > moment:
            text = f"{count(lane.failures)} failures in a row. Nothing is sent there until a probe succeeds."
            found.append(Concern("bad", f"The breaker of {lane.lane} is open", text, "/console/#lanes"))
        elif lane.HasField("paused_until") and lane.paused_until.ToDatetime(UTC) > moment:
            left = span(lane.paused_until.ToDatetime(UTC) - moment)
            text = f"Its provider asked for fewer requests; it goes on in {left}."
            found.append(Concern("warn", f"{lane.lane} is slowed down", text, "/console/#lanes"))
    return found


def _failures(now: GetOverviewResponse) -> list[Concern]:
    found = []
    for group in now.failures[:_MOST_GROUPS]:
        kind = ERROR_CLASSES.get(group.failure.error_class, "Error")
        told = ": ".join(filter(None, (group.failure.code, group.failure.message)))
        href = link(
            "/console/executions",
            status="failed",
            workflow=group.workflow_key,
            step=group.step_id,
            error=kind.lower().replace(" ", "_") if group.failure.error_class else "",
        )
        noun = "execution" if group.executions == 1 else "executions"
        title = f"{count(group.executions)} {noun} of {group.workflow_key} failed at {group.step_id}"
        found.append(Concern("bad", title, f"{kind}. {told}" if told else f"{kind}.", href))
    return found
