"""The crm at LeadConnector, through the real server and the sandbox on loopback: what every action type does there.

R-ACT: create_contact, update_contact, add_tag, remove_tag, add_to_campaign, remove_from_campaign,
move_pipeline_stage, assign_to_user, create_task, add_note, create_opportunity at an account's own provider.
"""

import json
import uuid
from typing import Any

import grpc
import pytest
from wayfarer.action.v1 import action_executor_pb2, action_pb2
from wayfarer.action.v1 import provider_service_pb2 as providers

from tests.contract.executors.leadconnector_world import ElsewhereWorld, Somebody, action
from tests.contract.executors.membership_world import output
from tests.contract.executors.test_executor_membership import kind_of
from tests.contract.executors.world import ACCOUNT, TIMEOUT_S

OFFER = {"pipeline": "sales", "stage": "offer"}


@pytest.fixture
async def who(elsewhere: ElsewhereWorld) -> Somebody:
    return await elsewhere.somebody(first_name="Ada", last_name="Lovelace", time_zone="Europe/London")


async def test_a_contact_is_made_there_once_and_known_again(elsewhere: ElsewhereWorld, who: Somebody) -> None:
    """R-ACT: by its address, with its name; the same contact is the same there ever after."""
    for tag in ("one", "two"):
        assert output(await elsewhere.do(who, "add_tag", {"tag": tag}))["changed"]
    theirs = await elsewhere.site.contact(who.email)
    assert (theirs["firstName"], theirs["lastName"], theirs["timezone"]) == (
        "Ada",
        "Lovelace",
        "Europe/London",
    )
    assert theirs["tags"] == ["one", "two"]


async def test_a_contact_that_is_there_is_found_and_not_overwritten(elsewhere: ElsewhereWorld) -> None:
    account = await elsewhere.account()
    email = f"{uuid.uuid4().hex}@example.test"
    body = {"locationId": "sandboxLocation00001", "email": email, "firstName": "Augusta", "tags": ["vip"]}
    made = await elsewhere.site.ask("POST", "/contacts/", **body)
    who = Somebody(account, uuid.uuid4(), email)
    await elsewhere.tell(account, who.contact_id, email.upper(), first_name="Ada")
    assert output(await elsewhere.do(who, "add_tag", {"tag": "new"}))["changed"]
    theirs = await elsewhere.site.contact(email)
    assert (theirs["id"], theirs["firstName"], theirs["tags"]) == (
        made["contact"]["id"],
        "Augusta",
        ["vip", "new"],
    )


async def test_tags_are_there_and_here(elsewhere: ElsewhereWorld, who: Somebody) -> None:
    """R-ACT: conditions read our records, so what LeadConnector took is kept here too; outputs are the same."""
    told = output(await elsewhere.do(who, "add_tag", {"tags": ["VIP", "lead"]}))
    assert (told["added"], told["already"], told["changed"]) == (["VIP", "lead"], [], True)
    assert not output(await elsewhere.do(who, "add_tag", {"tag": "lead"}))["changed"]
    assert output(await elsewhere.do(who, "remove_tag", {"tag": "lead"}))["changed"]
    assert (await elsewhere.site.contact(who.email))["tags"] == ["vip"]
    assert (await elsewhere.crm.record(who.contact_id, who.account))[1] == ["VIP"]


async def test_fields_are_there_and_here(elsewhere: ElsewhereWorld, who: Somebody) -> None:
    changes = {"first_name": "Grace", "last_name": None, "phone": "+14155550123", "fields.plan": "pro"}
    result = await elsewhere.do(who, "update_contact", {"set": changes})
    assert output(result)["changed"]
    assert json.loads(result.contact_changes) == {"phone": "+14155550123"}
    theirs = await elsewhere.site.contact(who.email)
    assert (theirs["firstName"], theirs["lastName"], theirs["phone"]) == ("Grace", None, "+14155550123")
    assert theirs["customFields"] == [{"id": "sandboxFieldPlan0001", "value": "pro"}]
    data, _ = await elsewhere.crm.record(who.contact_id, who.account)
    assert data == {"first_name": "Grace", "time_zone": "Europe/London", "fields": {"plan": "pro"}}


async def test_an_address_of_ours_is_no_field_of_theirs(elsewhere: ElsewhereWorld, who: Somebody) -> None:
    """R-ACT: messenger_id is kept here; LeadConnector need not have a field for it."""
    result = await elsewhere.do(who, "update_contact", {"set": {"fields.messenger_id": "7001"}})
    assert output(result)["changed"]
    assert json.loads(result.contact_changes) == {"messenger_id": "7001"}
    assert (await elsewhere.site.contact(who.email))["customFields"] == []


async def test_contacts_are_made_found_and_refused(elsewhere: ElsewhereWorld, who: Somebody) -> None:
    """R-ACT: on_duplicate, and the new contact is the same one in both places from then on."""
    email = f"{uuid.uuid4().hex}@example.com"
    made = {"email": email, "first_name": "Mary", "tags": ["lead"], "fields": {"plan": "free"}}
    result = await elsewhere.do(who, "create_contact", made)
    told = output(result)
    assert told["created"]
    assert json.loads(result.contact_changes)["create"]["email"] == email
    theirs = await elsewhere.site.contact(email)
    assert (theirs["firstName"], theirs["tags"]) == ("Mary", ["lead"])
    again = {"email": email, "first_name": "Maria", "tags": ["back"]}
    for on_duplicate, name in (("skip", "Mary"), ("update", "Maria")):
        same = output(await elsewhere.do(who, "create_contact", {**again, "on_duplicate": on_duplicate}))
        assert (same["created"], same["contact_id"]) == (False, told["contact_id"])
        assert (await elsewhere.site.contact(email))["firstName"] == name
    refused = await elsewhere.do(who, "create_contact", {**again, "on_duplicate": "fail"})
    assert kind_of(refused) == ("VALIDATION", "CONTACT_EXISTS", "NOT_DONE")
    assert (await elsewhere.site.contact(email))["tags"] == ["lead", "back"]
    other = Somebody(who.account, uuid.UUID(told["contact_id"]), email)
    await elsewhere.site.ask("PUT", f"/contacts/{theirs['id']}", email=f"moved-{email}")
    assert output(await elsewhere.do(other, "add_tag", {"tag": "same"}))["changed"]
    assert "same" in (await elsewhere.site.contact(f"moved-{email}"))["tags"]


async def test_owners_are_chosen_here_and_told_there(elsewhere: ElsewhereWorld) -> None:
    """R-ACT: turns are taken once per effect, whatever happens on the way."""
    account = await elsewhere.account()
    config = {"user_ids": ["ada", "bob"], "strategy": "round_robin", "key": "turns"}
    chosen = []
    for _ in range(4):
        who = await elsewhere.somebody(account)
        chosen.append(output(await elsewhere.do(who, "assign_to_user", config))["user_id"])
        theirs = await elsewhere.site.contact(who.email)
        assert (
            theirs["assignedTo"] == {"ada": "sandboxUserAda000001", "bob": "sandboxUserBob000001"}[chosen[-1]]
        )
    assert chosen == ["ada", "bob", "ada", "bob"]
    assert await elsewhere.crm.owned(account) == {"ada": 2, "bob": 2}
    left = output(await elsewhere.do(who, "assign_to_user", {"user_ids": ["ada"], "only_unassigned": True}))
    assert (left["user_id"], left["changed"]) == ("bob", False)
    assert (await elsewhere.site.contact(who.email))["assignedTo"] == "sandboxUserBob000001"


async def test_notes_and_tasks_are_there(elsewhere: ElsewhereWorld, who: Somebody) -> None:
    """R-ACT: with a mark that names the effect; "owner" is who owns our record."""
    await elsewhere.do(who, "assign_to_user", {"user_ids": ["bob"]})
    note = output(await elsewhere.do(who, "add_note", {"title": "Call", "body": "Asked.", "pinned": True}))
    due = {"title": "Back", "due_at": "2090-01-01T10:00:00+02:00", "assigned_to": "owner"}
    task = output(await elsewhere.do(who, "create_task", due))
    theirs = await elsewhere.site.contact(who.email)
    ((kept,), (given,)) = theirs["notes"], theirs["tasks"]
    assert (kept["id"], kept["title"], kept["pinned"]) == (note["note_id"], "Call", True)
    assert kept["body"].startswith("Asked.\n\n[wf:")
    assert (given["id"], given["dueDate"]) == (task["task_id"], "2090-01-01T08:00:00Z")
    assert (given["assignedTo"], given["completed"]) == ("sandboxUserBob000001", False)
    assert await elsewhere.crm.notes(who.contact_id, who.account) == []


async def test_campaigns_are_campaigns_or_workflows_there(elsewhere: ElsewhereWorld, who: Somebody) -> None:
    """R-ACT: as the settings say; unnamed ones are ids of campaigns."""
    workflow, campaign = "sandboxWorkflow00001", "sandboxCampaign00001"
    for name, config in (
        ("add_to_campaign", {"campaign": "spring"}),
        ("add_to_campaign", {"campaign": "summer", "on_active": "restart"}),
        ("remove_from_campaign", {"campaign": campaign}),
        ("remove_from_campaign", {"all": True}),
    ):
        assert output(await elsewhere.do(who, name, config))["changed"]
    assert await elsewhere.site.entries(who.email) == [
        ("POST", workflow),
        ("DELETE", campaign),
        ("POST", campaign),
        ("DELETE", campaign),
        ("DELETE", "removeAll"),
        ("DELETE", workflow),
    ]
    everything = await elsewhere.do(who, "remove_from_campaign", {"campaign": "removeAll"})
    assert kind_of(everything) == ("CONFIGURATION", "CAMPAIGN_UNKNOWN", "NOT_DONE")
    unknown = await elsewhere.do(who, "add_to_campaign", {"campaign": "no-such"})
    assert kind_of(unknown) == ("NOT_FOUND", "HTTP_404", "NOT_DONE")


async def test_opportunities_are_opened_and_moved_there(elsewhere: ElsewhereWorld, who: Somebody) -> None:
    """R-ACT: decided on LeadConnector's own, whoever opened them."""
    config = {"pipeline": "sales", "stage": "new", "name": "Pro", "value": 99.9}
    first = output(await elsewhere.do(who, "create_opportunity", config))
    assert (first["created"], first["stage"]) == (True, "new")
    same = output(await elsewhere.do(who, "create_opportunity", config))
    assert (same["created"], same["opportunity_id"]) == (False, first["opportunity_id"])
    moved = output(await elsewhere.do(who, "move_pipeline_stage", {**OFFER, "value": 120}))
    assert (moved["from_stage"], moved["to_stage"], moved["moved_count"]) == ("new", "offer", 1)
    back = {"pipeline": "sales", "stage": "new"}
    stays = output(await elsewhere.do(who, "move_pipeline_stage", back))
    assert (stays["moved"], stays["to_stage"], stays["changed"]) == (False, "offer", False)
    again = {**back, "opportunity_id": first["opportunity_id"], "allow_backward": True, "status": "won"}
    assert output(await elsewhere.do(who, "move_pipeline_stage", again))["moved"]
    (theirs,) = await elsewhere.site.opportunities(who.email)
    assert (theirs["pipelineStageId"], theirs["status"], theirs["monetaryValue"]) == ("stage-new", "won", 120)
    nothing = await elsewhere.do(who, "move_pipeline_stage", OFFER)
    assert kind_of(nothing) == ("NOT_FOUND", "OPPORTUNITY_NOT_FOUND", "NOT_DONE")
    made = output(await elsewhere.do(who, "move_pipeline_stage", {**OFFER, "create_if_missing": True}))
    assert (made["created"], made["from_stage"], made["to_stage"]) == (True, None, "offer")


async def test_all_open_ones_are_moved(elsewhere: ElsewhereWorld, who: Somebody) -> None:
    config = {"pipeline": "sales", "name": "Pro", "allow_duplicate": True}
    for stage in ("new", "closing", "new"):
        await elsewhere.do(who, "create_opportunity", {**config, "stage": stage})
    told = output(await elsewhere.do(who, "move_pipeline_stage", {**OFFER, "selector": "all_open"}))
    assert told["moved_count"] == 2
    stages = [one["pipelineStageId"] for one in await elsewhere.site.opportunities(who.email)]
    assert sorted(stages) == ["stage-closing", "stage-offer", "stage-offer"]


async def test_a_contact_deleted_there_is_made_again(elsewhere: ElsewhereWorld, who: Somebody) -> None:
    """R-ERR-1: their id is forgotten, and the contact looked for again, in the same attempt."""
    await elsewhere.do(who, "add_tag", {"tag": "before"})
    async with elsewhere.site.http.delete(f"{elsewhere.site.url}/_control/state") as response:
        assert response.status == 200
    assert output(await elsewhere.do(who, "add_tag", {"tag": "after"}))["changed"]
    assert (await elsewhere.site.contact(who.email))["tags"] == ["after"]


@pytest.mark.parametrize(
    ("name", "config", "expected"),
    [
        ("update_contact", {"set": {"fields.other": 1}}, ("CONFIGURATION", "FIELD_UNKNOWN", "NOT_DONE")),
        ("assign_to_user", {"user_ids": ["eve"]}, ("CONFIGURATION", "USER_UNKNOWN", "NOT_DONE")),
        (
            "move_pipeline_stage",
            {"pipeline": "none", "stage": "x", "create_if_missing": True},
            ("VALIDATION", "HTTP_400", "NOT_DONE"),
        ),
        (
            "create_opportunity",
            {"pipeline": "sales", "stage": "none", "name": "x"},
            ("VALIDATION", "HTTP_400", "NOT_DONE"),
        ),
    ],
)
async def test_what_is_refused_changes_nothing(
    elsewhere: ElsewhereWorld,
    who: Somebody,
    name: str,
    config: dict[str, Any],
    expected: tuple[str, str, str],
) -> None:
    assert kind_of(await elsewhere.do(who, name, config)) == expected
    assert await elsewhere.site.opportunities(who.email) == []
    assert (await elsewhere.crm.record(who.contact_id, who.account))[1] == []


async def test_contacts_that_cannot_be_known_there(elsewhere: ElsewhereWorld) -> None:
    account = await elsewhere.account()
    nameless = Somebody(account, await elsewhere.crm.add_contact(account), "")
    no_address = await elsewhere.do(nameless, "add_tag", {"tag": "x"})
    assert kind_of(no_address) == ("CONTACT_DATA", "NO_ADDRESS", "NOT_DONE")
    nobody = Somebody(account, uuid.uuid4(), "")
    for name, config in (("add_tag", {"tag": "x"}), ("add_note", {"body": "x"})):
        missing = await elsewhere.do(nobody, name, config)
        assert kind_of(missing) == ("CONTACT_DATA", "CONTACT_NOT_FOUND", "NOT_DONE")


async def test_other_accounts_stay_transactional(elsewhere: ElsewhereWorld, who: Somebody) -> None:
    """R-ACT: in one batch, each account's actions go where the account has its crm."""
    here = await elsewhere.crm.add_contact()
    mine = Somebody(ACCOUNT, here, "")

    batch = [action(mine, "add_tag", {"tag": "x"}), action(who, "add_tag", {"tag": "x"})]
    results = await elsewhere.crm.client.batch(batch)
    assert [one.outcome for one in results] == [action_pb2.OUTCOME_SUCCEEDED] * 2
    assert [one.elsewhere for one in results] == [False, True]
    assert (await elsewhere.crm.record(here))[1] == ["x"]
    assert (await elsewhere.site.contact(who.email))["tags"] == ["x"]


async def test_a_choice_is_checked_taken_back_and_shows_no_token(
    elsewhere: ElsewhereWorld, who: Somebody
) -> None:
    listed = await elsewhere.providers.ListProviders(
        providers.ListProvidersRequest(account_id=who.account), timeout=TIMEOUT_S
    )
    assert list(listed.providers[0].credential_names) == ["access_token"]
    assert b"pit-sandbox-token" not in listed.SerializeToString()
    for settings in ({"location_id": "../x"}, {"location_id": "x", "pipelines": {"sales": {}}}):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await elsewhere.choose(who.account, **settings)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    request = providers.DeleteProviderRequest(account_id=who.account, channel="crm")
    await elsewhere.providers.DeleteProvider(request, timeout=TIMEOUT_S)
    assert output(await elsewhere.do(who, "add_tag", {"tag": "home"}))["changed"]
    assert await elsewhere.site.contacts(who.email) == []
    assert (await elsewhere.crm.record(who.contact_id, who.account))[1] == ["home"]


async def test_the_types_say_what_accounts_elsewhere_get(elsewhere: ElsewhereWorld) -> None:
    """R-ACT: in Describe, for people to read."""
    told = await elsewhere.crm.client.stub.Describe(action_executor_pb2.DescribeRequest(), timeout=TIMEOUT_S)
    assert all(one.elsewhere.startswith("LeadConnector: ") for one in told.action_types)
    assert all(list(one.lanes) == ["crm"] for one in told.action_types)


async def test_what_left_us_meanwhile_is_not_kept(elsewhere: ElsewhereWorld, who: Somebody) -> None:
    """R-ACT: a contact deleted here while its tag was on the way there: the tag is there, and that is told."""
    await elsewhere.do(who, "add_tag", {"tag": "before"})
    attempt = action(who, "add_tag", {"tag": "after"})
    await elsewhere.site.misbehave(f"POST tags {who.email}", hang="after")
    assert kind_of(await elsewhere.crm.client.execute(attempt)) == ("TIMEOUT", "TIMEOUT", "INDETERMINATE")
    await elsewhere.site.behave()
    await elsewhere.crm.client.database.execute(
        "DELETE FROM contact_record WHERE account_id = $1 AND contact_id = $2", who.account, who.contact_id
    )
    attempt.attempt = 2
    told = output(await elsewhere.crm.client.execute(attempt))
    assert told == {"changed": False, "kept_here": False}


async def test_erasing_a_contact_leaves_nothing_of_its_errands(
    elsewhere: ElsewhereWorld, who: Somebody
) -> None:
    """Nor who it was there, nor its addresses."""
    await elsewhere.do(who, "add_note", {"body": "private"})
    database = elsewhere.crm.client.database
    counted = [
        f"SELECT count(*) FROM {table} WHERE account_id = $1 AND contact_id = $2"
        for table in ("errand", "contact_elsewhere", "contact_address")
    ]
    assert [await database.fetchval(one, who.account, who.contact_id) for one in counted] == [1, 1, 1]
    await elsewhere.crm.delete_contact(who.contact_id, who.account)
    assert [await database.fetchval(one, who.account, who.contact_id) for one in counted] == [0, 0, 0]
