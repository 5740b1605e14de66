"""PreviewWorkflow: how a workflow would go for one contact, with nothing done."""

from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from wayfarer.crm.v1 import consent_service_pb2 as consent_pb
from wayfarer.execution.v1 import execution_pb2
from wayfarer.execution.v1 import workflow_service_pb2 as pb

from tests.integration.api.world import NOWHERE, Client, World, refused, struct, tagging

STATUS = execution_pb2.ExecutionStatus


def journey(key: str) -> dict[str, Any]:
    """A mail, two days, a branch by tag, and a text for some."""
    return {
        "key": key,
        "steps": [
            {"id": "mail", "type": "send_email",
             "config": {"category": "transactional", "subject": "Hi {{ contact.first_name }}",
                        "text": "About {{ trigger.product }}."}},
            {"id": "pause", "type": "wait_time", "config": {"amount": 2, "unit": "days"}},
            {"id": "vip", "type": "if", "config": {"condition": "'vip' in contact.tags", "then": "text", "else": "end"}},
            {"id": "text", "type": "send_sms", "config": {"category": "marketing", "body": "For you only."}},
        ],
    }  # fmt: skip


async def previewed(client: Client, workflow: str, contact: str, **more: Any) -> pb.PreviewWorkflowResponse:
    request = pb.PreviewWorkflowRequest(workflow=workflow, contact_id=contact, **more)
    answer: pb.PreviewWorkflowResponse = await client.call(client.workflows.PreviewWorkflow, request)
    return answer


def stamp(at: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(at)
    return made


def told(answer: pb.PreviewWorkflowResponse) -> list[tuple[str, str]]:
    return [(entry.event, entry.step_id) for entry in answer.entries]


async def test_a_preview_shows_what_would_be_sent_and_sends_nothing(world: World) -> None:
    """R-STEP-7: every action's Preview is shown with its merge fields filled; nothing is sent, begun or changed."""
    client = await world.client()
    jane = await client.contact(
        first_name="Jane", email="jane.preview@example.com", phone="+14155550177", tags=["vip"]
    )
    await client.publish(journey("shown"))
    before = await world.rows(client)
    begins = datetime(2027, 3, 1, 10, tzinfo=UTC)
    answer = await previewed(
        client, "shown", jane.id, version=1, skip_waits=True, trigger=struct({"product": "tents"}),
        start_time=stamp(begins),
    )  # fmt: skip
    assert STATUS.Name(answer.status) == "EXECUTION_STATUS_COMPLETED"
    assert answer.time.ToDatetime(UTC) == datetime(2027, 3, 3, 10, tzinfo=UTC)
    shown = {
        entry.step_id: MessageToDict(entry.preview) for entry in answer.entries if entry.HasField("preview")
    }
    assert list(shown) == ["mail", "text"]
    assert shown["mail"]["subject"] == "Hi Jane"
    assert "About tents." in str(shown["mail"])
    assert "For you only." in str(shown["text"])
    assert [entry.event for entry in answer.entries if entry.step_id == "vip"] == ["condition_evaluated"]
    assert await world.rows(client) == before
    assert await world.mails_to("jane.preview@example.com") == []


async def test_a_preview_stops_at_the_first_wait_unless_told(world: World) -> None:
    """Without skip_waits the preview stands where the execution would wait, and says until when."""
    client = await world.client()
    contact = await client.contact(first_name="Ada", email="ada.preview@example.com")
    await client.publish(journey("stops"))
    answer = await previewed(client, "stops", contact.id, version=1, trigger=struct({"product": "maps"}))
    assert STATUS.Name(answer.status) == "EXECUTION_STATUS_WAITING"
    assert answer.step_id == "pause"
    assert told(answer)[-1] == ("wait_started", "pause")


async def test_a_preview_asks_the_send_gate(world: World) -> None:
    """What consent forbids is shown as not sent, with the reason, and the way goes on past it."""
    client = await world.client()
    contact = await client.contact(email="no.preview@example.com", phone="+14155550178", tags=["vip"])
    await client.call(
        client.consents.SetConsent,
        consent_pb.SetConsentRequest(
            contact_id=contact.id, channel=consent_pb.CHANNEL_SMS, category=consent_pb.CATEGORY_MARKETING
        ),
    )
    await client.publish(journey("gated"))
    answer = await previewed(
        client, "gated", contact.id, version=1, skip_waits=True, trigger=struct({"product": "maps"})
    )
    (entry,) = [entry for entry in answer.entries if entry.step_id == "text"]
    assert entry.event == "opt_out_blocked"
    assert not entry.HasField("preview")
    assert STATUS.Name(answer.status) == "EXECUTION_STATUS_COMPLETED"


@pytest.mark.parametrize(("events_come", "end"), [(True, "bought"), (False, "reminded")])
async def test_waits_for_events_end_as_asked(world: World, end: str, *, events_come: bool) -> None:
    """A wait for an event ends by the event or by its timeout."""
    client = await world.client()
    contact = await client.contact()
    await client.publish(
        {"key": "heard", "steps": [
            {"id": "order", "type": "wait_for_event",
             "config": {"event": "custom:ordered", "timeout": "3d",
                        "on_event": "yes", "on_timeout": "no"}},
            {"id": "yes", "type": "add_tag", "config": {"tag": "bought"}, "next": "end"},
            {"id": "no", "type": "add_tag", "config": {"tag": "reminded"}},
        ]}
    )  # fmt: skip
    answer = await previewed(client, "heard", contact.id, version=1, skip_waits=True, events_come=events_come)
    (shown,) = [entry.preview for entry in answer.entries if entry.HasField("preview")]
    assert end in str(shown)
    assert (await client.read_contact(contact.id)).tags == []


async def test_a_preview_of_a_draft_takes_the_draft(world: World) -> None:
    """Version 0 is the draft, published or not."""
    client = await world.client()
    contact = await client.contact()
    await client.apply(tagging("drafted"))
    answer = await previewed(client, "drafted", contact.id)
    assert told(answer) == [("action_previewed", "tag"), ("execution_completed", "")]


async def test_a_preview_without_end_stops(world: World) -> None:
    """A workflow that goes round and round is shown as far as the limit, and says that it goes on."""
    client = await world.client()
    contact = await client.contact()
    steps = [
        {"id": "again", "type": "wait_time", "config": {"amount": 1, "unit": "days"}},
        {"id": "tag", "type": "add_tag", "config": {"tag": "round"}},
        {"id": "back", "type": "go_to", "config": {"step": "again", "limit": 1000}},
    ]
    await client.publish({"key": "circle", "steps": steps})
    answer = await previewed(client, "circle", contact.id, version=1, skip_waits=True)
    assert STATUS.Name(answer.status) in ("EXECUTION_STATUS_ACTIVE", "EXECUTION_STATUS_WAITING")
    assert len(answer.entries) > 50
    assert answer.truncated


@pytest.mark.parametrize(
    "body", [{"text": "x" * 200_000}, {"numbers": [0] * 40_000}], ids=["text", "numbers"]
)
async def test_a_preview_that_is_too_large_is_cut(world: World, body: dict[str, Any]) -> None:
    """R-API-3: as many entries as an answer may hold, and the word that there is more."""
    client = await world.client()
    contact = await client.contact()
    call = {"url": "https://example.com/hook", "body": body}
    steps = [
        {"id": "call", "type": "webhook_call", "config": call},
        {"id": "back", "type": "go_to", "config": {"step": "call", "limit": 1000}},
    ]
    await client.publish({"key": "large", "steps": steps})
    answer = await previewed(client, "large", contact.id, version=1)
    assert answer.truncated
    assert len(answer.entries) > 5
    assert 1_000_000 < answer.ByteSize() < 4 * 1024 * 1024


async def test_a_preview_that_ends_is_whole(world: World) -> None:
    """Nothing is left out, and it says so."""
    client = await world.client()
    contact = await client.contact()
    await client.publish(tagging("whole"))
    answer = await previewed(client, "whole", contact.id, version=1)
    assert (STATUS.Name(answer.status), answer.truncated) == ("EXECUTION_STATUS_COMPLETED", False)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"contact": NOWHERE}, grpc.StatusCode.NOT_FOUND),
        ({"workflow": "nowhere"}, grpc.StatusCode.NOT_FOUND),
        ({"version": 7}, grpc.StatusCode.NOT_FOUND),
        ({"contact": "jane"}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"start_time": stamp(datetime(11, 3, 22, tzinfo=UTC))}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"start_time": stamp(datetime(9999, 12, 31, tzinfo=UTC))}, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_what_is_not_there_is_not_previewed(
    world: World, change: dict[str, Any], code: grpc.StatusCode
) -> None:
    """A workflow, version or contact that is not the account's is NOT_FOUND."""
    client = await world.client()
    contact = await client.contact()
    await client.publish(tagging("there"))
    given = {"workflow": "there", "contact": contact.id, "version": 1, **change}
    assert (await refused(previewed(client, **given))).code is code


async def test_a_draft_is_not_saved_over_anothers(world: World) -> None:
    """R-STEP-5: ApplyWorkflow with the time the workflow was read refuses a draft that has changed since."""
    client = await world.client()
    first = (await client.apply(tagging("guarded"))).workflow
    second = (await client.apply(tagging("guarded", reentry="always"))).workflow
    refusal = await refused(client.apply(tagging("guarded"), expected_update_time=first.update_time))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "DRAFT_CHANGED")
    again = await client.apply(tagging("guarded"), expected_update_time=second.update_time)
    assert not again.created
    gone = await refused(client.apply(tagging("not_there"), expected_update_time=first.update_time))
    assert gone.reason == "DRAFT_CHANGED"
