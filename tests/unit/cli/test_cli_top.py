"""`wayfarer top` on a terminal whose API goes away and comes back."""

from typing import Any

import grpc
from wayfarer.execution.v1 import execution_pb2
from wayfarer.execution.v1 import overview_service_pb2 as pb
from wayfarer.execution.v1.overview_service_pb2_grpc import (
    OverviewServiceServicer,
    add_OverviewServiceServicer_to_server,
)

from tests.support.stacks import wayfarer
from tests.support.terminal import terminal


class _Overview(OverviewServiceServicer):
    """An account of which so many executions failed."""

    def __init__(self, failed: int) -> None:
        self._failed = failed

    async def GetOverview(self, request: pb.GetOverviewRequest, context: Any) -> pb.GetOverviewResponse:
        count = pb.StatusCount(status=execution_pb2.EXECUTION_STATUS_FAILED, executions=self._failed)
        return pb.GetOverviewResponse(statuses=[count])

    async def GetActivity(self, request: pb.GetActivityRequest, context: Any) -> pb.GetActivityResponse:
        return pb.GetActivityResponse(points=[pb.ActivityPoint()] * request.minutes)


async def _serving(failed: int, port: int = 0) -> tuple[grpc.aio.Server, int]:
    server = grpc.aio.server()
    add_OverviewServiceServicer_to_server(_Overview(failed), server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    return server, port


async def test_top_says_that_the_api_is_away_and_goes_on_when_it_is_back() -> None:
    server, port = await _serving(failed=3)
    environment = {"WAYFARER_ADDRESS": f"127.0.0.1:{port}", "WAYFARER_API_KEY": "wf_test_key"}
    async with terminal(wayfarer(), "top", "--interval", "100ms", environment=environment) as shown:
        await shown.shows("FAILED 3")
        await server.stop(None)
        await shown.shows("the API cannot be reached")
        server, _ = await _serving(failed=5, port=port)
        await shown.shows("FAILED 5")
        shown.press("q")
        assert await shown.ended() == 0
    await server.stop(None)
