"""Bulk operations: what was done to many at once, how far it is, and what each item came to."""

from typing import Final

from starlette.requests import Request
from wayfarer.execution.v1.bulk_service_pb2 import (
    BULK_KIND_ENROLL,
    BULK_STATE_GATHERING,
    BULK_STATE_RUNNING,
    GetBulkOperationRequest,
    ListBulkItemsRequest,
    ListBulkOperationsRequest,
)

from services.gateway.console.api import Api, together
from services.gateway.console.rendering import Page, query_of

_PAGE: Final = 50


async def listed(request: Request, api: Api) -> Page:
    """A page of operations, newest first."""
    query = query_of(request.query_params.items())
    asked = ListBulkOperationsRequest(page_size=_PAGE, page_token=query.get("page", ""))
    answer = await api.call(api.stubs.bulk.ListBulkOperations, asked)
    return Page(
        "bulk.html",
        {"operations": answer.operations, "more": answer.next_page_token, "query": query},
        live="page" not in query,
    )


async def one(request: Request, api: Api) -> Page:
    """One operation with its items."""
    identity, query = request.path_params["operation"], query_of(request.query_params.items())
    items = ListBulkItemsRequest(
        id=identity, outcome=query.get("outcome", ""), page_size=_PAGE, page_token=query.get("page", "")
    )
    read, listed_ = await together(
        api.call(api.stubs.bulk.GetBulkOperation, GetBulkOperationRequest(id=identity)),
        api.call(api.stubs.bulk.ListBulkItems, items),
    )
    enrols = read.operation.kind == BULK_KIND_ENROLL
    return Page(
        "bulk_operation.html",
        {
            "operation": read.operation,
            "items": listed_.items,
            "enrols": enrols,
            "people": await api.contacts(item.subject_id for item in listed_.items) if enrols else {},
            "more": listed_.next_page_token,
            "query": query,
        },
        live=read.operation.state in (BULK_STATE_RUNNING, BULK_STATE_GATHERING) and "page" not in query,
    )
