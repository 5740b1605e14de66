"""WorkflowService: documents come in whole or not at all, versions never change, moves are the legal ones.

R-STEP-4, R-STEP-6, A-28, A-29, A-31.
"""

import json
from typing import Any
from uuid import uuid4

import grpc
import pytest
from wayfarer.execution.v1 import workflow_pb2
from wayfarer.execution.v1 import workflow_service_pb2 as pb

from tests.integration.api.world import NOWHERE, Client, World, refused, tagging, waiting

YAML = """\
key: welcome
name: Welcome Sequence
settings: {time_zone: Europe/Berlin, dedup_window: 5s}
steps:
  - id: greet
    type: send_email
    config: {to: "{{ contact.email }}", subject: Hello, text: Hi there}
  - id: vip
    type: if
    config: {condition: "'vip' in contact.tags", then: tag, else: end}
  - id: tag
    type: add_tag
    config: {tag: welcomed}
"""


async def move(client: Client, name: str, workflow: str, **more: Any) -> Any:
    """Publish, Pause, Resume or Archive."""
    request = getattr(pb, f"{name}WorkflowRequest")(workflow=workflow, **more)
    return (await client.call(getattr(client.workflows, f"{name}Workflow"), request)).workflow


async def get(client: Client, workflow: str, version: int = 0) -> workflow_pb2.Workflow:
    request = pb.GetWorkflowRequest(workflow=workflow, version=version)
    answer: pb.GetWorkflowResponse = await client.call(client.workflows.GetWorkflow, request)
    return answer.workflow


async def test_apply_makes_a_draft_and_again_replaces_it(client: Client) -> None:
    first = await client.apply(YAML)
    assert first.created
    made = first.workflow
    assert (made.key, made.name, made.total_steps) == ("welcome", "Welcome Sequence", 3)
    assert (made.status, made.published_version) == (workflow_pb2.WORKFLOW_STATUS_DRAFT, 0)
    assert json.loads(made.document)["steps"][1]["config"]["then"] == "tag"

    second = await client.apply(YAML.replace("Hello", "Welcome"))
    assert not second.created
    assert second.workflow.id == made.id
    for name in ("welcome", made.id):
        found = await get(client, name)
        assert json.loads(found.document)["steps"][0]["config"]["subject"] == "Welcome"


async def test_validate_only_writes_nothing(world: World, client: Client) -> None:
    answer = await client.apply(YAML, validate_only=True, publish=True)
    assert (answer.workflow.id, answer.workflow.total_steps) == ("", 3)
    assert set((await world.rows(client)).values()) == {0}


async def test_versions_are_numbered_and_never_change(client: Client) -> None:
    workflow = await client.publish(tagging("steady"))
    assert (await get(client, workflow)).published_version == 1
    changed = tagging("steady")
    changed["steps"][0]["config"]["tag"] = "other"
    await client.apply(changed)
    assert json.loads((await get(client, workflow, 1)).document)["steps"][0]["config"]["tag"] == "seen"
    published = await move(client, "Publish", "steady")
    assert (published.published_version, published.status) == (2, workflow_pb2.WORKFLOW_STATUS_ACTIVE)
    assert json.loads((await get(client, workflow, 1)).document)["steps"][0]["config"]["tag"] == "seen"
    assert json.loads((await get(client, workflow, 2)).document)["steps"][0]["config"]["tag"] == "other"
    for version in (3, 2**31, 2**32 - 1):
        refusal = await refused(get(client, workflow, version))
        assert refusal.code is grpc.StatusCode.NOT_FOUND


async def test_documents_are_sealed_at_rest(world: World, client: Client) -> None:
    document = tagging("sealed")
    document["steps"][0]["config"]["tag"] = "canary-7341"
    await client.publish(document)
    for query in ("SELECT draft_sealed FROM workflow", "SELECT document_sealed FROM workflow_version"):
        sealed = await world.owner.fetchval(f"{query} WHERE account_id = $1", client.account_id)
        assert b"canary-7341" not in sealed


async def test_all_faults_are_told_at_once_with_path_and_line(world: World, client: Client) -> None:
    document = """\
key: Wrong Key
settings: {time_zone: Mars/Olympus}
steps:
  - id: tag
    type: add_tag
    config: {tagg: x}
  - id: hook
    type: webhook_call
    config: {url: "ftp://x", method: BREW}
  - id: ask
    type: if
    config: {condition: "1 +", then: nowhere, else: end}
  - id: tag
    type: send_pigeon
"""
    refusal = await refused(client.apply(document))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "WORKFLOW_INVALID")
    assert {
        "key": "pattern",
        "settings.time_zone": "time_zone",
        "steps[0].config.tag": "missing",
        "steps[1].config.method": "literal_error",
        "steps[2].config.condition": "expression",
        "steps[2].config.then": "unknown_step",
        "steps[3].id": "duplicate",
        "steps[3].type": "unknown_type",
    }.items() <= refusal.rules.items()
    assert "steps[0].config.tagg" in refusal.rules
    assert "steps[1].config.url" in refusal.rules
    assert "line 10" not in refusal.texts["steps[1].config.method"]
    assert "line 9" in refusal.texts["steps[1].config.method"]
    assert int(refusal.metadata["faults"]) == len(refusal.rules)
    assert set((await world.rows(client)).values()) == {0}


async def test_a_cycle_is_refused_and_named(client: Client) -> None:
    document = tagging("round")
    document["steps"].append({"id": "again", "type": "add_tag", "config": {"tag": "x"}, "next": "tag"})
    refusal = await refused(client.apply(document))
    assert "cycle" in refusal.rules.values()
    assert any("tag → again → tag" in text for text in refusal.texts.values())


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("key: a\nsteps:\n  - id: x\n   type: y\n", 4, 4),
        ("key: a\nkey: b\n", 2, 1),
        ('{"key": "a", "steps": [}', 1, 24),
        ("key: &a x\nname: *a\n", 1, 6),
        ("a: 1\n---\nb: 2\n", 2, 1),
        ("[" * 60, 1, 33),
    ],
)
async def test_malformed_documents_say_where(
    world: World, client: Client, text: str, line: int, column: int
) -> None:
    refusal = await refused(client.apply(text))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "DOCUMENT_MALFORMED")
    assert (int(refusal.metadata["line"]), int(refusal.metadata["column"])) == (line, column)
    assert refusal.rules.keys() == {"document"}
    assert set((await world.rows(client)).values()) == {0}


@pytest.mark.parametrize("text", ["", "x" * 1_048_577, "key: a\0b"])
async def test_empty_oversize_and_nul_documents_are_refused(client: Client, text: str) -> None:
    refusal = await refused(client.apply(text))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.rules.keys() == {"document"}


@pytest.mark.parametrize("text", ["[]", "just text", "42", "null", "key: x\nsteps: []", "key: x"])
async def test_documents_of_the_wrong_shape_are_refused(client: Client, text: str) -> None:
    refusal = await refused(client.apply(text))
    assert refusal.reason == "WORKFLOW_INVALID"
    assert refusal.rules


async def test_publishing_with_faults_leaves_the_old_draft(world: World, client: Client) -> None:
    await client.publish(tagging("kept"))
    before = await world.rows(client)
    broken = tagging("kept")
    broken["steps"][0]["config"] = {}
    assert (await refused(client.apply(broken, publish=True))).reason == "WORKFLOW_INVALID"
    assert await world.rows(client) == before
    assert (await get(client, "kept")).published_version == 1


async def test_legal_moves_and_the_others(client: Client) -> None:
    status = workflow_pb2.WorkflowStatus
    await client.apply(tagging("moves"))
    for illegal in ("Pause", "Resume"):
        refusal = await refused(move(client, illegal, "moves"))
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "ILLEGAL_TRANSITION",
        )
        assert refusal.metadata["from_status"] == "DRAFT"
    assert (await move(client, "Publish", "moves")).status == status.WORKFLOW_STATUS_ACTIVE
    assert (await refused(move(client, "Resume", "moves"))).reason == "ILLEGAL_TRANSITION"
    assert (await move(client, "Pause", "moves")).status == status.WORKFLOW_STATUS_PAUSED
    assert (await refused(move(client, "Pause", "moves"))).reason == "ILLEGAL_TRANSITION"
    assert (await move(client, "Resume", "moves")).status == status.WORKFLOW_STATUS_ACTIVE
    assert (await move(client, "Archive", "moves")).status == status.WORKFLOW_STATUS_ARCHIVED
    for late in ("Pause", "Resume", "Archive"):
        assert (await refused(move(client, late, "moves"))).reason == "ILLEGAL_TRANSITION"
    assert (await refused(move(client, "Publish", "moves"))).reason == "WORKFLOW_ARCHIVED"
    refusal = await refused(client.apply(tagging("moves")))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WORKFLOW_ARCHIVED")


@pytest.mark.parametrize("name", ["Publish", "Pause", "Resume", "Archive"])
async def test_unknown_workflows_are_not_found(client: Client, name: str) -> None:
    for workflow in (NOWHERE, "no-such-key"):
        refusal = await refused(move(client, name, workflow))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "WORKFLOW_NOT_FOUND")


@pytest.mark.parametrize("by", ["Publish", "Apply"])
async def test_what_is_paused_stays_so_when_it_is_published(client: Client, by: str) -> None:
    """R-STEP-5: it is mended while it is paused; resuming it is a word of its own, and starts take the new version."""
    workflow = await client.publish(tagging("mended"))
    await move(client, "Pause", workflow)
    await client.apply(waiting("mended"), publish=by == "Apply")
    if by == "Publish":
        await move(client, "Publish", workflow)
    found = await get(client, "mended")
    assert (found.status, found.published_version) == (workflow_pb2.WORKFLOW_STATUS_PAUSED, 2)
    who = (await client.contact()).id
    assert (await refused(client.start("mended", who))).reason == "WORKFLOW_NOT_ACTIVE"
    resumed = await move(client, "Resume", workflow)
    assert (resumed.status, resumed.published_version) == (workflow_pb2.WORKFLOW_STATUS_ACTIVE, 2)
    assert (await client.start("mended", who)).execution.workflow_version == 2


async def test_the_same_request_id_publishes_once(client: Client) -> None:
    await client.apply(tagging("once"))
    request_id = str(uuid4())
    first = await move(client, "Publish", "once", request_id=request_id)
    again = await move(client, "Publish", "once", request_id=request_id)
    assert first == again
    assert (await get(client, "once")).published_version == 1
    refusal = await refused(move(client, "Pause", "once", request_id=request_id))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_a_refused_request_may_be_tried_again_with_its_id(client: Client) -> None:
    request_id = str(uuid4())
    assert (
        await refused(move(client, "Publish", "later", request_id=request_id))
    ).reason == "WORKFLOW_NOT_FOUND"
    await client.apply(tagging("later"))
    assert (await move(client, "Publish", "later", request_id=request_id)).published_version == 1


async def test_lists_are_paged_newest_first(client: Client) -> None:
    ids = [await client.publish(tagging(f"w{number}")) for number in range(5)]
    await move(client, "Pause", ids[2])
    seen: list[str] = []
    token = ""
    while True:
        request = pb.ListWorkflowsRequest(page_size=2, page_token=token)
        page = await client.call(client.workflows.ListWorkflows, request)
        assert all(workflow.document == "" for workflow in page.workflows)
        seen += [workflow.id for workflow in page.workflows]
        token = page.next_page_token
        if not token:
            break
    assert seen == ids[::-1]
    paused = pb.ListWorkflowsRequest(status=workflow_pb2.WORKFLOW_STATUS_PAUSED)
    listed = await client.call(client.workflows.ListWorkflows, paused)
    assert [workflow.id for workflow in listed.workflows] == [ids[2]]


async def test_a_token_of_another_filter_is_refused(client: Client) -> None:
    for number in range(3):
        await client.apply(waiting(f"w{number}"))
    request = pb.ListWorkflowsRequest(page_size=1)
    request.page_token = (await client.call(client.workflows.ListWorkflows, request)).next_page_token
    request.status = workflow_pb2.WORKFLOW_STATUS_DRAFT
    for token in (request.page_token, "xyz", "AAAA", "ä", "=" * 8):
        request.page_token = token
        refusal = await refused(client.call(client.workflows.ListWorkflows, request))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
        assert refusal.rules.keys() == {"page_token"}


async def test_action_types_of_every_family_are_listed(client: Client) -> None:
    answer = await client.call(client.workflows.ListActionTypes, pb.ListActionTypesRequest())
    names = [action.name for action in answer.action_types]
    assert names == sorted(names)
    assert {"add_tag", "remove_tag", "send_email", "webhook_call"} <= set(names)
    for action in answer.action_types:
        json.loads(action.config_schema)
        document = {
            "key": "sample",
            "steps": [{"id": "s", "type": action.name, "config": json.loads(action.sample_config)}],
        }
        await client.apply(document, validate_only=True)
