"""The API as a process: its settings, its end under open calls, its metrics, what it writes to its log.

R-OPS-1.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping

import aiohttp
import grpc
import pytest

from services.runtime.grpc_client import open_channel
from tests.integration.api.world import Client, World, struct, until, waiting

_MODULE = "services.execution_api"


async def run(environment: Mapping[str, str], *arguments: str) -> tuple[int | None, str, str]:
    """Exit code, output and errors of a process that ends by itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        _MODULE,
        *arguments,
        env={"PATH": os.environ["PATH"], **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


def environment(world: World, port: int) -> dict[str, str]:
    """Settings of another API process of the same stack."""
    own = world.stack.supervisor.children["api"].environment
    return {**own, "WAYFARER_LISTEN": f"127.0.0.1:{port}", "WAYFARER_METRICS_PORT": "0"}


@pytest.fixture
async def second(world: World) -> AsyncIterator[tuple[str, Client]]:
    """A second API process: its name, and a caller of a fresh account."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    name = f"api-{port}"
    await world.stack.supervisor.start(name, _MODULE, environment(world, port))
    async with open_channel(f"127.0.0.1:{port}") as channel:
        account = await world.client()
        client = Client(account.account_id, account.key, channel)

        async def up() -> bool:
            try:
                return (await client.listed()) is not None
            except grpc.aio.AioRpcError:
                return False

        await until(up)
        yield name, client
    await world.stack.supervisor.stop(name)
    del world.stack.supervisor.children[name]


async def test_missing_settings_are_all_named() -> None:
    code, out, err = await run({})
    assert (code, out) == (2, "")
    for name in ("LISTEN", "DATABASE_URL", "KEYRING", "EXECUTORS", "CRM_TARGET"):
        assert f"WAYFARER_{name}" in err
    assert "Traceback" not in err


async def test_settings_are_printed_without_secrets(world: World) -> None:
    code, out, err = await run(environment(world, 1), "--print-config")
    assert (code, err) == (0, "")
    assert "WAYFARER_LISTEN=127.0.0.1:1" in out
    assert "WAYFARER_DATABASE_URL=[hidden]" in out
    assert world.stack.prepared.dsns["wayfarer_api"] not in out


async def test_asked_to_stop_it_ends_in_order_with_a_call_still_open(
    world: World, second: tuple[str, Client]
) -> None:
    name, client = second
    await client.publish(waiting())
    started = await client.start("waiting", (await client.contact()).id)
    stream = client.watch(started.execution.id)
    assert (await stream.read()).execution.id == started.execution.id
    process = world.stack.supervisor.children[name].process
    assert process is not None
    async with asyncio.timeout(12):
        await world.stack.supervisor.stop(name)
    assert process.returncode == 0
    with pytest.raises(grpc.aio.AioRpcError):
        await stream.read()
    log = (world.stack.state_dir / "logs" / f"{name}.log").read_text(encoding="utf-8")
    assert "stopped" in log
    assert "Traceback" not in log


async def test_what_was_accepted_by_one_process_is_seen_by_another(
    client: Client, second: tuple[str, Client], world: World
) -> None:
    _, elsewhere = second
    here = Client(elsewhere.account_id, elsewhere.key, world.channel)
    await elsewhere.publish(waiting())
    started = (await elsewhere.start("waiting", (await elsewhere.contact()).id)).execution
    stream = here.watch(started.id)
    assert (await stream.read()).execution == started
    await elsewhere.cancel(started.id)
    assert [entry.event for entry in (await stream.read()).log_entries] == ["cancelled"]


async def test_metrics_tell_methods_and_codes_and_nobodys_data(world: World, client: Client) -> None:
    await client.contact(email="canary-metrics@example.com")
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{world.stack.ports.api_metrics}"
        async with session.get(f"{url}/metrics") as response:
            text = await response.text()
        async with session.get(f"{url}/healthz") as response:
            assert response.status == 200
    assert 'method="/wayfarer.crm.v1.ContactService/CreateContact"' in text
    assert "canary-metrics" not in text


async def test_its_log_holds_no_personal_data_and_no_key(world: World, client: Client) -> None:
    """G19, for what goes through here."""
    contact = await client.contact(
        email="canary-log@example.com", first_name="canary-log-name", fields=struct({"x": "canary-log-field"})
    )
    await client.publish(waiting())
    trigger = struct({"x": "canary-log-trigger"})
    started = await client.start("waiting", contact.id, trigger=trigger)
    await client.cancel(started.execution.id, reason="canary-log-reason")
    log = (world.stack.state_dir / "logs" / "api.log").read_text(encoding="utf-8")
    assert "canary-log" not in log
    assert client.key not in log
