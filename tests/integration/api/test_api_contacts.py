"""ContactService: one contact to callers, kept by two databases, whole again after either was away.

R-STATE-8, A-17, R-LOG-2.
"""

import asyncio
import os
import signal
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from wayfarer.crm.v1 import contact_pb2
from wayfarer.crm.v1 import contact_service_pb2 as pb
from wayfarer.execution.v1 import execution_pb2

from tests.integration.api.world import NOWHERE, Client, World, refused, struct, until, waiting

ADA: dict[str, Any] = {
    "external_id": "crm-17",
    "email": "ada@example.com",
    "phone": "+491701234567",
    "first_name": "Ada",
    "last_name": "Lovelace",
    "tags": ["vip", "early"],
    "time_zone": "Europe/Berlin",
}


async def upsert(client: Client, **fields: Any) -> pb.CreateContactResponse:
    request = pb.CreateContactRequest(contact=contact_pb2.Contact(**fields), upsert=True)
    answer: pb.CreateContactResponse = await client.call(client.contacts.CreateContact, request)
    return answer


async def create(client: Client, **fields: Any) -> pb.CreateContactResponse:
    request = pb.CreateContactRequest(contact=contact_pb2.Contact(**fields))
    answer: pb.CreateContactResponse = await client.call(client.contacts.CreateContact, request)
    return answer


async def delete(client: Client, contact_id: str, **more: Any) -> int:
    request = pb.DeleteContactRequest(id=contact_id, **more)
    answer: pb.DeleteContactResponse = await client.call(client.contacts.DeleteContact, request)
    return answer.executions_cancelled


async def test_what_is_written_is_read(client: Client) -> None:
    fields = {"plan": "gold", "seats": 12, "ratio": 0.25, "nested": {"a": [1, None, True]}}
    made = await client.contact(**ADA, fields=struct(fields))
    assert list(made.tags) == ["early", "vip"]
    assert made.create_time == made.update_time
    read = await client.read_contact(made.id)
    assert read == made
    assert read.fields == struct(fields)
    by_external = pb.GetContactRequest(external_id="crm-17")
    assert (await client.call(client.contacts.GetContact, by_external)).contact == made


async def test_addresses_and_fields_are_sealed_at_rest(world: World, client: Client) -> None:
    made = await client.contact(**ADA, fields=struct({"note": "canary-5512"}))
    row = await world.owner.fetchrow("SELECT * FROM contact WHERE contact_id = $1", UUID(made.id))
    assert row is not None
    text = b"".join(bytes(row[name]) for name in ("email_sealed", "phone_sealed"))
    assert b"ada@" not in text
    assert b"170123" not in text
    assert row["crm_pending"] is None


async def test_an_external_id_is_taken_once(world: World, client: Client) -> None:
    first = await client.contact(external_id="x1")
    refusal = await refused(create(client, external_id="x1"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "EXTERNAL_ID_TAKEN")
    second = await client.contact(external_id="x2")
    refusal = await refused(client.update_contact(second.id, "external_id", external_id="x1"))
    assert refusal.reason == "EXTERNAL_ID_TAKEN"
    assert (await client.read_contact(second.id)).external_id == "x2"
    await delete(client, first.id)
    assert (await create(client, external_id="x1")).created
    # Without one there may be many.
    assert (await client.contact()).id != (await client.contact()).id
    assert (await world.rows(client))["contact"] == 5


async def test_upsert_updates_the_one_of_the_same_external_id(client: Client) -> None:
    first = await upsert(client, **ADA)
    assert first.created
    changed = {**ADA, "email": "countess@example.com", "tags": ["late"], "first_name": "Augusta"}
    second = await upsert(client, **changed)
    assert not second.created
    read = await client.read_contact(first.contact.id)
    assert (read.email, list(read.tags), read.first_name) == ("countess@example.com", ["late"], "Augusta")
    assert second.contact.id == first.contact.id
    assert (await upsert(client)).created


async def test_simultaneous_upserts_make_one_contact(world: World, client: Client) -> None:
    answers = await asyncio.gather(
        *(upsert(client, external_id="same", first_name=f"n{number}") for number in range(20))
    )
    assert len({answer.contact.id for answer in answers}) == 1
    assert sum(answer.created for answer in answers) == 1
    assert (await world.rows(client))["contact"] == 1


async def test_update_changes_the_named_fields_only(client: Client) -> None:
    made = await client.contact(**ADA, fields=struct({"plan": "gold", "seats": 3}))
    changed = await client.update_contact(
        made.id,
        "email",
        "last_name",
        "fields.seats",
        email="",
        last_name="King",
        first_name="Ignored",
        fields=struct({"seats": 4, "ignored": True}),
    )
    assert (changed.email, changed.last_name, changed.first_name) == ("", "King", "Ada")
    assert changed.fields == struct({"plan": "gold", "seats": 4})
    assert list(changed.tags) == ["early", "vip"]
    assert changed == await client.read_contact(made.id)
    assert changed.update_time.ToNanoseconds() > made.update_time.ToNanoseconds()
    changed = await client.update_contact(made.id, "fields.seats", "tags", tags=["one"])
    assert (changed.fields, list(changed.tags)) == (struct({"plan": "gold"}), ["one"])
    changed = await client.update_contact(made.id, "fields", fields=struct({"only": 1}))
    assert changed.fields == struct({"only": 1})
    assert (await client.update_contact(made.id, "opted_out", opted_out=True)).opted_out


async def test_numbers_that_json_has_not_are_refused(client: Client) -> None:
    for number in (float("nan"), float("inf"), float("-inf")):
        refusal = await refused(create(client, fields=struct({"a": {"b": [number]}})))
        assert (refusal.code, refusal.rules) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            {"contact.fields": "number"},
        )


async def test_fields_too_large_for_the_crm_are_refused_before_anything_is_written(
    world: World, client: Client
) -> None:
    """Within 64 KiB as protobuf, but JSON writes each of these characters in six."""
    fields = struct({"a": "\x01" * 60_000})
    refusal = await refused(create(client, fields=fields))
    assert (refusal.code, refusal.rules) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        {"contact.fields": "too_large"},
    )
    made = await client.contact()
    assert (await refused(client.update_contact(made.id, "fields", fields=fields))).rules == refusal.rules
    row = await world.owner.fetchrow("SELECT * FROM contact WHERE account_id = $1", client.account_id)
    assert row is not None
    assert (row["revision"], row["crm_pending"]) == (1, None)


async def test_simultaneous_updates_are_all_kept(client: Client) -> None:
    made = await client.contact(external_id="busy")
    paths = [f"fields.f{number}" for number in range(12)]
    await asyncio.gather(
        *(
            client.update_contact(made.id, path, fields=struct({path.removeprefix("fields."): True}))
            for path in paths
        )
    )
    read = await client.read_contact(made.id)
    assert read.fields == struct({path.removeprefix("fields."): True for path in paths})


@pytest.mark.parametrize(
    ("field", "contact"),
    [
        ("contact.email", {"email": "not an address"}),
        ("contact.phone", {"phone": "0170-123"}),
        ("contact.external_id", {"external_id": "x" * 201}),
        ("contact.tags", {"tags": ["a", "a"]}),
        ("contact.tags", {"tags": [f"t{n}" for n in range(201)]}),
        ("contact.tags", {"tags": [""]}),
        ("contact.first_name", {"first_name": "x" * 201}),
        ("contact.first_name", {"first_name": "a\0b"}),
        ("contact.time_zone", {"time_zone": "Mars/Olympus"}),
        ("contact.time_zone", {"time_zone": "../etc/passwd"}),
        ("contact.fields", {"fields": struct({"a": "x" * 70_000})}),
        ("contact.fields", {"fields": struct({"a\0": 1})}),
    ],
)
async def test_bad_contacts_name_the_field_and_write_nothing(
    world: World, client: Client, field: str, contact: dict[str, Any]
) -> None:
    refusal = await refused(create(client, **contact))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert any(path.startswith(field) for path in refusal.rules), refusal.rules
    made = await client.contact(external_id="whole", first_name="Whole")
    refusal = await refused(client.update_contact(made.id, field.split(".")[1], **contact))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert await client.read_contact(made.id) == made
    assert (await world.rows(client))["contact"] == 1


@pytest.mark.parametrize("path", ["id", "create_time", "nothing", "", "fields.", "email.x", "tags[0]"])
async def test_masks_name_what_can_be_updated(client: Client, path: str) -> None:
    made = await client.contact(first_name="Ada")
    request = pb.UpdateContactRequest(
        contact=contact_pb2.Contact(id=made.id), update_mask=FieldMask(paths=[path])
    )
    refusal = await refused(client.call(client.contacts.UpdateContact, request))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.rules.keys() == {"update_mask"}
    assert await client.read_contact(made.id) == made


async def test_an_update_without_id_or_mask_is_refused(client: Client) -> None:
    mask = FieldMask(paths=["email"])
    for field, request in (
        ("contact.id", pb.UpdateContactRequest(contact=contact_pb2.Contact(), update_mask=mask)),
        ("contact.id", pb.UpdateContactRequest(contact=contact_pb2.Contact(id="me"), update_mask=mask)),
        ("contact", pb.UpdateContactRequest(update_mask=mask)),
        ("update_mask", pb.UpdateContactRequest(contact=contact_pb2.Contact(id=NOWHERE))),
    ):
        refusal = await refused(client.call(client.contacts.UpdateContact, request))
        assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
        assert field in refusal.rules


async def test_unknown_contacts(client: Client) -> None:
    for call in (
        client.read_contact(NOWHERE),
        client.update_contact(NOWHERE, "email"),
        delete(client, NOWHERE),
        client.call(client.contacts.GetContact, pb.GetContactRequest(external_id="nobody")),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "CONTACT_NOT_FOUND")


async def test_batches_come_in_the_order_asked_without_the_unknown(client: Client) -> None:
    made = [await client.contact(first_name=f"n{number}") for number in range(3)]
    asked = [made[2].id, NOWHERE, made[0].id, made[1].id, made[2].id]
    answer = await client.call(client.contacts.BatchGetContacts, pb.BatchGetContactsRequest(ids=asked))
    assert [contact.first_name for contact in answer.contacts] == ["n2", "n0", "n1", "n2"]


async def test_lists_are_paged_newest_first_without_the_deleted(client: Client) -> None:
    made = [(await client.contact()).id for _ in range(5)]
    await delete(client, made[1])
    seen: list[str] = []
    token = ""
    while True:
        request = pb.ListContactsRequest(page_size=2, page_token=token)
        page = await client.call(client.contacts.ListContacts, request)
        seen += [contact.id for contact in page.contacts]
        token = page.next_page_token
        if not token:
            break
    assert seen == [made[4], made[3], made[2], made[0]]


async def test_deleting_ends_what_runs_and_wipes_the_address(world: World, client: Client) -> None:
    made = await client.contact(**ADA)
    ids = []
    for key in ("one", "two"):
        await client.publish(waiting(key))
        ids.append((await client.start(key, made.id)).execution.id)
    spared = (await client.start("one", (await client.contact()).id)).execution.id
    assert await delete(client, made.id) == 2
    for execution_id in ids:
        execution = await client.get(execution_id)
        assert execution.status == execution_pb2.EXECUTION_STATUS_CANCELLED
        assert execution.reason == "contact_deleted"
        assert (await client.logs(execution_id)).log_entries[-1].event == "cancelled"
    assert (await client.get(spared)).status == execution_pb2.EXECUTION_STATUS_QUEUED
    row = await world.owner.fetchrow("SELECT * FROM contact WHERE contact_id = $1", UUID(made.id))
    assert row is not None
    assert (row["email_sealed"], row["phone_sealed"], row["external_id"]) == (None, None, None)
    assert (await refused(client.start("one", made.id))).reason == "CONTACT_NOT_FOUND"
    assert (await refused(delete(client, made.id))).reason == "CONTACT_NOT_FOUND"
    assert all(count == 0 for count in (await client.verify()).values())


async def test_a_repeated_delete_of_one_request_id_answers_the_same(client: Client) -> None:
    made = await client.contact()
    await client.publish(waiting())
    await client.start("waiting", made.id)
    request_id = str(uuid4())
    assert await delete(client, made.id, request_id=request_id) == 1
    assert await delete(client, made.id, request_id=request_id) == 1


async def test_a_repeated_create_of_one_request_id_makes_one(world: World, client: Client) -> None:
    request = pb.CreateContactRequest(contact=contact_pb2.Contact(**ADA), request_id=str(uuid4()))
    answers = await asyncio.gather(*(client.call(client.contacts.CreateContact, request) for _ in range(8)))
    assert all(answer == answers[0] for answer in answers)
    assert (await world.rows(client))["contact"] == 1
    request.contact.first_name = "Else"
    refusal = await refused(client.call(client.contacts.CreateContact, request))
    assert refusal.reason == "REQUEST_ID_REUSED"


async def test_what_is_owed_while_the_crm_is_away_is_carried_later(world: World, client: Client) -> None:
    before = await client.contact(first_name="Before", tags=["kept"])
    gone = await client.contact(first_name="Gone")
    await client.publish(waiting())
    pid = world.stack.supervisor.pids()["crm"]
    os.kill(pid, signal.SIGSTOP)
    try:
        # Creation and deletion need only the engine; an update must know what it changes.
        made = await client.contact(**ADA)
        await delete(client, gone.id)
        refusal = await refused(client.update_contact(before.id, "first_name", first_name="After"))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "EXECUTOR_UNAVAILABLE")
        assert (await refused(client.read_contact(before.id))).code is grpc.StatusCode.UNAVAILABLE
        # Checking an add_tag's config needs the family that does it; starting does not.
        assert (await refused(client.apply(waiting("new")))).reason == "EXECUTOR_UNAVAILABLE"
        assert (await client.start("waiting", made.id)).execution.id
    finally:
        os.kill(pid, signal.SIGCONT)

    async def carried() -> bool:
        owing = "SELECT count(*) FROM contact WHERE account_id = $1 AND crm_pending IS NOT NULL"
        return bool(await world.owner.fetchval(owing, client.account_id) == 0)

    await until(carried)
    read = await client.read_contact(made.id)
    assert (read.first_name, read.last_name, list(read.tags)) == ("Ada", "Lovelace", ["early", "vip"])
    changed = await client.update_contact(before.id, "first_name", first_name="After")
    assert (changed.first_name, list(changed.tags)) == ("After", ["kept"])
