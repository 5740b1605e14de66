"""Executions: the list by any filter, and one execution's whole story."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from starlette.requests import Request
from wayfarer.common.v1.failure_pb2 import ErrorClass
from wayfarer.crm.v1.contact_service_pb2 import GetContactRequest, ListContactsRequest
from wayfarer.execution.v1.execution_pb2 import ExecutionStatus
from wayfarer.execution.v1.execution_service_pb2 import (
    ExplainExecutionRequest,
    GetExecutionRequest,
    ListExecutionLogsRequest,
    ListExecutionsRequest,
)
from wayfarer.execution.v1.workflow_service_pb2 import GetWorkflowRequest

from services.gateway.console import flow_layout, workflow_pages
from services.gateway.console.api import Api, Trouble, together
from services.gateway.console.flow_graph import END, START
from services.gateway.console.rendering import Page, query_of
from services.gateway.console.timeline import chapters
from services.gateway.console.words import ERROR_CLASSES, STATUS_NAMES

_PAGE: Final = 50
_LOG_PAGE: Final = 400
ERRORS: Final = {label.lower().replace(" ", "_"): number for number, label in ERROR_CLASSES.items()}
SINCE: Final = {
    "1h": ("last hour", 1),
    "24h": ("last 24 hours", 24),
    "7d": ("last 7 days", 168),
    "30d": ("last 30 days", 720),
}


async def listed(request: Request, api: Api) -> Page:
    """A page of executions, newest first."""
    query = query_of(request.query_params.items())
    trouble = _unknown(query)
    executions: list[Any] = []
    more = ""
    workflows = await api.workflows()
    try:
        asked = await _asked(api, query) if trouble is None else None
        if asked is not None:
            answer = await api.call(api.stubs.executions.ListExecutions, asked)
            executions, more = list(answer.executions), answer.next_page_token
    except grpc.aio.AioRpcError as error:
        trouble = _of_the_filter(error)
    return Page(
        "executions.html",
        {
            "executions": executions,
            "people": await api.contacts(e.contact_id for e in executions),
            "workflows": workflows,
            "query": query,
            "filtered": any(name not in ("page", "status") for name in query),
            "more": more,
            "errors": ERRORS,
            "since": SINCE,
            "trouble": trouble,
        },
        live="page" not in query and trouble is None,
    )


def _unknown(query: Mapping[str, str]) -> Trouble | None:
    """What is wrong with the words of the filter, if anything is."""
    known: dict[str, Mapping[str, object]] = {"status": STATUS_NAMES, "error": ERRORS, "since": SINCE}
    wrong = tuple(
        (name, f"must be one of {', '.join(words)}")
        for name, words in known.items()
        if query.get(name) and query[name] not in words
    )
    return Trouble(grpc.StatusCode.INVALID_ARGUMENT, "This filter cannot be.", "", wrong) if wrong else None


def _of_the_filter(error: grpc.aio.AioRpcError) -> Trouble:
    """What is wrong with the filter. Raises anything else."""
    if error.code() not in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND):
        raise error
    return Trouble.of(error)


async def _asked(api: Api, query: Mapping[str, str]) -> ListExecutionsRequest | None:
    """The request that a filter means; None if it names a contact that nobody is."""
    contact_id = query.get("contact", "")
    if contact_id and len(contact_id) != 36:
        found = await contact_named(api, contact_id)
        if found is None:
            return None
        contact_id = found
    asked = ListExecutionsRequest(
        workflow=query.get("workflow", ""),
        contact_id=contact_id,
        status=ExecutionStatus.Name(STATUS_NAMES.get(query.get("status", ""), 0)),  # type: ignore[arg-type]
        reason=query.get("reason", ""),
        error_class=ErrorClass.Name(ERRORS.get(query.get("error", ""), 0)),  # type: ignore[arg-type]
        step_id=query.get("step", ""),
        page_size=_PAGE,
        page_token=query.get("page", ""),
    )
    if query.get("since", "") in SINCE:
        # To the minute, so that page tokens, which are bound to the filter, hold for a while.
        since = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=SINCE[query["since"]][1])
        asked.create_time_from.CopyFrom(_stamp(since))
    return asked


def _stamp(at: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


async def contact_named(api: Api, name: str) -> str | None:
    """The id of the contact with this e-mail address, phone number or own id."""
    if "@" in name or name.startswith("+"):
        found = await api.call(api.stubs.contacts.ListContacts, ListContactsRequest(address=name))
        return found.contacts[0].id if found.contacts else None
    try:
        answer = await api.call(api.stubs.contacts.GetContact, GetContactRequest(external_id=name))
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return None
        raise
    return answer.contact.id


async def one(request: Request, api: Api) -> Page:
    """One execution: where it stands and why, its story, its way through the workflow."""
    identity, stubs = request.path_params["execution"], api.stubs
    number = request.query_params.get("log", "1")
    page = int(number) if number.isdecimal() and 0 < len(number) < 6 else 1
    read, explained, log = await together(
        api.call(stubs.executions.GetExecution, GetExecutionRequest(id=identity)),
        api.call(stubs.executions.ExplainExecution, ExplainExecutionRequest(id=identity)),
        api.call(
            stubs.executions.ListExecutionLogs,
            ListExecutionLogsRequest(execution_id=identity, page_size=_LOG_PAGE, page=page),
        ),
    )
    execution = read.execution
    people, workflow = await together(
        api.contacts([execution.contact_id]),
        api.call(
            stubs.workflows.GetWorkflow,
            GetWorkflowRequest(workflow=execution.workflow_id, version=execution.workflow_version),
        ),
    )
    entries = list(log.log_entries)
    walked = {entry.step_id for entry in entries if entry.step_id} | {START}
    if execution.status == ExecutionStatus.EXECUTION_STATUS_COMPLETED:
        walked.add(END)
    return Page(
        "execution.html",
        {
            "execution": execution,
            "contact": people.get(execution.contact_id),
            "workflow": workflow.workflow,
            "blockers": explained.blockers,
            "chapters": chapters(entries),
            "entries": entries,
            "log_page": page,
            "log_pages": -(-log.total_size // _LOG_PAGE),
            "total": log.total_size,
            "drawing": flow_layout.draw(workflow_pages.graph_of_workflow(workflow.workflow)),
            "walked": walked,
        },
        live=page == 1 and not execution.HasField("end_time"),
    )
