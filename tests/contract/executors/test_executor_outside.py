"""What holds for every action type that acts through somebody else's service, by a sandbox of that service.

R-ERR-1, R-ERR-3: each way to fail has its class, certainty and pause. G5, G6: one effect per key. R-LOG-2: what is
personal is nowhere in clear. A type without a way out here does not pass.
"""

import asyncio
import json
from typing import Any

import pytest
from wayfarer.action.v1 import action_executor_pb2 as wire
from wayfarer.action.v1 import action_pb2
from wayfarer.common.v1 import failure_pb2

from services.executors.action import ActionDefinition, DeliveryClass
from services.executors.registry import Registry
from tests.contract.executors.email_world import ServedSandbox
from tests.contract.executors.membership_world import MembershipWorld
from tests.contract.executors.notification_world import Notices
from tests.contract.executors.outside_world import PAUSE_S, WAYS, Families, Outside
from tests.contract.executors.phone_world import Phone
from tests.contract.executors.sandboxed import FOREVER, code
from tests.contract.executors.test_executor_contract import FAMILIES
from tests.contract.executors.webhook_site import Hooks
from tests.contract.executors.world import TIMEOUT_S, Client, stored_text

DEFINITIONS: dict[str, ActionDefinition[Any, Any]] = {
    name: one
    for family, package in FAMILIES.items()
    for name, one in Registry.scan(family, package).definitions.items()
}
OUTSIDE = sorted(
    name for name, one in DEFINITIONS.items() if one.delivery is not DeliveryClass.TX and one.lanes
)
"""Those that have a provider: not TX, and in a lane of somebody else's."""
SURE = action_pb2.CERTAINTY_NOT_DONE
UNSURE = action_pb2.CERTAINTY_INDETERMINATE
FAULTS = [
    ("429", {"RATE_LIMIT"}, SURE, PAUSE_S),
    ("503", {"SERVER_ERROR"}, SURE, PAUSE_S),
    ("500", {"SERVER_ERROR"}, UNSURE, None),
    ("400", {"VALIDATION", "CONTACT_DATA"}, SURE, None),
    ("reset", {"NETWORK", "INDETERMINATE"}, UNSURE, None),
    ("hang", {"TIMEOUT"}, UNSURE, None),
]


@pytest.fixture(scope="session")
def families(
    communication: Client,
    phone: Phone,
    email_sandbox: ServedSandbox,
    membership: MembershipWorld,
    notices: Notices,
    hooks: Hooks,
) -> Families:
    samples = {name: dict(one.sample) for name, one in DEFINITIONS.items()}
    return Families(communication, phone, email_sandbox, membership, notices, hooks, samples)


@pytest.fixture(params=OUTSIDE)
async def way(request: pytest.FixtureRequest, families: Families) -> Outside:
    """A way out for the type: a type that has none is a KeyError, and so a test that fails."""
    return await WAYS[request.param](request.param, families)


def test_what_has_no_provider_runs_in_our_own_database_or_sandbox() -> None:
    """R-ACT: by delivery class and lanes, not by a list."""
    without = {name for name in DEFINITIONS if name not in OUTSIDE}
    homes = {
        name: family
        for family, package in FAMILIES.items()
        for name in Registry.scan(family, package).definitions
    }
    assert {homes[name] for name in without if DEFINITIONS[name].delivery is not DeliveryClass.TX} == {
        "sandbox"
    }
    assert set(WAYS) == set(OUTSIDE)


@pytest.mark.parametrize(("fault", "classes", "certainty", "pause_s"), FAULTS, ids=[row[0] for row in FAULTS])
async def test_each_way_to_fail_is_told_right(
    way: Outside, fault: str, classes: set[str], certainty: int, pause_s: int | None
) -> None:
    """R-ERR-1, R-ERR-3: class, certainty and retry_after; what was not done is done by the next attempt, once."""
    await way.misbehave(fault)
    action = way.action()
    result = await way.client.execute(action)
    if way.beside and fault == "400":
        assert json.loads(result.output)["sent"] is False
        return
    assert result.outcome == action_pb2.OUTCOME_FAILED, result
    told = failure_pb2.ErrorClass.Name(result.failure.error_class).removeprefix("ERROR_CLASS_")
    assert told in classes
    assert (result.certainty, result.HasField("retry_after")) == (certainty, pause_s is not None)
    if pause_s is not None:
        assert result.retry_after.seconds == result.lane.pause.seconds == pause_s
    assert await way.arrived() == (fault in ("reset", "hang"))
    assert not any(one in str(result.failure) for one in way.personal)
    if certainty == SURE:
        action.attempt = 2
        assert (await way.client.execute(action)).outcome == way.outcome
        assert await way.arrived() == 1


async def test_the_same_key_twice_and_at_once_is_one_effect(way: Outside) -> None:
    """G5, G6: by rpcs beside each other, within a batch, and afterwards."""
    action = way.action()
    together = await asyncio.gather(
        way.client.execute(action), way.client.batch([action, action]), way.client.execute(action)
    )
    results = [together[0], *together[1], together[2], await way.client.execute(action)]
    assert {one.outcome for one in results} == {way.outcome}
    assert sorted(one.replayed for one in results) == [False, True, True, True, True]
    assert await way.arrived() == 1


async def test_a_preview_sends_nothing(way: Outside) -> None:
    """R-ACT: it is shown, and nobody is asked."""
    request = wire.PreviewRequest(action=way.action())
    assert json.loads((await way.client.stub.Preview(request, timeout=TIMEOUT_S)).preview)
    assert await way.arrived() == 0


@pytest.mark.parametrize("fault", ["", "400", "reset"])
async def test_nothing_personal_is_stored_in_clear(way: Outside, fault: str) -> None:
    """R-LOG-2: not in the ledger, and in no other table of the family, however it ends."""
    if fault:
        await way.misbehave(fault)
    action = way.action()
    await way.client.execute(action)
    assert await way.client.row(action) is not None
    stored = await stored_text(way.client.database)
    for one in way.personal:
        assert one not in stored
        assert one.encode().hex() not in stored


async def test_our_own_sandbox_ends_what_does_not_end(sandbox: Client) -> None:
    """R-ERR-1, R-ERR-7: custom_code has no provider; what it can do is never come to an end."""
    result = await sandbox.execute(code(FOREVER, timeout_seconds=1))
    assert (result.outcome, result.certainty) == (action_pb2.OUTCOME_FAILED, SURE)
