"""add_tag and remove_tag with several tags in one step, through the real server.

G5. R-ACT: add_tag, remove_tag.
"""

import json
import uuid

import pytest

from tests.contract.executors.crm_world import CrmWorld
from tests.contract.executors.world import Client, make_action


@pytest.fixture
async def contact(crm_world: CrmWorld) -> uuid.UUID:
    contact_id = await crm_world.add_contact()
    await crm_world.do("add_tag", {"tag": "old"}, contact_id)
    return contact_id


async def test_adds_and_removes_several_tags(crm: Client, crm_world: CrmWorld, contact: uuid.UUID) -> None:
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
    assert (await crm_world.record(contact))[1] == ["a", "b", "old"]
    config = {"tags": ["a", "none", "old"]}
    removed = await crm.execute(make_action("remove_tag", config, contact_id=contact))
    told = {"removed": ["a", "old"], "missing": ["none"], "tag": ["a", "old"], "changed": True}
    assert json.loads(removed.output) == told
    assert (await crm_world.record(contact))[1] == ["b"]


async def test_one_tag_and_several_in_a_batch(crm: Client, crm_world: CrmWorld, contact: uuid.UUID) -> None:
    other = await crm_world.add_contact()
    await crm_world.do("add_tag", {"tag": "b"}, other)
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
    assert (await crm_world.record(contact))[1] == ["a", "b", "c", "old"]
    assert (await crm_world.record(other))[1] == ["b"]


async def test_calls_that_meet_on_a_tag_add_it_once(
    crm: Client, crm_world: CrmWorld, contact: uuid.UUID
) -> None:
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
    crm: Client, crm_world: CrmWorld, contact: uuid.UUID, action_type: str, config: dict[str, object]
) -> None:
    result = await crm.execute(make_action(action_type, config, contact_id=contact))
    assert result.failure.code == "CONFIG_INVALID"


async def test_the_most_tags_are_told(crm: Client, crm_world: CrmWorld, contact: uuid.UUID) -> None:
    tags = [f"{n:02}" + '"' * 72 for n in range(50)]
    assert 7400 < len(json.dumps(tags, separators=(",", ":"))) <= 7500
    result = await crm.execute(make_action("add_tag", {"tags": tags}, contact_id=contact))
    assert json.loads(result.output)["added"] == tags
