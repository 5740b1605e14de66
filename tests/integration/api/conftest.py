"""Fixtures of the API's integration tests: real processes, once per run, no worker."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from services.local.stack import Stack
from services.runtime.grpc_client import open_channel
from tests.integration.api.over_http import Http, calling
from tests.integration.api.world import Client, World


@pytest.fixture(scope="session")
async def world() -> AsyncIterator[World]:
    folder = _make_folder()
    async with (
        Stack(folder, workers=0, postgres_settings={"shared_buffers": "64MB"}) as stack,
        open_channel(stack.address) as channel,
        asyncpg.create_pool(stack.prepared.dsns["wayfarer_owner"], min_size=1, max_size=4) as owner,
    ):
        yield World(stack, channel, owner)
    # Every refusal here was meant: none of the API's own faults may have been among them.
    log = (folder / "logs" / "api.log").read_text(encoding="utf-8")
    assert "rpc_failed" not in log, log[-4000:]
    shutil.rmtree(folder)


@pytest.fixture
async def client(world: World) -> Client:
    """A caller of a fresh account."""
    return await world.client()


@pytest.fixture
async def other(world: World) -> Client:
    """A caller of another fresh account."""
    return await world.client()


@pytest.fixture
async def http(world: World, client: Client) -> AsyncIterator[Http]:
    """The same caller over HTTP."""
    async with calling(world.stack.gateway_url, client.key) as caller:
        yield caller


@pytest.fixture(scope="module", autouse=True)
async def own_time(world: World) -> AsyncIterator[None]:
    """What a module lets pass is its own."""
    yield
    await world.own_time()


@pytest.fixture(scope="module")
async def worker(world: World) -> AsyncIterator[str]:
    """A worker for the module's tests, up when they begin."""
    name = await world.stack.start_worker()
    await world.stack.wait_ready()
    yield name
    await world.stack.supervisor.stop(name)
    del world.stack.supervisor.children[name]


def _make_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="wayfarer-api-"))
    folder.chmod(0o755)  # the server runs as another user
    return folder
