"""R-ACT: message templates, versioned, pinned when a workflow is published."""

from typing import Any
from uuid import uuid4

import pytest
from wayfarer.execution.v1 import execution_pb2
from wayfarer.execution.v1 import template_service_pb2 as pb
from wayfarer.execution.v1 import workflow_service_pb2 as workflow_pb

from tests.integration.api.world import Client, World, refused, struct

pytestmark = pytest.mark.usefixtures("worker")


async def put(client: Client, key: str, action_type: str = "send_email", **content: Any) -> pb.Template:
    request = pb.PutTemplateRequest(key=key, action_type=action_type, content=struct(content))
    answer: pb.PutTemplateResponse = await client.call(client.templates.PutTemplate, request)
    return answer.template


def mailing(template: str, **config: Any) -> dict[str, Any]:
    step = {"id": "mail", "type": "send_email", "template": template, "config": config}
    return {
        "key": "templated",
        "settings": {"reentry": "always", "dedup_window": "0s"},
        "steps": [step],
    }


async def mailed(world: World, client: Client) -> str:
    """The subject of what a fresh contact gets."""
    address = f"{uuid4()}@example.com"
    contact = await client.contact(email=address, first_name="Ann")
    execution, _ = await client.watched_to_end((await client.start("templated", contact.id)).execution.id)
    assert execution.status == execution_pb2.EXECUTION_STATUS_COMPLETED
    (mail,) = await world.mails_to(address)
    return str(mail["subject"])


async def test_a_published_version_keeps_its_template(world: World, client: Client) -> None:
    first = await put(client, "hello", subject="Hi {{ contact.first_name }}", text="Hello")
    assert first.version == 1
    assert (await put(client, "hello", subject="Hi {{ contact.first_name }}", text="Hello")).version == 1
    await client.publish(mailing("hello"))
    assert await mailed(world, client) == "Hi Ann"
    assert (await put(client, "hello", subject="New", text="Hello")).version == 2
    assert await mailed(world, client) == "Hi Ann"
    shown = await client.call(
        client.workflows.GetWorkflow, workflow_pb.GetWorkflowRequest(workflow="templated", version=1)
    )
    assert '"hello@1"' in shown.workflow.document
    request = workflow_pb.PublishWorkflowRequest(workflow="templated")
    await client.call(client.workflows.PublishWorkflow, request)
    assert await mailed(world, client) == "New"
    await client.publish(mailing("hello@1", subject="Mine"))
    assert await mailed(world, client) == "Mine"


async def test_templates_are_read_listed_and_checked(client: Client, other: Client) -> None:
    for key in ("a", "b", "c"):
        await put(client, key, subject=key, text="x")
    await put(client, "b", subject="b2", text="x")
    page = await client.call(client.templates.ListTemplates, pb.ListTemplatesRequest(page_size=2))
    assert [(one.key, one.version) for one in page.templates] == [("a", 1), ("b", 2)]
    rest = pb.ListTemplatesRequest(page_size=2, page_token=page.next_page_token)
    assert [one.key for one in (await client.call(client.templates.ListTemplates, rest)).templates] == ["c"]
    old = await client.call(client.templates.GetTemplate, pb.GetTemplateRequest(key="b", version=1))
    assert old.template.content["subject"] == "b"
    missing = client.call(other.templates.GetTemplate, pb.GetTemplateRequest(key="zz"))
    assert (await refused(missing)).reason == "TEMPLATE_NOT_FOUND"
    theirs = other.call(other.templates.GetTemplate, pb.GetTemplateRequest(key="b"))
    assert (await refused(theirs)).reason == "TEMPLATE_NOT_FOUND"
    assert "steps[0].template" in (await refused(client.publish(mailing("nowhere")))).rules
    await put(client, "empty", subject="only")
    assert "steps[0].config" in str((await refused(client.publish(mailing("empty")))).rules)
    unknown = put(client, "x", "send_pigeon", subject="x")
    assert (await refused(unknown)).rules == {"action_type": "unknown_type"}


async def test_publishing_asks_the_executors_of_the_templates_of_now(client: Client) -> None:
    """R-ACT: a template that only its executor can tell is faulty is refused when the draft is published."""
    await put(client, "hello", subject="Hi", text="Hello", reply_to="office@example.com")
    first = await client.apply(mailing("hello"))
    await put(client, "hello", subject="Hi", text="Hello", reply_to="nobody")
    request = workflow_pb.PublishWorkflowRequest(workflow="templated", request_id=str(uuid4()))
    refusal = await refused(client.call(client.workflows.PublishWorkflow, request))
    assert refusal.reason == "WORKFLOW_INVALID"
    assert set(refusal.rules) == {"steps[0].config.reply_to"}
    shown = await client.call(
        client.workflows.GetWorkflow, workflow_pb.GetWorkflowRequest(workflow="templated")
    )
    assert shown.workflow == first.workflow
    await put(client, "hello", subject="Hi", text="Hello", reply_to="office@example.com")
    answer = await client.call(client.workflows.PublishWorkflow, request)
    assert answer.workflow.published_version == 1
    await put(client, "hello", subject="Hi", text="Hello", reply_to="nobody")
    assert await client.call(client.workflows.PublishWorkflow, request) == answer
