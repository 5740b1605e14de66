"""What the HTTP API makes of everything a gRPC server may answer: R-API-2, R-API-3, R-ERR-3."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import orjson
import pytest
from wayfarer.execution.v1 import execution_pb2
from wayfarer.execution.v1 import execution_service_pb2 as pb

from services.runtime.errors import Violation, bad_request, status
from tests.contract.gateway.world import ID, World, gateway, open_world

CODE = grpc.StatusCode


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world() as opened:
        yield opened


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (CODE.INVALID_ARGUMENT, 400),
        (CODE.FAILED_PRECONDITION, 400),
        (CODE.OUT_OF_RANGE, 400),
        (CODE.UNAUTHENTICATED, 401),
        (CODE.PERMISSION_DENIED, 403),
        (CODE.NOT_FOUND, 404),
        (CODE.ALREADY_EXISTS, 409),
        (CODE.ABORTED, 409),
        (CODE.RESOURCE_EXHAUSTED, 429),
        (CODE.UNAVAILABLE, 503),
        (CODE.CANCELLED, 503),
        (CODE.UNIMPLEMENTED, 501),
        (CODE.DEADLINE_EXCEEDED, 504),
        (CODE.INTERNAL, 500),
        (CODE.UNKNOWN, 500),
        (CODE.DATA_LOSS, 500),
    ],
)
async def test_each_code_has_its_status(world: World, code: grpc.StatusCode, expected: int) -> None:
    world.script.refusal = status(code, "SOME_REASON", "what happened", {"name": "value"})
    answer = await world.session.get(f"{world.url}/executions/{ID}")
    body = await answer.json(content_type="application/problem+json")
    assert answer.status == body["status"] == expected
    assert (body["reason"], body["detail"], body["metadata"]) == (
        "SOME_REASON",
        "what happened",
        {"name": "value"},
    )
    assert ("retry-after" in answer.headers) == (expected in (429, 503))
    assert ("www-authenticate" in answer.headers) == (expected == 401)


async def test_a_limit_says_when_to_try_again(world: World) -> None:
    """R-API-2: 429 with Retry-After in whole seconds, never too early."""
    world.script.refusal = status(CODE.RESOURCE_EXHAUSTED, "OVERLOADED", "too much", retry_after_s=2.4)
    answer = await world.session.get(f"{world.url}/executions/{ID}")
    assert (answer.status, answer.headers["retry-after"]) == (429, "3")


async def test_fields_at_fault_make_it_422(world: World) -> None:
    faults = [Violation("id", "must be a valid UUID", "string.uuid")]
    world.script.refusal = bad_request("REQUEST_INVALID", "id: must be a valid UUID", faults)
    answer = await world.session.get(f"{world.url}/executions/x")
    body = await answer.json(content_type=None)
    assert answer.status == 422
    assert body["errors"] == [{"field": "id", "message": "must be a valid UUID", "rule": "string.uuid"}]


@pytest.mark.parametrize("step", [5, True, "text", [5]])
async def test_an_update_of_no_object_names_the_field(world: World, step: object) -> None:
    """R-ERR-3: what is to be updated must be an object; another value is the caller's fault, not ours."""
    answer = await world.session.patch(f"{world.url}/workflows/welcome/actions/tag", json={"step": step})
    body = await answer.json(content_type=None)
    assert answer.status == 422
    assert body["errors"] == [{"field": "step", "message": "must be an object", "rule": "type"}]


@pytest.mark.parametrize(
    "body",
    [
        b'{"tags":[' + b"0," * 100_000 + b"0]}",
        b"{" + b",".join(b'"k%d":0' % n for n in range(100_000)) + b"}",
        b'{"consents":{"' + b"k" * 1_000_000 + b'":0},"' + b"n" * 1_000_000 + b'":0}',
    ],
    ids=["items", "names", "a long name"],
)
async def test_a_request_of_nothing_but_faults_is_answered_shortly(world: World, body: bytes) -> None:
    """R-ERR-3: nobody knows yet whose it is, so it must cost no more than it brings."""
    headers = {"content-type": "application/json"}
    answer = await world.session.post(f"{world.url}/contacts", data=body, headers=headers)
    told = await answer.read()
    assert answer.status == 422
    assert 0 < len(orjson.loads(told)["errors"]) <= 100
    assert len(told) < 100_000


async def test_a_fault_inside_is_not_told(world: World) -> None:
    """What is no error of ours may name what callers must not know."""
    world.script.raises = RuntimeError("password of the database")
    answer = await world.session.get(f"{world.url}/executions/{ID}")
    text = await answer.text()
    assert answer.status == 500
    assert "password" not in text


async def test_an_api_that_cannot_be_reached_is_503() -> None:
    """Retry-After, and not a word of where the API is."""
    async with gateway("127.0.0.1:1") as (url, _), open_world() as world:
        answer = await world.session.get(f"{url}/executions/{ID}")
        text = await answer.text()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert "127.0.0.1" not in text


async def test_the_credential_and_the_trace_go_on_and_nothing_else(world: World) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    more = {"traceparent": trace, "cookie": "a=b", "x-account": "7"}
    assert (await world.session.get(f"{world.url}/executions/{ID}", headers=more)).status == 200
    told = world.script.metadata
    assert (told["authorization"], told["traceparent"]) == ("Bearer wf_test", trace)
    assert "cookie" not in told
    assert "x-account" not in told
    nonsense = {"traceparent": "00-nonsense"}
    assert (await world.session.get(f"{world.url}/executions/{ID}", headers=nonsense)).status == 200
    assert "traceparent" not in world.script.metadata


async def test_who_calls_is_asked_once_and_then_believed_for_a_moment(world: World) -> None:
    """R-API-2: before the first body, and not before the next."""
    path = f"{world.url}/executions/{ID}/cancel"
    for _ in range(3):
        assert (await world.session.post(path, json={"reason": "x"})).status == 501
    assert world.script.asked == 1
    stranger = {"authorization": "Bearer wf_another"}
    world.script.refusal = status(CODE.UNAUTHENTICATED, "UNAUTHENTICATED", "the API key is not known")
    for _ in range(2):
        assert (await world.session.post(path, json={"reason": "x"}, headers=stranger)).status == 401
    assert world.script.asked == 3


def change(*seqs: int) -> pb.WatchExecutionResponse:
    entries = [execution_pb2.LogEntry(seq=seq) for seq in seqs]
    return pb.WatchExecutionResponse(execution=execution_pb2.Execution(id=ID), log_entries=entries)


async def test_a_quiet_stream_beats(world: World) -> None:
    """R-API-3: comments while nothing happens, so that nobody in between cuts it off; then the change."""
    async with world.session.get(f"{world.url}/executions/{ID}/watch") as answer:
        assert await answer.content.readline() == b": still here\n"
        assert await answer.content.readline() == b"\n"
        world.script.changes.put_nowait(change(1, 2))
        line = await answer.content.readline()
        while line in (b": still here\n", b"\n"):
            line = await answer.content.readline()
        assert line == b"id: 2\n"
        assert await answer.content.readline() == b"event: change\n"
        world.script.changes.put_nowait(None)
        assert (await answer.content.read()).endswith(b"event: end\ndata: {}\n\n")


async def test_a_stream_that_fails_says_so(world: World) -> None:
    """Before its first message by the status, afterwards by an event."""
    gone = status(CODE.NOT_FOUND, "EXECUTION_NOT_FOUND", "execution not found")
    world.script.changes.put_nowait(gone)
    early = await world.session.get(f"{world.url}/executions/{ID}/watch")
    assert early.status == 404
    world.script.changes.put_nowait(change(1))
    async with world.session.get(f"{world.url}/executions/{ID}/watch") as answer:
        assert answer.status == 200
        assert await answer.content.readline() == b"id: 1\n"
        world.script.changes.put_nowait(gone)
        text = (await answer.content.read()).decode()
    assert "event: error" in text
    assert "EXECUTION_NOT_FOUND" in text
    assert "event: end" not in text


async def test_a_gateway_that_stops_breaks_streams_off(world: World) -> None:
    """Without an end, so that clients come again, to another gateway; the rpc ends too."""
    world.script.changes.put_nowait(change(1))
    async with world.session.get(f"{world.url}/executions/{ID}/watch") as answer:
        assert await answer.content.readline() == b"id: 1\n"
        world.stop.set()
        assert b"event: end" not in await answer.content.read()
    await asyncio.wait_for(world.script.left.wait(), 10)


async def test_a_caller_who_goes_ends_the_rpc(world: World) -> None:
    world.script.changes.put_nowait(change(1))
    async with world.session.get(f"{world.url}/executions/{ID}/watch") as answer:
        assert await answer.content.readline() == b"id: 1\n"
        answer.close()
    await asyncio.wait_for(world.script.left.wait(), 10)
