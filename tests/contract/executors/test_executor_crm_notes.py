"""add_note and create_task through the real server, and what CrmService shows of them.

G5. R-ACT: add_note, create_task.
"""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import asyncpg
import grpc
import pytest
from wayfarer.crm.v1 import crm_service_pb2 as wire

from tests.contract.executors.crm_world import OTHER_ACCOUNT, CrmWorld, of_account
from tests.contract.executors.world import ACCOUNT, TIMEOUT_S, Client, make_action, uuid7

TASK = {"title": "Call back", "due_in": {"amount": 2, "unit": "hours"}}


@pytest.fixture
async def contact(crm_world: CrmWorld) -> uuid.UUID:
    return await crm_world.add_contact()


async def test_writes_a_note(crm_world: CrmWorld, contact: uuid.UUID) -> None:
    told = await crm_world.do(
        "add_note", {"title": "Call", "body": "Asked ünique", "pinned": "true"}, contact
    )
    assert told["changed"] is True
    (note,) = await crm_world.notes(contact)
    assert (note.note_id, note.title, note.body, note.pinned) == (
        told["note_id"],
        "Call",
        "Asked ünique",
        True,
    )
    plain = await crm_world.do("add_note", {"body": "x" * 5000}, contact)
    newest, oldest = await crm_world.notes(contact)
    assert (newest.note_id, newest.title, newest.pinned) == (plain["note_id"], "", False)
    assert oldest == note


@pytest.mark.parametrize(
    ("action_type", "config"),
    [
        ("add_note", {}),
        ("add_note", {"body": ""}),
        ("add_note", {"body": "x" * 5001}),
        ("add_note", {"body": "x", "title": "t" * 256}),
        ("create_task", {"title": "t"}),
        ("create_task", {**TASK, "title": "t" * 256}),
        ("create_task", {**TASK, "due_at": "2030-01-01T10:00:00Z"}),
        ("create_task", {"title": "t", "due_at": "2030-01-01T10:00:00"}),
        ("create_task", {"title": "t", "due_in": {"amount": -1, "unit": "days"}}),
        ("create_task", {"title": "t", "due_in": {"amount": 1, "unit": "months"}}),
        ("create_task", {**TASK, "priority": "urgent"}),
        ("create_task", {**TASK, "assigned_to": "no user/id"}),
    ],
)
async def test_config_out_of_bounds(
    crm_world: CrmWorld, contact: uuid.UUID, action_type: str, config: dict[str, object]
) -> None:
    assert await crm_world.fail(action_type, config, contact) == "CONFIG_INVALID"


async def test_creates_a_task_due_at_a_time(crm_world: CrmWorld, contact: uuid.UUID) -> None:
    told = await crm_world.do(
        "create_task",
        {
            "title": "Call",
            "body": "About the offer",
            "due_at": "2031-03-01T10:00:00+02:00",
            "assigned_to": "bob",
            "priority": "high",
        },
        contact,
    )
    assert told["due_at"] == "2031-03-01T08:00:00+00:00"
    (task,) = await crm_world.tasks(contact)
    assert (task.task_id, task.title, task.body) == (told["task_id"], "Call", "About the offer")
    assert task.due_time.ToDatetime(UTC) == datetime(2031, 3, 1, 8, tzinfo=UTC)
    assert (task.assigned_to, task.priority) == ("bob", wire.TASK_PRIORITY_HIGH)


@pytest.mark.parametrize(
    ("due_in", "length"),
    [
        ({"amount": "90", "unit": "minutes"}, timedelta(minutes=90)),
        ({"amount": 3, "unit": "hours"}, timedelta(hours=3)),
        ({"amount": 2, "unit": "days"}, timedelta(days=2)),
        ({"amount": 1, "unit": "weeks"}, timedelta(weeks=1)),
    ],
)
async def test_creates_a_task_due_from_now(
    crm_world: CrmWorld, contact: uuid.UUID, due_in: dict[str, object], length: timedelta
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    told = await crm_world.do("create_task", {"title": "Call", "due_in": due_in}, contact)
    due_at = datetime.fromisoformat(str(told["due_at"]))
    assert now + length <= due_at <= datetime.now(UTC) + length
    (task,) = await crm_world.tasks(contact)
    assert task.due_time.ToDatetime(UTC) == due_at
    assert (task.assigned_to, task.priority) == ("", wire.TASK_PRIORITY_NORMAL)


async def test_unknown_and_inactive_users_are_refused(crm_world: CrmWorld, contact: uuid.UUID) -> None:
    await crm_world.add_user("left", active=False)
    assert await crm_world.fail("create_task", {**TASK, "assigned_to": "nobody"}, contact) == "USER_UNKNOWN"
    assert await crm_world.fail("create_task", {**TASK, "assigned_to": "left"}, contact) == "USER_INACTIVE"
    assert await crm_world.tasks(contact) == []


@pytest.mark.parametrize(("action_type", "config"), [("add_note", {"body": "b"}), ("create_task", TASK)])
async def test_unknown_contact(crm: Client, crm_world: CrmWorld, action_type: str, config: object) -> None:
    assert isinstance(config, dict)
    assert await crm_world.fail(action_type, config, uuid7()) == "CONTACT_NOT_FOUND"
    known = await crm_world.add_contact()
    results = await crm.batch(
        [make_action(action_type, config), make_action(action_type, config, contact_id=known)]
    )
    assert [one.failure.code for one in results] == ["CONTACT_NOT_FOUND", ""]


async def test_the_same_effect_is_done_once(crm_world: CrmWorld, contact: uuid.UUID) -> None:
    note = await crm_world.once(make_action("add_note", {"body": "once"}, contact_id=contact))
    assert [one.note_id for one in await crm_world.notes(contact)] == [note["note_id"]]
    task = await crm_world.once(make_action("create_task", TASK, contact_id=contact))
    assert [one.task_id for one in await crm_world.tasks(contact)] == [task["task_id"]]


async def test_a_batch_of_mixed_types(crm: Client, crm_world: CrmWorld, contact: uuid.UUID) -> None:
    actions = [
        make_action("add_note", {"body": "1"}, contact_id=contact),
        make_action("create_task", TASK, contact_id=contact),
        make_action("add_tag", {"tag": "x"}, contact_id=contact),
        make_action("create_task", {**TASK, "assigned_to": "nobody"}, contact_id=contact),
        make_action("add_note", {"body": "2"}, contact_id=contact),
    ]
    results = await crm.batch(actions)
    assert [one.failure.code for one in results] == ["", "", "", "USER_UNKNOWN", ""]
    assert sorted(one.body for one in await crm_world.notes(contact)) == ["1", "2"]
    assert len(await crm_world.tasks(contact)) == 1


async def test_accounts_do_not_see_each_other(crm: Client, crm_world: CrmWorld, contact: uuid.UUID) -> None:
    await crm_world.do("add_note", {"body": "mine"}, contact)
    await crm_world.do("create_task", TASK, contact)
    assert await crm_world.notes(contact, OTHER_ACCOUNT) == []
    assert await crm_world.tasks(contact, OTHER_ACCOUNT) == []
    stranger = of_account(OTHER_ACCOUNT, make_action("add_note", {"body": "b"}, contact_id=contact))
    assert (await crm.execute(stranger)).failure.code == "CONTACT_NOT_FOUND"
    theirs = await crm_world.add_contact(OTHER_ACCOUNT)
    config = {**TASK, "assigned_to": "bob"}
    assert await crm_world.fail("create_task", config, theirs, OTHER_ACCOUNT) == "USER_UNKNOWN"


async def test_texts_are_sealed(crm: Client, crm_world: CrmWorld, contact: uuid.UUID) -> None:
    await crm_world.do("add_note", {"title": "Secret", "body": "Secret"}, contact)
    await crm_world.do("create_task", {**TASK, "title": "Secret", "body": "Secret"}, contact)
    for table in ("contact_note", "contact_task"):
        stored = await crm.database.fetchval(
            f"SELECT text_sealed FROM {table} WHERE contact_id = $1", contact
        )
        assert b"Secret" not in stored


async def test_notes_go_with_their_contact(crm: Client, crm_world: CrmWorld, contact: uuid.UUID) -> None:
    await crm_world.do("add_note", {"body": "b"}, contact)
    await crm_world.do("create_task", TASK, contact)
    await crm_world.delete_contact(contact)
    assert await crm_world.notes(contact) == []
    assert await crm_world.tasks(contact) == []
    assert await crm_world.fail("add_note", {"body": "late"}, contact) == "CONTACT_NOT_FOUND"


async def test_a_deletion_waits_for_what_is_being_written(
    crm: Client, crm_world: CrmWorld, contact: uuid.UUID
) -> None:
    """R-ACT: nothing of a deleted contact stays behind, whoever commits last."""
    blocker = await asyncpg.connect(crm.environment["url"])
    async with blocker.transaction():
        await blocker.execute("LOCK TABLE contact_note IN EXCLUSIVE MODE")
        writing = asyncio.create_task(crm_world.do("add_note", {"body": "b"}, contact))
        await _waiting(blocker, 1)
        deleting = asyncio.create_task(crm_world.delete_contact(contact))
        await _waiting(blocker, 2)
    await blocker.close()
    await asyncio.gather(writing, deleting)
    assert not await crm.database.fetch("SELECT FROM contact_note WHERE contact_id = $1", contact)


async def _waiting(database: asyncpg.Connection, count: int) -> None:
    """Return once so many wait for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    while await database.fetchval(query) < count:
        await database.execute("SELECT pg_stat_clear_snapshot()")


async def test_lists_go_on_where_they_ended(crm_world: CrmWorld, contact: uuid.UUID) -> None:
    for number in range(5):
        await crm_world.do("add_note", {"body": str(number)}, contact)
    request = wire.ListNotesRequest(account_id=ACCOUNT, contact_id=contact.bytes, page_size=2)
    bodies: list[str] = []
    while True:
        page = await crm_world.crm.ListNotes(request, timeout=TIMEOUT_S)
        assert len(page.notes) <= 2
        bodies += [note.body for note in page.notes]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert bodies == ["4", "3", "2", "1", "0"]


async def test_a_token_of_another_list_is_refused(crm_world: CrmWorld, contact: uuid.UUID) -> None:
    await crm_world.do("add_note", {"body": "1"}, contact)
    await crm_world.do("add_note", {"body": "2"}, contact)
    request = wire.ListNotesRequest(account_id=ACCOUNT, contact_id=contact.bytes, page_size=1)
    token = (await crm_world.crm.ListNotes(request, timeout=TIMEOUT_S)).next_page_token
    elsewhere = wire.ListTasksRequest(account_id=ACCOUNT, contact_id=contact.bytes, page_token=token)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await crm_world.crm.ListTasks(elsewhere, timeout=TIMEOUT_S)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    users = wire.ListUsersRequest(account_id=ACCOUNT, page_token="rubbish")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await crm_world.crm.ListUsers(users, timeout=TIMEOUT_S)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
