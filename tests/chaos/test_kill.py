"""G1, G2, G5, G7, A-15, A-50: kill -9 of every process while 1,000 executions run: nothing lost or doubled.

Seeded by WAYFARER_SEED (printed). A trigger in the crm database writes down every real change of a tag, so
that a doubled effect shows even where the end state hides it.
"""

import asyncio
import json
import os
import random
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

import asyncpg
import grpc
import pytest
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_fixed
from wayfarer.crm.v1 import contact_pb2, contact_service_pb2
from wayfarer.crm.v1.contact_service_pb2_grpc import ContactServiceStub
from wayfarer.execution.v1 import execution_service_pb2, workflow_service_pb2
from wayfarer.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub
from wayfarer.execution.v1.workflow_service_pb2_grpc import WorkflowServiceStub

from services.local.stack import Stack, scratch_state_dir
from services.runtime.grpc_client import open_channel
from tests.support.signals import Changes

EXECUTIONS = int(os.environ.get("WAYFARER_CHAOS_EXECUTIONS", "1000"))
SEED = int(os.environ.get("WAYFARER_SEED", "20261120"))
_SPACE = UUID("6f0e2f4e-6c0b-4f3e-9d63-3b7f0d7f9a10")
_VICTIMS = (
    "worker-0",
    "crm",
    "postgres",
    "api",
    "worker-1",
    "communication",
    "integrations",
    "worker-0",
    "crm",
)
_LEASE_S = "3"
DOCUMENT = """
key: chaos
settings: {retry: {max_retries: 8, base: 500ms, cap: 2s}}
steps:
  - {id: first, type: add_tag, config: {tag: a}}
  - {id: undo, type: remove_tag, config: {tag: a}}
  - {id: second, type: add_tag, config: {tag: b}}
  - {id: hook, type: webhook_call, timeout: 3s, config: {url: "{{ trigger.hooks }}", body: "{{ trigger.n }}"}}
  - {id: mail, type: send_email, timeout: 3s, config: {subject: "n {{ trigger.n }}", text: "hello"}}
  - {id: field, type: update_contact, config: {set: {fields.done: "{{ trigger.n }}"}}}
"""
STEPS = 6
_AUDIT = """
CREATE TABLE tag_audit (id bigint GENERATED ALWAYS AS IDENTITY, contact_id uuid, tag text, what text);
CREATE FUNCTION audit_tag() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO tag_audit (contact_id, tag, what) VALUES (coalesce(NEW.contact_id, OLD.contact_id),
        coalesce(NEW.tag, OLD.tag), TG_OP);
    RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER INSERT OR DELETE ON contact_tag FOR EACH ROW EXECUTE FUNCTION audit_tag();
"""


_STANDING = """
SELECT status, step, attempt_open, blocked_on, blocked_by, lane, count(*), min(wake_at - wf_now()) AS first,
    max(wake_at - wf_now()) AS last FROM execution GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2
"""


@dataclass(slots=True)
class World:
    """A running stack and who talks to it."""

    stack: Stack
    metadata: tuple[tuple[str, str], ...]
    executions: ExecutionServiceStub
    workflows: WorkflowServiceStub
    contacts: ContactServiceStub
    changes: Changes

    async def call(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """As a careful client: again while the answer is UNAVAILABLE or lost, with the same request id."""

        def again(error: BaseException) -> bool:
            return isinstance(error, grpc.aio.AioRpcError) and error.code() in (
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.DEADLINE_EXCEEDED,
                grpc.StatusCode.INTERNAL,
            )

        async for attempt in AsyncRetrying(
            retry=retry_if_exception(again), wait=wait_fixed(0.2), stop=stop_after_delay(60), reraise=True
        ):
            with attempt:
                return await ask()
        raise AssertionError("unreachable")

    async def count(self, text: str) -> int:
        """A count in the engine's database, on a fresh connection (the server may have been killed)."""
        try:
            connection = await asyncpg.connect(self.stack.prepared.dsns["wayfarer_owner"], timeout=5)
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise OSError(str(error)) from error
        try:
            return int(await connection.fetchval(text))
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise OSError(str(error)) from error
        finally:
            connection.terminate()

    async def standing(self) -> str:
        """Where every execution stands, for the report of a run that got stuck."""
        connection = await asyncpg.connect(self.stack.prepared.dsns["wayfarer_owner"], timeout=5)
        rows = await connection.fetch(_STANDING)
        lanes = await connection.fetch("SELECT * FROM lane")
        await connection.close()
        return "\n".join(str(dict(row)) for row in (*rows, *lanes))


async def _people(world: World) -> list[str]:
    async def one(number: int) -> str:
        request = contact_service_pb2.CreateContactRequest(
            contact=contact_pb2.Contact(email=f"c{number}@example.com", first_name="C"),
            request_id=str(uuid5(_SPACE, f"contact {number}")),
        )
        answer = await world.call(
            lambda: world.contacts.CreateContact(request, metadata=world.metadata, timeout=20)
        )
        return str(answer.contact.id)

    ids: list[str] = []
    for start in range(0, EXECUTIONS, 50):
        ids += await asyncio.gather(*(one(n) for n in range(start, min(start + 50, EXECUTIONS))))
    return ids


async def _start_all(world: World, contacts: list[str]) -> list[str]:
    """Starts every execution, each start sent twice: its request id makes it one."""

    async def one(number: int) -> str:
        request = execution_service_pb2.StartExecutionRequest(
            workflow="chaos", contact_id=contacts[number], request_id=str(uuid5(_SPACE, f"start {number}"))
        )
        request.trigger.update({"n": str(number), "hooks": f"{world.stack.receiver_url}/hooks/chaos"})
        answers = [
            await world.call(
                lambda: world.executions.StartExecution(request, metadata=world.metadata, timeout=20)
            )
            for _ in range(2)
        ]
        assert answers[0].execution.id == answers[1].execution.id, "one request id made two executions"
        return str(answers[0].execution.id)

    ids: list[str] = []
    for start in range(0, len(contacts), 25):
        ids += await asyncio.gather(*(one(n) for n in range(start, min(start + 25, len(contacts)))))
    return ids


async def _kill_all(world: World, dice: random.Random) -> list[str]:
    """Kills each victim once some more actions have ended: faults are spread over the whole run."""
    victims = list(_VICTIMS)
    dice.shuffle(victims)
    for number, victim in enumerate(victims):
        goal = (number + 1) * EXECUTIONS * STEPS // (len(victims) + 3)

        async def progressed(goal: int = goal) -> bool:
            return await world.count("SELECT count(*) FROM execution_log WHERE outcome = 1") >= goal

        try:
            await world.changes.until(progressed, 90, f"{goal} actions ended before killing {victim}")
        except TimeoutError:
            print(f"{victims[:number]} were killed, and then:", await world.standing(), sep="\n")
            raise
        if victim == "postgres":
            world.stack.postgres.restarted.clear()
            os.kill(world.stack.postgres.pid, 9)
            await asyncio.wait_for(world.stack.postgres.restarted.wait(), 30)
        else:
            world.stack.supervisor.kill(victim)
            await asyncio.wait_for(world.stack.supervisor.children[victim].started.wait(), 30)
    return victims


def _get(url: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(url, timeout=10) as response:
        arrived: list[dict[str, Any]] = json.load(response)
    return arrived


async def _check_tags(world: World, contacts: list[str]) -> None:
    """Every tag changed exactly as often as its steps say, and the ledger has each effect once."""
    crm = await asyncpg.connect(world.stack.prepared.dsns["wayfarer_crm_owner"])
    audit = Counter(
        (str(row["contact_id"]), row["tag"], row["what"])
        for row in await crm.fetch("SELECT * FROM tag_audit")
    )
    tags = Counter(
        (str(row["contact_id"]), row["tag"]) for row in await crm.fetch("SELECT * FROM contact_tag")
    )
    effects = await crm.fetchval("SELECT count(*) FROM effect_ledger")
    await crm.close()
    for contact in contacts:
        assert audit[contact, "a", "INSERT"] == 1, (
            f"{contact}: tag a was added {audit[contact, 'a', 'INSERT']} times"
        )
        assert audit[contact, "a", "DELETE"] == 1
        assert audit[contact, "b", "INSERT"] == 1
        assert (tags[contact, "a"], tags[contact, "b"]) == (0, 1)
    assert effects == 4 * len(contacts), "one ledger row per crm effect"


async def _check_messages(world: World) -> None:
    """E-mails at most once, webhooks at least once under one id, and every doubt shown."""
    succeeded = {
        step: await world.count(
            f"SELECT count(*) FROM execution_log WHERE step_id = '{step}' AND outcome = 1"
        )
        for step in ("mail", "hook")
    }
    unknown = await world.count(
        "SELECT count(*) FROM execution_log WHERE step_id = 'mail' AND outcome = 6 AND event = 4"
    )
    mails = await asyncio.to_thread(_get, f"{world.stack.mailbox_url}/messages")
    ids = Counter(mail["message_id"] for mail in mails)
    assert max(ids.values()) == 1, "an e-mail was sent twice"
    assert succeeded["mail"] <= len(ids) <= succeeded["mail"] + unknown
    assert succeeded["mail"] + unknown == EXECUTIONS, "an e-mail's outcome is missing from the log"
    requests = await asyncio.to_thread(_get, f"{world.stack.receiver_url}/requests")
    hooks = {r["headers"].get("webhook-id") or r["headers"].get("Webhook-Id") for r in requests}
    assert succeeded["hook"] == EXECUTIONS
    assert len(hooks) == EXECUTIONS, "webhooks of one visit carry one id, those of two visits two"


@pytest.mark.timeout(300)
async def test_nothing_is_lost_or_doubled_when_everything_is_killed() -> None:
    dice = random.Random(SEED)
    print(f"seed {SEED}, {EXECUTIONS} executions")
    with scratch_state_dir() as state_dir:
        async with Stack(state_dir, workers=2, environment={"WAYFARER_LEASE_SECONDS": _LEASE_S}) as stack:
            crm = await asyncpg.connect(stack.prepared.dsns["wayfarer_crm_owner"])
            await crm.execute(_AUDIT)
            await crm.close()
            owner = stack.prepared.dsns["wayfarer_owner"]
            async with open_channel(stack.address) as channel, Changes(owner) as changes:
                executions = ExecutionServiceStub(channel)
                world = World(
                    stack,
                    (("authorization", f"Bearer {stack.api_key}"),),
                    executions,
                    WorkflowServiceStub(channel),
                    ContactServiceStub(channel),
                    changes,
                )
                await world.workflows.ApplyWorkflow(
                    workflow_service_pb2.ApplyWorkflowRequest(document=DOCUMENT, publish=True),
                    metadata=world.metadata,
                    timeout=10,
                )
                contacts = await _people(world)
                starting = asyncio.create_task(_start_all(world, contacts))
                killed = await _kill_all(world, dice)
                started = await starting
                print(f"killed {killed}")

                async def all_ended() -> bool:
                    return (
                        await world.count("SELECT count(*) FROM execution_history WHERE status = 5")
                        >= EXECUTIONS
                    )

                await changes.until(
                    all_ended, 60, "every execution completed, G2: at most 60 s after the last kill"
                )
                assert len(set(started)) == EXECUTIONS, "G1: accepted and not there, or there twice"
                assert await world.count("SELECT count(*) FROM execution") == 0
                assert await world.count("SELECT count(*) FROM execution_history") == EXECUTIONS
                await _check_tags(world, contacts)
                await _check_messages(world)
                # The API may have been the last victim, and be on its way up.
                everything = execution_service_pb2.VerifyExecutionsRequest(max_executions=EXECUTIONS)
                verified = await world.call(
                    lambda: executions.VerifyExecutions(everything, metadata=world.metadata, timeout=60)
                )
                assert verified.executions_checked == EXECUTIONS
                for check in verified.checks:
                    assert check.violations == 0, f"{check.id} {check.description}: {list(check.examples)}"
