"""add_to_campaign and remove_from_campaign through the real server.

G5. R-ACT: add_to_campaign, remove_from_campaign.
"""

import asyncio
import uuid

import pytest
from wayfarer.action.v1 import action_pb2

from tests.contract.executors.crm_world import OTHER_ACCOUNT, CrmWorld, of_account, output
from tests.contract.executors.world import Client, make_action, uuid7


@pytest.fixture
async def contact(crm_world: CrmWorld) -> uuid.UUID:
    await crm_world.add_campaign("autumn")
    return await crm_world.add_contact()


async def active(crm_world: CrmWorld, contact_id: uuid.UUID) -> list[str]:
    """The campaigns a contact is in."""
    stays = await crm_world.enrolments(contact_id)
    return sorted(one.campaign for one in stays if not one.HasField("leave_time"))


async def test_joins_and_leaves(crm_world: CrmWorld, contact: uuid.UUID) -> None:
    joined = await crm_world.do("add_to_campaign", {"campaign": "spring"}, contact)
    assert joined["changed"] is True
    again = await crm_world.do("add_to_campaign", {"campaign": "spring"}, contact)
    assert again == {"enrolment_id": joined["enrolment_id"], "changed": False}
    (stay,) = await crm_world.enrolments(contact)
    assert (stay.enrolment_id, stay.campaign) == (joined["enrolment_id"], "spring")
    assert not stay.HasField("leave_time")
    left = await crm_world.do("remove_from_campaign", {"campaign": "spring"}, contact)
    assert left == {"removed": 1, "campaign": ["spring"], "changed": True}
    assert (await crm_world.enrolments(contact))[0].HasField("leave_time")
    gone = await crm_world.do("remove_from_campaign", {"campaign": "spring"}, contact)
    assert gone == {"removed": 0, "campaign": [], "changed": False}
    back = await crm_world.do("add_to_campaign", {"campaign": "spring"}, contact)
    assert back["changed"] is True
    assert back["enrolment_id"] != joined["enrolment_id"]


async def test_restart_ends_and_begins_anew(crm_world: CrmWorld, contact: uuid.UUID) -> None:
    config = {"campaign": "spring", "on_active": "restart"}
    first = await crm_world.do("add_to_campaign", config, contact)
    second = await crm_world.do("add_to_campaign", config, contact)
    assert second["changed"] is True
    newest, oldest = await crm_world.enrolments(contact)
    assert (newest.enrolment_id, oldest.enrolment_id) == (second["enrolment_id"], first["enrolment_id"])
    assert oldest.HasField("leave_time")
    assert not newest.HasField("leave_time")


async def test_leaves_all(crm_world: CrmWorld, contact: uuid.UUID) -> None:
    await crm_world.do("add_to_campaign", {"campaign": "spring"}, contact)
    await crm_world.do("add_to_campaign", {"campaign": "autumn"}, contact)
    left = await crm_world.do("remove_from_campaign", {"all": "true"}, contact)
    assert left == {"removed": 2, "campaign": ["autumn", "spring"], "changed": True}
    assert await active(crm_world, contact) == []


@pytest.mark.parametrize(
    ("action_type", "config", "code"),
    [
        ("add_to_campaign", {"campaign": "winter"}, "CAMPAIGN_UNKNOWN"),
        ("remove_from_campaign", {"campaign": "winter"}, "CAMPAIGN_UNKNOWN"),
        ("add_to_campaign", {}, "CONFIG_INVALID"),
        ("add_to_campaign", {"campaign": "spring", "on_active": "parallel"}, "CONFIG_INVALID"),
        ("remove_from_campaign", {}, "CONFIG_INVALID"),
        ("remove_from_campaign", {"campaign": "spring", "all": True}, "CONFIG_INVALID"),
        ("remove_from_campaign", {"all": False}, "CONFIG_INVALID"),
    ],
)
async def test_refusals(
    crm_world: CrmWorld, contact: uuid.UUID, action_type: str, config: dict[str, object], code: str
) -> None:
    assert await crm_world.fail(action_type, config, contact) == code
    assert await crm_world.enrolments(contact) == []


@pytest.mark.parametrize("action_type", ["add_to_campaign", "remove_from_campaign"])
async def test_unknown_contact(crm: Client, crm_world: CrmWorld, action_type: str) -> None:
    known = await crm_world.add_contact()
    actions = [
        make_action(action_type, {"campaign": "spring"}, contact_id=one) for one in (uuid7(), known, uuid7())
    ]
    results = await crm.batch(actions)
    assert [one.failure.code for one in results] == ["CONTACT_NOT_FOUND", "", "CONTACT_NOT_FOUND"]


async def test_the_same_effect_is_done_once(crm_world: CrmWorld, contact: uuid.UUID) -> None:
    config = {"campaign": "spring", "on_active": "restart"}
    await crm_world.once(make_action("add_to_campaign", config, contact_id=contact))
    assert len(await crm_world.enrolments(contact)) == 1
    left = await crm_world.once(make_action("remove_from_campaign", {"all": True}, contact_id=contact))
    assert left["removed"] == 1


async def test_a_batch_of_mixed_types_follows_the_types_names(
    crm: Client, crm_world: CrmWorld, contact: uuid.UUID
) -> None:
    config = {"campaign": "spring", "on_active": "restart"}
    results = await crm.batch(
        [
            make_action("add_to_campaign", config, contact_id=contact),
            make_action("add_to_campaign", config, contact_id=contact),
            make_action("remove_from_campaign", {"all": True}, contact_id=contact),
            make_action("add_note", {"body": "b"}, contact_id=contact),
            make_action("add_to_campaign", {"campaign": "winter"}, contact_id=contact),
        ]
    )
    assert [one.failure.code for one in results] == ["", "", "", "", "CAMPAIGN_UNKNOWN"]
    assert output(results[2])["removed"] == 1
    assert len(await crm_world.enrolments(contact)) == 2
    assert await active(crm_world, contact) == []


async def test_many_at_once_make_one_enrolment(crm: Client, crm_world: CrmWorld, contact: uuid.UUID) -> None:
    actions = [make_action("add_to_campaign", {"campaign": "spring"}, contact_id=contact) for _ in range(8)]
    results = await asyncio.gather(*(crm.execute(action) for action in actions))
    assert {one.outcome for one in results} == {action_pb2.OUTCOME_SUCCEEDED}
    assert sorted(output(one)["changed"] is True for one in results) == [False] * 7 + [True]
    assert len({output(one)["enrolment_id"] for one in results}) == 1
    assert len(await crm_world.enrolments(contact)) == 1


async def test_accounts_do_not_see_each_other(crm: Client, crm_world: CrmWorld, contact: uuid.UUID) -> None:
    await crm_world.do("add_to_campaign", {"campaign": "spring"}, contact)
    assert await crm_world.enrolments(contact, OTHER_ACCOUNT) == []
    stranger = of_account(
        OTHER_ACCOUNT, make_action("remove_from_campaign", {"all": True}, contact_id=contact)
    )
    assert (await crm.execute(stranger)).failure.code == "CONTACT_NOT_FOUND"
    theirs = await crm_world.add_contact(OTHER_ACCOUNT)
    code = await crm_world.fail("add_to_campaign", {"campaign": "spring"}, theirs, OTHER_ACCOUNT)
    assert code == "CAMPAIGN_UNKNOWN"


async def test_enrolments_go_with_their_contact(crm_world: CrmWorld, contact: uuid.UUID) -> None:
    await crm_world.do("add_to_campaign", {"campaign": "spring"}, contact)
    await crm_world.delete_contact(contact)
    assert await crm_world.enrolments(contact) == []
