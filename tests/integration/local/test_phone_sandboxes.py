"""The sandboxes of Twilio and Meta speak the providers' wire protocols: logins, forms, limits, errors, lists.

R-ACT: whoever tries a workflow on one machine meets the providers' own answers.
"""

import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import aiohttp
import pytest
from aiohttp import web

from services.executors.phone.twilio_callbacks import signature
from services.local.sandboxes.meta import PAGE_ID, PAGE_TOKEN, meta_app
from services.local.sandboxes.twilio import ACCOUNT_SID, AUTH_TOKEN, twilio_app
from services.local.sandboxes.twilio_callbacks import Courier

ROOT = f"/2010-04-01/Accounts/{ACCOUNT_SID}"
LOGIN = "Basic " + base64.b64encode(f"{ACCOUNT_SID}:{AUTH_TOKEN}".encode()).decode()
GOOD = {"To": "+12025550123", "From": "+15005550006", "Body": "Hi"}


class Answer(NamedTuple):
    status: int
    body: Any
    headers: dict[str, str]


class Served:
    """A sandbox and a client of it."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http

    async def ask(self, method: str, path: str, login: str = LOGIN, **how: Any) -> Answer:
        headers = {"Authorization": login} if login else {}
        async with self.http.request(method, self.url + path, headers=headers, **how) as response:
            return Answer(response.status, await response.json(), dict(response.headers))


async def _served(application: web.Application) -> AsyncIterator[Served]:
    async with AsyncExitStack() as stack:
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield Served(f"http://127.0.0.1:{runner.addresses[0][1]}", http)


@pytest.fixture(scope="module")
async def twilio() -> AsyncIterator[Served]:
    async for served in _served(twilio_app(pace_s=3600)):
        yield served


@pytest.fixture(scope="module")
async def meta() -> AsyncIterator[Served]:
    async for served in _served(meta_app(pace_s=3600)):
        yield served


def test_both_sign_as_twilio_does() -> None:
    """Twilio's own example; sandbox and executor are written apart."""
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    caller, callee = "+14158675309", "+18005551212"
    fields = {
        "CallSid": "CA1234567890ABCDE",
        "Digits": "1234",
        "From": caller,
        "To": callee,
        "Caller": caller,
    }
    expected = "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    assert signature(url, list(fields.items()), "12345") == expected
    assert Courier("12345").signature(url, fields) == expected


@pytest.mark.parametrize("login", ["", "Basic bm9ib2R5OnNlY3JldA=="])
async def test_twilio_wants_a_login(twilio: Served, login: str) -> None:
    answer = await twilio.ask("POST", f"{ROOT}/Messages.json", login, data=GOOD)
    assert answer.status == 401
    assert answer.body == {
        "code": 20003,
        "message": "Authenticate",
        "more_info": "https://www.twilio.com/docs/errors/20003",
        "status": 401,
    }


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"To": ""}, 21604),
        ({"To": "12345"}, 21211),
        ({"From": ""}, 21603),
        ({"Body": ""}, 21602),
        ({"Body": "x" * 1601}, 21617),
        ({"From": "+15005550007"}, 21606),
        ({"From": "+15005550008"}, 21611),
        ({"To": "+15005550004"}, 21610),
    ],
)
async def test_twilio_refuses_messages(twilio: Served, changes: dict[str, str], code: int) -> None:
    answer = await twilio.ask("POST", f"{ROOT}/Messages.json", data=GOOD | changes)
    assert (answer.status, answer.body["status"], answer.body["code"]) == (400, 400, code)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Twiml": ""}, 21205),
        ({"Twiml": "x" * 4001}, 21205),
        ({"Timeout": "601"}, 20001),
        ({"From": "Wayfarer"}, 21213),
        ({"To": "+15005550001"}, 21217),
        ({"To": "+15005550002"}, 21214),
    ],
)
async def test_twilio_refuses_calls(twilio: Served, changes: dict[str, str], code: int) -> None:
    form = {"To": "+12025550123", "From": "+15005550006", "Twiml": "<Response/>"}
    answer = await twilio.ask("POST", f"{ROOT}/Calls.json", data=form | changes)
    assert (answer.status, answer.body["code"]) == (400, code)


async def test_twilio_takes_and_lists(twilio: Served) -> None:
    taken = await twilio.ask("POST", f"{ROOT}/Messages.json", data=GOOD)
    assert taken.status == 201
    assert taken.body["sid"].startswith("SM")
    assert (taken.body["status"], taken.body["date_sent"], taken.body["num_segments"]) == (
        "queued",
        None,
        "1",
    )
    one = await twilio.ask("GET", taken.body["uri"])
    assert one.body["sid"] == taken.body["sid"]
    assert (await twilio.ask("GET", f"{ROOT}/Messages/SM00.json")).body["code"] == 20404
    listed = (await twilio.ask("GET", f"{ROOT}/Messages.json", params={"To": GOOD["To"]})).body["messages"]
    assert taken.body["sid"] in {message["sid"] for message in listed}
    # What is still queued has no date to be found by.
    day = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"
    dated = await twilio.ask("GET", f"{ROOT}/Messages.json", params={"To": GOOD["To"], "DateSent>": day})
    assert dated.body["messages"] == []


async def test_twilio_says_when_to_come_again(twilio: Served) -> None:
    rule = {"match": GOOD["To"], "status": 429, "code": 20429, "retry_after": 3}
    await twilio.ask("POST", "/_control/next", json=rule)
    answer = await twilio.ask("POST", f"{ROOT}/Messages.json", data=GOOD)
    assert (answer.status, answer.body["code"], answer.headers["Retry-After"]) == (429, 20429, "3")
    assert (await twilio.ask("POST", f"{ROOT}/Messages.json", data=GOOD)).status == 201


@pytest.mark.parametrize(
    ("changes", "code", "subcode"),
    [
        ({"recipient": {}}, 100, None),
        ({"message": {}}, 100, 2018109),
        ({"message": {"text": "x" * 2001}}, 100, None),
        ({"messaging_type": "MESSAGE_TAG"}, 100, None),
        ({"recipient": {"id": "9000000000000010"}}, 10, 2018278),
    ],
)
async def test_meta_refuses(meta: Served, changes: dict[str, Any], code: int, subcode: int | None) -> None:
    body = {"recipient": {"id": "1"}, "messaging_type": "UPDATE", "message": {"text": "Hi"}} | changes
    answer = await meta.ask("POST", f"/v25.0/{PAGE_ID}/messages", f"Bearer {PAGE_TOKEN}", json=body)
    error = answer.body["error"]
    assert (answer.status, error["code"], error.get("error_subcode")) == (400, code, subcode)
    assert {"message", "type", "fbtrace_id"} <= set(error)


async def test_meta_wants_its_page_s_token(meta: Served) -> None:
    answer = await meta.ask("POST", f"/v25.0/{PAGE_ID}/messages", "Bearer other", json={})
    assert (answer.status, answer.body["error"]["code"]) == (401, 190)
    answer = await meta.ask("POST", "/v25.0/1/messages", f"Bearer {PAGE_TOKEN}", json={})
    assert answer.body["error"]["error_subcode"] == 33
