"""Fixtures of the runtime's contract tests: a server with a client, where spans go, an empty database."""

import os
import uuid
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

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


@pytest.fixture
async def database_url() -> AsyncIterator[str]:
    """An empty database on the server of WAYFARER_TEST_DATABASE_URL (a superuser's DSN)."""
    admin_url = os.environ.get("WAYFARER_TEST_DATABASE_URL")
    if not admin_url:
        pytest.skip("WAYFARER_TEST_DATABASE_URL is not set")
    name = f"runtime_{uuid.uuid4().hex}"
    admin = await asyncpg.connect(admin_url)
    await admin.execute(f"CREATE DATABASE {name}")
    try:
        yield urlsplit(admin_url)._replace(path=f"/{name}").geturl()
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()
