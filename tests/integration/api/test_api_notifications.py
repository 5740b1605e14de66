"""A journey that tells the account's own people: providers chosen through AdminService, all processes real.

R-ACT: send_notification. R-ERR-1: a notification that is refused does not end the journey.
"""

from typing import Any
from uuid import uuid4

import pytest
from wayfarer.admin.v1 import admin_service_pb2 as admin_pb
from wayfarer.crm.v1 import crm_service_pb2 as crm_pb
from wayfarer.crm.v1.crm_service_pb2_grpc import CrmServiceStub
from wayfarer.execution.v1 import execution_pb2
from wayfarer.notification.v1 import notification_service_pb2 as shown
from wayfarer.notification.v1.notification_service_pb2_grpc import NotificationServiceStub

from services.local.demo_providers import choose_sandboxes
from services.local.sandboxes.slack import BOT_TOKEN
from services.runtime.grpc_client import open_channel
from tests.integration.api.test_api_channels import a_number, sandbox, texts_to, workflow_of
from tests.integration.api.world import TIMEOUT_S, Client, World, refused, struct

pytestmark = pytest.mark.usefixtures("worker")


async def choose(world: World, client: Client, token: str) -> None:
    request = admin_pb.SetProviderRequest(
        channel="slack",
        provider="slack",
        settings=struct({"channel": "#leads", "base_url": f"{world.stack.sandboxes_url}/slack"}),
        credentials={"bot_token": token},
    )
    await client.call(client.admin.SetProvider, request)


def telling(id: str, channel: str, title: str, **config: Any) -> dict[str, Any]:
    settings = {"channel": channel, "title": title, "body": "Call {{ contact.email }}", **config}
    return {"id": id, "type": "send_notification", "config": settings}


async def test_slack_and_the_inbox_are_told(world: World, client: Client) -> None:
    await choose(world, client, BOT_TOKEN)
    address, title = f"{uuid4()}@example.com", f"Lead {uuid4()}"
    contact = await client.contact(email=address)
    steps = telling("slack", "slack", title), telling("inbox", "in_app", title, recipients=["u1"])
    workflow = await client.publish(workflow_of(*steps))
    started = await client.start(workflow, contact.id)
    execution, log = await client.watched_to_end(started.execution.id)
    assert execution.status == execution_pb2.EXECUTION_STATUS_COMPLETED, execution
    assert [e.step_id for e in log if e.event == "action_completed"] == ["slack", "inbox"]
    (taken,) = [one for one in await sandbox(world, "/slack/messages") if title in one["text"]]
    assert (taken["to"], taken["text"]) == ("#leads", f"*{title}*\nCall {address}")
    target = f"127.0.0.1:{world.stack.ports.executor('internal')}"
    async with open_channel(target) as channel:
        request = shown.ListNotificationsRequest(account_id=client.account_id, user_id="u1")
        page = await NotificationServiceStub(channel).ListNotifications(request, timeout=TIMEOUT_S)
    assert [(one.title, one.body) for one in page.notifications] == [(title, f"Call {address}")]


async def test_a_refused_login_does_not_end_the_journey(world: World, client: Client) -> None:
    await choose(world, client, "xoxb-revoked")
    contact = await client.contact(email=f"{uuid4()}@example.com")
    branch = {
        "id": "how",
        "type": "if",
        "config": {"condition": "steps.slack.sent == false", "then": "tag", "else": "end"},
    }
    tag = {"id": "tag", "type": "add_tag", "config": {"tag": "nobody_told"}}
    workflow = await client.publish(workflow_of(telling("slack", "slack", "Lead"), branch, tag))
    execution, _ = await client.watched_to_end((await client.start(workflow, contact.id)).execution.id)
    assert execution.status == execution_pb2.EXECUTION_STATUS_COMPLETED, execution
    assert "nobody_told" in (await client.read_contact(contact.id)).tags


async def test_choices_of_both_families_are_listed_without_their_secrets(
    world: World, client: Client
) -> None:
    await choose(world, client, BOT_TOKEN)
    listed = await client.call(client.admin.ListProviders, admin_pb.ListProvidersRequest())
    (one,) = listed.providers
    assert (one.channel, one.provider, list(one.credential_names)) == ("slack", "slack", ["bot_token"])
    assert BOT_TOKEN not in str(listed)
    await client.call(client.admin.RemoveProvider, admin_pb.RemoveProviderRequest(channel="slack"))
    assert not (await client.call(client.admin.ListProviders, admin_pb.ListProvidersRequest())).providers


async def test_the_contacts_owner_and_a_role_are_texted(world: World, client: Client) -> None:
    """R-ACT: send_notification by sms goes through the account's sms provider, to the owner whom an earlier step
    has chosen and to the users of a role."""
    await choose_sandboxes(world.stack.address, client.key, world.stack.sandboxes_url)
    owner, manager, title = a_number(), a_number(), f"Lead {uuid4()}"
    async with open_channel(f"127.0.0.1:{world.stack.ports.executor('crm')}") as channel:
        user = crm_pb.User(user_id="ada", name="Ada", active=True)
        put = crm_pb.PutUserRequest(account_id=client.account_id, user=user)
        await CrmServiceStub(channel).PutUser(put, timeout=TIMEOUT_S)
    async with open_channel(f"127.0.0.1:{world.stack.ports.executor('internal')}") as channel:
        for user_id, phone, roles in (("ada", owner, []), ("bob", manager, ["manager"])):
            reached = shown.User(user_id=user_id, phone=phone, roles=roles)
            request = shown.PutUserRequest(account_id=client.account_id, user=reached)
            await NotificationServiceStub(channel).PutUser(request, timeout=TIMEOUT_S)
    contact = await client.contact(phone=a_number())
    give = {"id": "give", "type": "assign_to_user", "config": {"user_ids": ["ada"]}}
    tell = telling("tell", "sms", title, recipients=["owner", "role:manager"], body="For {{ contact.owner }}")
    workflow = await client.publish(workflow_of(give, tell))
    execution, _ = await client.watched_to_end((await client.start(workflow, contact.id)).execution.id)
    assert execution.status == execution_pb2.EXECUTION_STATUS_COMPLETED, execution
    for number in (owner, manager):
        assert [one["body"] for one in await texts_to(world, number)] == [f"{title}\nFor ada"]
    listed = await client.call(client.admin.ListProviders, admin_pb.ListProvidersRequest())
    assert [one.channel for one in listed.providers].count("sms") == 1


async def test_a_choice_of_sms_that_is_refused_changes_nothing(world: World, client: Client) -> None:
    """R-ACT: whichever family is asked, texts to users go on through the choice that stands."""
    await choose_sandboxes(world.stack.address, client.key, world.stack.sandboxes_url)
    listed = await client.call(client.admin.ListProviders, admin_pb.ListProvidersRequest())
    faulty = admin_pb.SetProviderRequest(
        channel="sms", provider="twilio", settings=struct({"account_sid": "x"})
    )
    assert (await refused(client.call(client.admin.SetProvider, faulty))).rules
    unknown = admin_pb.SetProviderRequest(channel="sms", provider="pigeon")
    assert (await refused(client.call(client.admin.SetProvider, unknown))).reason == "PROVIDER_NOT_FOUND"
    assert await client.call(client.admin.ListProviders, admin_pb.ListProvidersRequest()) == listed
    number, contact = a_number(), await client.contact()
    workflow = await client.publish(workflow_of(telling("tell", "sms", "Lead", recipients=[number])))
    await client.watched_to_end((await client.start(workflow, contact.id)).execution.id)
    assert len(await texts_to(world, number)) == 1
