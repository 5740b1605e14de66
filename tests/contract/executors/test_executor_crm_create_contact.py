"""create_contact through the real server: the record here, existence and address told to the orchestrator.

G5. R-ACT: create_contact.
"""

import asyncio
import itertools
import json
import uuid

import pytest
from wayfarer.action.v1 import action_pb2
from wayfarer.crm.v1 import contact_record_service_pb2 as records

from tests.contract.executors.crm_world import OTHER_ACCOUNT, CrmWorld, in_order, of_account, output
from tests.contract.executors.world import ACCOUNT, TIMEOUT_S, Client, make_action, uuid7

_numbers = itertools.count(int(uuid7().hex[-6:], 16))


@pytest.fixture
def email() -> str:
    return f"ada{uuid7().hex[-10:]}@example.com"


@pytest.fixture
def phone() -> str:
    return f"+49{next(_numbers):012d}"


def told_to_make(result: action_pb2.ActionResult) -> dict[str, object]:
    """What the orchestrator is told."""
    changes: dict[str, dict[str, object]] = json.loads(result.contact_changes)
    assert set(changes) == {"create"}
    return changes["create"]


async def test_makes_a_contact(crm: Client, crm_world: CrmWorld, email: str, phone: str) -> None:
    config = {
        "email": email,
        "phone": phone,
        "first_name": "Ada",
        "time_zone": "Europe/Berlin",
        "tags": ["b", "a", "b"],
        "fields": {"plan": "pro", "deep": {"a": [1]}},
    }
    action = make_action("create_contact", config)
    result = await crm.execute(action)
    told = output(result)
    assert (told["created"], told["changed"]) == (True, True)
    assert told_to_make(result) == {**told, "email": email, "phone": phone, "tags_added": ["b", "a"]}
    assert told["contact_id"] != str(uuid.UUID(bytes=action.contact_id))
    assert uuid.UUID(str(told["contact_id"])).version == 7
    data = {"first_name": "Ada", "time_zone": "Europe/Berlin", "fields": config["fields"]}
    assert await crm_world.record(told["contact_id"]) == (data, ["a", "b"])


async def test_the_same_effect_makes_one(crm: Client, crm_world: CrmWorld, email: str) -> None:
    action = make_action("create_contact", {"email": email})
    told = await crm_world.once(action)
    assert told["created"] is True
    replay = await crm.execute(action)
    assert told_to_make(replay)["contact_id"] == told["contact_id"]


async def test_updates_the_contact_of_that_address(
    crm: Client, crm_world: CrmWorld, email: str, phone: str
) -> None:
    config = {"email": email, "first_name": "Ada", "tags": ["a"], "fields": {"x": 1, "y": 1}}
    made = output(await crm.execute(make_action("create_contact", config)))
    config = {
        "email": email.upper(),
        "phone": phone,
        "last_name": "L",
        "tags": ["a", "b"],
        "fields": {"x": 2, "y": None},
    }
    result = await crm.execute(make_action("create_contact", config))
    assert output(result) == {"contact_id": made["contact_id"], "created": False, "changed": True}
    assert told_to_make(result)["tags_added"] == ["b"]
    assert told_to_make(result)["phone"] == phone
    data = {"first_name": "Ada", "last_name": "L", "fields": {"x": 2}}
    assert await crm_world.record(made["contact_id"]) == (data, ["a", "b"])
    same = output(await crm.execute(make_action("create_contact", config)))
    assert same == {"contact_id": made["contact_id"], "created": False, "changed": False}
    by_phone = output(await crm.execute(make_action("create_contact", {"phone": phone})))
    assert by_phone["contact_id"] == made["contact_id"]


async def test_skips_or_fails_on_a_duplicate(crm: Client, crm_world: CrmWorld, email: str) -> None:
    made = output(await crm.execute(make_action("create_contact", {"email": email, "first_name": "Ada"})))
    config = {"email": email, "first_name": "Eve", "tags": ["t"]}
    skipped = await crm.execute(make_action("create_contact", {**config, "on_duplicate": "skip"}))
    assert output(skipped) == {"contact_id": made["contact_id"], "created": False, "changed": False}
    assert not skipped.contact_changes
    code = await crm_world.fail("create_contact", {**config, "on_duplicate": "fail"}, uuid7())
    assert code == "CONTACT_EXISTS"
    assert await crm_world.record(made["contact_id"]) == ({"first_name": "Ada"}, [])


async def test_two_contacts_addresses_are_not_merged(
    crm: Client, crm_world: CrmWorld, email: str, phone: str
) -> None:
    one = output(await crm.execute(make_action("create_contact", {"email": email})))
    two = output(await crm.execute(make_action("create_contact", {"phone": phone})))
    assert one["contact_id"] != two["contact_id"]
    both = {"email": email, "phone": phone}
    assert await crm_world.fail("create_contact", both, uuid7()) == "CONTACT_AMBIGUOUS"
    skipped = output(await crm.execute(make_action("create_contact", {**both, "on_duplicate": "skip"})))
    assert skipped["contact_id"] == one["contact_id"]


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"first_name": "Ada"},
        {"email": "no address"},
        {"phone": "0301234"},
        {"email": "a@example.com", "time_zone": "Mars/Base"},
        {"email": "a@example.com", "tags": [f"t{n}" for n in range(51)]},
        {"email": "a@example.com", "fields": {"bad.name": 1}},
        {"email": "a@example.com", "on_duplicate": "create"},
    ],
)
async def test_config_out_of_bounds(crm_world: CrmWorld, config: dict[str, object]) -> None:
    assert await crm_world.fail("create_contact", config, uuid7()) == "CONFIG_INVALID"


async def test_many_at_once_make_one(crm: Client, email: str, phone: str) -> None:
    """By e-mail or by phone, alone or in batches: one contact."""
    both = {"email": email, "phone": phone}
    actions = [make_action("create_contact", both) for _ in range(8)]
    alone, batch = await asyncio.gather(
        asyncio.gather(*(crm.execute(action) for action in actions[:4])), crm.batch(actions[4:])
    )
    told = [output(one) for one in (*alone, *batch)]
    assert len({one["contact_id"] for one in told}) == 1
    assert sorted(one["created"] is True for one in told) == [False] * 7 + [True]


async def test_a_batch_of_mixed_types(crm: Client, crm_world: CrmWorld, email: str) -> None:
    """A later call of the batch finds and changes what an earlier one made."""
    contact = await crm_world.add_contact()
    actions = [
        make_action("create_contact", {"email": email, "tags": ["a"], "fields": {f"f{n}": n}})
        for n in range(3)
    ]
    actions.append(make_action("create_contact", {"email": email, "on_duplicate": "fail"}))
    actions.append(make_action("add_tag", {"tag": "x"}, contact_id=contact))
    results = await crm.batch(in_order(*actions))
    made = results[:3]
    assert [output(one)["created"] for one in made] == [True, False, False]
    assert len({output(one)["contact_id"] for one in made}) == 1
    assert [one.failure.code for one in results] == ["", "", "", "CONTACT_EXISTS", ""]
    data = {"fields": {"f0": 0, "f1": 1, "f2": 2}}
    assert await crm_world.record(output(made[0])["contact_id"]) == (data, ["a"])


async def test_accounts_do_not_see_each_other(crm: Client, email: str) -> None:
    mine = output(await crm.execute(make_action("create_contact", {"email": email})))
    theirs = of_account(OTHER_ACCOUNT, make_action("create_contact", {"email": email}))
    told = output(await crm.execute(theirs))
    assert told["created"] is True
    assert told["contact_id"] != mine["contact_id"]


async def test_a_deleted_contact_is_not_found_again(crm: Client, crm_world: CrmWorld, email: str) -> None:
    first = output(await crm.execute(make_action("create_contact", {"email": email})))
    contact_id = uuid.UUID(str(first["contact_id"]))
    await crm_world.delete_contact(contact_id)
    assert not await crm.database.fetch("SELECT FROM contact_address WHERE contact_id = $1", contact_id)
    assert output(await crm.execute(make_action("create_contact", {"email": email})))["created"] is True


async def test_addresses_told_with_records_are_known(
    crm: Client, crm_world: CrmWorld, email: str, phone: str
) -> None:
    """What the contact service writes and what update_contact sets is found as a duplicate, what is gone is not."""
    contact_id = uuid7()
    record = records.ContactRecord(account_id=ACCOUNT, contact_id=contact_id.bytes, data=b"{}")
    put = records.PutRecordRequest(record=record, revision=1, email=email, phone=phone)
    await crm_world.records.PutRecord(put, timeout=TIMEOUT_S)

    async def holder(config: dict[str, object]) -> object:
        action = make_action("create_contact", {**config, "on_duplicate": "skip"})
        return output(await crm.execute(action))["contact_id"]

    assert await holder({"email": email}) == await holder({"phone": phone}) == str(contact_id)
    patch = records.PatchRecordRequest(
        account_id=ACCOUNT, contact_id=contact_id.bytes, patch=b"{}", revision=2, phone=""
    )
    await crm_world.records.PatchRecord(patch, timeout=TIMEOUT_S)
    assert await holder({"email": email}) == str(contact_id)
    assert await holder({"phone": phone}) != str(contact_id)
    moved = f"new{email}"
    await crm_world.do("update_contact", {"set": {"email": moved}}, contact_id)
    assert await holder({"email": moved}) == str(contact_id)
    assert await holder({"email": email}) != str(contact_id)


async def test_addresses_are_kept_as_hashes_only(crm: Client, email: str) -> None:
    told = output(await crm.execute(make_action("create_contact", {"email": email})))
    row = await crm.database.fetchrow(
        "SELECT * FROM contact_address WHERE contact_id = $1", uuid.UUID(str(told["contact_id"]))
    )
    assert row is not None
    assert email not in str(dict(row))
    other = await crm.execute(of_account(OTHER_ACCOUNT, make_action("create_contact", {"email": email})))
    mac = await crm.database.fetchval(
        "SELECT mac FROM contact_address WHERE contact_id = $1", uuid.UUID(str(output(other)["contact_id"]))
    )
    assert mac != row["mac"]
