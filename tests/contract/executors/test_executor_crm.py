"""The crm family's actions and its ContactRecordService, on their own database.

G5.
"""

import asyncio
import json
import random
import uuid
from types import ModuleType

import asyncpg
import grpc
import pytest
from wayfarer.action.v1 import action_pb2
from wayfarer.crm.v1 import contact_record_service_pb2 as records
from wayfarer.crm.v1.contact_record_service_pb2_grpc import ContactRecordServiceStub

from services.executors import queries as ledger_queries
from services.executors.crm import queries as crm_queries
from services.executors.family import PLANNER
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


async def test_adds_and_removes_several_tags(crm: Client, book: Book, contact: uuid.UUID) -> None:
    """R-ACT: add_tag, remove_tag with several tags."""
    config = {"tags": [" b ", "a", "b", "old"]}
    added = await crm.execute(make_action("add_tag", config, contact_id=contact))
    told = {"added": ["b", "a"], "already": ["old"], "tag": ["b", "a"], "changed": True}
    assert json.loads(added.output) == told
    again = await crm.execute(make_action("add_tag", config, contact_id=contact))
    assert json.loads(again.output) == {
        "added": [],
        "already": ["b", "a", "old"],
        "tag": [],
        "changed": False,
    }
    assert await book.tags(contact) == ["a", "b", "old"]
    config = {"tags": ["a", "none", "old"]}
    removed = await crm.execute(make_action("remove_tag", config, contact_id=contact))
    told = {"removed": ["a", "old"], "missing": ["none"], "tag": ["a", "old"], "changed": True}
    assert json.loads(removed.output) == told
    assert await book.tags(contact) == ["b"]


async def test_one_tag_and_several_in_a_batch(crm: Client, book: Book, contact: uuid.UUID) -> None:
    other = uuid7()
    await book.put(other, {}, ["b"])
    actions = [
        make_action("add_tag", {"tags": ["a", "b"]}, contact_id=contact),
        make_action("add_tag", {"tag": "c"}, contact_id=contact),
        make_action("add_tag", {"tags": ["x"]}),
        make_action("add_tag", {"tags": ["a", "b"]}, contact_id=other),
        make_action("add_tag", {"tag": "b"}, contact_id=other),
        make_action("remove_tag", {"tags": ["a", "z"]}, contact_id=other),
        make_action("add_tag", {"tag": "x"}),
    ]
    results = await crm.batch(actions)
    assert [one.failure.code for one in results] == [
        *[""] * 2,
        "CONTACT_NOT_FOUND",
        *[""] * 3,
        "CONTACT_NOT_FOUND",
    ]
    told = [json.loads(one.output or b"{}") for one in results]
    assert (told[0]["added"], told[1]) == (["a", "b"], {"changed": True})
    assert (told[3]["added"], told[3]["already"], told[4]) == (["a"], ["b"], {"changed": False})
    assert (told[5]["removed"], told[5]["missing"]) == (["a"], ["z"])
    assert await book.tags(contact) == ["a", "b", "c", "old"]
    assert await book.tags(other) == ["b"]


async def test_calls_that_meet_on_a_tag_add_it_once(crm: Client, contact: uuid.UUID) -> None:
    actions = [make_action("add_tag", {"tags": ["m", f"n{n}"]}, contact_id=contact) for n in range(5)]
    told = [json.loads(one.output) for one in await crm.batch(actions)]
    assert sorted(tag for one in told for tag in one["added"]) == ["m", *(f"n{n}" for n in range(5))]
    assert [tag for one in told for tag in one["already"]] == ["m"] * 4
    again = await crm.batch(actions)
    assert all(one.replayed for one in again)
    assert [json.loads(one.output) for one in again] == told


@pytest.mark.parametrize("action_type", ["add_tag", "remove_tag"])
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"tag": "a", "tags": ["b"]},
        {"tags": []},
        {"tags": ["a", ""]},
        {"tags": ["x" * 101]},
        {"tags": [f"t{n}" for n in range(51)]},
        {"tags": [f"{n}" + "\U0001f600" * 98 for n in range(20)]},
    ],
)
async def test_exactly_one_of_tag_and_tags(
    crm: Client, contact: uuid.UUID, action_type: str, config: dict[str, object]
) -> None:
    result = await crm.execute(make_action(action_type, config, contact_id=contact))
    assert result.failure.code == "CONFIG_INVALID"


async def test_the_most_tags_are_told(crm: Client, contact: uuid.UUID) -> None:
    tags = [f"{n:02}" + '"' * 72 for n in range(50)]
    assert 7400 < len(json.dumps(tags, separators=(",", ":"))) <= 7500
    result = await crm.execute(make_action("add_tag", {"tags": tags}, contact_id=contact))
    assert json.loads(result.output)["added"] == tags


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


@pytest.mark.parametrize(
    ("name", "arrays", "package"),
    [
        ("read_effects", 4, ledger_queries),
        ("lock_effects", 4, ledger_queries),
        ("resume_sending", 7, ledger_queries),
        ("record_outcomes", 8, ledger_queries),
        ("add_tags", 3, crm_queries),
        ("remove_tags", 3, crm_queries),
        ("lock_records", 2, crm_queries),
        ("write_records", 3, crm_queries),
        ("get_records", 2, crm_queries),
        ("hold_contacts", 2, crm_queries),
        ("lock_contacts", 2, crm_queries),
        ("write_owners", 3, crm_queries),
        ("get_users", 2, crm_queries),
        ("lock_users", 2, crm_queries),
        ("count_owned", 3, crm_queries),
        ("get_campaigns", 2, crm_queries),
        ("end_enrolments", 3, crm_queries),
        ("get_stages", 2, crm_queries),
        ("get_opportunities", 3, crm_queries),
        ("write_opportunities", 6, crm_queries),
        ("drop_addresses", 3, crm_queries),
    ],
)
async def test_statements_use_the_primary_keys(
    crm: Client, name: str, arrays: int, package: ModuleType
) -> None:
    """With the settings the families connect with, no plan reads a table from end to end."""
    connection = await asyncpg.connect(crm.environment["url"], server_settings=PLANNER)
    await connection.execute(f"PREPARE p AS {statement(name, package.__name__)}")
    owner = [f"'{uuid7()}'"] if name in ("resume_sending", "record_outcomes") else []
    values = ", ".join(["'{}'"] * arrays + owner)
    plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE p({values})"))
    await connection.close()
    assert "_pkey" in plan, plan
    assert "Seq Scan" not in plan, plan


@pytest.mark.parametrize(
    ("name", "values", "index"),
    [
        ("get_active_enrolments", "'{}', '{}'", "campaign_enrolment_active"),
        ("get_addresses", "'{}', '{}'", "contact_address_by_mac"),
        ("page_notes", "1, NULL, NULL, 9", "contact_note_pkey"),
        ("page_tasks", "1, NULL, NULL, 9", "contact_task_pkey"),
        ("page_opportunities", "1, NULL, NULL, 9", "opportunity_pkey"),
        ("page_enrolments", "1, NULL, NULL, 9", "campaign_enrolment_pkey"),
        ("page_users", "1, '', 9", "crm_user_pkey"),
        ("page_pipelines", "1, '', 9", "pipeline_pkey"),
        ("page_campaigns", "1, '', 9", "campaign_pkey"),
        ("delete_record", "1, NULL", "contact_record_pkey"),
        ("delete_belongings", "1, NULL", "contact_note_pkey"),
    ],
)
async def test_statements_use_their_index(crm: Client, name: str, values: str, index: str) -> None:
    connection = await asyncpg.connect(crm.environment["url"], server_settings=PLANNER)
    await connection.execute(f"PREPARE p AS {statement(name, crm_queries.__name__)}")
    plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE p({values})"))
    await connection.close()
    assert index in plan, plan
    assert "Seq Scan" not in plan, plan
    # An ordered index gives each page its rows: nothing is sorted that would have to be read first.
    assert not name.startswith("page_") or plan.startswith("Limit"), plan
    assert name == "page_pipelines" or not name.startswith("page_") or "Sort" not in plan, plan


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
