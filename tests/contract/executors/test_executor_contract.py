"""What holds for every action type of every family, and what the runtime promises whatever the type.

G5, G6, G16, R-ERR-7.
"""

import asyncio
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import asyncpg
import grpc
import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter
from wayfarer.action.v1 import action_executor_pb2 as wire
from wayfarer.action.v1 import action_pb2
from wayfarer.common.v1 import failure_pb2

from dispatcher.executor_client import ExecutorClient
from services.executors import communication as communication_package
from services.executors import crm as crm_package
from services.executors import integrations as integrations_package
from services.executors import internal as internal_package
from services.executors import membership as membership_package
from services.executors import sandbox as sandbox_package
from services.executors.registry import Registry
from services.runtime.grpc_client import open_channel
from tests.contract.executors.crm_world import CrmWorld
from tests.contract.executors.membership_world import MembershipWorld
from tests.contract.executors.world import (
    ACCOUNT,
    TIMEOUT_S,
    Client,
    Receiver,
    make_action,
    stored_rows,
    stored_text,
    uuid7,
)

PENDING = ("make_call", "send_voicemail")
REACHABLE = {"email": "ada@example.test", "phone": "+15005550006", "messenger_id": "24680"}
FAMILIES = {
    "communication": communication_package,
    "crm": crm_package,
    "integrations": integrations_package,
    "membership": membership_package,
    "sandbox": sandbox_package,
    "internal": internal_package,
}
TYPES = [
    (family, name)
    for family, package in FAMILIES.items()
    for name in Registry.scan(family, package).definitions
]


@dataclass(frozen=True)
class Case:
    """An action type under test: its family, its description, and how to make an attempt of its sample."""

    client: Client
    described: action_pb2.ActionType
    make: Callable[..., action_pb2.Action]
    crm: Client
    outcome: action_pb2.Outcome.ValueType = action_pb2.OUTCOME_SUCCEEDED
    """Of an attempt that is not stopped: PENDING for what takes its time."""


async def add_contact(crm: Client, contact_id: uuid.UUID) -> uuid.UUID:
    await crm.database.execute(
        "INSERT INTO contact_record (account_id, contact_id, revision, data_sealed) VALUES ($1, $2, 1, $3)",
        ACCOUNT,
        contact_id,
        sealed_data(),
    )
    return contact_id


def sealed_data(data: bytes = b'{"first_name":"Ada"}') -> bytes:
    from services.executors.crm.records import PURPOSE
    from services.runtime.keyring import Keyring

    return Keyring(1, {1: b"01234567890123456789012345678901"}).seal(PURPOSE, ACCOUNT, data)


@pytest.fixture(params=TYPES, ids=[name for _, name in TYPES])
async def case(
    request: pytest.FixtureRequest,
    crm: Client,
    crm_world: CrmWorld,
    communication: Client,
    integrations: Client,
    membership: MembershipWorld,
    sandbox: Client,
    internal: Client,
    receiver: Receiver,
) -> Case:
    family, name = request.param
    clients = (crm, communication, integrations, membership.client, sandbox, internal)
    client = next(one for one in clients if one.family == family)
    types = (await client.stub.Describe(wire.DescribeRequest(), timeout=TIMEOUT_S)).action_types
    described = next(one for one in types if one.name == name)
    config = json.loads(described.sample_config)
    if name == "webhook_call":
        config["url"] = receiver.url(f"/contract/{uuid.uuid4()}")
    of = {"contact_id": await add_contact(crm, uuid7()), "contact": REACHABLE}

    def make(**changes: Any) -> action_pb2.Action:
        return make_action(name, config, **{**of, **changes})

    outcome = action_pb2.OUTCOME_PENDING if name in PENDING else action_pb2.OUTCOME_SUCCEEDED
    return Case(client, described, make, crm, outcome)


async def test_describes_itself(case: Case) -> None:
    """R-ACT: its schema is one, by the words of JSON Schema itself, and its sample is valid by it."""
    schema = json.loads(case.described.config_schema)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(json.loads(case.described.sample_config))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert case.described.summary.endswith(".")
    assert case.described.delivery_class != action_pb2.DELIVERY_CLASS_UNSPECIFIED
    assert case.described.default_timeout.ToTimedelta().total_seconds() > 0
    assert 1 <= case.described.max_batch <= 1000
    assert case.described.version == 1
    assert set(case.described.sensitive_fields) <= set(schema["properties"])


async def test_sample_is_valid_and_succeeds(case: Case) -> None:
    request = wire.ValidateRequest(
        action_type=case.described.name, config=case.described.sample_config.encode()
    )
    assert not (await case.client.stub.Validate(request, timeout=TIMEOUT_S)).faults
    result = await case.client.execute(case.make())
    assert result.outcome == case.outcome, result
    assert not result.replayed
    if case.outcome == action_pb2.OUTCOME_PENDING:
        assert (result.certainty, result.output) == (action_pb2.CERTAINTY_INDETERMINATE, b"")
        assert result.provider_refs
        return
    assert result.certainty == action_pb2.CERTAINTY_DONE
    TypeAdapter(dict[str, Any]).validate_json(result.output)


async def test_names_every_fault_of_a_config(case: Case) -> None:
    """R-STEP-4, A-30: each with the path of its field and the rule; run all the same, it is CONFIGURATION."""
    schema = json.loads(case.described.config_schema)
    bad = json.dumps({"surplus": 1, **{name: [] for name in schema.get("required", ())}}).encode()
    request = wire.ValidateRequest(action_type=case.described.name, config=bad)
    faults = (await case.client.stub.Validate(request, timeout=TIMEOUT_S)).faults
    assert {fault.path for fault in faults} >= {"surplus", *schema.get("required", ())}
    assert all(fault.rule and fault.message for fault in faults)
    result = await case.client.execute(make_action(case.described.name, {"surplus": 1}))
    assert (result.outcome, result.certainty) == (action_pb2.OUTCOME_FAILED, action_pb2.CERTAINTY_NOT_DONE)
    assert result.failure.error_class == failure_pb2.ERROR_CLASS_CONFIGURATION


async def test_config_that_is_no_json_is_a_fault(case: Case) -> None:
    request = wire.ValidateRequest(action_type=case.described.name, config=b"{not json")
    assert (await case.client.stub.Validate(request, timeout=TIMEOUT_S)).faults


async def test_same_key_again_answers_the_recorded_result(case: Case) -> None:
    action = case.make()
    first = await case.client.execute(action)
    again = await case.client.execute(action)
    assert again.replayed
    again.replayed = False
    assert again == first


async def test_same_key_twice_in_a_batch_and_beside_it(case: Case) -> None:
    action = case.make()
    answers = await asyncio.gather(
        case.client.batch([action, action]), case.client.batch([action, case.make()])
    )
    results = [answers[0][0], answers[0][1], answers[1][0]]
    assert {result.outcome for result in results} == {case.outcome}
    assert sorted(result.replayed for result in results) == [False, True, True]


async def test_reconcile_closes_out_a_zombie(case: Case) -> None:
    action = case.make(fence=4)
    finding = await case.client.reconcile(action, fence=5)
    assert finding.finding == wire.FINDING_NOT_DONE
    zombie = await case.client.execute(action)
    assert zombie.failure.code == "STALE_FENCE"
    assert zombie.certainty == action_pb2.CERTAINTY_NOT_DONE
    action.fence = 5
    assert (await case.client.execute(action)).outcome == case.outcome
    done = await case.client.reconcile(action, fence=6)
    assert done.finding == wire.FINDING_DONE
    assert done.result.outcome in (case.outcome, action_pb2.OUTCOME_SUCCEEDED)


async def test_stale_attempt_is_refused_after_a_failure(case: Case) -> None:
    action = case.make(fence=3, attempt=2)
    await case.client.database.execute(
        "INSERT INTO effect_ledger (account_id, execution_id, step_id, visit, fence, attempt, state, result)"
        " VALUES ($1, $2, 'step', 1, 3, 2, 3, '\\x00')",
        ACCOUNT,
        uuid.UUID(bytes=action.effect_key.execution_id),
    )
    action.attempt = 1
    assert (await case.client.execute(action)).failure.code == "STALE_FENCE"
    action.attempt = 3
    assert (await case.client.execute(action)).outcome == case.outcome


async def test_an_unstorable_or_unknown_neighbour_harms_nobody(case: Case) -> None:
    far = uuid.UUID(bytes=b"\xff" * 6 + uuid7().bytes[6:])  # no month has a partition for it
    poison = case.make(execution_id=far)
    stranger = case.make()
    stranger.action_type = "no_such_type"
    nameless = case.make()
    nameless.effect_key.step_id = "a\x00b"
    good = [case.make() for _ in range(4)]
    results = await case.client.batch([good[0], poison, good[1], stranger, good[2], nameless, good[3]])
    outcomes = [result.outcome for result in results]
    assert [outcomes[place] for place in (0, 2, 4, 6)] == [case.outcome] * 4
    assert all(results[place].certainty == action_pb2.CERTAINTY_NOT_DONE for place in (1, 3, 5))
    assert results[3].failure.code == "UNKNOWN_ACTION_TYPE"
    assert results[5].failure.code == "ACTION_INVALID"


async def test_one_action_is_answered_as_it_would_be_among_others(crm: Client, crm_world: CrmWorld) -> None:
    """The engine sends one alone without a stream: an unknown type, a faulty config and a repetition."""
    async with open_channel(crm.address) as channel:
        client = ExecutorClient("crm", channel)

        async def sent(*actions: action_pb2.Action) -> list[action_pb2.ActionResult]:
            chunks = [chunk async for chunk in client.execute_batch(actions)]
            return [one.result for one in sorted(chain(*chunks), key=lambda one: one.index)]

        unknown, faulty = make_action("no_such_type", {}), make_action("add_tag", {"colour": "red"})
        contact_id = await crm_world.add_contact()
        good = make_action("add_tag", {"tag": "one"}, contact_id=contact_id)
        alone = [result for action in (unknown, faulty, good) for result in await sent(action)]
        assert [one.failure.code for one in alone] == ["UNKNOWN_ACTION_TYPE", "CONFIG_INVALID", ""]
        assert (await sent(unknown, faulty))[:2] == alone[:2]
        (again,) = await sent(good)
        assert (again.outcome, again.replayed) == (alone[2].outcome, True)


async def test_preview_does_nothing(case: Case) -> None:
    """R-ACT: no row of any table of the family is another afterwards; what goes outside is in test_executor_outside."""
    action = case.make()
    before = await stored_rows(case.client.database)
    request = wire.PreviewRequest(action=action)
    preview = json.loads((await case.client.stub.Preview(request, timeout=TIMEOUT_S)).preview)
    assert preview
    assert await case.client.row(action) is None
    assert await stored_rows(case.client.database) == before


async def test_the_same_key_again_writes_nothing(case: Case) -> None:
    """G5: one effect in our own tables, whatever the type: no row is another after a second delivery."""
    action = case.make()
    await case.client.execute(action)
    once = await stored_rows(case.client.database)
    await asyncio.gather(case.client.execute(action), case.client.batch([action, action]))
    assert await stored_rows(case.client.database) == once


async def test_the_same_key_at_once_writes_as_much_as_once(case: Case) -> None:
    """G5, G6: many deliveries of one key beside each other add the rows that a single one adds."""
    await case.client.execute(case.make())  # what all contacts share is there from here on
    grown = []
    for times in (1, 4):
        contact_id = await add_contact(case.crm, uuid7())
        before = await stored_rows(case.client.database)
        action = case.make(contact_id=contact_id)
        single = [case.client.execute(action) for _ in range(times)]
        batched = [case.client.batch([action, action])] if times > 1 else []
        await asyncio.gather(*single, *batched)
        after = await stored_rows(case.client.database)
        grown.append({table: len(rows) - len(before[table]) for table, rows in after.items()})
    assert grown[0] == grown[1]
    assert grown[0]["effect_ledger"] == 1


async def test_what_is_personal_is_in_no_table_in_clear(case: Case) -> None:
    """R-LOG-2: every text of the config's sensitive fields, and the contact, as the action got them."""
    canary = uuid.uuid4().hex
    contact = {
        name: f"{canary}@example.test" if name == "email" else value for name, value in REACHABLE.items()
    }
    action = case.make()
    action.contact = json.dumps(contact).encode()
    config = json.loads(action.config)
    for name in case.described.sensitive_fields:
        if isinstance(config.get(name), str) and name not in ("url", "source", "phone"):
            config[name] = f"{canary}@example.com" if name == "email" else f"{config[name]} {canary}"
    action.config = json.dumps(config).encode()
    assert (await case.client.execute(action)).outcome == case.outcome
    stored = await stored_text(case.client.database)
    assert canary not in stored
    assert canary.encode().hex() not in stored


async def test_results_are_not_readable_in_the_ledger(case: Case) -> None:
    action = case.make()
    result = await case.client.execute(action)
    row = await case.client.row(action)
    assert row is not None
    assert (row["state"], row["fence"], row["attempt"]) == (2, 1, 1)
    if case.client.family != "crm" or result.contact_changes:
        private = result.output or result.provider_refs["call_sid"].encode()
        assert private not in row["result"]


async def test_unknown_type_is_not_found(crm: Client) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await crm.execute(make_action("no_such_type", {}))
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await crm.stub.Validate(wire.ValidateRequest(action_type="no_such_type"), timeout=TIMEOUT_S)
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


async def test_batch_of_none_is_refused(crm: Client) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await crm.batch([])
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_reconcile_answers_in_order(crm: Client) -> None:
    contact_id = await add_contact(crm, uuid7())
    done = make_action("add_tag", {"tag": "x"}, contact_id=contact_id)
    await crm.execute(done)
    absent = make_action("add_tag", {"tag": "x"}, contact_id=contact_id)
    items = [
        wire.ReconcileItem(effect_key=one.effect_key, account_id=ACCOUNT, action_type="add_tag", fence=2)
        for one in (absent, done, absent)
    ]
    response = await crm.stub.Reconcile(wire.ReconcileRequest(items=items), timeout=TIMEOUT_S)
    assert [one.finding for one in response.findings] == [
        wire.FINDING_NOT_DONE,
        wire.FINDING_DONE,
        wire.FINDING_NOT_DONE,
    ]


async def test_ledger_role_owns_nothing(crm: Client) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await crm.database.execute("DELETE FROM effect_ledger")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await crm.database.execute("CREATE TABLE stray (id int)")
    parts = await crm.database.fetchval(
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'effect_ledger'::regclass"
    )
    assert parts == 6
    assert not await crm.database.fetch("SELECT effect_ledger_extend(3, 100)")
    assert len(await crm.database.fetch("SELECT effect_ledger_extend(4, 100)")) == 1
