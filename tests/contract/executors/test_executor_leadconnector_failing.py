"""What goes wrong between the crm and LeadConnector, type by type: no effect is lost, none done twice.

R-ACT, G5: an attempt repeated, or in doubt, leaves one effect. R-ERR-1, R-ERR-3: class, certainty and pause.
"""

import asyncio
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from wayfarer.action.v1 import action_executor_pb2, action_pb2

from tests.contract.executors.leadconnector_world import ElsewhereWorld, Somebody, action
from tests.contract.executors.membership_world import output
from tests.contract.executors.test_executor_membership import kind_of
from tests.contract.executors.world import TIMEOUT_S

DONE = action_executor_pb2.FINDING_DONE
NOT_DONE = action_executor_pb2.FINDING_NOT_DONE
UNKNOWN = action_executor_pb2.FINDING_UNKNOWN
SALES = {"pipeline": "sales", "stage": "new", "name": "Pro"}


@dataclass(frozen=True, slots=True)
class Kind:
    """One action type: a config, and the request that is its effect."""

    name: str
    config: dict[str, Any]
    request: str

    def configured(self, email: str) -> dict[str, Any]:
        return {**self.config, "email": email} if self.name == "create_contact" else self.config


KINDS = [
    Kind("add_tag", {"tag": "vip"}, "POST tags"),
    Kind("remove_tag", {"tag": "old"}, "DELETE tags"),
    Kind("update_contact", {"set": {"first_name": "Grace", "fields.plan": "pro"}}, "PUT contact"),
    Kind("create_contact", {"first_name": "Mary"}, "POST contacts"),
    Kind("assign_to_user", {"user_ids": ["ada"]}, "PUT contact"),
    Kind("create_task", {"title": "Call", "due_in": {"amount": 1, "unit": "days"}}, "POST tasks"),
    Kind("add_note", {"body": "Asked."}, "POST notes"),
    Kind("add_to_campaign", {"campaign": "spring"}, "POST workflow"),
    Kind("remove_from_campaign", {"campaign": "summer"}, "DELETE campaigns"),
    Kind("create_opportunity", {**SALES, "name": "New"}, "POST opportunities"),
    Kind("move_pipeline_stage", {"pipeline": "sales", "stage": "offer"}, "PUT opportunity"),
]
OF_CONTACTS = ("update_contact", "create_contact", "assign_to_user", "add_tag", "remove_tag")
LOST = ("NETWORK", "CONNECTION_LOST", "INDETERMINATE")
LATE = ("TIMEOUT", "TIMEOUT", "INDETERMINATE")
FAILURES: list[tuple[dict[str, Any], tuple[str, str, str]]] = [
    ({"hang": "before"}, LATE),
    ({"hang": "after"}, LATE),
    ({"lose": "before"}, LOST),
    ({"lose": "after"}, LOST),
    ({"status": 500}, ("SERVER_ERROR", "HTTP_500", "INDETERMINATE")),
    ({"status": 503}, ("SERVER_ERROR", "HTTP_503", "NOT_DONE")),
    ({"status": 401}, ("AUTHENTICATION", "HTTP_401", "NOT_DONE")),
    ({"status": 422}, ("VALIDATION", "HTTP_422", "NOT_DONE")),
]


@pytest.fixture(scope="module")
async def account(elsewhere: ElsewhereWorld) -> int:
    return await elsewhere.account()


@dataclass(frozen=True, slots=True)
class Scene:
    """A contact who is known there, and one effect that is to be done to it."""

    world: ElsewhereWorld
    who: Somebody
    kind: Kind
    email: str
    """Whose the effect's request is."""
    attempt: action_pb2.Action

    async def misbehave(self, **rule: Any) -> None:
        await self.world.site.misbehave(f"{self.kind.request} {self.email}", **rule)

    async def once_more(self) -> action_pb2.ActionResult:
        self.attempt.attempt += 1
        return await self.world.crm.client.execute(self.attempt)

    async def times(self) -> int:
        """How often the effect is there."""
        site, name = self.world.site, self.kind.name
        if name == "create_contact":
            return len(await site.contacts(self.email))
        theirs = await site.contact(self.email)
        if name in ("add_to_campaign", "remove_from_campaign"):
            return len(await site.entries(self.email))
        found: dict[str, int] = {
            "add_tag": theirs["tags"].count("vip"),
            "remove_tag": 1 - theirs["tags"].count("old"),
            "update_contact": int(theirs.get("firstName") == "Grace" and len(theirs["customFields"]) == 1),
            "assign_to_user": int(theirs.get("assignedTo") == "sandboxUserAda000001"),
            "create_task": len(theirs["tasks"]),
            "add_note": len(theirs["notes"]),
        }
        opportunities = await site.opportunities(self.email)
        found["create_opportunity"] = sum(one["name"] == "New" for one in opportunities)
        found["move_pipeline_stage"] = sum(one["pipelineStageId"] == "stage-offer" for one in opportunities)
        return found[name]

    async def here(self) -> bool:
        """Whether what the engine reads of the contact shows it."""
        data, tags = await self.world.crm.record(self.who.contact_id, self.who.account)
        assert isinstance(data, dict)
        match self.kind.name:
            case "add_tag":
                return "vip" in tags
            case "remove_tag":
                return "old" not in tags
            case "update_contact":
                return bool(data.get("first_name") == "Grace")
            case _:
                return True


async def set_up(world: ElsewhereWorld, account: int, kind: Kind) -> Scene:
    who = await world.somebody(account)
    output(await world.do(who, "add_tag", {"tag": "old"}))
    if kind.name == "move_pipeline_stage":
        output(await world.do(who, "create_opportunity", SALES))
    email = f"{uuid.uuid4().hex}@example.com" if kind.name == "create_contact" else who.email
    return Scene(world, who, kind, email, action(who, kind.name, kind.configured(email)))


@pytest.fixture(params=KINDS, ids=[one.name for one in KINDS])
async def scene(elsewhere: ElsewhereWorld, account: int, request: pytest.FixtureRequest) -> Scene:
    return await set_up(elsewhere, account, request.param)


@pytest.mark.parametrize(("rule", "expected"), FAILURES, ids=[str(rule) for rule, _ in FAILURES])
async def test_failures_have_class_and_certainty_and_the_next_attempt_mends_them(
    scene: Scene, rule: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    """R-ERR-1: whatever the first attempt came to, there is one effect in the end, there and here.

    Into a workflow nobody is put twice: what is in doubt there stays so, and must not be tried again.
    """
    await scene.misbehave(**rule)
    result = await scene.world.crm.client.execute(scene.attempt)
    await scene.world.site.behave()
    if expected[1] == "HTTP_422" and scene.kind.name in OF_CONTACTS:
        expected = ("CONTACT_DATA", *expected[1:])
    assert kind_of(result) == expected
    assert result.failure.provider == "leadconnector"
    assert result.final == (scene.kind.name == "add_to_campaign" and expected[2] == "INDETERMINATE")
    assert not await scene.here() or scene.kind.name not in ("add_tag", "remove_tag", "update_contact")
    if expected[0] == "AUTHENTICATION":
        assert (await scene.once_more()).outcome == action_pb2.OUTCOME_DEFERRED
        await scene.world.choose(scene.who.account)
    again = await scene.once_more()
    if scene.kind.name == "add_to_campaign" and expected[2] == "INDETERMINATE":
        assert kind_of(again) == ("INDETERMINATE", "OUTCOME_UNKNOWN", "INDETERMINATE")
        assert again.final
        assert await scene.times() <= 1
        return
    assert output(again)
    repeatable = scene.kind.name == "remove_from_campaign"
    assert await scene.times() == 1 or repeatable
    assert await scene.here()


async def test_too_many_at_a_time_says_when_to_come_again(scene: Scene) -> None:
    """R-ERR-3: the lane is the account's, for all its crm actions."""
    await scene.misbehave(status=429, retry_after=7)
    result = await scene.world.crm.client.execute(scene.attempt)
    assert kind_of(result) == ("RATE_LIMIT", "HTTP_429", "NOT_DONE")
    assert (result.retry_after.ToTimedelta().total_seconds(), result.lane.lane) == (7, "crm")
    assert output(await scene.once_more())
    assert await scene.times() == 1


async def test_same_key_twice_and_at_once_is_one_effect(scene: Scene) -> None:
    """G5: and all deliveries are answered the same."""
    assert await scene.world.crm.once(scene.attempt)
    assert await scene.times() == 1
    assert await scene.here()


@pytest.mark.parametrize("taken", ["before", "after"])
async def test_reconcile_asks_leadconnector(scene: Scene, taken: str) -> None:
    """G5: what happened is found and kept here, what did not may be done; who is in a campaign is not told."""
    await scene.misbehave(hang=taken)
    assert kind_of(await scene.world.crm.client.execute(scene.attempt)) == LATE
    await scene.world.site.behave()
    found = await scene.world.crm.client.reconcile(scene.attempt, fence=2)
    if scene.kind.name in ("add_to_campaign", "remove_from_campaign"):
        assert found.finding == UNKNOWN
        return
    assert found.finding == (DONE if taken == "after" else NOT_DONE)
    if taken == "after":
        assert await scene.here()
    scene.attempt.fence = 3
    told = await scene.once_more()
    assert output(told)
    assert told.replayed == (taken == "after")
    assert await scene.times() == 1


async def test_a_process_that_died_right_after_its_effect(scene: Scene) -> None:
    """G5: between LeadConnector's answer and the ledger's outcome; its end is in the errand."""
    first = output(await scene.world.crm.client.execute(scene.attempt))
    execution_id = uuid.UUID(bytes=scene.attempt.effect_key.execution_id)
    await scene.world.crm.client.database.execute(
        "UPDATE effect_ledger SET state = 1, result = NULL, owner = gen_random_uuid(),"
        " deadline = now() - interval '1 second' WHERE execution_id = $1",
        execution_id,
    )
    found = await scene.world.crm.client.reconcile(scene.attempt, fence=2)
    assert found.finding == DONE
    assert output(found.result) == first
    assert await scene.times() == 1


async def test_a_contact_that_was_refused_and_made_all_the_same(
    elsewhere: ElsewhereWorld, account: int
) -> None:
    """R-ERR-1: LeadConnector is known to answer 422 to a contact it has made; it is looked for."""
    scene = await set_up(elsewhere, account, next(one for one in KINDS if one.name == "create_contact"))
    await elsewhere.site.ask("POST", "/contacts/", locationId="sandboxLocation00001", email=scene.email)
    # The first search finds nobody, as if it had been made after it.
    await elsewhere.site.misbehave(f"GET duplicate {scene.email}", status=200)
    result = await elsewhere.crm.client.execute(scene.attempt)
    await elsewhere.site.behave()
    assert output(result)["created"]
    assert await scene.times() == 1


async def test_tokens_and_addresses_that_are_refused(elsewhere: ElsewhereWorld) -> None:
    """R-ERR-1: a token refused is AUTHENTICATION, one for elsewhere AUTHORIZATION."""
    for settings, expected in (
        ({"token": "wrong"}, ("AUTHENTICATION", "HTTP_401", "NOT_DONE")),
        ({"location_id": "another"}, ("AUTHORIZATION", "HTTP_403", "NOT_DONE")),
        ({"base_url": "http://127.0.0.1:1"}, ("CONFIGURATION", "ADDRESS_REFUSED", "NOT_DONE")),
    ):
        who = await elsewhere.somebody(await elsewhere.account(**settings))
        assert kind_of(await elsewhere.do(who, "add_tag", {"tag": "x"})) == expected
        assert (await elsewhere.crm.record(who.contact_id, who.account))[1] == []


async def test_a_budget_that_ends_before_the_effect_leaves_no_doubt(
    elsewhere: ElsewhereWorld, account: int
) -> None:
    stranger = await elsewhere.somebody(account)
    await elsewhere.site.misbehave(f"GET duplicate {stranger.email}", hang="before")
    attempt = action(stranger, "add_to_campaign", {"campaign": "spring"})
    attempt.budget_ms = 400
    result = await elsewhere.crm.client.execute(attempt)
    await elsewhere.site.behave()
    assert kind_of(result) == ("TIMEOUT", "PAST_DEADLINE", "NOT_DONE")
    attempt.attempt, attempt.budget_ms = 2, 15_000
    assert output(await elsewhere.crm.client.execute(attempt))
    assert await elsewhere.site.entries(stranger.email) == [("POST", "sandboxWorkflow00001")]


async def test_a_budget_that_ends_while_the_entry_waits_for_its_turn_leaves_no_doubt(
    elsewhere: ElsewhereWorld,
) -> None:
    """G5: the contact has left, to enter anew; that did begin, but the entry itself provably did not."""
    account = await elsewhere.account()
    who, crowd = await elsewhere.somebody(account), await elsewhere.somebody(account)
    for known in (who, crowd):
        output(await elsewhere.do(known, "add_tag", {"tag": "known"}))
    await elsewhere.site.misbehave(f"DELETE workflow {who.email}", delay_s=1.5)
    await elsewhere.site.misbehave(f"POST tags {crowd.email}", hang="before", times=50)
    attempt = action(who, "add_to_campaign", {"campaign": "spring", "on_active": "restart"})
    attempt.budget_ms = 4_000  # the first word to the provider may take a while on a busy machine
    result, *_ = await asyncio.gather(
        elsewhere.crm.client.execute(attempt),
        *(elsewhere.do(crowd, "add_tag", {"tag": "busy"}) for _ in range(50)),
    )
    await elsewhere.site.behave()
    assert kind_of(result) == ("TIMEOUT", "TIMEOUT", "INDETERMINATE")
    attempt.attempt, attempt.budget_ms = 2, 15_000
    assert output(await elsewhere.crm.client.execute(attempt))
    assert [method for method, _ in await elsewhere.site.entries(who.email)].count("POST") == 1


async def test_an_account_that_is_answered_slowly_leaves_places_for_others(elsewhere: ElsewhereWorld) -> None:
    """R-LIMIT-3: of ninety attempts none is answered, and another account's, sent after them, goes on."""
    slow, other = await elsewhere.somebody(), await elsewhere.somebody()
    for known in (slow, other):
        output(await elsewhere.do(known, "add_tag", {"tag": "known"}))
    await elsewhere.site.misbehave(f"POST tags {slow.email}", hang="before", times=90)
    crowd = [action(slow, "add_tag", {"tag": "busy"}) for _ in range(90)]
    request = action_executor_pb2.ExecuteBatchRequest(
        actions=[*crowd, action(other, "add_tag", {"tag": "x"})]
    )
    order: list[int] = []
    stream = elsewhere.crm.client.stub.ExecuteBatch(request, timeout=TIMEOUT_S)
    async for chunk in stream:
        order += [one.index for one in chunk.results]
        if len(crowd) in order:
            break
    stream.cancel()
    await elsewhere.site.behave()
    assert len(order) <= 20
    assert await elsewhere.crm.record(other.contact_id, other.account) == ({}, ["known", "x"])
