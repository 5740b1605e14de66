"""Beginning what concerns many: it is shown how many, and asked."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from wayfarer.execution.v1 import bulk_service_pb2 as pb
from wayfarer.execution.v1.bulk_service_pb2_grpc import (
    BulkServiceServicer,
    add_BulkServiceServicer_to_server,
)

from tests.support.stacks import command, wayfarer
from tests.support.terminal import terminal

OPERATION = "01890a5d-ac96-774b-bcce-b302099a8061"
STARTS = [("bulk", "start", "cancel", "--workflow", "welcome"), ("workflows", "migrate", "welcome")]


@dataclass
class Bulk(BulkServiceServicer):
    """Knows of 1,234 executions, and notes what it is asked."""

    asked: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    async def PreviewBulkOperation(
        self, request: pb.PreviewBulkOperationRequest, context: Any
    ) -> pb.PreviewBulkOperationResponse:
        self.asked.append("preview")
        move = pb.StepMove(version=1, step_id="old_step", executions=1234)
        moves = [move] if request.task.HasField("migrate") else []
        return pb.PreviewBulkOperationResponse(total=1234, counts={"WAITING": 1234}, moves=moves)

    async def StartBulkOperation(
        self, request: pb.StartBulkOperationRequest, context: Any
    ) -> pb.StartBulkOperationResponse:
        self.asked.append("start")
        operation = pb.BulkOperation(id=OPERATION, state=pb.BULK_STATE_DONE, total=1234, finished=1234)
        operation.end_time.GetCurrentTime()
        return pb.StartBulkOperationResponse(operation=operation)


@pytest.fixture
async def bulk() -> AsyncIterator[Bulk]:
    server, served = grpc.aio.server(), Bulk()  # type: ignore[abstract]  # the rest answers UNIMPLEMENTED
    add_BulkServiceServicer_to_server(served, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    served.environment = {"WAYFARER_ADDRESS": f"127.0.0.1:{port}", "WAYFARER_API_KEY": "wf_test_key"}
    yield served
    await server.stop(None)


@pytest.mark.parametrize("words", STARTS, ids=["bulk start", "migrate"])
async def test_without_a_terminal_it_must_be_said_that_it_is_meant(
    bulk: Bulk, words: tuple[str, ...]
) -> None:
    """R-STATE-7: a script that forgot a filter changes nothing."""
    done = await command(wayfarer(), *words, environment=bulk.environment)
    assert (done.code, done.out, bulk.asked) == (2, "", [])
    assert "--yes" in done.err
    said = await command(wayfarer(), *words, "--yes", "--json", environment=bulk.environment)
    assert (said.code, said.json()["id"], bulk.asked) == (0, OPERATION, ["start"])


@pytest.mark.parametrize("words", STARTS, ids=["bulk start", "migrate"])
@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1), ("", 1)], ids=["yes", "no", "enter"])
async def test_at_a_terminal_it_is_asked_with_the_number(
    bulk: Bulk, words: tuple[str, ...], answer: str, code: int
) -> None:
    """R-STATE-7: nothing is begun but by a yes."""
    async with terminal(wayfarer(), *words, environment=bulk.environment) as shown:
        await shown.shows("Start it? [y/N]")
        assert "1234 in all: 1234 WAITING" in shown.text
        assert ("old_step" in shown.text) == (words[0] == "workflows")
        shown.press(f"{answer}\n")
        assert await shown.ended() == code
        await shown.shows("1234 of 1234" if answer == "y" else "nothing was begun")
    assert bulk.asked == ["preview", *(["start"] if answer == "y" else [])]
