"""Editing a workflow's draft step by step: R-STEP-5, A-27, A-28, A-29, A-30."""

from typing import Any
from uuid import uuid4

import grpc
import orjson
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from wayfarer.execution.v1 import editing_service_pb2 as pb
from wayfarer.execution.v1 import workflow_service_pb2 as workflow_pb

from tests.integration.api.world import Client, World, refused, struct, tagging


async def draft(client: Client, key: str = "edited", *names: str) -> None:
    steps = [{"id": name, "type": "add_tag", "config": {"tag": name}} for name in names or ("a", "b")]
    await client.apply({"key": key, "steps": steps})


async def add(client: Client, step: dict[str, Any], position: int = 0, **more: Any) -> pb.AddStepResponse:
    request = pb.AddStepRequest(workflow="edited", step=struct(step), position=position, **more)
    answer: pb.AddStepResponse = await client.call(client.editing.AddStep, request)
    return answer


async def listed(client: Client) -> list[tuple[int, str]]:
    answer = await client.call(client.editing.ListSteps, pb.ListStepsRequest(workflow="edited"))
    return [(step.position, step.id) for step in answer.draft.steps]


async def test_steps_are_added_updated_reordered_disabled_and_removed(client: Client) -> None:
    """A-27: positions contiguous, links right, each visible at once."""
    await draft(client)
    answer = await add(client, {"type": "wait_time", "config": {"amount": 1, "unit": "hours"}}, 2)
    assert answer.step_id == "wait_time"
    assert await listed(client) == [(1, "a"), (2, "wait_time"), (3, "b")]
    branch = {"type": "if", "config": {"condition": "true", "then": "b", "else": "end"}}
    await add(client, branch)
    mask = FieldMask(paths=["config", "disabled"])
    update = pb.UpdateStepRequest(
        workflow="edited",
        step_id="a",
        step=struct({"config": {"tag": "new"}, "disabled": True}),
        update_mask=mask,
    )
    await client.call(client.editing.UpdateStep, update)
    got = await client.call(client.editing.GetStep, pb.GetStepRequest(workflow="edited", step_id="a"))
    assert got.step.disabled
    assert got.step.definition["config"]["tag"] == "new"
    order = ["a", "if", "wait_time", "b"]
    await client.call(client.editing.ReorderSteps, pb.ReorderStepsRequest(workflow="edited", step_ids=order))
    assert await listed(client) == list(enumerate(order, 1))
    removed = await client.call(
        client.editing.RemoveStep, pb.RemoveStepRequest(workflow="edited", step_id="b")
    )
    assert dict(removed.draft.relinked) == {"steps[1].config.then": "end"}
    assert await listed(client) == [(1, "a"), (2, "if"), (3, "wait_time")]
    assert [f.rule for f in removed.draft.faults] == ["unreachable"]
    refusal = await refused(
        client.call(client.workflows.PublishWorkflow, workflow_pb.PublishWorkflowRequest(workflow="edited"))
    )
    assert refusal.reason == "WORKFLOW_INVALID"


async def test_an_active_workflow_is_not_edited(world: World, client: Client) -> None:
    """A-28: refused, nothing changed; paused, it is."""
    await client.publish(tagging("edited"))
    before = await world.rows(client)
    calls = (
        (client.editing.AddStep, pb.AddStepRequest(workflow="edited", step=struct({"type": "end"}))),
        (client.editing.RemoveStep, pb.RemoveStepRequest(workflow="edited", step_id="tag")),
        (client.editing.ReorderSteps, pb.ReorderStepsRequest(workflow="edited", step_ids=["tag"])),
    )
    for method, request in calls:
        refusal = await refused(client.call(method, request))
        assert refusal.code == grpc.StatusCode.FAILED_PRECONDITION
        assert refusal.message == "Workflow must be draft or paused"
    assert await listed(client) == [(1, "tag")]
    assert await world.rows(client) == before
    await client.call(client.workflows.PauseWorkflow, workflow_pb.PauseWorkflowRequest(workflow="edited"))
    await add(client, {"type": "end"})
    assert len(await listed(client)) == 2
    await client.call(client.workflows.ArchiveWorkflow, workflow_pb.ArchiveWorkflowRequest(workflow="edited"))
    assert (await refused(add(client, {"type": "end"}))).reason == "WORKFLOW_ARCHIVED"


async def test_a_51st_step_is_refused(client: Client) -> None:
    """A-29: the limit is named."""
    await draft(client, "edited", *(f"t{n}" for n in range(50)))
    refusal = await refused(add(client, {"type": "end"}))
    assert (refusal.reason, refusal.metadata) == ("STEP_LIMIT", {"limit": "50"})
    assert "50" in refusal.message


async def test_a_draft_changed_meanwhile_is_a_conflict(client: Client) -> None:
    await draft(client)
    answer = await client.call(client.editing.ListSteps, pb.ListStepsRequest(workflow="edited"))
    read_at = answer.draft.workflow.update_time
    request_id = str(uuid4())
    first = await add(client, {"type": "end"}, expected_update_time=read_at, request_id=request_id)
    assert await add(client, {"type": "end"}, expected_update_time=read_at, request_id=request_id) == first
    refusal = await refused(add(client, {"type": "end"}, expected_update_time=read_at))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "DRAFT_CHANGED")
    assert len(await listed(client)) == 3


def wrong(schema: dict[str, Any], definitions: dict[str, Any]) -> list[Any]:
    """Values that a property's schema does not admit: of another type, and out of range."""
    if "$ref" in schema:
        return wrong(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return [[["a list of lists"]]]
    kind = schema.get("type")
    values: list[Any] = [] if kind is None else [["x"]] if kind != "array" else [5]
    if "maxLength" in schema:
        values.append("x" * (schema["maxLength"] + 1))
    if "maximum" in schema:
        values.append(schema["maximum"] + 1)
    if "minimum" in schema:
        values.append(schema["minimum"] - 1)
    if "enum" in schema:
        values.append("no such choice")
    return values


async def test_every_action_types_config_is_checked_field_by_field(client: Client) -> None:
    """A-30: each required field missing, of the wrong type, out of range: path and rule, all faults at once."""
    await draft(client)
    answer = await client.call(client.workflows.ListActionTypes, workflow_pb.ListActionTypesRequest())
    assert len(answer.action_types) >= 5
    for action in answer.action_types:
        schema, sample = orjson.loads(action.config_schema), orjson.loads(action.sample_config)
        definitions = schema.get("$defs", {})
        for name in schema.get("required", []):
            config = {key: value for key, value in sample.items() if key != name}
            refusal = await refused(add(client, {"type": action.name, "config": config}))
            assert refusal.reason == "WORKFLOW_INVALID", action.name
            assert f"config.{name}" in refusal.rules, (action.name, name, refusal.rules)
        for name, inner in schema["properties"].items():
            for value in wrong(inner, definitions):
                config = {**sample, name: value}
                refusal = await refused(add(client, {"type": action.name, "config": config}))
                paths = [path for path in refusal.rules if path.startswith(f"config.{name}")]
                assert paths, (action.name, name, value, refusal.rules)
                assert all(refusal.rules[path] for path in paths)
        bad = {name: [["x"]] for name in schema.get("required", [])} | {"nonsense": 1}
        refusal = await refused(add(client, {"type": action.name, "config": bad, "timeout": "soon"}))
        assert len(refusal.rules) >= 2 + len(schema.get("required", [])), (action.name, refusal.rules)
    assert len(await listed(client)) == 2


@pytest.mark.parametrize(
    ("step", "field"),
    [
        ({"type": "nonsense"}, "type"),
        ({"config": {}}, "type"),
        ({"type": "wait_time", "config": {"amount": 0, "unit": "hours"}}, "config.amount"),
        ({"type": "wait_for_event", "config": {"event": "Bad Name", "timeout": "1d"}}, "config.event"),
        ({"type": "wait_for_event", "config": {"event": "opened"}}, "config.timeout"),
        (
            {
                "type": "split",
                "config": {"branches": [{"percent": 50, "then": "a"}, {"percent": 40, "then": "b"}]},
            },
            "config.branches",
        ),
        (
            {"type": "switch", "config": {"cases": [{"condition": "1 +", "then": "a"}], "else": "b"}},
            "config.cases[0].condition",
        ),
        ({"type": "wait_until_time", "config": {"time": "25:00"}}, "config.time"),
        ({"type": "wait_until_date", "config": {"date": "soon"}}, "config.date"),
        ({"type": "go_to", "config": {"step": "a", "limit": 0}}, "config.limit"),
        ({"type": "goal", "config": {"event": "x", "otherwise": "jump"}}, "config.otherwise"),
    ],
)
async def test_control_steps_are_checked_too(client: Client, step: dict[str, Any], field: str) -> None:
    await draft(client)
    refusal = await refused(add(client, step))
    assert field in refusal.rules
