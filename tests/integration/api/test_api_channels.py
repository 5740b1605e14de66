"""Messages by every channel against the providers' sandboxes, and what comes back from them.

R-ACT, R-SEND, A-5, A-49: real gateway, real callbacks over HTTP with their signatures.
"""

import re
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from wayfarer.admin.v1 import admin_service_pb2 as admin_pb
from wayfarer.crm.v1 import consent_service_pb2 as consent_pb
from wayfarer.event.v1 import event_service_pb2 as event_pb
from wayfarer.execution.v1 import execution_pb2

from services.local.demo_providers import choose_sandboxes
from tests.integration.api.world import Client, World, refused, struct, until

pytestmark = pytest.mark.usefixtures("worker")


def a_number() -> str:
    return f"+1415{uuid4().int % 10**7:07d}"


@pytest.fixture
async def phoning(world: World, client: Client) -> Client:
    """A caller whose account has chosen the sandboxes."""
    await choose_sandboxes(world.stack.address, client.key, world.stack.sandboxes_url)
    return client


async def sandbox(world: World, path: str, body: dict[str, Any] | None = None) -> Any:
    async with aiohttp.ClientSession() as session:
        url = world.stack.sandboxes_url + path
        answer = await (session.post(url, json=body) if body is not None else session.get(url))
        assert answer.status < 300, await answer.text()
        return await answer.json()


async def texts_to(world: World, number: str) -> list[dict[str, Any]]:
    return [one for one in await sandbox(world, "/twilio/messages") if one["to"] == number]


async def writes(world: World, client: Client, number: str, body: str) -> None:
    """Somebody sends us a text."""
    url = f"{world.stack.gateway_url}/callbacks/twilio/sms/accounts/{client.account_id}"
    answer = await sandbox(world, "/twilio/_control/inbound", {"from": number, "body": body, "url": url})
    assert answer["status"] == 200


def workflow_of(*steps: dict[str, Any], **settings: Any) -> dict[str, Any]:
    common = {"reentry": "always", "dedup_window": "0s", **settings}
    return {"key": f"channels-{uuid4()}", "settings": common, "steps": list(steps)}


def texting(id: str = "text", **config: Any) -> dict[str, Any]:
    return {"id": id, "type": "send_sms", "config": {"body": "Hello", **config}}


async def completed(client: Client, workflow: str, contact_id: str) -> list[Any]:
    started = await client.start(workflow, contact_id)
    execution, log = await client.watched_to_end(started.execution.id)
    assert execution.status == execution_pb2.EXECUTION_STATUS_COMPLETED, execution
    return log


async def event_types(client: Client, contact_id: str) -> set[str]:
    answer: event_pb.ListEventsResponse = await client.call(
        client.events.ListEvents, event_pb.ListEventsRequest(contact_id=contact_id)
    )
    return {event.type for event in answer.events}


async def test_an_email_a_tag_and_a_text_arrive_in_order(world: World, phoning: Client) -> None:
    """A-5."""
    address, number = f"{uuid4()}@example.com", a_number()
    contact = await phoning.contact(email=address, phone=number)
    mail = {"id": "mail", "type": "send_email", "config": {"subject": "Hi", "text": "Hello"}}
    tag = {"id": "tag", "type": "add_tag", "config": {"tag": "greeted"}}
    log = await completed(phoning, await phoning.publish(workflow_of(mail, tag, texting())), contact.id)
    assert [e.step_id for e in log if e.event == "action_completed"] == ["mail", "tag", "text"]
    assert len(await world.mails_to(address)) == 1
    assert [one["body"] for one in await texts_to(world, number)] == ["Hello"]
    assert "greeted" in (await phoning.read_contact(contact.id)).tags

    async def delivered() -> bool:
        return {"sms_sent", "sms_delivered"} <= await event_types(phoning, contact.id)

    await until(delivered)


async def test_stop_by_text_holds_for_what_waits_and_start_lifts_it(world: World, phoning: Client) -> None:
    """A-49: any later text is suppressed, also of an execution that waits already; e-mail goes on."""
    address, number = f"{uuid4()}@example.com", a_number()
    contact = await phoning.contact(email=address, phone=number)
    wait = {"id": "wait", "type": "wait_for_event", "config": {"events": ["form_submitted"], "timeout": "1d"}}
    mail = {"id": "mail", "type": "send_email", "config": {"subject": "Hi", "text": "Hello"}}
    workflow = await phoning.publish(workflow_of(wait, texting(), mail))
    waiting = (await phoning.start(workflow, contact.id)).execution.id
    await phoning.reaches(waiting, "WAITING")
    await writes(world, phoning, number, " stop ")
    await phoning.publish_event(contact.id, "form_submitted")
    _, log = await phoning.watched_to_end(waiting)
    (blocked,) = [e for e in log if e.event == "opt_out_blocked"]
    assert dict(blocked.detail)["reason"] == "STOP"
    assert not await texts_to(world, number)
    assert len(await world.mails_to(address)) == 1
    direct = await phoning.publish(workflow_of(texting(category="transactional")))
    assert "opt_out_blocked" in [e.event for e in await completed(phoning, direct, contact.id)]
    await writes(world, phoning, number, "START")
    await completed(phoning, direct, contact.id)
    assert len(await texts_to(world, number)) == 1


async def test_stop_from_a_number_that_nobody_has_holds_for_whoever_gets_it(
    world: World, phoning: Client
) -> None:
    number = a_number()
    await writes(world, phoning, number, "STOP")
    contact = await phoning.contact(phone=number)
    workflow = await phoning.publish(workflow_of(texting()))
    assert "opt_out_blocked" in [e.event for e in await completed(phoning, workflow, contact.id)]
    other = await phoning.contact(phone=a_number())
    spelt = f"{number[:2]} ({number[2:5]}) {number[5:8]}-{number[8:]}"
    foreign = await phoning.publish(workflow_of(texting(to=spelt)))
    assert "opt_out_blocked" in [e.event for e in await completed(phoning, foreign, other.id)]
    assert not await texts_to(world, number)


async def test_suppressed_messenger_ids_get_nothing(world: World, phoning: Client) -> None:
    person = str(uuid4().int % 10**15)
    contact = await phoning.contact(fields=struct({"messenger_id": person}))
    request = consent_pb.SuppressAddressRequest(channel=consent_pb.CHANNEL_MESSENGER, address=person)
    await phoning.call(phoning.consents.SuppressAddress, request)
    step = {"id": "write", "type": "send_messenger", "config": {"text": "Hi", "messaging_type": "UPDATE"}}
    log = await completed(phoning, await phoning.publish(workflow_of(step)), contact.id)
    assert "opt_out_blocked" in [e.event for e in log]


async def test_a_reply_resumes_the_execution_that_waits_for_it(world: World, phoning: Client) -> None:
    number = a_number()
    contact = await phoning.contact(phone=number)
    wait = {
        "id": "answer",
        "type": "wait_for_event",
        "config": {"events": ["sms_reply"], "timeout": "1d", "on_timeout": "end"},
    }
    tag = {"id": "tag", "type": "add_tag", "config": {"tag": "answered"}}
    workflow = await phoning.publish(workflow_of(texting(), wait, tag))
    execution_id = (await phoning.start(workflow, contact.id)).execution.id
    await phoning.reaches(execution_id, "WAITING")
    await writes(world, phoning, number, "Yes please")
    await phoning.watched_to_end(execution_id)
    assert "answered" in (await phoning.read_contact(contact.id)).tags


async def test_a_number_that_takes_no_texts_is_suppressed(world: World, phoning: Client) -> None:
    """The provider's code says so; the next text is not tried, and no attempt is spent."""
    number = a_number()
    contact = await phoning.contact(phone=number)
    await sandbox(world, "/twilio/_control/next", {"match": number, "status": 400, "code": 21614})
    workflow = await phoning.publish(workflow_of(texting()))
    first = await completed(phoning, workflow, contact.id)
    assert "skipped_non_retryable_error" in [e.event for e in first]
    again = await completed(phoning, workflow, contact.id)
    assert "opt_out_blocked" in [e.event for e in again]
    assert "action_started" not in [e.event for e in again]


async def test_a_call_is_pending_until_the_provider_tells_how_it_ended(world: World, phoning: Client) -> None:
    """The callback wakes the execution; what it came to can be branched on."""
    number = a_number()
    contact = await phoning.contact(phone=number)
    call = {"id": "call", "type": "make_call", "config": {"text": "Hello", "machine_detection": "detect"}}
    branch = {
        "id": "how",
        "type": "if",
        "config": {"condition": "steps.call.status == 'completed'", "then": "reached", "else": "end"},
    }
    tag = {"id": "reached", "type": "add_tag", "config": {"tag": "reached"}}
    workflow = await phoning.publish(workflow_of(call, branch, tag))
    log = await completed(phoning, workflow, contact.id)
    assert [e.event for e in log if e.step_id == "call"][-2:] == ["action_pending", "action_completed"]
    assert "reached" in (await phoning.read_contact(contact.id)).tags
    assert "call_completed" in await event_types(phoning, contact.id)


async def test_a_word_that_is_quicker_than_the_answer_is_heard(world: World, phoning: Client) -> None:
    """The call is over before the provider has answered that it took it: no minute is waited for the next look."""
    number = a_number()
    contact = await phoning.contact(phone=number)
    await sandbox(world, "/twilio/_control/next", {"match": number, "delay_s": 2.0})
    call = {"id": "call", "type": "make_call", "config": {"text": "Hello"}}
    log = await completed(phoning, await phoning.publish(workflow_of(call)), contact.id)
    pending, done = (e for e in log if e.event in ("action_pending", "action_completed"))
    assert (done.time.ToDatetime() - pending.time.ToDatetime()).total_seconds() < 30


async def test_messenger_goes_to_the_page_scoped_id(world: World, phoning: Client) -> None:
    person = str(uuid4().int % 10**15)
    contact = await phoning.contact(fields=struct({"messenger_id": person}))
    step = {"id": "write", "type": "send_messenger", "config": {"text": "Hi", "messaging_type": "UPDATE"}}
    await completed(phoning, await phoning.publish(workflow_of(step)), contact.id)
    taken = [one for one in await sandbox(world, "/meta/messages") if one["to"] == person]
    assert len(taken) == 1


async def test_clicks_and_one_click_unsubscribes_become_events(world: World, client: Client) -> None:
    """RFC 8058: a POST unsubscribes, a GET only asks; a link leads on and is counted; forged ones do nothing."""
    address = f"{uuid4()}@example.com"
    contact = await client.contact(email=address)
    html = '<p><a href="https://example.com/offer?a=1">Offer</a></p>'
    config = {"subject": "Hi", "html": html, "track_clicks": True, "track_opens": True}
    workflow = await client.publish(workflow_of({"id": "mail", "type": "send_email", "config": config}))
    await completed(client, workflow, contact.id)
    (mail,) = await world.mails_to(address)
    raw = str(mail)
    base = re.escape(world.stack.gateway_url)
    async with aiohttp.ClientSession() as session:
        link = re.findall(rf"{base}/c/[^\"'<>\s\\]+", raw)[0].replace("&amp;", "&")
        answer = await session.get(link, allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (302, "https://example.com/offer?a=1")
        assert (await session.get(link[:-3] + "AAA", allow_redirects=False)).status == 403
        opened = await session.get(re.findall(rf"{base}/o/[^\"'<>\s\\]+", raw)[0])
        assert opened.content_type == "image/gif"
        leave = re.findall(rf"{base}/u/[^\"'<>\s\\,]+", raw)[0]
        assert (await session.get(leave)).status == 200
        assert await event_types(client, contact.id) == {"email_clicked", "email_opened"}
        for _ in range(2):
            answer = await session.post(leave, data={"List-Unsubscribe": "One-Click"})
            assert answer.status == 200
    assert "email_unsubscribed" in await event_types(client, contact.id)
    log = await completed(client, workflow, contact.id)
    assert "opt_out_blocked" in [e.event for e in log]
    said: consent_pb.GetConsentsResponse = await client.call(
        client.consents.GetConsents, consent_pb.GetConsentsRequest(contact_id=contact.id)
    )
    assert [(one.channel, one.granted) for one in said.consents] == [(consent_pb.CHANNEL_EMAIL, False)]


async def test_forged_callbacks_and_strangers_are_turned_away(world: World, phoning: Client) -> None:
    url = f"{world.stack.gateway_url}/callbacks/twilio/sms"
    async with aiohttp.ClientSession() as session:
        forged = {"From": a_number(), "Body": "STOP", "MessageSid": "SM1"}
        own = f"{url}/accounts/{phoning.account_id}"
        assert (await session.post(own, data=forged)).status == 403
        signed = {"X-Twilio-Signature": "AAAA"}
        assert (await session.post(own, data=forged, headers=signed)).status == 403
        assert (await session.post(f"{url}/accounts/999999999", data=forged)).status == 404
        assert (await session.post(f"{url}/nonsense", data=forged)).status == 404
        assert (await session.post(own, data=b"x" * 1_100_000)).status == 413


async def test_providers_are_chosen_and_credentials_never_come_back(world: World, phoning: Client) -> None:
    """Every fault is named; a member's key may not choose."""
    answer: admin_pb.ListProvidersResponse = await phoning.call(
        phoning.admin.ListProviders, admin_pb.ListProvidersRequest()
    )
    assert {(one.channel, one.provider) for one in answer.providers} == {
        ("sms", "twilio"),
        ("voice", "twilio"),
        ("messenger", "meta"),
        ("slack", "slack"),
    }
    shown = {one.channel: list(one.credential_names) for one in answer.providers}
    assert (shown["sms"], shown["slack"]) == (["auth_token"], ["bot_token"])
    assert "sandbox-auth-token" not in str(answer)
    wrong = admin_pb.SetProviderRequest(channel="sms", provider="twilio", credentials={"pass": "x"})
    wrong.settings.update({"account_sid": "nonsense", "base_url": "ftp://x"})
    refusal = await refused(phoning.call(phoning.admin.SetProvider, wrong))
    assert {"settings.account_sid", "settings.base_url"} <= set(refusal.rules)
    assert any(path.startswith("credentials") for path in refusal.rules)
    unknown = admin_pb.SetProviderRequest(channel="sms", provider="pigeon")
    assert (await refused(phoning.call(phoning.admin.SetProvider, unknown))).reason == "PROVIDER_NOT_FOUND"
    nowhere = admin_pb.SetProviderRequest(channel="fax", provider="twilio")
    assert (await refused(phoning.call(phoning.admin.SetProvider, nowhere))).reason == "CHANNEL_NOT_FOUND"
    await phoning.call(phoning.admin.RemoveProvider, admin_pb.RemoveProviderRequest(channel="voice"))
    left = await phoning.call(phoning.admin.ListProviders, admin_pb.ListProvidersRequest())
    assert {one.channel for one in left.providers} == {"sms", "messenger", "slack"}


async def test_create_contact_makes_one_that_can_be_read_and_written_to(world: World, client: Client) -> None:
    """The contact stands in both databases, its creation is an event, and the same address is not made twice."""
    address = f"{uuid4()}@example.com"
    step = {
        "id": "make",
        "type": "create_contact",
        "config": {"email": address, "first_name": "Fay", "tags": ["friend"], "on_duplicate": "update"},
    }
    told = {"triggers": [{"event": "contact_created"}]}
    listens = await client.publish(
        workflow_of({"id": "tag", "type": "add_tag", "config": {"tag": "seen"}}, **told)
    )
    me = await client.contact(email=f"{uuid4()}@example.com")
    log = await completed(client, await client.publish(workflow_of(step)), me.id)
    assert [e.event for e in log if e.step_id == "make"][-1] == "action_completed"

    async def greeted() -> str:
        listed = await client.listed(workflow=listens)
        done = [e for e in listed.executions if e.status == execution_pb2.EXECUTION_STATUS_COMPLETED]
        return next((e.contact_id for e in done if e.contact_id != me.id), "")

    made = await client.read_contact(await until(greeted))
    assert (made.email, made.first_name) == (address, "Fay")
    assert {"friend", "seen"} <= set(made.tags)
    await completed(client, await client.publish(workflow_of({**step, "id": "again"})), me.id)
    assert (await client.read_contact(made.id)).email == address
    assert not any((await client.verify()).values())
