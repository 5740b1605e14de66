"""The HTTP API's shapes, refusals and edits, through the real gateway and API, without a worker: R-API-2."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from yarl import URL

from services.gateway.rest.asking import MAX_BODY_BYTES
from services.gateway.rest.bindings import Binding, bindings
from services.gateway.rest.surface import SERVED
from tests.integration.api.over_http import Http, calling
from tests.integration.api.world import Client, World, tagging, waiting


async def drafted(http: Http, *names: str, key: str = "edited") -> str:
    """A draft's path."""
    steps = [{"id": name, "type": "add_tag", "config": {"tag": name}} for name in names or ("a", "b")]
    document = json.dumps({"key": key, "steps": steps})
    assert (await http("POST", "/workflows", {"document": document})).status == 201
    return f"/workflows/{key}"


async def order(http: Http, path: str) -> list[tuple[int, str]]:
    draft = (await http("GET", f"{path}/actions")).body
    return [(step["position"], step["id"]) for step in draft["steps"]]


async def test_every_fault_of_a_request_is_named_at_once(world: World, client: Client, http: Http) -> None:
    """R-API-2: 422 with the paths of what was sent, in the names of HTTP; nothing is changed."""
    before = await world.rows(client)
    events = [{"id": 5, "type": "x", "when": "now"}, {"id": "e", "occurred_at": "never", "data": []}]
    answer = await http("POST", "/events", {"events": events, "more": 1}, dry="1")
    assert (answer.status, answer.body["reason"]) == (422, "REQUEST_INVALID")
    assert answer.at_fault == {
        "events[0].id": "type",
        "events[0].when": "unknown",
        "events[1].occurred_at": "timestamp",
        "events[1].data": "type",
        "more": "unknown",
        "dry": "unknown",
    }
    query: dict[str, Any] = {
        "status": "failed",
        "from_": "2026-02-30",
        "limit": "ten",
        "contact_id": "",
        "page": 0,
    }
    answer = await http("GET", "/executions", **query)
    assert answer.at_fault == {
        "status": "enum",
        "from": "timestamp",
        "limit": "type",
        "contact_id": "empty",
        "page": "int32.gte",
    }
    assert await world.rows(client) == before


async def test_rules_of_the_api_name_the_fields_of_http(http: Http) -> None:
    """R-API-2: what the API itself refuses is told by the path in the body, the query or the header."""
    contact = await http("POST", "/contacts", {"email": "nobody", "tags": ["a", "a"]})
    assert (contact.status, set(contact.at_fault)) == (422, {"email", "tags"})
    assert contact.body["detail"].startswith("email: ")
    listed = await http("GET", "/executions", limit=10_000)
    assert (listed.status, list(listed.at_fault)) == (422, ["limit"])
    assert listed.body["detail"].startswith("limit: ")
    keyed = await http("POST", "/contacts", {}, {"Idempotency-Key": "not a uuid"})
    assert (keyed.status, list(keyed.at_fault)) == (422, ["Idempotency-Key"])
    task = {"task": {"enroll": {"workflow": "w", "contact_ids": ["x"]}}}
    bulk = await http("POST", "/bulk-operations/preview", task)
    assert (bulk.status, list(bulk.at_fault)) == (422, ["task.enroll.contact_ids[0]"])
    both = await http("GET", "/contacts/lookup", id=str(uuid4()), external_id="x")
    assert (both.status, list(both.at_fault.values())) == (422, ["oneof"])
    empty = await http("POST", "/contacts")
    assert (empty.status, list(empty.at_fault)) == (422, ["body"])


@pytest.mark.parametrize(
    ("verb", "path", "body", "content_type", "status", "reason"),
    [
        ("POST", "/contacts", b"{", "application/json", 400, "MALFORMED_JSON"),
        ("POST", "/contacts", b"\xff", "application/json", 400, "MALFORMED_JSON"),
        ("POST", "/contacts", b"[]", "application/json", 422, "REQUEST_INVALID"),
        ("POST", "/contacts", b"a=b", "application/x-www-form-urlencoded", 415, "NOT_JSON"),
        ("POST", "/contacts", b" " * (MAX_BODY_BYTES + 1), "application/json", 413, "BODY_TOO_LARGE"),
        ("PUT", "/contacts", b"{}", "application/json", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/contacts/batch-get", None, "", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/contacts/", None, "", 404, "NO_SUCH_PATH"),
        ("GET", "/nothing", None, "", 404, "NO_SUCH_PATH"),
        ("GET", "/nothing%0Abroken", None, "", 404, "NO_SUCH_PATH"),
    ],
)
async def test_what_is_no_request_of_ours(
    http: Http, verb: str, path: str, body: bytes | None, content_type: str, status: int, reason: str
) -> None:
    answer = await http(verb, path, body, {"content-type": content_type} if body else None)
    assert (answer.status, answer.body["reason"]) == (status, reason)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.body["type"] == f"urn:wayfarer:problem:{reason}"
    if status == 405:
        assert answer.headers["allow"] == ("POST" if "batch" in path else "GET, POST")


async def test_without_a_known_key_nothing_is_told(world: World) -> None:
    """R-API-2: 401, also before a request is looked at; other platforms' pages may not read answers."""
    for headers in ({}, {"authorization": "Bearer wf_no"}, {"authorization": "Bearer ÿ"}):
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{world.stack.gateway_url}/api/v1/account", headers=headers) as answer,
        ):
            assert answer.status == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert (await answer.json(content_type=None))["reason"] == "UNAUTHENTICATED"
            assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("framing", ["Content-Length: 4194304", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("credential", ["", "Authorization: Bearer wf_no\r\n"])
async def test_a_body_of_nobody_is_not_waited_for(world: World, framing: str, credential: str) -> None:
    """R-API-2: 401 by the headers alone; not a byte of the body has been sent."""
    url = URL(world.stack.gateway_url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = "POST /api/v1/contacts HTTP/1.1\r\nHost: here\r\nContent-Type: application/json"
    writer.write(f"{head}\r\n{credential}{framing}\r\n\r\n".encode())
    async with asyncio.timeout(15):
        assert (await reader.readline()).split()[1] == b"401"
    writer.close()


async def test_a_key_makes_a_request_happen_once(world: World, client: Client, http: Http) -> None:
    """R-TRIG-5: the first answer again for the same Idempotency-Key; 409 with another payload."""
    await client.publish(waiting("once"))
    who, key = str((await client.contact()).id), {"Idempotency-Key": str(uuid4())}
    body = {"contact_id": who, "trigger": {"cart": 7}}
    first = await http("POST", "/workflows/once/execute", body, key)
    again = await http("POST", "/workflows/once/execute", body, key)
    assert (first.status, again.status, again.body) == (201, 201, first.body)
    assert (await world.rows(client))["execution"] == 1
    other = await http("POST", "/workflows/once/execute", body | {"entry_key": "x"}, key)
    assert (other.status, other.body["reason"]) == (409, "REQUEST_ID_REUSED")


async def test_contacts_are_made_changed_found_and_deleted(http: Http) -> None:
    """A PATCH changes what it names, null and nothing else; update_mask says it otherwise."""
    fields = {"plan": "pro", "seats": 3, "score": 1.5, "more": [None, True, {"deep": []}]}
    made = await http(
        "POST", "/contacts", {"external_id": "jane/1", "email": "jane@example.com", "fields": fields}
    )
    assert made.status == 201
    path = f"/contacts/{made.body['id']}"
    assert made.body["fields"] == fields
    assert made.body["created_at"] == made.body["updated_at"]
    changed = await http("PATCH", path, {"id": made.body["id"], "first_name": "Jane", "email": None})
    assert (changed.status, changed.body["first_name"], changed.body["email"]) == (200, "Jane", "")
    assert changed.body["fields"] == fields
    one = await http("PATCH", path, {"fields": {"plan": "free"}}, update_mask="fields.plan")
    assert one.body["fields"] == fields | {"plan": "free"}
    assert (await http("PATCH", path, {"id": str(uuid4())})).at_fault == {"id": "path"}
    assert list((await http("PATCH", path, {"created_at": "2026-01-01"})).at_fault) == ["update_mask"]
    found = await http("GET", "/contacts/lookup", external_id="jane/1")
    assert found.body == one.body
    upserted = await http("POST", "/contacts", {"external_id": "jane/1"}, upsert="true")
    assert (upserted.status, upserted.body["id"]) == (200, made.body["id"])
    many = await http("POST", "/contacts/batch-get", {"ids": [made.body["id"], str(uuid4())]})
    assert [one["id"] for one in many.body["contacts"]] == [made.body["id"]]
    gone = await http("DELETE", path)
    assert (gone.status, gone.body) == (200, {"executions_cancelled": 0})
    assert (await http("GET", path)).status == 404


async def test_actions_of_a_draft(http: Http) -> None:
    """A-27, R-STEP-5: added, read, set whole by PUT and in part by PATCH, reordered, removed."""
    path = await drafted(http)
    wait = {"type": "wait_time", "config": {"amount": 1, "unit": "hours"}}
    added = await http("POST", f"{path}/actions", {"step": wait, "position": 2})
    assert (added.status, added.body["step_id"]) == (201, "wait_time")
    assert await order(http, path) == [(1, "a"), (2, "wait_time"), (3, "b")]
    step = {"config": {"tag": "new"}, "disabled": True}
    patched = await http("PATCH", f"{path}/actions/a", {"step": step})
    assert patched.status == 200, patched.body
    read = (await http("GET", f"{path}/actions/a")).body
    assert (read["disabled"], read["definition"]) == (True, {"id": "a", "type": "add_tag", **step})
    put = await http("PUT", f"{path}/actions/a", {"step": {"type": "add_tag", "config": {"tag": "whole"}}})
    assert put.status == 200, put.body
    read = (await http("GET", f"{path}/actions/a")).body
    assert read["definition"] == {"id": "a", "type": "add_tag", "config": {"tag": "whole"}}
    moved = await http("POST", f"{path}/actions/reorder", {"step_ids": ["b", "a", "wait_time"]})
    assert [one["id"] for one in moved.body["steps"]] == ["b", "a", "wait_time"]
    removed = await http("DELETE", f"{path}/actions/a")
    assert removed.status == 200
    assert await order(http, path) == [(1, "b"), (2, "wait_time")]
    wrong = await http("POST", f"{path}/actions", {"step": {"type": "add_tag", "config": {"tag": 5}}})
    assert (wrong.status, wrong.body["reason"]) == (422, "WORKFLOW_INVALID")
    assert "config.tag" in wrong.at_fault


async def test_a_step_may_be_called_as_a_path_is(http: Http) -> None:
    """A step named "reorder" is read, changed and removed like any other."""
    path = await drafted(http, "reorder", "b")
    assert (await http("GET", f"{path}/actions/reorder")).body["id"] == "reorder"
    assert (await http("POST", f"{path}/actions/reorder", {"step_ids": ["b", "reorder"]})).status == 200
    assert (await http("DELETE", f"{path}/actions/reorder")).status == 200
    assert await order(http, path) == [(1, "b")]


async def test_an_active_workflow_is_not_edited(world: World, client: Client, http: Http) -> None:
    """A-28: 400 "Workflow must be draft or paused", nothing changed."""
    await client.publish(tagging("edited"))
    before = await world.rows(client)
    step = {"step": {"type": "end"}}
    for verb, path, body in (
        ("POST", "/workflows/edited/actions", step),
        ("PUT", "/workflows/edited/actions/tag", step),
        ("DELETE", "/workflows/edited/actions/tag", None),
        ("POST", "/workflows/edited/actions/reorder", {"step_ids": ["tag"]}),
    ):
        answer = await http(verb, path, body)
        assert (answer.status, answer.body["detail"]) == (400, "Workflow must be draft or paused")
    assert await world.rows(client) == before
    assert await order(http, "/workflows/edited") == [(1, "tag")]


async def test_a_51st_action_is_refused(http: Http) -> None:
    """A-29: refused, the limit named."""
    path = await drafted(http, *(f"t{n}" for n in range(50)))
    answer = await http("POST", f"{path}/actions", {"step": {"type": "end"}})
    assert (answer.body["reason"], answer.body["metadata"]) == ("STEP_LIMIT", {"limit": "50"})


async def test_another_accounts_ids_are_nobodys(
    world: World, client: Client, http: Http, other: Client
) -> None:
    """A-45: every path with an id answers 404 and tells nothing; nothing is changed."""
    workflow = await client.publish(waiting("private"))
    who = (await client.contact(email="jane@example.com")).id
    execution = (await client.start(workflow, who)).execution.id
    known = {
        "workflow": workflow,
        "execution_id": execution,
        "id": {"Execution": execution, "Contact": who, "Wait": f"{execution}.1"},
        "contact.id": who,
        "contact_id": who,
        "step_id": "before",
    }
    before, tried = await world.rows(client), 0
    async with calling(world.stack.gateway_url, other.key) as stranger:
        own = str((await other.contact()).id)
        for one in (one for service in SERVED for one in bindings(service)):
            filled = _filled(one, known)
            if filled is None:
                continue
            answer = await stranger(one.verb, filled, _body_for(one, own))
            if one.rpc.name == "ListMessages":  # a list that is filtered, not a contact that is read
                assert answer.body["messages"] == []
                continue
            assert answer.status == 404, (one.verb, filled, answer.body)
            assert "jane" not in json.dumps(answer.body)
            assert "private" not in json.dumps(answer.body)
            tried += 1
    assert tried > 25
    assert await world.rows(client) == before


def _filled(binding: Binding, known: dict[str, Any]) -> str | None:
    """The path below /api/v1 with ids in it; None if it takes none of these."""
    path, service = binding.path.removeprefix("/api/v1"), binding.rpc.containing_service.name
    if not binding.variables:
        return None
    for variable in binding.variables:
        value = known.get(variable)
        if isinstance(value, dict):
            value = value.get(service.removesuffix("Service"))
        if value is None:
            return None
        path = path.replace(f"{{{variable}}}", str(value))
    return path


def _body_for(binding: Binding, own_contact: str) -> dict[str, Any] | None:
    """A body that is in order."""
    bodies: dict[str, dict[str, Any]] = {
        "StartExecution": {"contact_id": own_contact},
        "PreviewWorkflow": {"contact_id": own_contact},
        "CreateWait": {"until": "2099-01-01"},
        "AddStep": {"step": {"type": "end"}},
        "UpdateStep": {"step": {"type": "end"}},
        "ReorderSteps": {"step_ids": ["before"]},
        "UpdateContact": {"first_name": "Mallory"},
        "SetConsent": {"channel": "SMS", "category": "MARKETING", "granted": True},
    }
    return bodies.get(binding.rpc.name, {}) if binding.body else None


async def test_the_account_its_keys_and_providers(client: Client, http: Http) -> None:
    """R-API-1, R-API-2: an answer without content is 204; enums by short names both ways."""
    account = (await http("GET", "/account")).body
    assert (account["id"], account["active_limit"]) == (client.account_id, 100)
    assert (await http("PATCH", "/account", {"name": "Renamed"})).body["name"] == "Renamed"
    made = await http("POST", "/account/keys", {"actor": "ci", "role": "MEMBER"})
    assert (made.status, made.body["key"]["role"]) == (201, "MEMBER")
    assert made.body["secret"] not in json.dumps((await http("GET", "/account/keys")).body)
    ended = await http("DELETE", f"/account/keys/{made.body['key']['id']}")
    assert "revoked_at" in ended.body
    assert (await http("POST", "/accounts", {"name": "x", "actor": "y"})).status == 403
    address = {"channel": "SMS", "address": "+14155550100"}
    assert (await http("POST", "/suppressions", address)).body["channel"] == "SMS"
    lifted = await http("POST", "/suppressions/lift", address)
    assert (lifted.status, lifted.body) == (204, None)


async def test_the_document_and_its_page_are_served(world: World) -> None:
    """R-API-2: OpenAPI 3.1 at /openapi.json; a page of it that loads nothing from elsewhere."""
    async with aiohttp.ClientSession(base_url=world.stack.gateway_url) as session:
        document = await (await session.get("/openapi.json")).json()
        assert document["openapi"].startswith("3.1")
        page = await session.get("/docs")
        text = await page.text()
        assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
        assert "<script" not in text
        assert "http://" not in text.replace("http://www.w3.org", "")
        for path, verbs in document["paths"].items():
            assert f"<code>{path}</code>" in text
            for one in verbs.values():
                assert f'id="{one["operationId"]}"' in text
        assert (await session.get("/docs/style.css")).content_type == "text/css"


async def test_a_version_that_no_workflow_can_have(client: Client, http: Http) -> None:
    """R-API-2: refused by name, or not found; never a fault of ours."""
    await client.publish(tagging())
    counts = await http("GET", "/workflows/tagging/counts", version=2**32 - 1)
    assert (counts.status, list(counts.at_fault)) == (422, ["version"])
    assert (await http("GET", "/workflows/tagging", version=2**32 - 1)).status == 404
    task = {"cancel": {"filter": {"workflow": "tagging", "version": 2**32 - 1}}}
    preview = await http("POST", "/bulk-operations/preview", {"task": task})
    assert (preview.status, list(preview.at_fault)) == (422, ["task.cancel.filter.version"])
