"""StartExecution without a worker: what is refused and why, dedup, request ids, natural batches.

R-TRIG-1, R-TRIG-2, R-TRIG-3, R-TRIG-4, R-TRIG-5, R-TRIG-6, A-1, A-2, A-4, G12.
"""

import asyncio
from uuid import UUID, uuid4

import grpc
import pytest
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from wayfarer.execution.v1 import execution_pb2
from wayfarer.execution.v1 import execution_service_pb2 as pb
from wayfarer.execution.v1 import workflow_service_pb2 as workflow_pb

from execution_engine import ports
from services.runtime.keyring import Keyring
from tests.integration.api.world import NOWHERE, Client, World, refused, struct, tagging, waiting

EMPTY = {"enrollment": 0, "execution": 0, "execution_history": 0, "execution_log": 0, "request": 0}


async def unstarted(world: World, client: Client) -> bool:
    rows = await world.rows(client)
    return EMPTY.items() <= rows.items()


async def test_a_start_is_durable_and_due(world: World, client: Client) -> None:
    workflow = await client.publish(waiting("plan"))
    contact = await client.contact()
    answer = await client.start("plan", contact.id, priority=execution_pb2.PRIORITY_HIGH)
    made = answer.execution
    assert not answer.deduplicated
    assert UUID(made.id).version == 7
    assert (made.workflow_id, made.workflow_key, made.workflow_version) == (workflow, "plan", 1)
    assert (made.contact_id, made.status) == (contact.id, execution_pb2.EXECUTION_STATUS_QUEUED)
    assert (made.current_step_id, made.current_step_index, made.total_steps) == ("before", 1, 3)
    assert (made.progress_percent, made.attempt, made.log_entries) == (33, 0, 1)
    assert (made.blocked_on, made.priority) == (
        execution_pb2.BLOCKED_ON_WORKER,
        execution_pb2.PRIORITY_HIGH,
    )
    row = await world.row(made.id)
    assert row is not None
    assert (row["status"], row["lane"], row["fence"]) == (1, 1, 0)
    assert row["wake_at"] == row["created_at"] == made.create_time.ToDatetime(row["created_at"].tzinfo)
    assert await client.get(made.id) == made
    log = (await client.logs(made.id)).log_entries
    assert [(entry.seq, entry.event) for entry in log] == [(1, "execution_started")]


async def test_the_trigger_is_sealed_and_kept_as_json(world: World, client: Client) -> None:
    await client.publish(waiting("plan"))
    trigger = struct({"order": 42, "ratio": 0.5, "who": "canary-9935", "deep": {"list": [1, None, True]}})
    started = await client.start("plan", (await client.contact()).id, trigger=trigger)
    row = await world.row(started.execution.id)
    assert row is not None
    assert b"canary-9935" not in row["input_sealed"]
    vault = Keyring.load(world.stack.prepared.keyring)
    opened = vault.open(ports.INPUT, client.account_id, row["input_sealed"])
    assert b'"order":42' in opened
    assert b'"deep":{"list":[1,null,true]}' in opened


async def test_unknown_workflow_or_contact(world: World, client: Client) -> None:
    await client.publish(waiting("plan"))
    contact = await client.contact()
    for workflow in ("no-such-key", NOWHERE):
        refusal = await refused(client.start(workflow, contact.id, request_id=str(uuid4())))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "WORKFLOW_NOT_FOUND")
    refusal = await refused(client.start("plan", NOWHERE, request_id=str(uuid4())))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "CONTACT_NOT_FOUND")
    assert await unstarted(world, client)


async def test_a_contact_who_opted_out_is_not_started(world: World, client: Client) -> None:
    await client.publish(waiting("plan"))
    contact = await client.contact(opted_out=True)
    refusal = await refused(client.start("plan", contact.id))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "CONTACT_OPTED_OUT")
    assert refusal.message == "Contact has opted out"
    assert await unstarted(world, client)


async def test_inactive_workflows_take_no_starts(world: World, client: Client) -> None:
    contact = await client.contact()
    await client.apply(waiting("draft"))
    for key, moves in (("paused", ["Pause"]), ("archived", ["Archive"])):
        await client.publish(waiting(key))
        for move in moves:
            request = getattr(workflow_pb, f"{move}WorkflowRequest")(workflow=key)
            await client.call(getattr(client.workflows, f"{move}Workflow"), request)
    for key in ("draft", "paused", "archived"):
        refusal = await refused(client.start(key, contact.id))
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "WORKFLOW_NOT_ACTIVE",
        )
        assert refusal.message == "Workflow is not active"
    assert await unstarted(world, client)


async def test_within_the_window_the_first_one_is_given(world: World, client: Client) -> None:
    await client.publish(waiting("plan", dedup_window="1h"))
    contact = await client.contact()
    first = await client.start("plan", contact.id)
    again = await client.start("plan", contact.id)
    assert (again.deduplicated, again.message) == (True, "duplicate trigger ignored")
    assert again.execution == first.execution
    assert (await world.rows(client))["execution"] == 1


async def test_reentry_rules(client: Client) -> None:
    contact = await client.contact()
    for rule, allowed_running, allowed_after in (
        ("never", False, False),
        ("after_exit", False, True),
        ("always", True, True),
    ):
        await client.publish(waiting(rule.replace("_", "-"), reentry=rule, dedup_window="0s"))
        key = rule.replace("_", "-")
        first = (await client.start(key, contact.id)).execution
        if allowed_running:
            assert (await client.start(key, contact.id)).execution.id != first.id
        else:
            refusal = await refused(client.start(key, contact.id))
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REENTRY_REFUSED")
            assert refusal.metadata["execution_id"] == first.id
        await client.cancel(first.id)
        if allowed_after:
            assert (await client.start(key, contact.id)).execution.id != first.id
        else:
            assert (await refused(client.start(key, contact.id))).reason == "REENTRY_REFUSED"


async def test_a_request_id_answers_the_same(world: World, client: Client) -> None:
    await client.publish(waiting("plan", dedup_window="0s", reentry="always"))
    contact, request_id = await client.contact(), str(uuid4())
    first = await client.start("plan", contact.id, request_id=request_id)
    await client.cancel(first.execution.id)
    # The answer of then, not a new one: neither state nor time shows through.
    assert await client.start("plan", contact.id, request_id=request_id) == first
    refusal = await refused(client.start("plan", contact.id, request_id=request_id, trigger=struct({"a": 1})))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert (await world.rows(client))["execution"] == 1


async def test_simultaneous_calls_of_one_request_id_start_once(world: World, client: Client) -> None:
    await client.publish(waiting("plan", dedup_window="0s", reentry="always"))
    contact, request_id = await client.contact(), str(uuid4())
    answers = await asyncio.gather(
        *(client.start("plan", contact.id, request_id=request_id) for _ in range(40))
    )
    assert all(answer == answers[0] for answer in answers)
    assert (await world.rows(client))["execution"] == 1


async def test_a_request_id_is_of_one_account(client: Client, other: Client) -> None:
    request_id = str(uuid4())
    ids = set()
    for who in (client, other):
        await who.publish(waiting("plan"))
        ids.add((await who.start("plan", (await who.contact()).id, request_id=request_id)).execution.id)
    assert len(ids) == 2


async def test_64_simultaneous_callers_make_one_execution(world: World, client: Client) -> None:
    await client.publish(waiting("plan", dedup_window="1h"))
    contact = await client.contact()
    answers = await asyncio.gather(*(client.start("plan", contact.id) for _ in range(64)))
    assert len({answer.execution.id for answer in answers}) == 1
    assert sum(not answer.deduplicated for answer in answers) == 1
    rows = await world.rows(client)
    assert (rows["execution"], rows["execution_log"], rows["enrollment"]) == (1, 1, 1)


async def test_a_batch_keeps_its_members_apart(world: World, client: Client) -> None:
    await client.publish(waiting("plan"))
    good = [await client.contact() for _ in range(20)]
    opted_out = await client.contact(opted_out=True)
    calls = [client.start("plan", contact.id) for contact in good]
    bad = [
        refused(client.start("plan", opted_out.id)),
        refused(client.start("plan", NOWHERE)),
        refused(client.start("nothing", good[0].id)),
    ]
    started, refusals = await asyncio.gather(asyncio.gather(*calls), asyncio.gather(*bad))
    assert len({answer.execution.id for answer in started}) == 20
    assert [refusal.reason for refusal in refusals] == [
        "CONTACT_OPTED_OUT",
        "CONTACT_NOT_FOUND",
        "WORKFLOW_NOT_FOUND",
    ]
    assert (await world.rows(client))["execution"] == 20


def nested(depth: int) -> Struct:
    value = Value(string_value="bottom")
    for _ in range(depth):
        value = Value(list_value=ListValue(values=[value]))
    return Struct(fields={"deep": value})


@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("workflow", pb.StartExecutionRequest(contact_id=NOWHERE)),
        ("workflow", pb.StartExecutionRequest(workflow="w" * 101, contact_id=NOWHERE)),
        ("workflow", pb.StartExecutionRequest(workflow="a b", contact_id=NOWHERE)),
        ("contact_id", pb.StartExecutionRequest(workflow="plan", contact_id="me")),
        ("contact_id", pb.StartExecutionRequest(workflow="plan")),
        ("request_id", pb.StartExecutionRequest(workflow="plan", contact_id=NOWHERE, request_id="1")),
        ("priority", pb.StartExecutionRequest(workflow="plan", contact_id=NOWHERE, priority=9)),  # type: ignore[arg-type]
        (
            "trigger.a",
            pb.StartExecutionRequest(workflow="plan", contact_id=NOWHERE, trigger=struct({"a": "x\0y"})),
        ),
        (
            "trigger",
            pb.StartExecutionRequest(
                workflow="plan", contact_id=NOWHERE, trigger=struct({"a": "x" * 70_000})
            ),
        ),
        (
            "trigger",
            pb.StartExecutionRequest(
                workflow="plan", contact_id=NOWHERE, trigger=struct({"a": float("nan")})
            ),
        ),
        ("trigger.deep", pb.StartExecutionRequest(workflow="plan", contact_id=NOWHERE, trigger=nested(17))),
    ],
)
async def test_bad_requests_name_the_field(
    world: World, client: Client, field: str, request_: pb.StartExecutionRequest
) -> None:
    refusal = await refused(client.call(client.executions.StartExecution, request_))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.reason in ("REQUEST_INVALID", "VALUE_INVALID")
    assert any(path.startswith(field) for path in refusal.rules), refusal.rules
    assert await unstarted(world, client)


async def test_it_starts_the_version_of_now(client: Client) -> None:
    await client.publish(tagging("plan", dedup_window="0s", reentry="always"))
    contact = await client.contact()
    first = (await client.start("plan", contact.id)).execution
    await client.publish(waiting("plan", dedup_window="0s", reentry="always"))
    second = (await client.start("plan", contact.id)).execution
    assert [(e.workflow_version, e.total_steps) for e in (first, second)] == [(1, 1), (2, 3)]
    assert (await client.get(first.id)).total_steps == 1
