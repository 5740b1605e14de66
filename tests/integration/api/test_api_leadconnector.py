"""An account whose crm is at LeadConnector, through the whole stack: every crm type in one workflow.

R-ACT: the sandbox shows each effect once, and what the engine reads of the contact shows it too.
"""

from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from wayfarer.admin.v1 import admin_service_pb2 as admin_pb
from wayfarer.crm.v1 import crm_service_pb2 as crm_pb
from wayfarer.crm.v1.crm_service_pb2_grpc import CrmServiceStub
from wayfarer.execution.v1 import execution_pb2

from services.local.sandboxes.leadconnector_records import LOCATION, TOKEN
from tests.integration.api.example_runs import crm_channel
from tests.integration.api.world import TIMEOUT_S, Client, World, refused

pytestmark = pytest.mark.usefixtures("worker")

SETTINGS: dict[str, Any] = {
    "location_id": LOCATION,
    "users": {"ada": "sandboxUserAda000001"},
    "pipelines": {
        "sales": {"id": "sandboxPipeline00001", "stages": {"new": "stage-new", "offer": "stage-offer"}}
    },
    "workflows": {"spring": "sandboxWorkflow00001"},
    "fields": {"plan": "sandboxFieldPlan0001"},
}
STEPS: list[dict[str, Any]] = [
    {"id": "tag", "type": "add_tag", "config": {"tags": ["lead", "cold"]}},
    {"id": "untag", "type": "remove_tag", "config": {"tag": "cold"}},
    {
        "id": "fields",
        "type": "update_contact",
        "config": {"set": {"first_name": "Ada", "fields.plan": "pro"}},
    },
    {
        "id": "who",
        "type": "if",
        "config": {"condition": "'lead' in contact.tags", "then": "own", "else": "end"},
    },
    {"id": "own", "type": "assign_to_user", "config": {"user_ids": ["ada"]}},
    {"id": "note", "type": "add_note", "config": {"body": "Plan: {{ contact.fields.plan }}"}},
    {
        "id": "task",
        "type": "create_task",
        "config": {"title": "Call", "due_in": {"amount": 1, "unit": "days"}, "assigned_to": "owner"},
    },
    {"id": "in", "type": "add_to_campaign", "config": {"campaign": "spring"}},
    {"id": "out", "type": "remove_from_campaign", "config": {"campaign": "spring"}},
    {
        "id": "deal",
        "type": "create_opportunity",
        "config": {"pipeline": "sales", "stage": "new", "name": "Pro", "value": 99},
    },
    {
        "id": "move",
        "type": "move_pipeline_stage",
        "config": {
            "pipeline": "sales",
            "stage": "offer",
            "opportunity_id": "{{ steps.deal.opportunity_id }}",
        },
    },
]


async def choose(world: World, client: Client) -> None:
    """Choose LeadConnector, as an administrator does, and let it know a user of ours."""
    choice = admin_pb.SetProviderRequest(
        channel="crm", provider="leadconnector", credentials={"access_token": TOKEN}
    )
    refusal = await refused(client.call(client.admin.SetProvider, choice))
    assert set(refusal.rules) == {"settings.location_id"}
    choice.settings.update({**SETTINGS, "base_url": f"{world.stack.sandboxes_url}/leadconnector"})
    await client.call(client.admin.SetProvider, choice)
    async with crm_channel(world) as channel:
        user = crm_pb.User(user_id="ada", name="Ada", active=True)
        request = crm_pb.PutUserRequest(account_id=client.account_id, user=user)
        await CrmServiceStub(channel).PutUser(request, timeout=TIMEOUT_S)


async def test_every_crm_type_of_an_account_at_leadconnector_is_done_there_once(
    world: World, client: Client
) -> None:
    """R-ACT: later steps read what earlier ones did, as ever; a first answer that is lost changes nothing."""
    await choose(world, client)
    key, email, friend = f"lc-{uuid4()}", f"{uuid4().hex}@example.com", f"{uuid4().hex}@example.com"
    made = {"id": "friend", "type": "create_contact", "config": {"email": friend, "tags": ["friend"]}}
    await client.publish({"key": key, "steps": [*STEPS, made]})
    contact = await client.contact(email=email)
    async with aiohttp.ClientSession() as session:
        site = f"{world.stack.sandboxes_url}/leadconnector/_control"
        rule = {"match": f"POST notes {email}", "status": 429, "retry_after": 0}
        await session.post(f"{site}/next", json=rule)
        execution, _ = await client.watched_to_end((await client.start(key, contact.id)).execution.id)
        assert execution.status == execution_pb2.EXECUTION_STATUS_COMPLETED, execution
        state = await (await session.get(f"{site}/state")).json()
    (theirs,) = [one for one in state["contacts"] if one.get("email") == email]
    assert (theirs["firstName"], theirs["tags"]) == ("Ada", ["lead"])
    assert theirs["assignedTo"] == "sandboxUserAda000001"
    assert theirs["customFields"] == [{"id": "sandboxFieldPlan0001", "value": "pro"}]
    assert [one["body"].partition("\n")[0] for one in theirs["notes"]] == ["Plan: pro"]
    assert [(one["title"], one["assignedTo"]) for one in theirs["tasks"]] == [
        ("Call", "sandboxUserAda000001")
    ]
    entries = [(one["method"], one["id"]) for one in state["entries"] if one["contactId"] == theirs["id"]]
    assert entries == [("POST", "sandboxWorkflow00001"), ("DELETE", "sandboxWorkflow00001")]
    deals = [one for one in state["opportunities"] if one["contactId"] == theirs["id"]]
    assert [(one["name"], one["pipelineStageId"]) for one in deals] == [("Pro", "stage-offer")]
    (other,) = [one for one in state["contacts"] if one.get("email") == friend]
    assert other["tags"] == ["friend"]
    kept = await client.read_contact(contact.id)
    assert (kept.first_name, list(kept.tags)) == ("Ada", ["lead"])
    log = await client.log_of(execution.id)
    assert log.count("action_completed") == len(STEPS)
    assert "rate_limit_hit" in log


async def test_what_leadconnector_does_not_tell_is_unknown_and_not_done_again(
    world: World, client: Client
) -> None:
    """R-ACT: a workflow it may have put the contact into, the answer being lost; the step's on_unknown decides."""
    await choose(world, client)
    key, email = f"doubt-{uuid4()}", f"{uuid4().hex}@example.com"
    enter = {"id": "in", "type": "add_to_campaign", "config": {"campaign": "spring"}, "on_unknown": "hold"}
    await client.publish({"key": key, "steps": [enter]})
    contact = await client.contact(email=email)
    async with aiohttp.ClientSession() as session:
        site = f"{world.stack.sandboxes_url}/leadconnector/_control"
        await session.post(f"{site}/next", json={"match": f"POST workflow {email}", "lose": "after"})
        started = await client.start(key, contact.id)
        held = await client.reaches(started.execution.id, "PAUSED")
        state = await (await session.get(f"{site}/state")).json()
    assert held.reason == "outcome_unknown"
    (theirs,) = [one for one in state["contacts"] if one.get("email") == email]
    assert [one["method"] for one in state["entries"] if one["contactId"] == theirs["id"]] == ["POST"]
    assert "retry_scheduled" not in await client.log_of(held.id)


async def test_a_slow_leadconnector_holds_up_nobody_else(world: World, client: Client) -> None:
    """R-ACT: actions of an account elsewhere wait apart from those that are one transaction here."""
    await choose(world, client)
    key = f"slow-{uuid4()}"
    await client.publish({"key": key, "steps": [STEPS[0]]})
    first = await client.contact(email=f"{uuid4().hex}@example.com")
    await client.watched_to_end((await client.start(key, first.id)).execution.id)  # now the worker knows
    slow = f"{uuid4().hex}.example.com"
    other = await world.client()
    await other.publish({"key": "quick", "steps": [STEPS[0]]})
    async with aiohttp.ClientSession() as session:
        site = f"{world.stack.sandboxes_url}/leadconnector/_control/next"
        await session.post(site, json={"match": f"@{slow}", "times": 8, "hang": "before"})
        held = []
        for nth in range(3):
            contact = await client.contact(email=f"slow{nth}@{slow}")
            held.append((await client.start(key, contact.id)).execution.id)
            await client.reaches(held[-1], "ACTIVE")
        contact = await other.contact(email=f"{uuid4().hex}@example.com")
        quick, _ = await other.watched_to_end((await other.start("quick", contact.id)).execution.id)
        assert quick.status == execution_pb2.EXECUTION_STATUS_COMPLETED
        for execution_id in held:
            assert not {"action_completed", "action_failed"} & set(await client.log_of(execution_id))
        await session.delete(site)
