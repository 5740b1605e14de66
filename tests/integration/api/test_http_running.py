"""The scenarios about executions over HTTP, through the whole stack with a worker: R-API-2, R-API-3."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.api.over_http import Http, calling
from tests.integration.api.world import Client, World, tagging, until, waiting

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
async def http(world: World, client: Client) -> AsyncIterator[Http]:
    async with calling(world.stack.gateway_url, client.key) as caller:
        yield caller


async def published(http: Http, document: dict[str, Any]) -> str:
    """An active workflow of this document; its key."""
    import json

    made = await http("POST", "/workflows", {"document": json.dumps(document), "publish": True})
    assert made.status == 201, made.body
    return str(made.body["workflow"]["key"])


async def contact(http: Http, **fields: Any) -> str:
    made = await http("POST", "/contacts", fields)
    assert made.status == 201, made.body
    return str(made.body["id"])


async def started(http: Http, workflow: str, contact_id: str, **more: Any) -> str:
    answer = await http("POST", f"/workflows/{workflow}/execute", {"contact_id": contact_id, **more})
    assert answer.status == 201, answer.body
    return str(answer.body["execution"]["id"])


async def reached(http: Http, execution_id: str, *statuses: str) -> dict[str, Any]:
    """The execution once it has one of these statuses, as its stream tells."""
    async for event in http.events(f"/executions/{execution_id}/watch"):
        if event.name == "change" and event.data["execution"]["status"] in statuses:
            found: dict[str, Any] = event.data["execution"]
            return found
    raise AssertionError(f"{execution_id} ended without having been {' or '.join(statuses)}")


async def test_smoke(http: Http) -> None:
    key = await published(http, waiting())
    execution_id = await started(http, key, await contact(http, first_name="x"))
    got = await reached(http, execution_id, "WAITING")
    print(got)
    for p in ("logs", "explain"):
        print((await http("GET", f"/executions/{execution_id}/{p}")).body)
    a = await http("GET", "/executions", status="FAILED", from_="2026-01-01")
    print(a)
    print(await http("GET", "/account"))
    print(await http("GET", "/workflows"))
    print(await http("POST", f"/executions/{execution_id}/cancel"))
    print(await http("GET", "/action-types"))
