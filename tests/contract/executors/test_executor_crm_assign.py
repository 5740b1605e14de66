"""assign_to_user through the real server: fair whatever the batches, the same user for the same effect.

G5. R-ACT: assign_to_user.
"""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Sequence

import pytest
from wayfarer.action.v1 import action_pb2
from wayfarer.crm.v1 import crm_service_pb2 as wire

from services.executors.crm import assignment
from tests.contract.executors.crm_world import OTHER_ACCOUNT, USERS, CrmWorld, of_account, output
from tests.contract.executors.world import ACCOUNT, TIMEOUT_S, Client, make_action, uuid7


@pytest.fixture
async def contact(crm_world: CrmWorld) -> uuid.UUID:
    return await crm_world.add_contact()


@pytest.fixture
async def team(crm_world: CrmWorld) -> list[str]:
    """Users of this test alone, who own nobody yet."""
    names = [f"u{number}-{uuid7().hex[-8:]}" for number in range(4)]
    for name in names:
        await crm_world.add_user(name)
    return names


async def batches(
    crm: Client, actions: Sequence[action_pb2.Action], dice: random.Random, *, together: bool
) -> list[action_pb2.ActionResult]:
    """The results of actions that come in batches of any sizes, one after the other or all at once."""
    left, split = list(actions), []
    while left:
        size = dice.randint(1, len(left))
        split.append(left[:size])
        left = left[size:]
    if together:
        answers = await asyncio.gather(*(crm.batch(one) for one in split))
    else:
        answers = [await crm.batch(one) for one in split]
    return [result for batch in answers for result in batch]


async def test_assigns_to_one(crm_world: CrmWorld, contact: uuid.UUID, team: list[str]) -> None:
    before = await crm_world.owned()
    told = await crm_world.do("assign_to_user", {"user_ids": [team[0]]}, contact)
    assert told == {"user_id": team[0], "previous": None, "changed": True}
    again = await crm_world.do("assign_to_user", {"user_ids": [team[0]]}, contact)
    assert again == {"user_id": team[0], "previous": team[0], "changed": False}
    other = await crm_world.do("assign_to_user", {"user_ids": [team[1]]}, contact)
    assert other == {"user_id": team[1], "previous": team[0], "changed": True}
    assert await crm_world.owned() == {**before, team[1]: 1}


async def test_leaves_an_owner_alone(crm_world: CrmWorld, contact: uuid.UUID, team: list[str]) -> None:
    config = {"user_ids": team, "strategy": "round_robin", "only_unassigned": True, "key": team[0]}
    first = await crm_world.do("assign_to_user", config, contact)
    assert first["changed"] is True
    kept = await crm_world.do("assign_to_user", config, contact)
    assert kept == {"user_id": team[0], "previous": team[0], "changed": False}
    # No turn went to the contact that was left alone.
    assert (await crm_world.do("assign_to_user", config, await crm_world.add_contact()))["user_id"] == team[1]


async def test_an_owner_of_the_same_batch_is_left_alone(
    crm: Client, crm_world: CrmWorld, contact: uuid.UUID, team: list[str]
) -> None:
    config = {"user_ids": team, "strategy": "round_robin", "only_unassigned": True}
    actions = [make_action("assign_to_user", config, contact_id=contact) for _ in range(3)]
    told = [output(one) for one in await crm.batch(actions)]
    assert sorted(one["changed"] is True for one in told) == [False, False, True]
    assert len({str(one["user_id"]) for one in told}) == 1


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("seed", range(4))
async def test_round_robin_is_even_over_any_batches(
    crm: Client, crm_world: CrmWorld, team: list[str], seed: int, together: bool
) -> None:
    """n actions over k users give every user n/k of them, rounded down or up."""
    dice = random.Random(seed)
    users = team[: dice.randint(1, 4)]
    count = dice.randint(1, 30)
    config = {"user_ids": users, "strategy": "round_robin", "key": f"{team[0]}.{seed}"}
    contacts = await asyncio.gather(*(crm_world.add_contact() for _ in range(count)))
    actions = [make_action("assign_to_user", config, contact_id=one) for one in contacts]
    results = await batches(crm, actions, dice, together=together)
    shares = Counter(str(output(one)["user_id"]) for one in results)
    assert sum(shares.values()) == count
    assert {shares[user] for user in users} <= {count // len(users), -(-count // len(users))}
    owned = await crm_world.owned()
    assert {user: owned[user] for user in users} == {user: shares[user] for user in users}


async def test_a_delivery_repeated_takes_no_turn(
    crm: Client, crm_world: CrmWorld, contact: uuid.UUID, team: list[str]
) -> None:
    config = {"user_ids": team, "strategy": "round_robin", "key": team[0]}
    action = make_action("assign_to_user", config, contact_id=contact)
    told = await crm_world.once(action)
    assert told["user_id"] == team[0]
    others = [make_action("assign_to_user", config, contact_id=contact) for _ in range(3)]
    results = await crm.batch([others[0], action, *others[1:], action])
    assert [one.replayed for one in results] == [False, True, False, False, True]
    assert {output(results[1])["user_id"], output(results[4])["user_id"]} == {team[0]}
    assert {output(results[place])["user_id"] for place in (0, 2, 3)} == set(team[1:])


async def test_a_failed_attempt_takes_no_turn(
    crm: Client, crm_world: CrmWorld, contact: uuid.UUID, team: list[str]
) -> None:
    config = {"user_ids": team, "strategy": "round_robin", "key": team[0]}
    nobody = make_action("assign_to_user", config)
    known = make_action("assign_to_user", config, contact_id=contact)
    results = await crm.batch([nobody, known])
    assert results[0].failure.code == "CONTACT_NOT_FOUND"
    assert output(results[1])["user_id"] == team[0]


async def test_turns_are_kept_per_key_and_account(
    crm: Client, crm_world: CrmWorld, contact: uuid.UUID, team: list[str]
) -> None:
    config = {"user_ids": team, "strategy": "round_robin"}
    first = make_action("assign_to_user", config, contact_id=contact, step_id=team[0])
    other = make_action("assign_to_user", config, contact_id=contact, step_id=team[1])
    named = make_action("assign_to_user", {**config, "key": team[0]}, contact_id=contact)
    for user in team:
        await crm_world.add_user(user, account_id=OTHER_ACCOUNT)
    theirs = await crm_world.add_contact(OTHER_ACCOUNT)
    stranger = make_action("assign_to_user", config, contact_id=theirs, step_id=team[0])
    told = [
        output(await crm.execute(one))["user_id"]
        for one in (first, other, named, of_account(OTHER_ACCOUNT, stranger))
    ]
    assert told == [team[0], team[0], team[1], team[0]]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("seed", range(3))
async def test_least_loaded_levels_out_over_any_batches(
    crm: Client, crm_world: CrmWorld, team: list[str], seed: int, together: bool
) -> None:
    """The next contact always goes to who owns the fewest, within a batch as between batches."""
    dice = random.Random(seed)
    for user in team:
        for _ in range(dice.randint(0, 3)):
            await crm_world.do("assign_to_user", {"user_ids": [user]}, await crm_world.add_contact())
    before = await crm_world.owned()
    expected = {user: before[user] for user in team}
    count = dice.randint(5, 20)
    for _ in range(count):
        expected[min(team, key=lambda user: expected[user])] += 1
    contacts = [await crm_world.add_contact() for _ in range(count)]
    config = {"user_ids": team, "strategy": "least_loaded"}
    actions = [make_action("assign_to_user", config, contact_id=one) for one in contacts]
    results = await batches(crm, actions, dice, together=together)
    assert {one.outcome for one in results} == {action_pb2.OUTCOME_SUCCEEDED}
    after = await crm_world.owned()
    assert {user: after[user] for user in team} == expected


async def test_least_loaded_prefers_the_first_of_equals(
    crm_world: CrmWorld, contact: uuid.UUID, team: list[str]
) -> None:
    config = {"user_ids": team[::-1], "strategy": "least_loaded"}
    assert (await crm_world.do("assign_to_user", config, contact))["user_id"] == team[-1]


async def test_weights_give_their_shares(crm: Client, crm_world: CrmWorld, team: list[str]) -> None:
    contacts = [await crm_world.add_contact() for _ in range(20)]
    config = {
        "user_ids": team[:3],
        "strategy": "weighted",
        "weights": {team[0]: 5, team[1]: 4},
        "key": team[0],
    }
    actions = [make_action("assign_to_user", config, contact_id=one) for one in contacts]
    results = await batches(crm, actions, random.Random(1), together=True)
    shares = Counter(str(output(one)["user_id"]) for one in results)
    assert shares == {team[0]: 10, team[1]: 8, team[2]: 2}


def test_every_round_of_weights_is_exact() -> None:
    dice = random.Random(7)
    for _ in range(50):
        users = [f"u{number}" for number in range(dice.randint(1, 12))]
        weights = {user: dice.randint(1, 100) for user in users if dice.random() < 0.7}
        total = sum(weights.get(user, 1) for user in users)
        begun = dice.randint(0, 10_000)
        shares = Counter(assignment.by_weight(users, weights, begun + turn) for turn in range(total))
        assert shares == {user: weights.get(user, 1) for user in users}


def test_heavy_users_turns_lie_apart() -> None:
    chosen = [assignment.by_weight(["a", "b"], {"a": 50, "b": 50}, turn) for turn in range(100)]
    runs = max(len(run) for run in "".join(chosen).replace("ab", "a b").replace("ba", "b a").split())
    assert runs <= 3


async def test_inactive_users_are_passed_over(
    crm_world: CrmWorld, contact: uuid.UUID, team: list[str]
) -> None:
    await crm_world.add_user(team[0], active=False)
    config = {"user_ids": team[:2], "strategy": "round_robin"}
    for _ in range(2):
        assert (await crm_world.do("assign_to_user", config, contact))["user_id"] == team[1]
    assert await crm_world.fail("assign_to_user", {"user_ids": [team[0]]}, contact) == "USER_INACTIVE"


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"user_ids": ["nobody"]}, "USER_UNKNOWN"),
        ({"user_ids": ["ada", "nobody"], "strategy": "round_robin"}, "USER_UNKNOWN"),
        ({"user_ids": []}, "CONFIG_INVALID"),
        ({"user_ids": [f"u{n}" for n in range(101)], "strategy": "round_robin"}, "CONFIG_INVALID"),
        ({"user_ids": ["ada", "bob"]}, "CONFIG_INVALID"),
        ({"user_ids": ["ada", "ada"], "strategy": "round_robin"}, "CONFIG_INVALID"),
        ({"user_ids": ["ada"], "weights": {"ada": 2}}, "CONFIG_INVALID"),
        ({"user_ids": ["ada"], "strategy": "weighted", "weights": {"bob": 2}}, "CONFIG_INVALID"),
        ({"user_ids": ["ada"], "strategy": "weighted", "weights": {"ada": 0}}, "CONFIG_INVALID"),
        ({"user_ids": ["ada"], "strategy": "at_random"}, "CONFIG_INVALID"),
    ],
)
async def test_refusals(
    crm_world: CrmWorld, contact: uuid.UUID, config: dict[str, object], code: str
) -> None:
    assert await crm_world.fail("assign_to_user", config, contact) == code


async def test_unknown_contact(crm_world: CrmWorld) -> None:
    assert await crm_world.fail("assign_to_user", {"user_ids": ["ada"]}, uuid7()) == "CONTACT_NOT_FOUND"


async def test_accounts_do_not_see_each_other(
    crm: Client, crm_world: CrmWorld, contact: uuid.UUID, team: list[str]
) -> None:
    theirs = await crm_world.add_contact(OTHER_ACCOUNT)
    config = {"user_ids": [team[0]]}
    assert await crm_world.fail("assign_to_user", config, theirs, OTHER_ACCOUNT) == "USER_UNKNOWN"
    await crm_world.add_user(team[0], account_id=OTHER_ACCOUNT)
    await crm_world.do("assign_to_user", config, theirs, OTHER_ACCOUNT)
    assert (await crm_world.owned())[team[0]] == 0
    assert (await crm_world.owned(OTHER_ACCOUNT))[team[0]] == 1
    stranger = of_account(OTHER_ACCOUNT, make_action("assign_to_user", config, contact_id=contact))
    assert (await crm.execute(stranger)).failure.code == "CONTACT_NOT_FOUND"


async def test_a_deleted_contact_is_nobodys(crm_world: CrmWorld, contact: uuid.UUID, team: list[str]) -> None:
    await crm_world.do("assign_to_user", {"user_ids": [team[0]]}, contact)
    assert (await crm_world.owned())[team[0]] == 1
    await crm_world.delete_contact(contact)
    await crm_world.delete_contact(contact)
    assert (await crm_world.owned())[team[0]] == 0


async def test_a_task_goes_to_the_owner(
    crm: Client, crm_world: CrmWorld, contact: uuid.UUID, team: list[str]
) -> None:
    task = {"title": "t", "due_in": {"amount": 1, "unit": "days"}, "assigned_to": "owner"}
    assert (await crm_world.do("create_task", task, contact))["assigned_to"] is None
    results = await crm.batch(
        [
            make_action("create_task", task, contact_id=contact),
            make_action("assign_to_user", {"user_ids": [team[2]]}, contact_id=contact),
            make_action("add_tag", {"tag": "x"}, contact_id=contact),
        ]
    )
    assert output(results[0])["assigned_to"] == team[2]  # types of a batch go by name


async def test_users_are_listed_by_id(crm_world: CrmWorld, team: list[str]) -> None:
    request = wire.ListUsersRequest(account_id=ACCOUNT, page_size=2)
    seen: list[str] = []
    while True:
        page = await crm_world.crm.ListUsers(request, timeout=TIMEOUT_S)
        seen += [user.user_id for user in page.users]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen == sorted(seen)
    assert {*USERS, *team} <= set(seen)
