"""send_messenger against the Meta sandbox over HTTP, and what Meta's callbacks tell.

R-ACT: send_messenger. R-SEND: Meta's window, and people who cannot be written to. R-ERR-1, R-ERR-3. G5.
"""

import asyncio
import itertools
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from wayfarer.action.v1 import action_executor_pb2 as wire
from wayfarer.action.v1 import action_pb2

from services.executors.communication.send_messenger import instant
from tests.contract.executors.phone_world import LOCKED_OUT, Phone
from tests.contract.executors.test_executor_sms import kind_of
from tests.contract.executors.world import TIMEOUT_S, Client, make_action

_people = itertools.count(random.randrange(10**9, 10**12))


def a_person() -> str:
    return str(next(_people))


def message(person: Any, contact: dict[str, Any] | None = None, **config: Any) -> action_pb2.Action:
    known = {"messenger_id": person} | (contact or {})
    return make_action("send_messenger", {"text": "Hello"} | config, contact=known)


async def test_arrives_is_delivered_and_read(communication: Client, phone: Phone) -> None:
    person = a_person()
    result = await communication.execute(message(person, text="Hello Ada ö"))
    assert result.outcome == action_pb2.OUTCOME_SUCCEEDED, result
    (taken,) = await phone.meta.to("messages", person)
    assert taken["message"] == {"text": "Hello Ada ö"}
    assert (taken["recipient"], taken["messaging_type"]) == ({"id": person}, "UPDATE")
    assert json.loads(result.output) == {"recipient_id": person, "message_id": taken["mid"]}
    delivered, read = await phone.told.until(lambda one: one.address == person, 2)
    assert (delivered.id, delivered.type) == (f"{taken['mid']}:delivered", "messenger_delivered")
    assert (read.type, read.effect) == ("messenger_read", None)


async def test_everything_a_config_says_arrives(communication: Client, phone: Phone) -> None:
    person = a_person()
    config = {
        "recipient": person,
        "text": None,
        "attachment": {"url": "https://example.test/a.png", "type": "image"},
        "messaging_type": "MESSAGE_TAG",
        "tag": "ACCOUNT_UPDATE",
    }
    own = {"fields": {"messenger_id": "1", "messenger_last_inbound": "2001-01-01T00:00:00Z"}}
    result = await communication.execute(make_action("send_messenger", config, contact=own))
    assert result.outcome == action_pb2.OUTCOME_SUCCEEDED, result
    (taken,) = await phone.meta.to("messages", person)
    payload = {"url": "https://example.test/a.png", "is_reusable": False}
    assert taken["message"] == {"attachment": {"type": "image", "payload": payload}}
    assert (taken["messaging_type"], taken["tag"]) == ("MESSAGE_TAG", "ACCOUNT_UPDATE")


@pytest.mark.parametrize(
    ("ago_h", "config", "goes"),
    [
        (23.9, {}, True),
        (24.1, {}, False),
        (24.1, {"messaging_type": "RESPONSE"}, False),
        (24.1, {"messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}, True),
        (169, {"messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}, False),
        (1000, {"messaging_type": "MESSAGE_TAG", "tag": "POST_PURCHASE_UPDATE"}, True),
    ],
)
async def test_the_window_is_checked_before_anything_leaves(
    communication: Client, phone: Phone, ago_h: float, config: dict[str, Any], goes: bool
) -> None:
    person = a_person()
    last = (datetime.now(UTC) - timedelta(hours=ago_h)).isoformat()
    fields = {"fields": {"messenger_last_inbound": last}}
    result = await communication.execute(message(person, fields, **config))
    assert bool(await phone.meta.to("messages", person)) == goes
    if not goes:
        assert (result.outcome, result.failure.code) == (action_pb2.OUTCOME_SKIPPED, "OUTSIDE_WINDOW")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-26T10:00:00Z", datetime(2026, 11, 26, 10, tzinfo=UTC)),
        ("2026-11-26T10:00:00", datetime(2026, 11, 26, 10, tzinfo=UTC)),
        (1_700_000_000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("1700000000", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        (1_700_000_000_000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("yesterday", None),
        ("", None),
        (None, None),
        (True, None),
        (1e30, None),
    ],
)
def test_instants_of_contacts(value: object, expected: datetime | None) -> None:
    assert instant(value) == expected


async def test_same_key_twice_and_at_once_is_one_message(communication: Client, phone: Phone) -> None:
    person = a_person()
    action = message(person)
    both = await asyncio.gather(communication.execute(action), communication.batch([action]))
    results = [both[0], both[1][0], await communication.execute(action)]
    assert sorted(one.replayed for one in results) == [False, True, True]
    assert len(await phone.meta.to("messages", person)) == 1


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"status": 400, "code": 4, "retry_after": 5}, ("RATE_LIMIT", "4", "NOT_DONE")),
        ({"status": 400, "code": 613}, ("RATE_LIMIT", "613", "NOT_DONE")),
        ({"status": 500, "code": 2}, ("SERVER_ERROR", "2", "NOT_DONE")),
        ({"status": 500}, ("SERVER_ERROR", "HTTP_500", "INDETERMINATE")),
        ({"status": 503}, ("SERVER_ERROR", "HTTP_503", "NOT_DONE")),
        ({"status": 400, "code": 100, "subcode": 7}, ("VALIDATION", "100/7", "NOT_DONE")),
        ({"status": 400, "code": 190, "subcode": 463}, ("AUTHENTICATION", "190/463", "NOT_DONE")),
        ({"lose": "after"}, ("NETWORK", "CONNECTION_LOST", "INDETERMINATE")),
        ({"hang": "after"}, ("TIMEOUT", "TIMEOUT", "INDETERMINATE")),
    ],
)
async def test_what_meta_says_decides(
    communication: Client, phone: Phone, rule: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    person = a_person()
    await phone.meta.control("next", match=person, **rule)
    action = message(person)
    result = await communication.execute(action)
    assert kind_of(result) == expected
    assert result.failure.provider == "meta"
    if "retry_after" in rule:
        assert result.retry_after.ToTimedelta() == timedelta(seconds=5)
        assert result.lane.lane.startswith("meta:")
    if expected[2] == "INDETERMINATE":
        assert (await communication.reconcile(action, fence=2)).finding == wire.FINDING_UNKNOWN


@pytest.mark.parametrize(
    ("person", "expected", "unreachable"),
    [
        ("9000000000000010", ("CONTACT_DATA", "10/2018278", "NOT_DONE"), True),
        ("9000000000000551", ("CONTACT_DATA", "551", "NOT_DONE"), True),
        ("9000000000002018", ("CONTACT_DATA", "100/2018001", "NOT_DONE"), True),
        ("9000000000000368", ("CONTACT_DATA", "368", "NOT_DONE"), True),
        ("9000000000000200", ("AUTHORIZATION", "200", "NOT_DONE"), False),
        ("9000000000001893", ("AUTHORIZATION", "10/1893063", "NOT_DONE"), False),
        ("", ("CONTACT_DATA", "NO_ADDRESS", "NOT_DONE"), False),
        (None, ("CONTACT_DATA", "NO_ADDRESS", "NOT_DONE"), False),
    ],
)
async def test_people_who_cannot_be_written_to(
    communication: Client, person: str | None, expected: tuple[str, str, str], unreachable: bool
) -> None:
    result = await communication.execute(message(person))
    assert kind_of(result) == expected
    suppress = {"channel": "messenger", "reason": "MESSENGER_UNREACHABLE", "until": None}
    changes = json.loads(result.contact_changes) if result.contact_changes else {}
    assert changes == ({"suppress": suppress} if unreachable else {})


async def test_accounts_that_cannot_send(communication: Client) -> None:
    locked_out = message(a_person())
    locked_out.account_id = LOCKED_OUT
    assert kind_of(await communication.execute(locked_out)) == ("AUTHENTICATION", "190", "NOT_DONE")
    nobody = message(a_person())
    nobody.account_id = 999
    assert kind_of(await communication.execute(nobody)) == ("CONFIGURATION", "NO_PROVIDER", "NOT_DONE")


async def test_what_people_write(communication: Client, phone: Phone) -> None:
    person = a_person()
    answer = await phone.meta.control("inbound", **{"from": person, "text": "Tuesday?"})
    assert answer["status"] == 200
    (reply,) = await phone.told.until(lambda one: one.address == person)
    assert (reply.id, reply.type) == (answer["mid"], "messenger_reply")
    assert reply.attributes == {"mid": answer["mid"], "text": "Tuesday?"}
    await phone.meta.control("inbound", **{"from": person, "text": "Tuesday?", "mid": answer["mid"]})
    assert {one.id for one in await phone.told.of(answer["mid"], 2)} == {answer["mid"]}
    echo = await phone.meta.control("inbound", **{"from": person, "text": "ours", "is_echo": True})
    assert echo["status"] == 200
    assert not [one for one in phone.told.happenings if one.id == echo["mid"]]


async def test_callbacks_twice_and_backwards_keep_their_ids(communication: Client, phone: Phone) -> None:
    person = a_person()
    await phone.meta.control("callbacks", repeat=2, reverse=True)
    try:
        await communication.execute(message(person))
        told = await phone.told.until(lambda one: one.address == person, 4)
    finally:
        await phone.meta.control("callbacks")
    assert [one.type for one in told] == ["messenger_read"] * 2 + ["messenger_delivered"] * 2
    assert len({one.id for one in told}) == 2


async def test_forged_callbacks_are_refused(communication: Client, phone: Phone) -> None:
    person = a_person()
    await phone.meta.control("inbound", **{"from": person, "text": "real"})
    real = (await phone.meta.get("/callbacks"))[-1]
    forged = real["body"].replace("real", "fake")
    for body, headers in (
        (forged, real["headers"]),
        (real["body"], {"X-Hub-Signature-256": "sha256=00"}),
        (real["body"], {}),
    ):
        async with phone.http.post(real["url"], data=body, headers=headers) as response:
            assert response.status == 403
    assert phone.told.refused[-3:] == ["SIGNATURE_WRONG", "SIGNATURE_WRONG", "SIGNATURE_MISSING"]
    assert len([one for one in phone.told.happenings if one.address == person]) == 1


async def test_meta_asks_whether_it_is_us(communication: Client, phone: Phone) -> None:
    assert await phone.meta.control("verify") == {"status": 200, "body": "1158201444"}
    refused = await phone.meta.control("verify", token="another")
    assert refused["status"] == 403
    assert phone.told.refused[-1] == "VERIFY_TOKEN_WRONG"


@pytest.mark.parametrize(
    ("config", "paths"),
    [
        ({}, {""}),
        ({"text": "x", "attachment": {"url": "https://example.test/a"}}, {""}),
        ({"text": "x" * 2001}, {"text"}),
        ({"attachment": {"url": "nowhere", "kind": "x"}}, {"attachment.url", "attachment.kind"}),
        ({"text": "x", "messaging_type": "MESSAGE_TAG"}, {""}),
        ({"text": "x", "tag": "HUMAN_AGENT"}, {""}),
        ({"text": "x", "recipient": "ada"}, {"recipient"}),
        ({"text": "{{ t }}", "recipient": "{{ contact.fields.other }}"}, set()),
    ],
)
async def test_faults_of_a_config(communication: Client, config: dict[str, Any], paths: set[str]) -> None:
    request = wire.ValidateRequest(action_type="send_messenger", config=json.dumps(config).encode())
    faults = (await communication.stub.Validate(request, timeout=TIMEOUT_S)).faults
    assert {fault.path for fault in faults} == paths
