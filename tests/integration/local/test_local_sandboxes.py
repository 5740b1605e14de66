"""The sandboxes speak as SendGrid and Resend do: who is let in, what is refused and how, keys and limits.

R-ACT: what is tried against them holds outside.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from services.local.arrivals import Arrivals
from services.local.sandboxes.email import EmailSandbox

SENDGRID: dict[str, Any] = {
    "personalizations": [{"to": [{"email": "a@b.test"}]}],
    "from": {"email": "me@c.test"},
    "subject": "s",
    "content": [{"type": "text/plain", "value": "t"}],
}
RESEND: dict[str, Any] = {"from": "Me <me@c.test>", "to": "a@b.test", "subject": "s", "text": "t"}
PATHS = {"sendgrid": "/v3/mail/send", "resend": "/emails"}
KEYS = {"sendgrid": "Bearer SG.x", "resend": "Bearer re_x"}


@pytest.fixture
def sandbox() -> EmailSandbox:
    return EmailSandbox(Arrivals(None))


@pytest.fixture
async def client(sandbox: EmailSandbox) -> AsyncIterator[Any]:
    async with TestClient(TestServer(sandbox.application())) as made:
        yield made


async def ask(client: Any, provider: str, sent: Any, **headers: str) -> tuple[int, Any, Any]:
    headers = {"Authorization": KEYS[provider], **headers}
    async with client.post(PATHS[provider], json=sent, headers=headers) as answer:
        body = await answer.json() if answer.content_length else None
        return answer.status, body, answer.headers


async def test_what_is_right_is_taken(client: Any, sandbox: EmailSandbox) -> None:
    status, body, headers = await ask(client, "sendgrid", SENDGRID)
    assert (status, body, len(headers["X-Message-Id"])) == (202, None, 22)
    assert int(headers["X-RateLimit-Limit"]) > 0
    status, body, headers = await ask(client, "resend", RESEND)
    assert (status, list(body)) == (200, ["id"])
    assert headers["ratelimit-reset"] == "1"
    shown = await (await client.get("/messages")).json()
    assert [one["provider"] for one in shown] == ["sendgrid", "resend"]


@pytest.mark.parametrize(
    ("provider", "key", "status", "name"),
    [
        ("sendgrid", "", 401, "authorization required"),
        ("sendgrid", "Bearer re_x", 401, "invalid, expired, or revoked"),
        ("resend", "", 401, "missing_api_key"),
        ("resend", "Bearer SG.x", 401, "validation_error"),
    ],
)
async def test_who_is_let_in(client: Any, provider: str, key: str, status: int, name: str) -> None:
    found, body, _ = await ask(client, provider, SENDGRID, Authorization=key)
    assert found == status
    assert name in str(body)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"personalizations": []}, "personalizations"),
        ({"personalizations": [{}]}, "personalizations.0.to"),
        ({"personalizations": [{"to": [{"email": "nobody"}]}]}, "personalizations.0.to.0.email"),
        (
            {"personalizations": [{"to": [{"email": "a@b.test"}], "cc": [{"email": "A@b.test"}]}]},
            "personalizations.0",
        ),
        ({"from": {}}, "from.email"),
        ({"subject": ""}, "subject"),
        ({"content": []}, "content"),
        ({"content": [{"type": "text/plain", "value": ""}]}, "content.0.value"),
        (
            {"content": [{"type": "text/html", "value": "h"}, {"type": "text/plain", "value": "t"}]},
            "content",
        ),
        ({"categories": ["c"] * 11}, "categories"),
        ({"headers": {"Subject": "x"}}, "headers"),
    ],
)
async def test_sendgrid_names_the_field_at_fault(client: Any, change: dict[str, Any], field: str) -> None:
    status, body, _ = await ask(client, "sendgrid", SENDGRID | change)
    assert status == 400
    assert [fault["field"] for fault in body["errors"]] == [field]


@pytest.mark.parametrize(
    ("change", "key", "status", "name"),
    [
        ({"to": []}, "k", 422, "missing_required_field"),
        ({"text": ""}, "k", 422, "missing_required_field"),
        ({"from": "nobody"}, "k", 422, "invalid_from_address"),
        ({"to": ["nobody"]}, "k", 422, "validation_error"),
        ({"to": ["a@b.test"] * 51}, "k", 422, "validation_error"),
        ({"tags": [{"name": "a", "value": "b c"}]}, "k", 422, "validation_error"),
        ({"from": "a@unverified.test"}, "k", 403, "validation_error"),
        ({}, "k" * 257, 400, "invalid_idempotency_key"),
    ],
)
async def test_resend_names_the_fault(
    client: Any, change: dict[str, Any], key: str, status: int, name: str
) -> None:
    found, body, _ = await ask(client, "resend", RESEND | change, **{"Idempotency-Key": key})
    assert (found, body["statusCode"], body["name"]) == (status, status, name)


async def test_resends_keys(client: Any, sandbox: EmailSandbox) -> None:
    first = await ask(client, "resend", RESEND, **{"Idempotency-Key": "one"})
    again = await ask(client, "resend", RESEND, **{"Idempotency-Key": "one"})
    assert first[:2] == again[:2]
    other = await ask(client, "resend", RESEND | {"subject": "x"}, **{"Idempotency-Key": "one"})
    assert (other[0], other[1]["name"]) == (409, "invalid_idempotent_request")
    assert len(sandbox.arrivals.kept) == 1
    # A refusal leaves the key free.
    await client.post("/_control/next", json={"status": 500})
    refused = await ask(client, "resend", RESEND, **{"Idempotency-Key": "two"})
    freed = await ask(client, "resend", RESEND | {"subject": "y"}, **{"Idempotency-Key": "two"})
    assert (refused[0], freed[0]) == (500, 200)
    # A day later it stands for nothing.
    for known in sandbox.keys.used.values():
        known.since -= 86_401
    assert (await ask(client, "resend", RESEND | {"subject": "z"}, **{"Idempotency-Key": "one"}))[0] == 200


async def test_one_key_at_once(client: Any, sandbox: EmailSandbox) -> None:
    await client.post("/_control/next", json={"delay": 0.5})
    sandbox.met.clear()
    slow = asyncio.create_task(ask(client, "resend", RESEND, **{"Idempotency-Key": "k"}))
    await sandbox.met.wait()
    quick = await ask(client, "resend", RESEND, **{"Idempotency-Key": "k"})
    assert (quick[0], quick[1]["name"]) == (409, "concurrent_idempotent_requests")
    assert (await slow)[0] == 200


async def test_events_need_a_message_and_somewhere_to_go(client: Any) -> None:
    asked = {"message_id": "none", "event": "open"}
    assert (await client.post("/_control/event", json=asked)).status == 404
    _, _, headers = await ask(client, "sendgrid", SENDGRID)
    asked["message_id"] = headers["X-Message-Id"]
    assert (await client.post("/_control/event", json=asked)).status == 409
    assert (await client.post("/_control/next", data=b"{")).status == 400
