"""Messenger, there and back: a page-scoped id is an address of its contact, against Meta's sandbox.

R-SEND, R-ACT: real gateway, real callbacks over HTTP with their signatures.
"""

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from wayfarer.crm.v1 import consent_service_pb2 as consent_pb
from wayfarer.crm.v1 import contact_service_pb2 as contact_pb

from services.local.bootstrap import database_of
from tests.integration.api.test_api_channels import (
    completed,
    event_types,
    phoning,
    sandbox,
    workflow_of,
)
from tests.integration.api.test_api_contacts import upsert
from tests.integration.api.world import Client, World, struct, until

pytestmark = pytest.mark.usefixtures("worker")
__all__ = ["phoning"]

REPLY: dict[str, Any] = {"events": ["messenger_reply"], "timeout": "1d", "on_timeout": "end"}


def a_person() -> str:
    return str(uuid4().int % 10**15)


def writing(id: str = "write", **config: Any) -> dict[str, Any]:
    return {"id": id, "type": "send_messenger", "config": {"text": "Hi", **config}}


def step(id: str, type: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"id": id, "type": type, "config": config}


async def known_as(client: Client, person: str) -> str:
    """A contact with a page-scoped id."""
    return (await client.contact(fields=struct({"messenger_id": person}))).id


async def writes(world: World, client: Client, person: str, text: str) -> None:
    """Somebody writes to the page."""
    url = f"{world.stack.gateway_url}/callbacks/meta/messenger/accounts/{client.account_id}"
    answer = await sandbox(world, "/meta/_control/inbound", {"from": person, "text": text, "url": url})
    assert answer["status"] == 200


async def written_to(world: World, person: str) -> int:
    return len([one for one in await sandbox(world, "/meta/messages") if one["to"] == person])


async def suppressions(client: Client, contact_id: str) -> list[tuple[int, str]]:
    request = consent_pb.GetConsentsRequest(contact_id=contact_id)
    answer = await client.call(client.consents.GetConsents, request)
    return [(one.channel, one.reason) for one in answer.suppressions]


async def waits_for_reply(client: Client, contact_id: str) -> str:
    """An execution that waits for what the contact writes, and tags it then."""
    wait, tag = step("answer", "wait_for_event", REPLY), step("tag", "add_tag", {"tag": "answered"})
    workflow = await client.publish(workflow_of(wait, tag))
    execution_id = (await client.start(workflow, contact_id)).execution.id
    await client.reaches(execution_id, "WAITING")
    return execution_id


async def answers(world: World, client: Client, person: str, contact_id: str) -> None:
    """What the person writes resumes an execution of the contact."""
    execution_id = await waits_for_reply(client, contact_id)
    await writes(world, client, person, "Yes please")
    await client.watched_to_end(execution_id)
    assert "answered" in (await client.read_contact(contact_id)).tags


async def test_a_reply_resumes_what_waits_for_it(world: World, phoning: Client) -> None:
    """R-ACT: what somebody writes to the page is an event of the contact with that page-scoped id."""
    person = a_person()
    contact_id = await known_as(phoning, person)
    await completed(phoning, await phoning.publish(workflow_of(writing())), contact_id)
    await answers(world, phoning, person, contact_id)


async def test_stop_by_messenger_holds_and_start_lifts_it(world: World, phoning: Client) -> None:
    """R-SEND: STOP to the page suppresses the page-scoped id, for whoever has it; START lifts that."""
    person = a_person()
    first, second = await known_as(phoning, person), await known_as(phoning, person)
    workflow = await phoning.publish(workflow_of(writing(category="transactional")))
    await writes(world, phoning, person, " stop ")
    for contact_id in (first, second):
        log = await completed(phoning, workflow, contact_id)
        (blocked,) = [one for one in log if one.event == "opt_out_blocked"]
        assert dict(blocked.detail)["reason"] == "STOP"
    assert await written_to(world, person) == 0
    assert await suppressions(phoning, first) == [(consent_pb.CHANNEL_MESSENGER, "STOP")]
    await writes(world, phoning, person, "START")
    assert await suppressions(phoning, first) == []
    await completed(phoning, workflow, first)
    assert await written_to(world, person) == 1


async def test_stop_of_somebody_unknown_holds_for_who_gets_the_id(world: World, phoning: Client) -> None:
    """R-SEND: a STOP by messenger of nobody's is kept."""
    person = a_person()
    await writes(world, phoning, person, "STOP")
    contact_id = await known_as(phoning, person)
    log = await completed(phoning, await phoning.publish(workflow_of(writing())), contact_id)
    assert "opt_out_blocked" in [one.event for one in log]


async def test_an_id_that_a_contact_is_given_later_finds_it(world: World, phoning: Client) -> None:
    """R-ACT: the id may come by UpdateContact, by an upsert, and by update_contact and create_contact."""
    by_mask, by_upsert, by_action, by_creation = (a_person() for _ in range(4))
    contact = await phoning.contact(external_id="x")
    await phoning.update_contact(contact.id, "fields.messenger_id", fields=struct({"messenger_id": by_mask}))
    await answers(world, phoning, by_mask, contact.id)
    await upsert(phoning, external_id="x", fields=struct({"messenger_id": by_upsert}))
    await answers(world, phoning, by_upsert, contact.id)
    setting = step("set", "update_contact", {"set": {"fields.messenger_id": by_action}})
    address = f"{uuid4()}@example.com"
    making = step("make", "create_contact", {"email": address, "fields": {"messenger_id": by_creation}})
    log = await completed(phoning, await phoning.publish(workflow_of(setting, making)), contact.id)
    assert [one.step_id for one in log if one.event == "action_completed"] == ["set", "make"]
    await answers(world, phoning, by_action, contact.id)
    listed = await phoning.call(phoning.contacts.ListContacts, contact_pb.ListContactsRequest())
    (made,) = [one for one in listed.contacts if one.email == address]
    await answers(world, phoning, by_creation, made.id)


async def test_an_id_that_is_taken_away_finds_nobody(world: World, phoning: Client) -> None:
    person = a_person()
    contact_id = await known_as(phoning, person)
    await phoning.update_contact(contact_id, "fields", fields=struct({"plan": "pro"}))
    await writes(world, phoning, person, "Hello?")
    other = await known_as(phoning, person)
    await writes(world, phoning, person, "Hello again")
    assert "messenger_reply" in await event_types(phoning, other)
    assert "messenger_reply" not in await event_types(phoning, contact_id)


async def test_contacts_of_before_are_hashed_by_themselves(world: World, phoning: Client) -> None:
    """R-SEND: a contact that is older than the hashes is found by all its addresses once the sweep has seen it."""
    person, address = a_person(), f"{uuid4()}@example.com"
    made = await phoning.contact(email=address, phone="+14155550123", fields=struct({"messenger_id": person}))
    row = await world.owner.fetchrow(HASHES, UUID(made.id))
    await forget_hashes(world, made.id)
    await until(lambda: has_hashes(world, made.id, row))
    await answers(world, phoning, person, made.id)


async def test_create_contact_finds_contacts_of_before(world: World, phoning: Client) -> None:
    """R-ACT: create_contact updates a contact that is older than the crm's hashes instead of doubling it."""
    address = f"{uuid4()}@example.com"
    before, other = await phoning.contact(email=address), await phoning.contact()
    crm = await asyncpg.connect(world.stack.postgres.dsn(database_of("crm")))
    await crm.execute("DELETE FROM contact_address WHERE contact_id = $1", UUID(before.id))
    await forget_hashes(world, before.id)
    known = "SELECT count(*) FROM contact_address WHERE contact_id = $1"

    async def is_known() -> bool:
        return bool(await crm.fetchval(known, UUID(before.id)))

    await until(is_known)
    await crm.close()
    making = step("make", "create_contact", {"email": address.upper(), "first_name": "Ann"})
    await completed(phoning, await phoning.publish(workflow_of(making)), other.id)
    listed = await phoning.call(phoning.contacts.ListContacts, contact_pb.ListContactsRequest())
    assert {one.id for one in listed.contacts} == {before.id, other.id}
    after = await phoning.read_contact(before.id)
    assert (after.first_name, after.email.lower()) == ("Ann", address)


HASHES = "SELECT email_hash, phone_hash, messenger_hash, hashed FROM contact WHERE contact_id = $1"


async def forget_hashes(world: World, contact_id: str) -> None:
    """Makes a contact as it was before there were hashes."""
    await world.owner.execute(
        """UPDATE contact SET hashed = false, email_hash = NULL, phone_hash = NULL, messenger_hash = NULL
        WHERE contact_id = $1""",
        UUID(contact_id),
    )


async def has_hashes(world: World, contact_id: str, row: asyncpg.Record | None) -> bool:
    assert row is not None
    return bool(await world.owner.fetchrow(HASHES, UUID(contact_id)) == row)
