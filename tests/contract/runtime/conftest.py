"""Fixtures of the runtime's contract tests: a server with a client, where spans go, an empty database."""

import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.local.ports import reserve
from services.local.postgres import Postgres
from services.local.stack import scratch_state_dir
from tests.contract.runtime.world import World, open_world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world() as opened:
        yield opened


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    """Where the spans of this test run go; the provider can be set once per process only."""
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)
    return memory


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> InMemorySpanExporter:
    exporter.clear()
    return exporter


@pytest.fixture(scope="session")
async def server() -> AsyncIterator[Postgres]:
    """A PostgreSQL of its own, the kind that the local stack runs."""
    with scratch_state_dir() as folder, reserve(None) as ports:
        settings = {"shared_buffers": "32MB", "fsync": "off"}
        async with Postgres(folder / "postgres", ports.postgres, settings=settings) as postgres:
            yield postgres


@pytest.fixture
async def database_url(server: Postgres) -> AsyncIterator[str]:
    """An empty database, as the superuser."""
    name = f"runtime_{uuid.uuid4().hex}"
    admin = await asyncpg.connect(server.dsn("postgres"))
    await admin.execute(f"CREATE DATABASE {name}")
    try:
        yield server.dsn(name)
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()
