"""The sandbox of LeadConnector speaks its wire protocol: tokens, fields, limits, errors.

R-ACT: whoever tries a workflow on one machine meets the provider's own answers. Which fields a request may and
must have is written down, with its source, in services/local/sandboxes/leadconnector_fields.py.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from services.local.sandboxes.leadconnector import leadconnector_app
from services.local.sandboxes.leadconnector_records import LOCATION, TOKEN

ROOT = "/leadconnector"
LOGIN = {"Authorization": f"Bearer {TOKEN}", "Version": "2021-07-28"}
ADA = {"locationId": LOCATION, "email": "ada@example.test", "firstName": "Ada"}

Site = TestClient[Any, Any]


async def _served(**limits: Any) -> AsyncIterator[Site]:
    application = web.Application()
    application.add_subapp(ROOT, leadconnector_app(**limits))
    async with TestClient(TestServer(application)) as client:
        yield client


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async for client in _served():
        yield client


@pytest.fixture
async def busy() -> AsyncIterator[Site]:
    async for client in _served(per_interval=3):
        yield client


async def ask(client: Site, method: str, path: str, **how: Any) -> tuple[int, Any, Any]:
    headers = how.pop("headers", LOGIN)
    async with client.request(method, ROOT + path, headers=headers, **how) as response:
        return response.status, await response.json(), response.headers


async def made(client: Site, **fields: Any) -> str:
    status, told, _ = await ask(client, "POST", "/contacts/", json=ADA | fields)
    assert status == 201, told
    contact_id: str = told["contact"]["id"]
    return contact_id


@pytest.mark.parametrize(
    "headers", [{}, LOGIN | {"Authorization": "Bearer x"}, {"Authorization": LOGIN["Authorization"]}]
)
async def test_it_wants_token_and_version(site: Site, headers: dict[str, str]) -> None:
    status, told, _ = await ask(site, "GET", "/contacts/x", headers=headers)
    assert (status, told["statusCode"], told["error"]) == (401, 401, "Unauthorized")


async def test_a_token_is_for_one_location(site: Site) -> None:
    for method, path, how in (
        ("POST", "/contacts/", {"json": ADA | {"locationId": "other"}}),
        ("GET", "/contacts/search/duplicate", {"params": {"locationId": "other", "email": "a@b.test"}}),
        ("GET", "/opportunities/search", {"params": {"location_id": "other"}}),
    ):
        assert (await ask(site, method, path, **how))[0] == 403, path


async def test_fields_are_those_of_its_description(site: Site) -> None:
    contact = await made(site)
    for method, path, body in (
        ("POST", "/contacts/", {"email": "b@example.test"}),
        ("POST", "/contacts/", ADA | {"nickname": "A"}),
        ("POST", "/contacts/", ADA | {"email": "b@example.test", "firstName": 7}),
        ("PUT", f"/contacts/{contact}", {"locationId": LOCATION}),
        ("POST", f"/contacts/{contact}/notes", {"title": "x"}),
        ("POST", f"/contacts/{contact}/tasks", {"title": "x", "dueDate": "2090-01-01T00:00:00Z"}),
        ("POST", f"/contacts/{contact}/tasks", {"title": "x", "dueDate": "then", "completed": False}),
        ("POST", f"/contacts/{contact}/tags", {"tags": "x"}),
        ("POST", "/opportunities/", {"pipelineId": "sandboxPipeline00001"}),
    ):
        status, told, _ = await ask(site, method, path, json=body)
        assert (status, told["error"]) == (422, "Unprocessable Entity"), (path, body)
        assert told["message"], path


async def test_contacts_are_one_per_address(site: Site) -> None:
    contact = await made(site, phone="+14155550100")
    for twin in ({"email": "ADA@example.test"}, {"email": "b@example.test", "phone": "+14155550100"}):
        status, told, _ = await ask(site, "POST", "/contacts/", json=ADA | twin)
        assert (status, told["meta"]["contactId"]) == (400, contact)
    for name, value in (("email", "ada@EXAMPLE.test"), ("number", "+14155550100")):
        query = {"locationId": LOCATION, name: value}
        _, told, _ = await ask(site, "GET", "/contacts/search/duplicate", params=query)
        assert told["contact"]["id"] == contact
    query = {"locationId": LOCATION, "email": "nobody@example.test"}
    assert (await ask(site, "GET", "/contacts/search/duplicate", params=query))[1]["contact"] is None


async def test_an_upsert_drops_what_is_somebody_elses_without_a_word(site: Site) -> None:
    contact = await made(site)
    await made(site, email="", phone="+14155550100")
    body = ADA | {"phone": "+14155550100", "lastName": "Lovelace"}
    status, told, _ = await ask(site, "POST", "/contacts/upsert", json=body)
    assert (status, told["new"], told["contact"]["id"]) == (200, False, contact)
    assert (told["contact"].get("phone"), told["contact"]["lastName"]) == (None, "Lovelace")


async def test_tags_become_small_letters(site: Site) -> None:
    contact = await made(site)
    status, told, _ = await ask(site, "POST", f"/contacts/{contact}/tags", json={"tags": ["VIP", "vip", "b"]})
    assert (status, told) == (201, {"tags": ["vip", "b"], "tagsAdded": ["vip", "b"]})
    status, told, _ = await ask(site, "DELETE", f"/contacts/{contact}/tags", json={"tags": ["Vip", "c"]})
    assert (status, told) == (200, {"tags": ["b"], "tagsRemoved": ["vip"]})


async def test_opportunities_are_searched_by_contact_pipeline_and_status(site: Site) -> None:
    contact = await made(site)
    place = {"pipelineId": "sandboxPipeline00001", "pipelineStageId": "stage-offer"}
    body = {**place, "locationId": LOCATION, "name": "Pro", "status": "open", "contactId": contact}
    _, told, _ = await ask(site, "POST", "/opportunities/", json=body)
    one = told["opportunity"]["id"]
    query = {"location_id": LOCATION, "contact_id": contact, "status": "open"}
    assert (await ask(site, "GET", "/opportunities/search", params=query))[1]["opportunities"][0]["id"] == one
    await ask(site, "PUT", f"/opportunities/{one}", json={"status": "won"})
    assert (await ask(site, "GET", "/opportunities/search", params=query))[1]["opportunities"] == []
    for wrong in ({"pipelineId": "x"}, {"pipelineStageId": "x"}):
        assert (await ask(site, "PUT", f"/opportunities/{one}", json=wrong))[0] == 400
    assert (await ask(site, "GET", "/opportunities/none"))[0] == 404


async def test_what_is_not_there_is_said_by_400(site: Site) -> None:
    status, told, _ = await ask(site, "GET", "/contacts/none")
    assert (status, told["message"]) == (400, "Contact with id none not found")


async def test_its_limits_are_told_and_held(busy: Site) -> None:
    """R-ERR-3: every answer tells of them; past them it answers 429."""
    for left in (2, 1, 0):
        _, _, headers = await ask(busy, "GET", "/contacts/none")
        assert headers["X-RateLimit-Remaining"] == str(left)
    status, told, headers = await ask(busy, "GET", "/contacts/none")
    assert (status, told["statusCode"]) == (429, 429)
    assert headers["X-RateLimit-Interval-Milliseconds"] == "10000"
    assert (headers["X-RateLimit-Max"], headers["X-RateLimit-Daily-Remaining"]) == ("3", "199997")


async def test_it_misbehaves_on_request(site: Site) -> None:
    contact = await made(site)
    rule = {"match": "POST notes ada@example.test", "lose": "after"}
    assert (await ask(site, "POST", "/_control/next", json=rule))[0] == 200
    with pytest.raises(aiohttp.ClientError):
        await ask(site, "POST", f"/contacts/{contact}/notes", json={"body": "x"})
    shown = (await ask(site, "GET", "/_control/state"))[1]["contacts"][0]
    assert [one["body"] for one in shown["notes"]] == ["x"]
    await ask(site, "POST", "/_control/next", json={"match": "GET notes", "hang": "before"})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await ask(site, "GET", f"/contacts/{contact}/notes")
