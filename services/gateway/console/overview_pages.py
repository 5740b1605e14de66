"""The first page: how the account does now, and what needs attention first."""

from typing import Final

import grpc
from starlette.requests import Request
from wayfarer.admin.v1.admin_service_pb2 import ListProvidersRequest
from wayfarer.execution.v1.bulk_service_pb2 import ListBulkOperationsRequest
from wayfarer.execution.v1.execution_service_pb2 import ListExecutionsRequest
from wayfarer.execution.v1.overview_service_pb2 import GetActivityRequest, GetOverviewRequest

from services.gateway.console.api import Api, permitted, together
from services.gateway.console.attention import concerns
from services.gateway.console.charts import bars, nice_top, spark
from services.gateway.console.rendering import Page

RANGES: Final = {"1h": ("Hour", 60, 1), "24h": ("Day", 1_440, 24), "7d": ("Week", 10_080, 168)}
_NEWEST: Final = 8


async def overview(request: Request, api: Api) -> Page:
    """What runs, waits, fails, is late; how much was done; what needs attention."""
    chosen = request.query_params.get("range", "1h")
    chosen = chosen if chosen in RANGES else "1h"
    _, minutes, each = RANGES[chosen]
    stubs = api.stubs
    now, activity, newest, bulk, workflows, providers = await together(
        api.call(stubs.overview.GetOverview, GetOverviewRequest()),
        api.call(stubs.overview.GetActivity, GetActivityRequest(minutes=minutes, minutes_per_point=each)),
        api.call(stubs.executions.ListExecutions, ListExecutionsRequest(page_size=_NEWEST)),
        api.call(stubs.bulk.ListBulkOperations, ListBulkOperationsRequest(page_size=20)),
        api.workflows(),
        permitted(api.call(stubs.admin.ListProviders, ListProvidersRequest()), grpc.StatusCode.UNAVAILABLE),
    )
    points = list(activity.points)
    sums = {
        name: sum(getattr(p, name) for p in points) for name in ("started", "completed", "failed", "steps")
    }
    top = nice_top(max((point.steps for point in points), default=0))
    return Page(
        "overview.html",
        {
            "counts": {count.status: count.executions for count in now.statuses},
            "now": now,
            "concerns": concerns(
                now,
                list(bulk.operations),
                list(workflows.values()),
                list(providers.providers) if providers else [],
            ),
            "points": points,
            "bars": bars([point.steps for point in points], top, 720, 150),
            "failed_bars": bars([point.failed for point in points], top, 720, 150),
            "top": top,
            "sums": sums,
            "started": spark([point.started for point in points]),
            "completed": spark([point.completed for point in points]),
            "failed": spark([point.failed for point in points]),
            "ranges": RANGES,
            "range": chosen,
            "minutes": minutes,
            "newest": newest.executions,
            "people": await api.contacts(e.contact_id for e in newest.executions),
            "workflows": workflows,
        },
        live=True,
    )
