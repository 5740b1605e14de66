"""Contacts: finding somebody, and one contact's past, present and future over all workflows."""

import asyncio
from typing import Any, Final
from uuid import UUID

import grpc
from starlette.requests import Request
from wayfarer.crm.v1.consent_service_pb2 import GetConsentsRequest, ListMessagesRequest
from wayfarer.crm.v1.contact_pb2 import Contact
from wayfarer.crm.v1.contact_service_pb2 import GetContactRequest, ListContactsRequest
from wayfarer.event.v1.event_service_pb2 import ListEventsRequest, ListRefusalsRequest
from wayfarer.execution.v1.execution_pb2 import Execution, LogEntry
from wayfarer.execution.v1.execution_service_pb2 import ListExecutionLogsRequest, ListExecutionsRequest
from wayfarer.execution.v1.wait_service_pb2 import ListWaitsRequest

from services.gateway.console.api import Api, together
from services.gateway.console.rendering import Page, query_of

_PAGE: Final = 50
_LOOKED_INTO: Final = 12
"""How many of the newest executions are searched for what was not sent."""
_NOT_SENT: Final = frozenset({"send_skipped", "send_deferred", "opt_out_blocked"})


async def listed(request: Request, api: Api) -> Page:
    """The newest contacts, or those that a search finds."""
    query = query_of(request.query_params.items())
    search = query.get("q", "")
    more = ""
    if search:
        contacts = await _found(api, search)
    else:
        asked = ListContactsRequest(page_size=_PAGE, page_token=query.get("page", ""))
        answer = await api.call(api.stubs.contacts.ListContacts, asked)
        contacts, more = list(answer.contacts), answer.next_page_token
    return Page("contacts.html", {"contacts": contacts, "query": query, "search": search, "more": more})


async def _found(api: Api, search: str) -> list[Contact]:
    """Whoever has this address, phone number, own id, or id."""
    if "@" in search or search.startswith("+"):
        answer = await api.call(api.stubs.contacts.ListContacts, ListContactsRequest(address=search[:320]))
        return list(answer.contacts)
    by = {"id": search} if _is_id(search) else {"external_id": search[:200]}
    try:
        found = await api.call(api.stubs.contacts.GetContact, GetContactRequest(**by))
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return []
        raise
    return [found.contact]


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


async def one(request: Request, api: Api) -> Page:
    """One contact: what runs, what is planned, what was sent, what was not and why."""
    identity, stubs = request.path_params["contact"], api.stubs
    contact, executions, waits, consents, messages, events, refusals, workflows = await together(
        api.call(stubs.contacts.GetContact, GetContactRequest(id=identity)),
        api.call(
            stubs.executions.ListExecutions, ListExecutionsRequest(contact_id=identity, page_size=_PAGE)
        ),
        api.call(stubs.waits.ListWaits, ListWaitsRequest(contact_id=identity)),
        api.call(stubs.consents.GetConsents, GetConsentsRequest(contact_id=identity)),
        api.call(stubs.consents.ListMessages, ListMessagesRequest(contact_id=identity)),
        api.call(stubs.events.ListEvents, ListEventsRequest(contact_id=identity, page_size=15)),
        api.call(stubs.events.ListRefusals, ListRefusalsRequest(contact_id=identity, page_size=10)),
        api.workflows(),
    )
    runs = list(executions.executions)
    return Page(
        "contact.html",
        {
            "contact": contact.contact,
            "present": [run for run in runs if not run.HasField("end_time")],
            "past": [run for run in runs if run.HasField("end_time")],
            "more": executions.next_page_token,
            "waits": sorted(waits.waits, key=lambda wait: wait.resume_time.seconds or 2**40),
            "consents": consents.consents,
            "suppressions": consents.suppressions,
            "messages": messages.messages,
            "unsent": await _unsent(api, runs[:_LOOKED_INTO]),
            "events": events.events,
            "refusals": refusals.refusals,
            "workflows": workflows,
            "runs": {run.id: run for run in runs},
        },
        live=True,
    )


async def _unsent(api: Api, runs: list[Execution]) -> list[tuple[Execution, LogEntry]]:
    """Messages that were not sent, or held back, and why, newest first."""

    async def of(run: Execution) -> Any:
        asked = ListExecutionLogsRequest(execution_id=run.id, page_size=200, newest_first=True)
        return await api.call(api.stubs.executions.ListExecutionLogs, asked)

    logs = await asyncio.gather(*(of(run) for run in runs))
    found = [
        (run, entry)
        for run, log in zip(runs, logs, strict=True)
        for entry in log.log_entries
        if entry.event in _NOT_SENT
    ]
    return sorted(found, key=lambda pair: pair[1].time.seconds, reverse=True)
