"""create_opportunity and move_pipeline_stage through the real server.

G5. R-ACT: create_opportunity, move_pipeline_stage.
"""

import asyncio
import uuid

import grpc
import pytest
from wayfarer.action.v1 import action_pb2
from wayfarer.crm.v1 import crm_service_pb2 as wire

from tests.contract.executors.crm_world import OTHER_ACCOUNT, STAGES, CrmWorld, in_order, of_account, output
from tests.contract.executors.world import ACCOUNT, TIMEOUT_S, Client, make_action, uuid7

NEW = {"pipeline": "sales", "stage": "new", "name": "Pro plan"}
TO_OFFER = {"pipeline": "sales", "stage": "offer"}


@pytest.fixture
async def contact(crm_world: CrmWorld) -> uuid.UUID:
    return await crm_world.add_contact()


async def test_opens_an_opportunity(crm_world: CrmWorld, contact: uuid.UUID) -> None:
    config = {**NEW, "value": "1999.9", "currency": "EUR", "source": "fair", "assigned_to": "ada"}
    told = await crm_world.do("create_opportunity", config, contact)
    assert (told["created"], told["changed"], told["stage"]) == (True, True, "new")
    (one,) = await crm_world.opportunities(contact)
    assert (one.opportunity_id, one.pipeline, one.stage) == (told["opportunity_id"], "sales", "new")
    assert (one.status, one.name, one.value) == (wire.OPPORTUNITY_STATUS_OPEN, "Pro plan", "1999.90")
    assert (one.currency, one.source, one.assigned_to) == ("EUR", "fair", "ada")


async def test_an_open_one_is_answered_instead(crm_world: CrmWorld, contact: uuid.UUID) -> None:
    first = await crm_world.do("create_opportunity", NEW, contact)
    again = await crm_world.do("create_opportunity", {**NEW, "stage": "offer"}, contact)
    assert again == {**first, "created": False, "changed": False}
    second = await crm_world.do("create_opportunity", {**NEW, "allow_duplicate": True}, contact)
    assert second["created"] is True
    latest = await crm_world.do("create_opportunity", NEW, contact)
    assert latest["opportunity_id"] == second["opportunity_id"]
    assert len(await crm_world.opportunities(contact)) == 2


async def test_one_that_is_closed_or_elsewhere_is_none_in_the_way(
    crm_world: CrmWorld, contact: uuid.UUID
) -> None:
    await crm_world.add_pipeline("renewals")
    await crm_world.do("create_opportunity", {**NEW, "status": "won"}, contact)
    await crm_world.do("create_opportunity", {**NEW, "pipeline": "renewals"}, contact)
    assert (await crm_world.do("create_opportunity", NEW, contact))["created"] is True
    assert len(await crm_world.opportunities(contact)) == 3


async def test_many_at_once_open_one(crm: Client, crm_world: CrmWorld, contact: uuid.UUID) -> None:
    actions = [make_action("create_opportunity", NEW, contact_id=contact) for _ in range(8)]
    alone, batch = await asyncio.gather(
        asyncio.gather(*(crm.execute(action) for action in actions[:4])), crm.batch(actions[4:])
    )
    told = [output(one) for one in (*alone, *batch)]
    assert sorted(one["created"] is True for one in told) == [False] * 7 + [True]
    assert len({one["opportunity_id"] for one in told}) == 1
    assert len(await crm_world.opportunities(contact)) == 1


async def test_moves_forward(crm_world: CrmWorld, contact: uuid.UUID) -> None:
    made = await crm_world.do("create_opportunity", NEW, contact)
    told = await crm_world.do("move_pipeline_stage", TO_OFFER, contact)
    assert told == {
        "opportunity_id": made["opportunity_id"],
        "from_stage": "new",
        "to_stage": "offer",
        "moved": True,
        "moved_count": 1,
        "updated": False,
        "created": False,
        "changed": True,
    }
    (one,) = await crm_world.opportunities(contact)
    assert (one.stage, one.name) == ("offer", "Pro plan")
    again = await crm_world.do("move_pipeline_stage", TO_OFFER, contact)
    assert (again["moved"], again["changed"], again["from_stage"]) == (False, False, "offer")


async def test_backward_needs_leave(crm_world: CrmWorld, contact: uuid.UUID) -> None:
    await crm_world.do("create_opportunity", {**NEW, "stage": "closing"}, contact)
    config = {**TO_OFFER, "status": "lost", "value": 5}
    told = await crm_world.do("move_pipeline_stage", config, contact)
    assert (told["moved"], told["updated"], told["changed"]) == (False, False, False)
    assert (told["from_stage"], told["to_stage"]) == ("closing", "closing")
    (one,) = await crm_world.opportunities(contact)
    assert (one.stage, one.status, one.value) == ("closing", wire.OPPORTUNITY_STATUS_OPEN, "")
    moved = await crm_world.do("move_pipeline_stage", {**config, "allow_backward": "true"}, contact)
    assert (moved["moved"], moved["updated"]) == (True, True)
    (one,) = await crm_world.opportunities(contact)
    assert (one.stage, one.status, one.value) == ("offer", wire.OPPORTUNITY_STATUS_LOST, "5.00")


async def test_status_and_value_change_in_place(crm_world: CrmWorld, contact: uuid.UUID) -> None:
    await crm_world.do("create_opportunity", {**NEW, "value": 10}, contact)
    config = {"pipeline": "sales", "stage": "new", "status": "won"}
    told = await crm_world.do("move_pipeline_stage", config, contact)
    assert (told["moved"], told["updated"], told["changed"]) == (False, True, False)
    (one,) = await crm_world.opportunities(contact)
    assert (one.status, one.value) == (wire.OPPORTUNITY_STATUS_WON, "10.00")


async def test_moves_the_latest_all_or_one(crm_world: CrmWorld, contact: uuid.UUID) -> None:
    config = {**NEW, "allow_duplicate": True}
    ids = [
        str((await crm_world.do("create_opportunity", config, contact))["opportunity_id"]) for _ in range(3)
    ]
    closed = await crm_world.do("create_opportunity", {**config, "status": "lost"}, contact)

    async def stages() -> list[str]:
        standing = {one.opportunity_id: one.stage for one in await crm_world.opportunities(contact)}
        return [standing[name] for name in (*ids, str(closed["opportunity_id"]))]

    latest = await crm_world.do("move_pipeline_stage", TO_OFFER, contact)
    assert latest["opportunity_id"] == ids[2]
    assert await stages() == ["new", "new", "offer", "new"]
    by_id = await crm_world.do("move_pipeline_stage", {**TO_OFFER, "opportunity_id": ids[0]}, contact)
    assert (by_id["opportunity_id"], by_id["moved_count"]) == (ids[0], 1)
    assert await stages() == ["offer", "new", "offer", "new"]
    everyone = await crm_world.do("move_pipeline_stage", {**TO_OFFER, "selector": "all_open"}, contact)
    assert (everyone["opportunity_id"], everyone["moved_count"]) == (ids[1], 1)
    assert await stages() == ["offer", "offer", "offer", "new"]
    config = {**TO_OFFER, "opportunity_id": closed["opportunity_id"], "status": "open"}
    reopened = await crm_world.do("move_pipeline_stage", config, contact)
    assert (reopened["moved"], reopened["updated"]) == (True, True)


async def test_opens_one_if_there_is_none(crm_world: CrmWorld, contact: uuid.UUID) -> None:
    config = {**TO_OFFER, "create_if_missing": True, "name": "Found", "value": "12"}
    told = await crm_world.do("move_pipeline_stage", config, contact)
    assert (told["created"], told["moved"], told["changed"]) == (True, True, True)
    assert (told["from_stage"], told["to_stage"]) == (None, "offer")
    (one,) = await crm_world.opportunities(contact)
    assert (one.opportunity_id, one.name, one.value) == (told["opportunity_id"], "Found", "12.00")
    kept = await crm_world.do("move_pipeline_stage", config, contact)
    assert (kept["created"], kept["opportunity_id"]) == (False, told["opportunity_id"])


@pytest.mark.parametrize(
    ("action_type", "config", "code"),
    [
        ("create_opportunity", {**NEW, "pipeline": "none"}, "PIPELINE_UNKNOWN"),
        ("create_opportunity", {**NEW, "stage": "none"}, "STAGE_UNKNOWN"),
        ("create_opportunity", {**NEW, "assigned_to": "nobody"}, "USER_UNKNOWN"),
        ("create_opportunity", {**NEW, "value": -1}, "CONFIG_INVALID"),
        ("create_opportunity", {**NEW, "value": "1.234"}, "CONFIG_INVALID"),
        ("create_opportunity", {**NEW, "value": "NaN"}, "CONFIG_INVALID"),
        ("create_opportunity", {**NEW, "currency": "euro"}, "CONFIG_INVALID"),
        ("create_opportunity", {**NEW, "source": "a\u0000b"}, "CONFIG_INVALID"),
        ("create_opportunity", {**NEW, "name": "x" * 256}, "CONFIG_INVALID"),
        ("create_opportunity", {**NEW, "status": "closed"}, "CONFIG_INVALID"),
        ("move_pipeline_stage", {**TO_OFFER, "pipeline": "none"}, "PIPELINE_UNKNOWN"),
        ("move_pipeline_stage", {**TO_OFFER, "stage": "none"}, "STAGE_UNKNOWN"),
        ("move_pipeline_stage", TO_OFFER, "OPPORTUNITY_NOT_FOUND"),
        ("move_pipeline_stage", {**TO_OFFER, "selector": "all_open"}, "OPPORTUNITY_NOT_FOUND"),
        ("move_pipeline_stage", {**TO_OFFER, "opportunity_id": str(uuid.uuid4())}, "OPPORTUNITY_NOT_FOUND"),
        ("move_pipeline_stage", {**TO_OFFER, "opportunity_id": "7"}, "CONFIG_INVALID"),
        ("move_pipeline_stage", {**TO_OFFER, "selector": "oldest"}, "CONFIG_INVALID"),
        (
            "move_pipeline_stage",
            {**TO_OFFER, "opportunity_id": str(uuid.uuid4()), "selector": "all_open"},
            "CONFIG_INVALID",
        ),
        (
            "move_pipeline_stage",
            {**TO_OFFER, "opportunity_id": str(uuid.uuid4()), "create_if_missing": True},
            "CONFIG_INVALID",
        ),
    ],
)
async def test_refusals(
    crm_world: CrmWorld, contact: uuid.UUID, action_type: str, config: dict[str, object], code: str
) -> None:
    assert await crm_world.fail(action_type, config, contact) == code
    assert await crm_world.opportunities(contact) == []


@pytest.mark.parametrize(
    ("action_type", "config"), [("create_opportunity", NEW), ("move_pipeline_stage", TO_OFFER)]
)
async def test_unknown_contact(crm_world: CrmWorld, action_type: str, config: dict[str, object]) -> None:
    assert await crm_world.fail(action_type, config, uuid7()) == "CONTACT_NOT_FOUND"


async def test_another_contacts_or_pipelines_opportunity_is_not_found(
    crm_world: CrmWorld, contact: uuid.UUID
) -> None:
    await crm_world.add_pipeline("renewals")
    made = await crm_world.do("create_opportunity", NEW, contact)
    config = {**TO_OFFER, "opportunity_id": made["opportunity_id"]}
    stranger = await crm_world.add_contact()
    assert await crm_world.fail("move_pipeline_stage", config, stranger) == "OPPORTUNITY_NOT_FOUND"
    elsewhere = {**config, "pipeline": "renewals"}
    assert await crm_world.fail("move_pipeline_stage", elsewhere, contact) == "OPPORTUNITY_NOT_FOUND"


async def test_the_same_effect_is_done_once(crm_world: CrmWorld, contact: uuid.UUID) -> None:
    config = {**NEW, "allow_duplicate": True}
    await crm_world.once(make_action("create_opportunity", config, contact_id=contact))
    assert len(await crm_world.opportunities(contact)) == 1
    told = await crm_world.once(make_action("move_pipeline_stage", TO_OFFER, contact_id=contact))
    assert told["moved"] is True


async def test_a_batch_of_mixed_types(crm: Client, crm_world: CrmWorld, contact: uuid.UUID) -> None:
    """What one call of a batch opens or moves, those after it find so."""
    actions = in_order(
        make_action("move_pipeline_stage", {**TO_OFFER, "selector": "all_open"}, contact_id=contact),
        make_action("move_pipeline_stage", {**TO_OFFER, "status": "won"}, contact_id=contact),
        make_action("move_pipeline_stage", {**TO_OFFER, "stage": "none"}, contact_id=contact),
        make_action("create_opportunity", {**NEW, "allow_duplicate": True}, contact_id=contact),
        make_action("create_opportunity", {**NEW, "allow_duplicate": True}, contact_id=contact),
        make_action("assign_to_user", {"user_ids": ["cyd"]}, contact_id=contact),
        make_action("create_opportunity", {**NEW, "assigned_to": "owner"}, contact_id=contact),
    )
    results = await crm.batch(actions)
    assert [one.failure.code for one in results] == ["", "", "STAGE_UNKNOWN", "", "", "", ""]
    assert [output(results[place])["moved_count"] for place in (0, 1)] == [2, 0]
    assert output(results[6])["created"] is False
    assert output(results[6])["opportunity_id"] == output(results[4])["opportunity_id"]
    standing = await crm_world.opportunities(contact)
    assert [one.stage for one in standing] == ["offer", "offer"]
    # The latest was won.
    assert [one.status for one in standing] == [wire.OPPORTUNITY_STATUS_WON, wire.OPPORTUNITY_STATUS_OPEN]


async def test_a_stage_that_is_gone_is_before_the_others(crm_world: CrmWorld, contact: uuid.UUID) -> None:
    key = f"short-{uuid7().hex[-8:]}"
    await crm_world.add_pipeline(key)
    await crm_world.do("create_opportunity", {**NEW, "pipeline": key, "stage": "closing"}, contact)
    await crm_world.add_pipeline(key, STAGES[:2])
    told = await crm_world.do("move_pipeline_stage", {"pipeline": key, "stage": "new"}, contact)
    assert (told["from_stage"], told["moved"]) == ("closing", True)


async def test_accounts_do_not_see_each_other(crm: Client, crm_world: CrmWorld, contact: uuid.UUID) -> None:
    await crm_world.do("create_opportunity", NEW, contact)
    assert await crm_world.opportunities(contact, OTHER_ACCOUNT) == []
    theirs = await crm_world.add_contact(OTHER_ACCOUNT)
    code = await crm_world.fail("create_opportunity", NEW, theirs, OTHER_ACCOUNT)
    assert code == "PIPELINE_UNKNOWN"
    stranger = of_account(OTHER_ACCOUNT, make_action("move_pipeline_stage", TO_OFFER, contact_id=contact))
    assert (await crm.execute(stranger)).failure.code == "CONTACT_NOT_FOUND"


async def test_names_are_sealed_and_go_with_the_contact(
    crm: Client, crm_world: CrmWorld, contact: uuid.UUID
) -> None:
    await crm_world.do("create_opportunity", {**NEW, "name": "Secret"}, contact)
    stored = "SELECT name_sealed FROM opportunity WHERE contact_id = $1"
    assert b"Secret" not in await crm.database.fetchval(stored, contact)
    await crm_world.delete_contact(contact)
    assert await crm_world.opportunities(contact) == []


async def test_moves_meet_without_losing_one(crm: Client, crm_world: CrmWorld) -> None:
    """Concurrent batches over the same contacts end as some order of them would: nothing is opened twice."""
    contacts = [await crm_world.add_contact() for _ in range(4)]

    def batch(turn: int) -> list[action_pb2.Action]:
        config = {"pipeline": "sales", "stage": STAGES[turn % 3], "create_if_missing": True}
        order = contacts[turn % 4 :] + contacts[: turn % 4]
        return [
            action
            for one in order
            for action in (
                make_action("move_pipeline_stage", config, contact_id=one),
                make_action("create_opportunity", NEW, contact_id=one),
            )
        ]

    answers = await asyncio.gather(*(crm.batch(batch(turn)) for turn in range(9)))
    assert {one.outcome for results in answers for one in results} == {action_pb2.OUTCOME_SUCCEEDED}
    for one in contacts:
        assert [found.stage for found in await crm_world.opportunities(one)] == ["closing"]


async def test_pipelines_are_listed_with_their_stages_in_order(crm_world: CrmWorld) -> None:
    key = f"zz-{uuid7().hex[-8:]}"
    await crm_world.add_pipeline(key, ("c", "a", "b"))
    await crm_world.add_pipeline(key, ("b", "c", "d"))
    found: list[wire.Pipeline] = []
    request = wire.ListPipelinesRequest(account_id=ACCOUNT, page_size=1)
    while True:
        page = await crm_world.crm.ListPipelines(request, timeout=TIMEOUT_S)
        found += page.pipelines
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert [one.key for one in found] == sorted(one.key for one in found)
    mine = next(one for one in found if one.key == key)
    assert [(stage.key, stage.name) for stage in mine.stages] == [("b", "B"), ("c", "C"), ("d", "D")]


@pytest.mark.parametrize(
    "pipeline",
    [
        wire.Pipeline(key="p", name="P"),
        wire.Pipeline(key="p", stages=[wire.Stage(key="a", name="A")]),
        wire.Pipeline(key="no key", name="P", stages=[wire.Stage(key="a", name="A")]),
        wire.Pipeline(key="p", name="P", stages=[wire.Stage(key="a", name="A")] * 2),
    ],
)
async def test_bad_pipelines_are_refused(crm_world: CrmWorld, pipeline: wire.Pipeline) -> None:
    request = wire.PutPipelineRequest(account_id=ACCOUNT, pipeline=pipeline)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await crm_world.crm.PutPipeline(request, timeout=TIMEOUT_S)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_nobody_is_called_owner(crm_world: CrmWorld) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await crm_world.add_user("owner")
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
