"""An opportunity that may have been opened, among others like it: ours is found, or it stays in doubt.

G5: none is opened twice, and none of somebody else's is taken for ours.
"""

import uuid
from typing import Any

import pytest

from tests.contract.executors.leadconnector_world import ElsewhereWorld, action
from tests.contract.executors.membership_world import output
from tests.contract.executors.test_executor_leadconnector_failing import LATE, NOT_DONE, Kind, Scene
from tests.contract.executors.test_executor_membership import kind_of

OPENED = Kind(
    "create_opportunity", {"pipeline": "sales", "stage": "new", "name": "Pro"}, "POST opportunities"
)
MOVED = Kind(
    "move_pipeline_stage",
    {"pipeline": "sales", "stage": "new", "name": "Pro", "create_if_missing": True},
    "POST opportunities",
)
MARKED = {"opportunity_effect_field": "sandboxFieldEffect01"}


async def lost(world: ElsewhereWorld, kind: Kind, taken: str, **settings: Any) -> Scene:
    """An attempt whose answer did not come."""
    who = await world.somebody(await world.account(**settings))
    output(await world.do(who, "add_tag", {"tag": "known"}))
    scene = Scene(world, who, kind, who.email, action(who, kind.name, kind.config))
    await scene.misbehave(hang=taken)
    assert kind_of(await world.crm.client.execute(scene.attempt)) == LATE
    await world.site.behave()
    return scene


async def open_another(scene: Scene, **changes: Any) -> str:
    """As somebody at LeadConnector does it."""
    theirs = await scene.world.site.contact(scene.email)
    body = {
        "pipelineId": "sandboxPipeline00001",
        "locationId": "sandboxLocation00001",
        "name": "Pro",
        "status": "open",
        "contactId": theirs["id"],
        **changes,
    }
    told = await scene.world.site.ask("POST", "/opportunities/", **body)
    return str(told["opportunity"]["id"])


@pytest.mark.parametrize("kind", [OPENED, MOVED], ids=["create", "move"])
async def test_of_two_alike_neither_is_taken_for_ours(elsewhere: ElsewhereWorld, kind: Kind) -> None:
    """G5: without a mark; it stays in doubt, and no third is opened."""
    scene = await lost(elsewhere, kind, "after")
    await open_another(scene)
    again = await scene.once_more()
    assert kind_of(again) == ("INDETERMINATE", "OUTCOME_UNKNOWN", "INDETERMINATE")
    assert again.final
    assert len(await elsewhere.site.opportunities(scene.email)) == 2


@pytest.mark.parametrize("kind", [OPENED, MOVED], ids=["create", "move"])
async def test_by_its_mark_ours_is_found_among_others(elsewhere: ElsewhereWorld, kind: Kind) -> None:
    """G5: newer ones of the same name and place do not matter."""
    scene = await lost(elsewhere, kind, "after", **MARKED)
    (ours,) = await elsewhere.site.opportunities(scene.email)
    await open_another(scene)
    assert output(await scene.once_more())["opportunity_id"] == ours["id"]
    assert len(await elsewhere.site.opportunities(scene.email)) == 2


async def test_one_that_another_effect_opened_is_not_ours(elsewhere: ElsewhereWorld) -> None:
    """G5: ours was never opened, another workflow's of the same name was: by its mark it is known for that one's."""
    scene = await lost(elsewhere, OPENED, "before", **MARKED)
    other = output(await elsewhere.do(scene.who, "create_opportunity", OPENED.config))
    found = await elsewhere.crm.client.reconcile(scene.attempt, fence=2)
    assert found.finding == NOT_DONE
    scene.attempt.fence = 3
    told = output(await scene.once_more())
    assert (told["created"], told["opportunity_id"]) == (False, other["opportunity_id"])


@pytest.mark.parametrize("changes", [{"name": "Basic"}, {"monetaryValue": 7}])
async def test_one_that_is_not_alike_is_not_taken(elsewhere: ElsewhereWorld, changes: dict[str, Any]) -> None:
    """G5: of another name it is nobody's concern; of another value it may have been changed."""
    kind = Kind(OPENED.name, {**OPENED.config, "value": "99", "allow_duplicate": True}, OPENED.request)
    scene = await lost(elsewhere, kind, "before")
    theirs = await open_another(scene, **changes)
    again = await scene.once_more()
    if "name" in changes:
        assert output(again)["opportunity_id"] != theirs
    else:
        assert kind_of(again) == ("INDETERMINATE", "OUTCOME_UNKNOWN", "INDETERMINATE")


async def test_a_mark_that_does_not_fit_is_refused(elsewhere: ElsewhereWorld) -> None:
    who = await elsewhere.somebody(await elsewhere.account(opportunity_effect_field=uuid.uuid4().hex[:20]))
    refused = await elsewhere.do(who, "create_opportunity", OPENED.config)
    assert kind_of(refused) == ("VALIDATION", "HTTP_422", "NOT_DONE")
