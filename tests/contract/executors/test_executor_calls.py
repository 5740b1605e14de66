"""make_call and send_voicemail against the Twilio sandbox over HTTP, and what Twilio's callbacks tell of calls.

R-ACT: make_call, send_voicemail. R-ERR-1, R-ERR-3. G5.
"""

import asyncio
import itertools
import json
import random
import uuid
from datetime import timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from wayfarer.action.v1 import action_executor_pb2 as wire
from wayfarer.action.v1 import action_pb2

from services.executors.action import EffectKey, Failed, Succeeded
from services.executors.phone.twilio import call_result, result_of
from services.executors.phone.twilio_callbacks import CallState
from tests.contract.executors.phone_world import BARE_ACCOUNT, Phone
from tests.contract.executors.test_executor_sms import kind_of
from tests.contract.executors.world import ACCOUNT, TIMEOUT_S, Client, make_action

_numbers = itertools.count(random.randrange(1_000_000, 9_000_000))

HUMAN, MACHINE, NO_ANSWER, BUSY, FAILED = (f"+150055540{n:02}" for n in (1, 2, 7, 8, 9))


def a_number() -> str:
    return f"+1303{next(_numbers)}"


def make(kind: str, number: str, **config: Any) -> action_pb2.Action:
    return make_action(kind, {"text": "Hello"} | config, contact={"phone": number})


async def placed(communication: Client, phone: Phone, action: action_pb2.Action) -> dict[str, Any]:
    """Make the attempt; the call as the sandbox knows it, once it has ended and been told of."""
    result = await communication.execute(action)
    assert result.outcome == action_pb2.OUTCOME_PENDING, result
    sid = result.provider_refs["call_sid"]
    await phone.told.of(f"{sid}:")
    (call,) = [one for one in await phone.twilio.get("/calls") if one["sid"] == sid]
    assert isinstance(call, dict)
    return call


async def test_a_message_is_played_and_the_end_is_told(communication: Client, phone: Phone) -> None:
    number = a_number()
    said = 'Fish & "chips" <now> \x07'
    action = make("make_call", number, text=said, voice="Polly.Amy", language="en-GB", ring_timeout_s="25")
    call = await placed(communication, phone, action)
    root = ElementTree.fromstring(call["said"])
    say = root.find("Say")
    assert say is not None
    assert (say.text, say.attrib) == ('Fish & "chips" <now> ', {"voice": "Polly.Amy", "language": "en-GB"})
    assert (call["to"], call["from"], call["asked"]["Timeout"]) == (number, "+15005550006", "25")
    assert not {"MachineDetection", "Record"} & set(call["asked"])
    (told,) = await phone.told.of(call["sid"])
    assert (told.id, told.type) == (f"{call['sid']}:completed", "call_completed")
    assert told.effect == EffectKey(ACCOUNT, uuid.UUID(bytes=action.effect_key.execution_id), "step", 1)
    assert told.attributes == {
        "sid": call["sid"],
        "status": "completed",
        "answered_by": "",
        "duration": 12,
        "voicemail_left": False,
    }


async def test_what_else_a_call_may_be_told(communication: Client, phone: Phone) -> None:
    audio = "https://example.test/a.mp3?x=1&y=2"
    config = {"text": "", "audio_url": audio, "record": True, "machine_detection": "message_end"}
    call = await placed(communication, phone, make("make_call", a_number(), **config))
    assert ElementTree.fromstring(call["said"]).findtext("Play") == audio
    assert (call["asked"]["Record"], call["asked"]["MachineDetection"]) == ("true", "DetectMessageEnd")
    call = await placed(communication, phone, make("make_call", a_number(), machine_detection="detect"))
    assert call["asked"]["MachineDetection"] == "Enable"


async def test_a_colleague_is_rung_first_then_the_contact_is_dialled(
    communication: Client, phone: Phone
) -> None:
    contact, colleague = a_number(), a_number()
    config = {"mode": "connect", "connect_to": colleague, "text": "A new lead", "record": True}
    call = await placed(communication, phone, make("make_call", contact, **config))
    root = ElementTree.fromstring(call["said"])
    dial = root.find("Dial")
    assert call["to"] == colleague
    assert [one.tag for one in root] == ["Say", "Dial"]
    assert dial is not None
    assert (dial.findtext("Number"), dial.get("record")) == (contact, "record-from-answer")


@pytest.mark.parametrize(
    ("number", "kind", "status"),
    [
        (NO_ANSWER, "call_no_answer", "no-answer"),
        (BUSY, "call_busy", "busy"),
        (FAILED, "call_failed", "failed"),
    ],
)
async def test_ends_that_are_no_talk(
    communication: Client, phone: Phone, number: str, kind: str, status: str
) -> None:
    action = make("make_call", number)
    call = await placed(communication, phone, action)
    (told,) = await phone.told.of(call["sid"])
    assert (told.type, told.attributes["status"], told.attributes["duration"]) == (kind, status, 0)
    finding = await communication.reconcile(action, fence=2)
    assert finding.finding == wire.FINDING_DONE
    if status == "failed":
        assert (finding.result.outcome, finding.result.failure.code) == (
            action_pb2.OUTCOME_FAILED,
            "CALL_FAILED",
        )
    else:
        assert finding.result.outcome == action_pb2.OUTCOME_SUCCEEDED
        assert json.loads(finding.result.output)["status"] == status


@pytest.mark.parametrize("ending", range(1, 11))
async def test_voicemail_is_left_to_machines_only(communication: Client, phone: Phone, ending: int) -> None:
    """2 to 4 are machines whose greeting has ended; people, faxes and the unknown hear nothing."""
    number = f"+150055540{ending:02}"
    action = make("send_voicemail", number, text="Please call back", machine_timeout_s=20)
    call = await placed(communication, phone, action)
    dropped = ending in (2, 3, 4)
    talks = ending not in (7, 8, 9)
    assert call["asked"]["MachineDetection"] == "DetectMessageEnd"
    assert call["asked"]["MachineDetectionTimeout"] == "20"
    assert "call back" not in call["asked"]["Url"]
    if talks:
        root = ElementTree.fromstring(call["said"])
        assert root.findtext("Say") == ("Please call back" if dropped else None)
        assert (root.find("Hangup") is not None) != dropped
    (told,) = await phone.told.of(call["sid"])
    assert told.attributes["voicemail_left"] is dropped
    polled = (await communication.reconcile(action, fence=2)).result
    by_callback = result_of(told)
    if ending == 9:
        assert isinstance(by_callback, Failed)
        assert polled.failure.code == by_callback.code
        return
    assert isinstance(by_callback, Succeeded)
    assert json.loads(polled.output) == json.loads(by_callback.output)
    assert json.loads(polled.output)["dropped"] is dropped


async def test_nobody_else_is_told_what_would_be_said(communication: Client, phone: Phone) -> None:
    """The message is sealed in the URL, and the URL is nothing without Twilio's signature."""
    call = await placed(communication, phone, make("send_voicemail", MACHINE))
    real = next(one for one in await phone.twilio.get("/callbacks") if "sealed=" in one["url"])
    async with phone.http.post(real["url"], data=real["fields"]) as response:
        assert response.status == 403
    assert call["said"]


async def test_same_key_twice_and_at_once_is_one_call(communication: Client, phone: Phone) -> None:
    number = a_number()
    action = make("make_call", number)
    both = await asyncio.gather(communication.execute(action), communication.batch([action]))
    results = [both[0], both[1][0], await communication.execute(action)]
    assert sorted(one.replayed for one in results) == [False, True, True]
    assert len(await phone.twilio.to("calls", number)) == 1


async def test_a_call_is_polled_until_it_ends(communication: Client, phone: Phone) -> None:
    action = make("make_call", a_number(), machine_detection="detect")
    await placed(communication, phone, action)
    finding = await communication.reconcile(action, fence=2)
    assert (finding.finding, finding.result.outcome) == (wire.FINDING_DONE, action_pb2.OUTCOME_SUCCEEDED)
    assert json.loads(finding.result.output) == {
        "status": "completed",
        "answered_by": "human",
        "duration": 12,
        "dropped": False,
    }
    again = await communication.execute(action)
    assert (again.replayed, again.outcome) == (True, action_pb2.OUTCOME_SUCCEEDED)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"status": 429, "code": 20429, "retry_after": 3}, ("RATE_LIMIT", "20429", "NOT_DONE")),
        ({"status": 400, "code": 10004}, ("RATE_LIMIT", "10004", "NOT_DONE")),
        ({"status": 500}, ("SERVER_ERROR", "HTTP_500", "INDETERMINATE")),
        ({"status": 400, "code": 21214}, ("CONTACT_DATA", "21214", "NOT_DONE")),
        ({"lose": "after"}, ("NETWORK", "CONNECTION_LOST", "INDETERMINATE")),
        ({"hang": "after"}, ("TIMEOUT", "TIMEOUT", "INDETERMINATE")),
    ],
)
@pytest.mark.parametrize("kind", ["make_call", "send_voicemail"])
async def test_what_twilio_says_decides(
    communication: Client, phone: Phone, kind: str, rule: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    number = a_number()
    await phone.twilio.control("next", match=number, **rule)
    action = make(kind, number)
    result = await communication.execute(action)
    assert kind_of(result) == expected
    if "retry_after" in rule:
        assert result.retry_after.ToTimedelta() == timedelta(seconds=3)
    if expected[1] == "21214":
        suppress = json.loads(result.contact_changes)["suppress"]
        assert suppress == {"channel": "voice", "reason": "NUMBER_INVALID", "until": None}
    if expected[2] == "INDETERMINATE":
        # Two calls to a number look alike, so nobody can tell.
        assert (await communication.reconcile(action, fence=2)).finding == wire.FINDING_UNKNOWN


async def test_what_cannot_be_placed(communication: Client) -> None:
    long = make("make_call", a_number(), text="&" * 900)
    assert kind_of(await communication.execute(long)) == ("VALIDATION", "TWIML_TOO_LONG", "NOT_DONE")
    bare = make("send_voicemail", a_number())
    bare.account_id = BARE_ACCOUNT
    assert kind_of(await communication.execute(bare)) == ("CONFIGURATION", "NO_SENDER", "NOT_DONE")
    nobody = make("make_call", "")
    assert kind_of(await communication.execute(nobody)) == ("CONTACT_DATA", "NO_ADDRESS", "NOT_DONE")


@pytest.mark.parametrize("status", ["queued", "initiated", "ringing", "in-progress"])
def test_a_call_under_way_has_no_result(status: str) -> None:
    assert call_result(CallState("CA1", status, "", 0)) is None


def test_results_of_ends() -> None:
    canceled = call_result(CallState("CA1", "canceled", "", 0))
    assert isinstance(canceled, Succeeded)
    assert json.loads(canceled.output)["status"] == "canceled"
    assert isinstance(call_result(CallState("CA1", "failed", "", 0)), Failed)


@pytest.mark.parametrize(
    ("kind", "config", "paths"),
    [
        ("make_call", {}, {""}),
        ("make_call", {"text": "x", "audio_url": "https://example.test/a.mp3"}, {""}),
        ("make_call", {"mode": "connect", "text": "x"}, {""}),
        ("make_call", {"text": "x", "connect_to": "+15005550006"}, {""}),
        ("make_call", {"text": "x", "ring_timeout_s": 601}, {"ring_timeout_s"}),
        (
            "make_call",
            {"text": "x", "machine_detection": "perhaps", "from": "Ada"},
            {"machine_detection", "from"},
        ),
        ("send_voicemail", {"text": "x", "machine_timeout_s": 60}, {"machine_timeout_s"}),
        ("send_voicemail", {"text": "x" * 1501}, {"text"}),
        ("send_voicemail", {"text": "{{ t }}", "ring_timeout_s": "{{ n }}", "to": "{{ p }}"}, set()),
    ],
)
async def test_faults_of_a_config(
    communication: Client, kind: str, config: dict[str, Any], paths: set[str]
) -> None:
    request = wire.ValidateRequest(action_type=kind, config=json.dumps(config).encode())
    faults = (await communication.stub.Validate(request, timeout=TIMEOUT_S)).faults
    assert {fault.path for fault in faults} == paths
