"""Events: what arrived and what became of it; starts that were refused; events that were set aside."""

from typing import Final

import grpc
from starlette.requests import Request
from wayfarer.event.v1.event_service_pb2 import (
    GetEventRequest,
    ListEventsRequest,
    ListRefusalsRequest,
    ListSetAsideEventsRequest,
)

from services.gateway.console.api import Api, Trouble
from services.gateway.console.execution_pages import contact_named
from services.gateway.console.rendering import Page, query_of

_PAGE: Final = 50


async def listed(request: Request, api: Api) -> Page:
    """A page of events, newest first."""
    query = query_of(request.query_params.items())
    contact_id = await _contact(api, query.get("contact", ""))
    events, more, trouble = [], "", None
    if contact_id is not None:
        asked = ListEventsRequest(
            contact_id=contact_id,
            type=query.get("type", ""),
            page_size=_PAGE,
            page_token=query.get("page", ""),
        )
        try:
            answer = await api.call(api.stubs.events.ListEvents, asked)
            events, more = list(answer.events), answer.next_page_token
        except grpc.aio.AioRpcError as error:
            trouble = _of_the_filter(error)
    return Page(
        "events.html",
        {
            "events": events,
            "people": await api.contacts(event.contact_id for event in events),
            "workflows": await api.workflows(),
            "query": query,
            "more": more,
            "trouble": trouble,
        },
        live="page" not in query and trouble is None,
    )


async def one(request: Request, api: Api) -> Page:
    """One event and its receipt."""
    asked = GetEventRequest(id=request.path_params["event"])
    event = (await api.call(api.stubs.events.GetEvent, asked)).event
    return Page(
        "event.html",
        {
            "event": event,
            "contact": (await api.contacts([event.contact_id])).get(event.contact_id),
            "workflows": await api.workflows(),
        },
    )


async def refusals(request: Request, api: Api) -> Page:
    """A page of starts that made no execution, newest first."""
    query = query_of(request.query_params.items())
    contact_id = await _contact(api, query.get("contact", ""))
    found, more, trouble = [], "", None
    if contact_id is not None:
        asked = ListRefusalsRequest(
            contact_id=contact_id,
            workflow=query.get("workflow", ""),
            kind=query.get("kind", ""),
            page_size=_PAGE,
            page_token=query.get("page", ""),
        )
        try:
            answer = await api.call(api.stubs.events.ListRefusals, asked)
            found, more = list(answer.refusals), answer.next_page_token
        except grpc.aio.AioRpcError as error:
            trouble = _of_the_filter(error)
    return Page(
        "refusals.html",
        {
            "refusals": found,
            "people": await api.contacts(refusal.contact_id for refusal in found),
            "workflows": await api.workflows(),
            "query": query,
            "more": more,
            "trouble": trouble,
        },
        live="page" not in query and trouble is None,
    )


async def set_aside(request: Request, api: Api) -> Page:
    """A page of events that could not be taken in, newest first."""
    query = query_of(request.query_params.items())
    contact_id = await _contact(api, query.get("contact", ""))
    found, more, trouble = [], "", None
    if contact_id is not None:
        asked = ListSetAsideEventsRequest(
            contact_id=contact_id, page_size=_PAGE, page_token=query.get("page", "")
        )
        try:
            answer = await api.call(api.stubs.events.ListSetAsideEvents, asked)
            found, more = list(answer.events), answer.next_page_token
        except grpc.aio.AioRpcError as error:
            trouble = _of_the_filter(error)
    return Page(
        "set_aside.html",
        {
            "events": found,
            "people": await api.contacts(event.contact_id for event in found),
            "query": query,
            "more": more,
            "trouble": trouble,
        },
        live="page" not in query and trouble is None,
    )


async def _contact(api: Api, name: str) -> str | None:
    """The id that a filter means, "" for none; None if nobody is called so."""
    return name if not name or len(name) == 36 else await contact_named(api, name)


def _of_the_filter(error: grpc.aio.AioRpcError) -> Trouble:
    """What is wrong with the filter. Raises anything else."""
    if error.code() not in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND):
        raise error
    return Trouble.of(error)
