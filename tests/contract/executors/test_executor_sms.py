"""send_sms against the Twilio sandbox over HTTP, and what Twilio's callbacks tell of messages.

R-ACT: send_sms. R-SEND: STOP by text and unreachable numbers are told as suppressions. R-ERR-1, R-ERR-3. G5.
"""

import asyncio
import itertools
import json
import random
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from wayfarer.action.v1 import action_executor_pb2 as wire
from wayfarer.action.v1 import action_pb2
from wayfarer.common.v1 import failure_pb2

from services.executors.action import EffectKey
from tests.contract.executors.phone_world import BARE_ACCOUNT, KEYED_ACCOUNT, LOCKED_OUT, Phone
from tests.contract.executors.world import ACCOUNT, TIMEOUT_S, Client, make_action

_numbers = itertools.count(random.randrange(1_000_000, 9_000_000))


def a_number() -> str:
    """Somebody nobody else writes to."""
    return f"+1202{next(_numbers)}"


def sms(number: str, account_id: int = ACCOUNT, **config: Any) -> action_pb2.Action:
    action = make_action("send_sms", {"body": "Hello"} | config, contact={"phone": number})
    action.account_id = account_id
    return action


def effect(action: action_pb2.Action) -> EffectKey:
    return EffectKey(ACCOUNT, uuid.UUID(bytes=action.effect_key.execution_id), "step", 1)


def kind_of(result: action_pb2.ActionResult) -> tuple[str, str, str]:
    return (
        failure_pb2.ErrorClass.Name(result.failure.error_class).removeprefix("ERROR_CLASS_"),
        result.failure.code,
        action_pb2.Certainty.Name(result.certainty).removeprefix("CERTAINTY_"),
    )


async def test_arrives_and_its_way_is_told(communication: Client, phone: Phone) -> None:
    number = a_number()
    action = sms(f" {number[:2]} ({number[2:5]}) {number[5:8]}-{number[8:]} ", body="Hello Ada ö")
    result = await communication.execute(action)
    assert result.outcome == action_pb2.OUTCOME_SUCCEEDED, result
    (message,) = await phone.twilio.to("messages", number)
    assert (message["body"], message["from"]) == ("Hello Ada ö", "+15005550006")
    assert json.loads(result.output) == {"sid": message["sid"], "status": "queued", "segments": 1}
    assert dict(result.provider_refs) == {"message_sid": message["sid"]}
    sent, delivered = await phone.told.of(message["sid"], 2)
    assert (sent.id, sent.type) == (f"{message['sid']}:sent", "sms_sent")
    assert (delivered.id, delivered.type) == (f"{message['sid']}:delivered", "sms_delivered")
    assert sent.effect == delivered.effect == effect(action)


async def test_everything_a_config_says_arrives(communication: Client, phone: Phone) -> None:
    number, service = a_number(), "MG" + "0" * 32
    urls = [f"https://example.test/{n}.png" for n in range(10)]
    config: dict[str, Any] = {"to": number, "media_url": urls, "validity_period": "600", "body": "😀" * 71}
    result = await communication.execute(sms("", messaging_service_sid=service, **config))
    (message,) = await phone.twilio.to("messages", number)
    assert message["media_url"] == urls
    assert (message["from"], message["messaging_service_sid"]) == (None, service)
    assert json.loads(result.output)["segments"] == 2
    own = a_number()
    named: dict[str, Any] = {"from": "Wayfarer"}
    await communication.execute(sms(own, **named))
    assert (await phone.twilio.to("messages", own))[0]["from"] == "Wayfarer"


async def test_same_key_twice_and_at_once_is_one_message(communication: Client, phone: Phone) -> None:
    number = a_number()
    action = sms(number)
    both = await asyncio.gather(communication.execute(action), communication.batch([action]))
    again = await communication.execute(action)
    results = [both[0], both[1][0], again]
    assert sorted(one.replayed for one in results) == [False, True, True]
    assert len({one.output for one in results}) == 1
    assert len(await phone.twilio.to("messages", number)) == 1


@pytest.mark.parametrize(
    ("rule", "expected", "arrives"),
    [
        ({"status": 429, "code": 20429, "retry_after": 7}, ("RATE_LIMIT", "20429", "NOT_DONE"), False),
        ({"status": 429}, ("RATE_LIMIT", "HTTP_429", "NOT_DONE"), False),
        ({"status": 500}, ("SERVER_ERROR", "HTTP_500", "INDETERMINATE"), False),
        ({"status": 502}, ("SERVER_ERROR", "HTTP_502", "INDETERMINATE"), False),
        ({"status": 503, "retry_after": 7}, ("SERVER_ERROR", "HTTP_503", "NOT_DONE"), False),
        ({"status": 400, "code": 21606}, ("CONFIGURATION", "21606", "NOT_DONE"), False),
        ({"status": 400, "code": 29999}, ("VALIDATION", "29999", "NOT_DONE"), False),
        ({"status": 403}, ("AUTHORIZATION", "HTTP_403", "NOT_DONE"), False),
        ({"lose": "before"}, ("NETWORK", "CONNECTION_LOST", "INDETERMINATE"), False),
        ({"lose": "after"}, ("NETWORK", "CONNECTION_LOST", "INDETERMINATE"), True),
        ({"hang": "before"}, ("TIMEOUT", "TIMEOUT", "INDETERMINATE"), False),
        ({"hang": "after"}, ("TIMEOUT", "TIMEOUT", "INDETERMINATE"), True),
    ],
)
async def test_what_twilio_says_decides(
    communication: Client, phone: Phone, rule: dict[str, Any], expected: tuple[str, str, str], arrives: bool
) -> None:
    number = a_number()
    await phone.twilio.control("next", match=number, **rule)
    result = await communication.execute(sms(number))
    assert kind_of(result) == expected
    assert result.failure.provider == "twilio"
    assert result.HasField("retry_after") == ("retry_after" in rule)
    if "retry_after" in rule:
        assert result.retry_after.ToTimedelta() == result.lane.pause.ToTimedelta() == timedelta(seconds=7)
        assert result.lane.lane.startswith("twilio:AC")
    assert bool(await phone.twilio.to("messages", number)) == arrives
    assert number not in result.failure.message


async def test_a_budget_that_ends_after_the_bytes_left_is_no_not_done(
    communication: Client, phone: Phone
) -> None:
    number = a_number()
    await phone.twilio.control("next", match=number, hang="after")
    action = sms(number)
    action.budget_ms = 400
    assert kind_of(await communication.execute(action)) == ("TIMEOUT", "TIMEOUT", "INDETERMINATE")


async def test_an_internal_address_is_not_asked(communication: Client, phone: Phone) -> None:
    """An account's settings lead into no internal network, unless the operator names the address."""
    known = phone.accounts[ACCOUNT, "sms"]
    phone.accounts[77, "sms"] = replace(
        known, account_id=77, settings={**known.settings, "base_url": "http://127.0.0.1:9"}
    )
    result = await communication.execute(sms(a_number(), 77))
    assert kind_of(result) == ("CONFIGURATION", "ADDRESS_REFUSED", "NOT_DONE")


async def test_a_lost_answer_is_found_by_recipient_text_and_time(communication: Client, phone: Phone) -> None:
    number = a_number()
    await phone.twilio.control("next", match=number, lose="after")
    action = sms(number, body=f"Found {uuid.uuid4()}")
    assert kind_of(await communication.execute(action))[2] == "INDETERMINATE"
    await phone.told.until(lambda one: one.type == "sms_delivered" and one.address == number)
    finding = await communication.reconcile(action, fence=2)
    assert finding.finding == wire.FINDING_DONE
    (message,) = await phone.twilio.to("messages", number)
    assert json.loads(finding.result.output)["sid"] == message["sid"]
    action.fence, action.attempt = 2, 2
    assert (await communication.execute(action)).replayed
    assert len(await phone.twilio.to("messages", number)) == 1


async def test_what_is_not_found_or_not_certain_stays_unknown(communication: Client, phone: Phone) -> None:
    absent, twice = a_number(), a_number()
    await phone.twilio.control("next", match=absent, lose="before")
    await phone.twilio.control("next", match=twice, times=2, lose="after")
    actions = [sms(absent), sms(twice), sms(twice)]
    for action in actions:
        await communication.execute(action)
    await phone.told.until(lambda one: one.type == "sms_delivered" and one.address == twice, 2)
    for action in actions:
        assert (await communication.reconcile(action, fence=2)).finding == wire.FINDING_UNKNOWN


async def test_another_message_to_the_same_number_is_not_taken_for_it(
    communication: Client, phone: Phone
) -> None:
    number = a_number()
    await communication.execute(sms(number, body="One text"))
    await phone.told.until(lambda one: one.type == "sms_delivered" and one.address == number)
    lost = sms(number, body="Another text")
    await phone.twilio.control("next", match=number, lose="before")
    await communication.execute(lost)
    assert (await communication.reconcile(lost, fence=2)).finding == wire.FINDING_UNKNOWN


@pytest.mark.parametrize(
    ("number", "expected", "reason"),
    [
        ("+15005550001", ("CONTACT_DATA", "21211", "NOT_DONE"), "NUMBER_INVALID"),
        ("+15005550009", ("CONTACT_DATA", "21614", "NOT_DONE"), "NUMBER_INVALID"),
        ("+15005550002", ("VALIDATION", "21612", "NOT_DONE"), None),
        ("+15005550003", ("AUTHORIZATION", "21408", "NOT_DONE"), None),
        ("nobody", ("CONTACT_DATA", "INVALID_ADDRESS", "NOT_DONE"), None),
        ("", ("CONTACT_DATA", "NO_ADDRESS", "NOT_DONE"), None),
    ],
)
async def test_numbers_that_are_refused(
    communication: Client, number: str, expected: tuple[str, str, str], reason: str | None
) -> None:
    result = await communication.execute(sms(number))
    assert kind_of(result) == expected
    if reason is None:
        assert not result.contact_changes
        return
    suppress = json.loads(result.contact_changes)["suppress"]
    assert suppress == {"channel": "sms", "reason": reason, "until": None}


async def test_who_opted_out_is_skipped_and_suppressed(communication: Client) -> None:
    result = await communication.execute(sms("+15005550004"))
    assert (result.outcome, result.failure.code) == (action_pb2.OUTCOME_SKIPPED, "RECIPIENT_SUPPRESSED")
    assert "21610" in result.failure.message
    assert json.loads(result.contact_changes) == {
        "suppress": {"channel": "sms", "reason": "SMS_DND_PERMANENT", "until": None}
    }
    assert result.certainty == action_pb2.CERTAINTY_NOT_DONE


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        (LOCKED_OUT, ("AUTHENTICATION", "20003", "NOT_DONE")),
        (BARE_ACCOUNT, ("CONFIGURATION", "NO_SENDER", "NOT_DONE")),
        (999, ("CONFIGURATION", "NO_PROVIDER", "NOT_DONE")),
    ],
)
async def test_accounts_that_cannot_send(
    communication: Client, account: int, expected: tuple[str, str, str]
) -> None:
    assert kind_of(await communication.execute(sms(a_number(), account))) == expected


async def test_an_api_key_sends_as_well(communication: Client, phone: Phone) -> None:
    number = a_number()
    assert (await communication.execute(sms(number, KEYED_ACCOUNT))).outcome == action_pb2.OUTCOME_SUCCEEDED
    assert len(await phone.twilio.to("messages", number)) == 1


async def test_a_change_of_the_account_counts_at_once(communication: Client, phone: Phone) -> None:
    known, number = phone.accounts[ACCOUNT, "sms"], a_number()
    phone.accounts[78, "sms"] = replace(known, account_id=78, credentials={"auth_token": "old"})
    assert kind_of(await communication.execute(sms(number, 78)))[0] == "AUTHENTICATION"
    phone.accounts[78, "sms"] = replace(known, account_id=78, revision=2)
    assert (await communication.execute(sms(number, 78))).outcome == action_pb2.OUTCOME_SUCCEEDED


@pytest.mark.parametrize(
    ("number", "code", "suppress"),
    [
        ("+15005553003", "30003", {"channel": "sms", "reason": "SMS_DND_TEMPORARY", "until": 3600}),
        ("+15005553004", "30004", {"channel": "sms", "reason": "SMS_DND_PERMANENT", "until": None}),
        ("+15005553005", "30005", {"channel": "sms", "reason": "NUMBER_INVALID", "until": None}),
        ("+15005553007", "30007", None),
    ],
)
async def test_undelivered_says_why_and_what_follows(
    communication: Client, phone: Phone, number: str, code: str, suppress: dict[str, Any] | None
) -> None:
    sid = json.loads((await communication.execute(sms(number))).output)["sid"]
    happening = (await phone.told.of(f"{sid}:undelivered"))[0]
    assert (happening.type, happening.attributes["code"]) == ("sms_undelivered", code)
    assert happening.attributes.get("suppress") == suppress


async def test_callbacks_twice_and_backwards_keep_their_ids(communication: Client, phone: Phone) -> None:
    await phone.twilio.control("callbacks", repeat=2, reverse=True)
    try:
        action = sms(a_number())
        sid = json.loads((await communication.execute(action)).output)["sid"]
        told = await phone.told.of(sid, 4)
    finally:
        await phone.twilio.control("callbacks")
    assert [one.type for one in told] == ["sms_delivered"] * 2 + ["sms_sent"] * 2
    assert {one.id for one in told} == {f"{sid}:sent", f"{sid}:delivered"}


@pytest.mark.parametrize(
    ("body", "opt_out_type", "expected"),
    [
        ("Yes please, Tuesday", "", "sms_reply"),
        ("please stop", "", "sms_reply"),
        ("HELP", "HELP", "sms_reply"),
        *(
            (f" {word.title()} ", "", "sms_opt_out")
            for word in ["STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT"]
        ),
        *((word.lower(), "", "sms_opt_in") for word in ("START", "YES", "UNSTOP")),
        ("arrêt", "STOP", "sms_opt_out"),
        ("oui", "START", "sms_opt_in"),
    ],
)
async def test_what_people_write(
    communication: Client, phone: Phone, body: str, opt_out_type: str, expected: str
) -> None:
    number = a_number()
    url = f"{phone.told.url}/callbacks/twilio/sms/inbound"
    asked = {"from": number, "body": body, "opt_out_type": opt_out_type, "url": url}
    answer = await phone.twilio.control("inbound", **asked)
    assert answer["status"] == 200
    (happening,) = await phone.told.of(answer["sid"])
    assert (happening.type, happening.address, happening.effect) == (expected, number, None)
    assert happening.attributes["body"] == body
    await phone.twilio.control("inbound", sid=answer["sid"], **asked)
    assert {one.id for one in await phone.told.of(answer["sid"], 2)} == {f"{answer['sid']}:received"}


async def test_forged_callbacks_are_refused(communication: Client, phone: Phone) -> None:
    sid = json.loads((await communication.execute(sms(a_number()))).output)["sid"]
    await phone.told.of(sid, 2)
    real = next(one for one in await phone.twilio.get("/callbacks") if one["fields"].get("MessageSid") == sid)
    known = len(phone.told.happenings)
    for headers in ({}, {"X-Twilio-Signature": "AAAA"}, {"X-Twilio-Signature": "ä"}):
        async with phone.http.post(real["url"], data=real["fields"], headers=headers) as response:
            assert response.status == 403
    assert phone.told.refused[-3:] == ["SIGNATURE_MISSING", "SIGNATURE_WRONG", "SIGNATURE_WRONG"]
    assert len(phone.told.happenings) == known


@pytest.mark.parametrize(
    ("config", "paths"),
    [
        ({}, {""}),
        ({"body": "x" * 1601}, {"body"}),
        ({"body": "x", "to": "12345"}, {"to"}),
        ({"body": "x", "media_url": ["ftp://example.test/a"]}, {"media_url.0"}),
        ({"media_url": [f"https://example.test/{n}" for n in range(11)]}, {"media_url"}),
        ({"body": "x", "validity_period": 0}, {"validity_period"}),
        ({"body": "x", "category": "spam"}, {"category"}),
        ({"body": "x", "from": "a name that is too long"}, {"from"}),
        ({"body": "x", "from": "+15005550006", "messaging_service_sid": "MG" + "0" * 32}, {""}),
        ({"body": "{{ steps.a.text }}", "to": "{{ contact.other }}", "validity_period": "{{ n }}"}, set()),
    ],
)
async def test_faults_of_a_config(communication: Client, config: dict[str, Any], paths: set[str]) -> None:
    request = wire.ValidateRequest(action_type="send_sms", config=json.dumps(config).encode())
    faults = (await communication.stub.Validate(request, timeout=TIMEOUT_S)).faults
    assert {fault.path for fault in faults} == paths
