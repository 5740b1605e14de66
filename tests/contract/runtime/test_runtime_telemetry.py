"""Traces and metrics over real rpcs: who is traced, what is passed on, what a scrape shows."""

import asyncio
import socket
import time
import urllib.error
import urllib.request

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from prometheus_client import CollectorRegistry, Counter
from wayfarer.execution.v1 import execution_service_pb2 as pb

from services.runtime import metrics
from services.runtime.telemetry import current_ids, current_traceparent, parse_traceparent, start_span
from tests.contract.runtime.world import SERVICE, UUID, World, open_world

SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOT_SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
REQUEST = pb.StartExecutionRequest(workflow="welcome", contact_id=UUID)


async def test_nothing_is_traced_unless_somebody_began(world: World, spans: InMemorySpanExporter) -> None:
    await world.stub.StartExecution(REQUEST, timeout=10)
    assert world.executions.traceparents == [""]
    assert spans.get_finished_spans() == ()


async def test_a_trace_passes_from_caller_to_servicer(world: World, spans: InMemorySpanExporter) -> None:
    with start_span("step", SAMPLED, links=[NOT_SAMPLED]):
        await world.stub.StartExecution(REQUEST, timeout=10)
        call = world.stub.WatchExecution(pb.WatchExecutionRequest(id=UUID), timeout=10)
        assert len([response async for response in call]) == 2
    found = {(span.name, span.kind): span for span in spans.get_finished_spans()}
    step = found["step", SpanKind.INTERNAL]
    client = found[f"{SERVICE}/StartExecution", SpanKind.CLIENT]
    server = found[f"{SERVICE}/StartExecution", SpanKind.SERVER]
    watch = found[f"{SERVICE}/WatchExecution", SpanKind.SERVER]
    assert {span.context.trace_id for span in found.values()} == {int(SAMPLED[3:35], 16)}
    assert step.parent is not None
    assert step.parent.span_id == int(SAMPLED[36:52], 16)
    assert len(step.links) == 1
    for child, parent in ((client, step), (server, client), (watch, step)):
        assert child.parent is not None
        assert child.parent.span_id == parent.context.span_id
    assert dict(server.attributes or {}) == {
        "rpc.system": "grpc",
        "rpc.service": SERVICE,
        "rpc.method": "StartExecution",
        "rpc.grpc.status_code": 0,
    }
    assert world.executions.traceparents[0].split("-")[2] == f"{server.context.span_id:016x}"


async def ended(spans: InMemorySpanExporter, kind: SpanKind, count: int) -> list[ReadableSpan]:
    """So many spans of a kind: a server's ends a moment after its answer has left."""
    async with asyncio.timeout(10):
        while True:
            found = [span for span in spans.get_finished_spans() if span.kind == kind]
            if len(found) >= count:
                return found
            await asyncio.sleep(0)


async def test_a_failed_call_shows_its_code_in_the_span(world: World, spans: InMemorySpanExporter) -> None:
    for workflow in ("gone", "broken"):
        with start_span("step", SAMPLED), pytest.raises(grpc.aio.AioRpcError):
            await world.stub.StartExecution(
                pb.StartExecutionRequest(workflow=workflow, contact_id=UUID), timeout=10
            )
    servers = await ended(spans, SpanKind.SERVER, 2)
    codes = [(span.attributes or {})["rpc.grpc.status_code"] for span in servers]
    assert codes == [grpc.StatusCode.NOT_FOUND.value[0], grpc.StatusCode.INTERNAL.value[0]]
    assert [span.status.description for span in servers] == [None, "INTERNAL"]
    clients = [span for span in spans.get_finished_spans() if span.kind == SpanKind.CLIENT]
    assert [span.status.description for span in clients] == ["NOT_FOUND", "INTERNAL"]
    assert "hunter2" not in "".join(span.to_json() for span in servers)


async def test_the_public_api_starts_traces_but_follows_an_unsampled_caller(
    spans: InMemorySpanExporter,
) -> None:
    async with open_world(start_traces=True) as world:
        await world.stub.StartExecution(REQUEST, timeout=10)
        await world.stub.StartExecution(REQUEST, timeout=10, metadata=(("traceparent", NOT_SAMPLED),))
        await world.stub.StartExecution(REQUEST, timeout=10, metadata=(("traceparent", "rubbish"),))
    began, unsampled, rubbish = world.executions.traceparents
    assert parse_traceparent(began) is not None
    assert unsampled == ""
    assert parse_traceparent(rubbish) is not None
    assert len(spans.get_finished_spans()) == 2


def test_spans_nest_and_end(spans: InMemorySpanExporter) -> None:
    with start_span("outside") as nothing:
        assert nothing is None
    with start_span("outer", SAMPLED):
        outer = current_traceparent()
        assert outer.split("-")[1:3] == list(current_ids() or ())
        with pytest.raises(KeyError), start_span("inner"):
            raise KeyError(current_traceparent(), "jane@example.com")
    assert (current_traceparent(), current_ids()) == ("", None)
    inner, closed = spans.get_finished_spans()
    assert (inner.name, inner.status.description, closed.name) == ("inner", "KeyError", "outer")
    assert "jane" not in inner.to_json()


@pytest.mark.parametrize(
    "traceparent",
    ["", "00", SAMPLED.replace("0af7", "xxxx"), "ff" + SAMPLED[2:], "00-" + "0" * 32 + SAMPLED[35:]],
)
def test_what_is_no_traceparent_is_as_if_absent(traceparent: str) -> None:
    assert parse_traceparent(traceparent) is None


def test_a_span_that_is_not_traced_costs_next_to_nothing() -> None:
    def per_span_s(count: int = 20_000) -> float:
        started = time.perf_counter()
        for _ in range(count):
            with start_span("x"):
                pass
        return (time.perf_counter() - started) / count

    assert (
        min(per_span_s() for _ in range(10)) < 2e-6
    )  # 0.2 µs when idle; the bound allows for a busy machine


async def test_metrics_and_liveness_are_served() -> None:
    registry, alive = CollectorRegistry(), True
    Counter("wayfarer_test", "Counts nothing.", registry=registry).inc()
    async with metrics.serve(_free_port(), registry, healthy=lambda: alive) as port:
        status, body = await _get(port, "/metrics")
        assert (status, "wayfarer_test_total 1.0" in body) == (200, True)
        assert await _get(port, "/healthz") == (200, "ok\n")
        alive = False
        assert (await _get(port, "/healthz"))[0] == 503
        assert (await _get(port, "/"))[0] == 404
        with pytest.raises(OSError, match="in use"):
            async with metrics.serve(port, registry=registry):
                raise AssertionError("served twice")
    with pytest.raises(urllib.error.URLError):
        await _get(port, "/healthz")


async def test_metrics_can_be_off() -> None:
    async with metrics.serve(0) as port:
        assert port == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


async def _get(port: int, path: str) -> tuple[int, str]:
    def get() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return await asyncio.to_thread(get)
