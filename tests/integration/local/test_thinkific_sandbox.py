"""The sandbox of Thinkific speaks its wire protocol: logins, limits, lists, errors.

R-ACT: whoever tries a workflow on one machine meets the provider's own answers.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from services.local.sandboxes.thinkific import API_KEY, SUBDOMAIN, thinkific_app

ROOT = "/thinkific/api/public/v1"
LOGIN = {"X-Auth-API-Key": API_KEY, "X-Auth-Subdomain": SUBDOMAIN}
ADA = {"first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.test"}


async def _served(**limits: Any) -> AsyncIterator["TestClient[Any, Any]"]:
    application = web.Application()
    application.add_subapp("/thinkific", thinkific_app(**limits))
    async with TestClient(TestServer(application)) as client:
        yield client


@pytest.fixture
async def site() -> AsyncIterator["TestClient[Any, Any]"]:
    async for client in _served():
        yield client


@pytest.fixture
async def busy() -> AsyncIterator["TestClient[Any, Any]"]:
    async for client in _served(per_minute=3):
        yield client


async def ask(client: "TestClient[Any, Any]", method: str, path: str, **how: Any) -> tuple[int, Any, Any]:
    headers = how.pop("headers", LOGIN)
    async with client.request(method, ROOT + path, headers=headers, **how) as response:
        body = await response.json() if response.content_type == "application/json" else None
        return response.status, body, response.headers


@pytest.mark.parametrize("headers", [{}, LOGIN | {"X-Auth-API-Key": "x"}, LOGIN | {"X-Auth-Subdomain": "x"}])
async def test_it_wants_key_and_subdomain(site: "TestClient[Any, Any]", headers: dict[str, str]) -> None:
    """Also where it is mounted in a folder."""
    assert (await ask(site, "GET", "/users", headers=headers))[0] == 401


async def test_users_are_one_per_address(site: "TestClient[Any, Any]") -> None:
    status, user, _ = await ask(site, "POST", "/users", json=ADA)
    assert status == 201
    status, body, _ = await ask(site, "POST", "/users", json=ADA | {"email": "ADA@example.test"})
    assert (status, list(body["errors"])) == (422, ["email"])
    status, body, _ = await ask(site, "POST", "/users", json={"email": "x"})
    assert (status, set(body["errors"])) == (422, {"first_name", "last_name", "email"})
    _, body, _ = await ask(site, "GET", "/users", params={"query[email]": "ada@EXAMPLE.test"})
    assert [one["id"] for one in body["items"]] == [user["id"]]
    assert body["meta"]["pagination"]["total_items"] == 1


async def test_enrollments_are_one_per_user_and_course(site: "TestClient[Any, Any]") -> None:
    _, user, _ = await ask(site, "POST", "/users", json=ADA)
    asked = {"user_id": user["id"], "course_id": 101, "expiry_date": "2090-01-01T00:00:00Z"}
    for wrong, refusal in (({"course_id": 1}, 404), ({"user_id": 1}, 404), ({"expiry_date": "soon"}, 422)):
        assert (await ask(site, "POST", "/enrollments", json=asked | wrong))[0] == refusal
    status, made, _ = await ask(site, "POST", "/enrollments", json=asked)
    assert (status, made["user_email"], made["expired"]) == (201, ADA["email"], False)
    assert (await ask(site, "POST", "/enrollments", json=asked))[0] == 422
    over = {"expiry_date": "2020-01-01T00:00:00Z"}
    assert (await ask(site, "PUT", f"/enrollments/{made['id']}", json=over))[0] == 204
    assert (await ask(site, "PUT", "/enrollments/1", json=over))[0] == 404
    assert (await ask(site, "POST", "/enrollments", data=b"{"))[0] == 400
    query = {"query[user_id]": str(user["id"]), "query[course_id]": "101"}
    _, body, _ = await ask(site, "GET", "/enrollments", params=query)
    assert [one["expired"] for one in body["items"]] == [True]
    _, body, _ = await ask(site, "GET", "/enrollments", params=query | {"query[course_id]": "102"})
    assert body["items"] == []


async def test_it_says_when_a_minute_is_full(busy: "TestClient[Any, Any]") -> None:
    for left in ("2", "1", "0"):
        status, _, headers = await ask(busy, "GET", "/users")
        assert (status, headers["RateLimit-Remaining"]) == (200, left)
    status, _, headers = await ask(busy, "GET", "/users")
    assert status == 429
    assert 0 < int(headers["RateLimit-Reset"]) - time.time() <= 61


async def test_it_takes_ten_at_a_time(site: "TestClient[Any, Any]") -> None:
    rule = {"match": "POST users", "times": 10, "hang": "before"}
    assert (await site.post("/thinkific/_control/next", json=rule)).status == 200
    waiting = [asyncio.create_task(ask(site, "POST", "/users", json=ADA)) for _ in range(11)]
    done, late = await asyncio.wait(waiting, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    assert ([task.result()[0] for task in done], len(late)) == ([429], 10)
    for task in late:
        task.cancel()
    answers = await asyncio.gather(*late, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError | aiohttp.ClientError) for one in answers)


async def test_what_it_keeps_is_shown_and_forgotten(site: "TestClient[Any, Any]") -> None:
    await ask(site, "POST", "/users", json=ADA | {"send_welcome_email": True})
    (shown,) = await (await site.get("/thinkific/users")).json()
    assert (shown["email"], shown["_welcomed"]) == (ADA["email"], True)
    _, body, _ = await ask(site, "GET", "/users")
    assert "_welcomed" not in body["items"][0]
    await site.delete("/thinkific/users")
    assert await (await site.get("/thinkific/users")).json() == []
