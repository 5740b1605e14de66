"""Workflows: the list with their counts, and one drawn as its flow with who stands where."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import yaml
from starlette.requests import Request
from wayfarer.execution.v1.overview_service_pb2 import GetActivityRequest
from wayfarer.execution.v1.workflow_pb2 import Workflow
from wayfarer.execution.v1.workflow_service_pb2 import (
    GetWorkflowCountsRequest,
    GetWorkflowRequest,
    ListWorkflowsRequest,
    StepCount,
)

from services.gateway.console import flow_graph, flow_layout
from services.gateway.console.api import Api, together
from services.gateway.console.charts import Spark, spark
from services.gateway.console.flow_graph import Graph
from services.gateway.console.rendering import Page, query_of

_PAGE: Final = 25
_VIEWS: Final = {"flow": "Flow", "steps": "Steps", "versions": "Versions", "document": "Document"}
_DAY_MINUTES, _POINT_MINUTES = 1_440, 30
WORKFLOW_STATUSES: Final = {"draft": 1, "active": 2, "paused": 3, "archived": 4}


@dataclass(frozen=True, slots=True)
class Counted:
    """Counters of a step, or of executions as a whole."""

    entered: int = 0
    done: int = 0
    failed: int = 0
    waiting: int = 0

    @classmethod
    def sum(cls, counts: Iterable[StepCount]) -> "Counted":
        """All of them together."""
        all_ = list(counts)
        return cls(
            *(sum(getattr(c, name) for c in all_) for name in ("entered", "done", "failed", "waiting"))
        )

    @property
    def here(self) -> int:
        """How many stand here now: entered, and neither done nor failed. Waits included."""
        return max(self.entered - self.done - self.failed, self.waiting, 0)


@dataclass(frozen=True, slots=True)
class Listed:
    """A workflow in the list."""

    workflow: Workflow
    total: Counted
    waiting: int
    started: Spark
    started_today: int


async def listed(request: Request, api: Api) -> Page:
    """A page of workflows, newest first, with their counts and their day."""
    query = query_of(request.query_params.items())
    asked = ListWorkflowsRequest(page_size=_PAGE, page_token=query.get("page", ""))
    asked.status = WORKFLOW_STATUSES.get(query.get("status", ""), 0)  # type: ignore[assignment]
    answer = await api.call(api.stubs.workflows.ListWorkflows, asked)
    rows = await together(*(_row(api, workflow) for workflow in answer.workflows))
    return Page(
        "workflows.html",
        {"rows": rows, "query": query, "more": answer.next_page_token},
        live="page" not in query,
    )


async def _row(api: Api, workflow: Workflow) -> Listed:
    counts, activity = await together(
        api.call(api.stubs.workflows.GetWorkflowCounts, GetWorkflowCountsRequest(workflow=workflow.id)),
        api.call(
            api.stubs.overview.GetActivity,
            GetActivityRequest(workflow=workflow.id, minutes=_DAY_MINUTES, minutes_per_point=_POINT_MINUTES),
        ),
    )
    started = [point.started for point in activity.points]
    return Listed(
        workflow,
        Counted.sum(count for count in counts.counts if not count.step_id),
        sum(count.waiting for count in counts.counts if count.step_id),
        spark(started, 96, 24),
        sum(started),
    )


async def one(request: Request, api: Api) -> Page:
    """One workflow: its flow, its steps as a funnel, its versions, its document."""
    name, query = request.path_params["workflow"], query_of(request.query_params.items())
    view = query.get("view", "flow") if query.get("view", "flow") in _VIEWS else "flow"
    latest = (await api.call(api.stubs.workflows.GetWorkflow, GetWorkflowRequest(workflow=name))).workflow
    version = _number(query.get("version", ""), latest.published_version)
    beside = _number(query.get("beside", ""), 0)
    shown, counts, activity, *other = await together(
        _read(api, latest, version),
        api.call(api.stubs.workflows.GetWorkflowCounts, GetWorkflowCountsRequest(workflow=latest.id)),
        api.call(
            api.stubs.overview.GetActivity,
            GetActivityRequest(workflow=latest.id, minutes=_DAY_MINUTES, minutes_per_point=_POINT_MINUTES),
        ),
        *([_read(api, latest, beside)] if beside else []),
    )
    by_version = _by_version(counts.counts)
    graph = graph_of_workflow(shown)
    document = orjson.loads(shown.document)
    return Page(
        "workflow.html",
        {
            "workflow": latest,
            "document": document,
            "text": yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100),
            "view": view,
            "views": _VIEWS,
            "version": version,
            "beside": beside,
            "graph": graph,
            "drawing": flow_layout.draw(graph),
            "at_step": by_version.get(version, {}),
            "beside_drawing": flow_layout.draw(graph_of_workflow(other[0])) if other else None,
            "beside_at_step": by_version.get(beside, {}),
            "all": Counted.sum(count for count in counts.counts if not count.step_id),
            "waiting": sum(count.waiting for count in counts.counts if count.step_id),
            "versions": {n: _version(by_version.get(n, {})) for n in range(latest.published_version, 0, -1)},
            "started": spark([point.started for point in activity.points], 240, 48),
            "failed": spark([point.failed for point in activity.points], 240, 48),
            "today": sum(point.started for point in activity.points),
            "failed_today": sum(point.failed for point in activity.points),
            "query": query,
        },
        live=view in ("flow", "steps", "versions"),
    )


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isdecimal() and len(text) < 6 else otherwise


async def _read(api: Api, latest: Workflow, version: int) -> Workflow:
    """The workflow with the document of a version; 0 is the draft."""
    if version == 0:
        return latest
    answer = await api.call(
        api.stubs.workflows.GetWorkflow, GetWorkflowRequest(workflow=latest.id, version=version)
    )
    return answer.workflow


def _by_version(counts: Sequence[StepCount]) -> Mapping[int, Mapping[str, Counted]]:
    found: dict[int, dict[str, Counted]] = defaultdict(dict)
    for count in counts:
        found[count.version][count.step_id] = Counted(count.entered, count.done, count.failed, count.waiting)
    return found


def _version(at_step: Mapping[str, Counted]) -> dict[str, Any]:
    return {"all": at_step.get("", Counted()), "waiting": sum(c.waiting for s, c in at_step.items() if s)}


def graph_of_workflow(workflow: Workflow) -> Graph:
    """The graph of the document that a workflow was read with."""
    return flow_graph.graph_of(orjson.loads(workflow.document))
