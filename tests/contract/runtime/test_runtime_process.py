"""A whole process: its settings, its log, its exit code, and its spans at a real OTLP collector."""

import asyncio
import os
import socket
import subprocess
import sys
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

PROGRAM = """
import asyncio, sys
from dataclasses import dataclass
import structlog
from services.runtime.config import number, setting, text
from services.runtime.process import launch
from services.runtime.telemetry import start_span

@dataclass(frozen=True, slots=True)
class Settings:
    database_url: str = setting("WAYFARER_DATABASE_URL", text, secret=True)
    log_level: str = setting("WAYFARER_LOG_LEVEL", text, default="INFO")
    otlp_endpoint: str = setting("OTEL_EXPORTER_OTLP_ENDPOINT", text, default="")
    trace_ratio: float = setting("OTEL_TRACES_SAMPLER_ARG", number(0, 1), default=1.0)

async def main(settings, stack, stop):
    with start_span("step", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"):
        structlog.get_logger().info("working")

sys.exit(launch("probe", Settings, main))
"""
DATABASE = {"WAYFARER_DATABASE_URL": "postgresql://u:hunter2@h/d"}


def run(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("WAYFARER", "OTEL"))
    }
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**inherited, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_process_runs_and_logs() -> None:
    done = run(**DATABASE)
    assert done.returncode == 0
    assert '"event":"working"' in done.stderr
    assert '"service":"probe"' in done.stderr


def test_a_process_without_its_settings_says_all_it_lacks_and_exits_2() -> None:
    done = run(OTEL_TRACES_SAMPLER_ARG="2")
    assert done.returncode == 2
    assert "WAYFARER_DATABASE_URL: is not set" in done.stderr
    assert "OTEL_TRACES_SAMPLER_ARG: must be a number from 0 to 1" in done.stderr


def test_print_config_hides_secrets() -> None:
    done = run("--print-config", **DATABASE)
    assert done.returncode == 0
    assert "WAYFARER_DATABASE_URL=[hidden]" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self) -> None:
        self.received: list[Any] = []

    async def Export(self, request: Any, context: Any) -> Any:
        self.received.append(request)
        return trace_service_pb2.ExportTraceServiceResponse()


async def test_spans_reach_the_collector_before_the_process_ends() -> None:
    collector, server = Collector(), grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        endpoint = f"http://127.0.0.1:{port}"
        done = await asyncio.to_thread(run, **DATABASE, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    finally:
        await server.stop(0)
    assert done.returncode == 0, done.stderr
    [request] = collector.received
    [resource] = request.resource_spans
    attributes = {item.key: item.value.string_value for item in resource.resource.attributes}
    assert attributes["service.name"] == "wayfarer-probe"
    [span] = resource.scope_spans[0].spans
    assert (span.name, span.trace_id.hex()) == ("step", "0af7651916cd43dd8448eb211c80319c")
    assert span.trace_id.hex() in done.stderr  # the log line within it carries the id


def test_a_collector_that_is_away_harms_nobody() -> None:
    with socket.socket() as taken:  # bound and not listening: refused for sure
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert run(**DATABASE, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint).returncode == 0
