"""R-ACT: a third party adds an action type from outside, by the files docs/add-an-action.md shows.

Its own package, process and database; engine, dispatcher and API are those that run already.
"""

import asyncio
import json
import os
import re
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import grpc
import pytest
import yaml
from google.protobuf.struct_pb2 import Struct
from grpc_health.v1 import health_pb2, health_pb2_grpc
from wayfarer.action.v1 import action_pb2
from wayfarer.execution.v1 import execution_pb2
from wayfarer.execution.v1 import workflow_service_pb2 as pb

from services.local.stack import LOCAL_FILE, Stack, scratch_state_dir
from services.runtime.grpc_client import open_channel
from tests.integration.api.world import Client, refusal_of
from tests.support.stacks import ROOT, command, fresh_stack, wayfarer

PAGE = (ROOT / "docs" / "add-an-action.md").read_text(encoding="utf-8")
FILES = ("__init__.py", "__main__.py", "send_push.py")
FAMILY = "push"


def block(title: str) -> str:
    """A listing of the page, by the bold line above it."""
    found = re.search(rf"\*\*{re.escape(title)}\*\*\n\n```\w+\n(.*?)```", PAGE, re.S)
    assert found is not None, f"the page shows no {title}"
    return found[1]


@dataclass(frozen=True, slots=True)
class ThirdParty:
    """The family as it runs, and where its notifications go."""

    stack: Stack
    address: str
    gateway_path: str

    async def pushes(self, device: str) -> list[dict[str, Any]]:
        """What the gateway got for a phone."""
        async with aiohttp.ClientSession() as session:
            answer = await session.get(f"{self.stack.receiver_url}/requests")
            found: list[dict[str, Any]] = await answer.json()
        return [one for one in found if one["path"] == self.gateway_path and one["body"]["device"] == device]

    async def lose_an_answer(self) -> None:
        """Makes the gateway take the next notification and hang up."""
        rule = {"match": self.gateway_path, "times": 1, "drop": True}
        async with aiohttp.ClientSession() as session:
            answer = await session.post(f"{self.stack.receiver_url}/rules", json=rule)
            assert answer.status < 300, await answer.text()


@pytest.fixture(scope="module")
async def third_party(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ThirdParty]:
    """A stack that was up without the family, and then takes it in."""
    folder = tmp_path_factory.mktemp("acme")
    (folder / "acme_push").mkdir()
    for name in FILES:
        (folder / "acme_push" / name).write_text(block(f"`acme_push/{name}`"), encoding="utf-8")
    async with fresh_stack() as stack:
        address, path = f"127.0.0.1:{_free_port()}", "/hooks/push"
        environment = {
            "PYTHONPATH": str(folder),
            "WAYFARER_DATABASE_URL": await _database(stack),
            "WAYFARER_KEYRING": str(stack.prepared.keyring),
            "WAYFARER_LISTEN": address,
            "WAYFARER_PROFILE": "local",
            "ACME_PUSH_URL": f"{stack.receiver_url}{path}",
            "ACME_PUSH_TOKEN": "acme-token",
        }
        async with _process(folder, environment), open_channel(address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            await health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=30)
            await _take_in(stack, address)
            yield ThirdParty(stack, address, path)


async def _database(stack: Stack) -> str:
    """Makes the family's database by the page's statements and migrates it; where the family connects."""
    statements = block("as PostgreSQL's superuser").strip().splitlines()
    connection = await asyncpg.connect(stack.postgres.dsn("postgres"))
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
    passwords = dict(re.findall(r"CREATE ROLE (\w+) LOGIN PASSWORD '([^']+)'", "\n".join(statements)))
    (database,) = re.findall(r"CREATE DATABASE (\w+)", statements[-1])
    owner, role = (stack.postgres.dsn(database, name, passwords[name]) for name in passwords)
    words = (sys.executable, "-m", "services.migrate", "ledger")
    done = await command(*words, environment={"WAYFARER_DATABASE_URL": owner})
    assert done.code == 0, done.err
    return role


@asynccontextmanager
async def _process(folder: Path, environment: Mapping[str, str]) -> AsyncIterator[None]:
    """`python -m acme_push` from its own folder, stopped in order afterwards."""
    with (folder / "acme_push.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "acme_push"),
            cwd=folder,
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        assert process.returncode is None, (folder / "acme_push.log").read_text(encoding="utf-8")
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 30) == 0


async def _take_in(stack: Stack, address: str) -> None:
    """Restarts the API and the worker with the family among their executors."""
    for name in ("api", "worker-0"):
        child = stack.supervisor.children[name]
        known = child.environment["WAYFARER_EXECUTORS"]
        assert FAMILY not in known
        await stack.supervisor.stop(name)
        environment = {**child.environment, "WAYFARER_EXECUTORS": f"{known},{FAMILY}={address}"}
        await stack.supervisor.start(name, child.module, environment)
    await stack.wait_ready()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
async def client(third_party: ThirdParty) -> AsyncIterator[Client]:
    stack = third_party.stack
    async with open_channel(stack.address) as channel:
        yield Client(stack.prepared.account_id, stack.api_key, channel)


def workflow(**push: Any) -> dict[str, Any]:
    """The page's workflow; `push` goes into the config of its step."""
    document: dict[str, Any] = yaml.safe_load(block("`push.yaml`"))
    document["steps"][0]["config"] |= push
    return document


def struct(**data: Any) -> Struct:
    made = Struct()
    made.update(data)
    return made


async def test_the_type_is_listed_as_its_file_describes_it(client: Client) -> None:
    answer = await client.call(client.workflows.ListActionTypes, pb.ListActionTypesRequest())
    (told,) = [one for one in answer.action_types if one.name == "send_push"]
    assert (told.family, told.delivery_class) == (FAMILY, action_pb2.DELIVERY_CLASS_KEYED)
    assert told.key_window.ToSeconds() == 86_400


async def test_a_workflow_runs_it_and_one_push_arrives(third_party: ThirdParty, client: Client) -> None:
    """To the end by gRPC; its output is there for the next step, and its texts are masked in the log."""
    published = await client.publish(workflow())
    fields = struct(push_device="phone-7")
    contact = await client.contact(first_name="Jane", fields=fields)
    started = await client.start(published, contact.id, trigger=struct(table="12"))
    execution, log = await client.watched_to_end(started.execution.id)
    assert execution.status == execution_pb2.EXECUTION_STATUS_COMPLETED, log
    (push,) = await third_party.pushes("phone-7")
    shown = {"title": "Your table is ready, Jane", "body": "Table 12. See you in ten minutes."}
    assert push["body"] == {"device": "phone-7", "urgent": False, **shown}
    assert push["headers"]["Authorization"] == "Bearer acme-token"
    assert push["headers"]["Idempotency-Key"] == f"{started.execution.id}.push.1"
    assert "notified-phone-7" in (await client.read_contact(contact.id)).tags
    assert "Your table is ready" not in str(log)
    assert not any((await client.verify()).values())


async def test_a_lost_answer_is_asked_for_again_with_the_key(third_party: ThirdParty, client: Client) -> None:
    """The delivery class its file declares decides: KEYED, so the gateway sees one effect."""
    document = workflow()
    document["steps"][0]["retry"] = {"base": "1s"}
    await third_party.lose_an_answer()
    published = await client.publish(document)
    contact = await client.contact(first_name="Ann", fields=struct(push_device="phone-8"))
    started = await client.start(published, contact.id, trigger=struct(table="3"))
    execution, log = await client.watched_to_end(started.execution.id)
    assert execution.status == execution_pb2.EXECUTION_STATUS_COMPLETED, log
    keys = [one["headers"]["Idempotency-Key"] for one in await third_party.pushes("phone-8")]
    assert keys == [f"{started.execution.id}.push.1"] * 2


async def test_its_config_is_checked_before_anything_runs(client: Client) -> None:
    """The API asks the family, which knows what its Config takes."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.publish(workflow(body="x" * 501, sound="loud"))
    faults = refusal_of(refused.value).rules
    assert set(faults) == {"steps[0].config.body", "steps[0].config.sound"}


async def test_a_contact_without_a_phone_is_passed_over(client: Client) -> None:
    """The family's own class of failure decides: no retry, and the workflow goes on."""
    document = workflow()
    document["steps"][1]["config"]["tag"] = "asked"
    contact = await client.contact(first_name="Joe")
    published = await client.publish(document)
    started = await client.start(published, contact.id, trigger=struct(table="1"))
    execution, log = await client.watched_to_end(started.execution.id)
    assert execution.status == execution_pb2.EXECUTION_STATUS_COMPLETED
    assert "skipped_non_retryable_error" in [e.event for e in log if e.step_id == "push"]


async def test_a_local_stack_takes_the_family_in(third_party: ThirdParty) -> None:
    """R-ACT: `wayfarer up --executor NAME=HOST:PORT` runs workflows with the types of a family of one's own."""
    with scratch_state_dir() as state_dir:
        words = ("up", "--executor", f"{FAMILY}={third_party.address}", "--state-dir", str(state_dir))
        process = await asyncio.create_subprocess_exec(
            wayfarer(), *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )
        try:
            await _until_up(process)
            told = json.loads((state_dir / LOCAL_FILE).read_text(encoding="utf-8"))
            async with open_channel(told["address"]) as channel:
                caller = Client(1, told["api_key"], channel)
                published = await caller.publish(workflow())
                contact = await caller.contact(first_name="Mia", fields=struct(push_device="phone-9"))
                started = await caller.start(published, contact.id, trigger=struct(table="9"))
                execution, log = await caller.watched_to_end(started.execution.id)
            assert execution.status == execution_pb2.EXECUTION_STATUS_COMPLETED, log
            (push,) = await third_party.pushes("phone-9")
            assert push["headers"]["Idempotency-Key"] == f"{started.execution.id}.push.1"
        finally:
            process.terminate()
            assert await asyncio.wait_for(process.wait(), 60) == 0


async def _until_up(process: asyncio.subprocess.Process) -> None:
    """Reads what the stack says until it says how to talk to it."""
    assert process.stdout is not None
    async with asyncio.timeout(90):
        while line := await process.stdout.readline():
            if b"Ctrl-C stops everything" in line:
                return
    raise AssertionError("the stack did not come up")
