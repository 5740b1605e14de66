"""The crm family's actions and its ContactRecordService, on their own database.

G5.
"""

import asyncio
import json
import random
import uuid

import asyncpg
import grpc
import pytest
from wayfarer.action.v1 import action_pb2
from wayfarer.crm.v1 import contact_record_service_pb2 as records
from wayfarer.crm.v1.contact_record_service_pb2_grpc import ContactRecordServiceStub

from services.executors.queries import statement
from services.runtime.grpc_client import open_channel
from tests.contract.executors.world import ACCOUNT, TIMEOUT_S, Client, make_action, uuid7


class Book:
    """The record service, as the execution API sees it."""

    def __init__(self, stub: ContactRecordServiceStub) -> None:
        self.stub = stub

    async def put(self, contact_id: uuid.UUID, data: object, tags: list[str], revision: int = 1) -> None:
        record = records.ContactRecord(
            account_id=ACCOUNT, contact_id=contact_id.bytes, data=json.dumps(data).encode(), tags=tags
        )
        request = records.PutRecordRequest(record=record, revision=revision)
        await self.stub.PutRecord(request, timeout=TIMEOUT_S)

    async def patch(
        self, contact_id: uuid.UUID, patch: object, revision: int, **how: object
    ) -> records.ContactRecord:
        request = records.PatchRecordRequest(
            account_id=ACCOUNT,
            contact_id=contact_id.bytes,
            patch=json.dumps(patch).encode(),
            revision=revision,
            **how,  # type: ignore[arg-type]
        )
        return (await self.stub.PatchRecord(request, timeout=TIMEOUT_S)).record

    async def get(self, *contact_ids: uuid.UUID) -> dict[uuid.UUID, records.ContactRecord]:
        request = records.BatchGetRecordsRequest(
            account_ids=[ACCOUNT] * len(contact_ids), contact_ids=[one.bytes for one in contact_ids]
        )
        response = await self.stub.BatchGetRecords(request, timeout=TIMEOUT_S)
        return {uuid.UUID(bytes=one.contact_id): one for one in response.records}

    async def tags(self, contact_id: uuid.UUID) -> list[str]:
        return list((await self.get(contact_id))[contact_id].tags)

    async def data(self, contact_id: uuid.UUID) -> object:
        return json.loads((await self.get(contact_id))[contact_id].data)


@pytest.fixture(scope="session")
async def book(crm: Client):  # type: ignore[no-untyped-def]
    async with open_channel(crm.address) as channel:
        yield Book(ContactRecordServiceStub(channel))


@pytest.fixture
async def contact(book: Book) -> uuid.UUID:
    contact_id = uuid7()
    await book.put(contact_id, {"first_name": "Ada", "fields": {"plan": "free", "n": 1}}, ["old"])
    return contact_id


async def test_adds_and_removes_a_tag(crm: Client, book: Book, contact: uuid.UUID) -> None:
    added = await crm.execute(make_action("add_tag", {"tag": " vip "}, contact_id=contact))
    assert json.loads(added.output) == {"changed": True}
    again = await crm.execute(make_action("add_tag", {"tag": "vip"}, contact_id=contact))
    assert json.loads(again.output) == {"changed": False}
    assert await book.tags(contact) == ["old", "vip"]
    removed = await crm.execute(make_action("remove_tag", {"tag": "old"}, contact_id=contact))
    assert json.loads(removed.output) == {"changed": True}
    gone = await crm.execute(make_action("remove_tag", {"tag": "old"}, contact_id=contact))
    assert json.loads(gone.output) == {"changed": False}
    assert await book.tags(contact) == ["vip"]


@pytest.mark.parametrize(
    ("action_type", "config"),
    [
        ("add_tag", {"tag": "x"}),
        ("remove_tag", {"tag": "x"}),
        ("update_contact", {"set": {"first_name": "B"}}),
    ],
)
async def test_unknown_contact(
    crm: Client, contact: uuid.UUID, action_type: str, config: dict[str, object]
) -> None:
    results = await crm.batch(
        [
            make_action(action_type, config),
            make_action(action_type, config, contact_id=contact),
            make_action(action_type, config),
        ]
    )
    assert [one.failure.code for one in results] == ["CONTACT_NOT_FOUND", "", "CONTACT_NOT_FOUND"]
    assert results[0].certainty == action_pb2.CERTAINTY_NOT_DONE
    assert results[0].failure.provider == "crm"


async def test_mixed_batch_says_who_changed(crm: Client, book: Book, contact: uuid.UUID) -> None:
    other = uuid7()
    await book.put(other, {}, ["vip"])
    results = await crm.batch(
        [
            make_action("add_tag", {"tag": "vip"}, contact_id=contact),
            make_action("add_tag", {"tag": "vip"}, contact_id=other),
            make_action("remove_tag", {"tag": "old"}, contact_id=contact),
            make_action("add_tag", {"tag": "vip"}, contact_id=contact),
            make_action("update_contact", {"set": {"last_name": "L"}}, contact_id=other),
        ]
    )
    changed = [json.loads(one.output)["changed"] for one in results]
    assert changed[1:3] == [False, True]
    assert sorted([changed[0], changed[3]]) == [False, True]
    assert changed[4] is True
    assert await book.tags(contact) == ["vip"]


async def test_updates_what_is_its_own_and_returns_the_rest(
    crm: Client, book: Book, contact: uuid.UUID
) -> None:
    changes = {
        "first_name": "Grace",
        "time_zone": "Europe/Berlin",
        "email": "grace@example.com",
        "phone": None,
        "fields.plan": "pro",
        "fields.n": None,
        "fields.deep": {"a": [1]},
    }
    result = await crm.execute(make_action("update_contact", {"set": changes}, contact_id=contact))
    assert json.loads(result.output) == {"changed": True}
    assert json.loads(result.contact_changes) == {"email": "grace@example.com", "phone": None}
    assert await book.data(contact) == {
        "first_name": "Grace",
        "time_zone": "Europe/Berlin",
        "fields": {"plan": "pro", "deep": {"a": [1]}},
    }
    same = await crm.execute(
        make_action("update_contact", {"set": {"first_name": "Grace"}}, contact_id=contact)
    )
    assert json.loads(same.output) == {"changed": False}


async def test_batches_meet_without_losing_an_update(crm: Client, book: Book, contact: uuid.UUID) -> None:
    """Concurrent batches over the same contacts, each in an order of its own: no deadlock, nothing lost."""
    others = [uuid7() for _ in range(5)]
    for other in others:
        await book.put(other, {}, [])

    def batch(number: int) -> list[action_pb2.Action]:
        actions = [
            action
            for person in [contact, *others]
            for action in (
                make_action("update_contact", {"set": {f"fields.f{number}": number}}, contact_id=person),
                make_action("add_tag", {"tag": f"t{number}"}, contact_id=person),
                make_action("add_tag", {"tag": "shared"}, contact_id=person),
                make_action("remove_tag", {"tag": "old"}, contact_id=person),
            )
        ]
        random.shuffle(actions)
        return actions

    answers = await asyncio.gather(*(crm.batch(batch(number)) for number in range(12)))
    assert {one.outcome for results in answers for one in results} == {action_pb2.OUTCOME_SUCCEEDED}
    found = await book.get(contact, *others)
    for record in found.values():
        fields = json.loads(record.data)["fields"]
        assert {f"f{number}": number for number in range(12)}.items() <= fields.items()
        assert {*record.tags} == {"shared", *(f"t{number}" for number in range(12))}


async def test_a_failed_attempt_may_run_again(crm: Client, book: Book) -> None:
    contact_id = uuid7()
    action = make_action("add_tag", {"tag": "late"}, contact_id=contact_id)
    assert (await crm.execute(action)).failure.code == "CONTACT_NOT_FOUND"
    replay = await crm.execute(action)
    assert (replay.failure.code, replay.replayed) == ("CONTACT_NOT_FOUND", True)
    await book.put(contact_id, {}, [])
    action.attempt = 2
    assert (await crm.execute(action)).outcome == action_pb2.OUTCOME_SUCCEEDED
    action.fence = 0
    assert (await crm.execute(action)).replayed


async def test_a_batch_partly_known(crm: Client, contact: uuid.UUID, book: Book) -> None:
    actions = [make_action("add_tag", {"tag": f"p{n}"}, contact_id=contact) for n in range(6)]
    await crm.batch(actions[:3])
    results = await crm.batch(actions)
    assert [one.replayed for one in results] == [True] * 3 + [False] * 3
    assert await book.tags(contact) == ["old", *(f"p{n}" for n in range(6))]


async def test_database_gone_is_not_done_and_comes_back(crm: Client, contact: uuid.UUID, book: Book) -> None:
    action = make_action("add_tag", {"tag": "after"}, contact_id=contact)
    blocked = await asyncpg.connect(crm.environment["url"])
    async with blocked.transaction():
        await blocked.execute("LOCK TABLE contact_tag IN ACCESS EXCLUSIVE MODE")
        attempt = asyncio.create_task(crm.execute(action))
        while not await blocked.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0)
        await blocked.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
        )
        result = await attempt
    await blocked.close()
    assert result.failure.error_class == 11
    assert result.certainty == action_pb2.CERTAINTY_NOT_DONE
    assert (await crm.reconcile(action, fence=1)).finding == 2
    assert (await crm.execute(action)).outcome == action_pb2.OUTCOME_SUCCEEDED


async def test_past_its_budget_nothing_happens(crm: Client, contact: uuid.UUID, book: Book) -> None:
    """The budget ends while the batch waits for a lock; its neighbour has time left and is done."""
    late = make_action("add_tag", {"tag": "late"}, contact_id=contact, budget_ms=100)
    fine = make_action("add_tag", {"tag": "fine"}, contact_id=contact)
    blocker = await asyncpg.connect(crm.environment["url"])
    async with blocker.transaction():
        await blocker.execute("LOCK TABLE contact_tag IN ACCESS EXCLUSIVE MODE")
        attempt = asyncio.create_task(crm.batch([late, fine]))
        await blocker.execute("SELECT pg_sleep(0.2)")  # the budget is time: it has to pass
    await blocker.close()
    results = await attempt
    assert (results[0].failure.code, results[0].certainty) == ("PAST_DEADLINE", action_pb2.CERTAINTY_NOT_DONE)
    assert results[1].outcome == action_pb2.OUTCOME_SUCCEEDED
    assert await book.tags(contact) == ["fine", "old"]
    assert await crm.row(late) is None


@pytest.mark.parametrize(
    "name", ["record_applied", "begin_sending", "tombstone", "read_effects", "lock_effects"]
)
def test_every_statement_says_what_it_is(name: str) -> None:
    assert statement(name).startswith("-- ")


async def test_records_are_put_once_per_revision(book: Book) -> None:
    contact_id = uuid7()
    await book.put(contact_id, {"first_name": "A"}, ["b", "a"], revision=2)
    await book.put(contact_id, {"first_name": "late"}, [], revision=1)
    await book.put(contact_id, {"first_name": "again"}, [], revision=2)
    assert await book.data(contact_id) == {"first_name": "A"}
    assert await book.tags(contact_id) == ["a", "b"]
    await book.put(contact_id, {"first_name": "C"}, ["b", "c"], revision=3)
    assert await book.tags(contact_id) == ["b", "c"]


async def test_records_are_patched(book: Book, contact: uuid.UUID) -> None:
    patched = await book.patch(contact, {"last_name": "L", "fields": {"plan": None, "x": 1}}, revision=2)
    assert json.loads(patched.data) == {"first_name": "Ada", "last_name": "L", "fields": {"n": 1, "x": 1}}
    assert list(patched.tags) == ["old"]
    stale = await book.patch(contact, {"last_name": "Z"}, revision=2)
    assert json.loads(stale.data)["last_name"] == "L"
    whole = await book.patch(
        contact, {"fields": {"y": 2}}, revision=3, replace_fields=True, replace_tags=True, tags=["new"]
    )
    assert json.loads(whole.data)["fields"] == {"y": 2}
    assert list(whole.tags) == ["new"]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await book.patch(uuid7(), {}, revision=1)
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await book.patch(contact, [1], revision=9)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_records_are_deleted_with_their_tags(book: Book, contact: uuid.UUID, crm: Client) -> None:
    request = records.DeleteRecordRequest(account_id=ACCOUNT, contact_id=contact.bytes)
    await book.stub.DeleteRecord(request, timeout=TIMEOUT_S)
    await book.stub.DeleteRecord(request, timeout=TIMEOUT_S)
    assert await book.get(contact) == {}
    assert not await crm.database.fetch("SELECT FROM contact_tag WHERE contact_id = $1", contact)


async def test_records_of_another_account_are_not_seen(book: Book, contact: uuid.UUID) -> None:
    request = records.BatchGetRecordsRequest(account_ids=[ACCOUNT + 1], contact_ids=[contact.bytes])
    assert not (await book.stub.BatchGetRecords(request, timeout=TIMEOUT_S)).records


async def test_contact_data_is_sealed(crm: Client, contact: uuid.UUID) -> None:
    stored = await crm.database.fetchval(
        "SELECT data_sealed FROM contact_record WHERE contact_id = $1", contact
    )
    assert b"Ada" not in stored
