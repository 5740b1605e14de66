"""R-API-2: clients made of the OpenAPI document do a day's work on the running stack."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.local.stack import Stack
from tests.integration.api.over_http import Http, calling
from tests.support.stacks import ROOT, command, fresh_stack
from tools import clients

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
async def stack() -> AsyncIterator[Stack]:
    async with fresh_stack() as running:
        yield running


@pytest.fixture
async def http(stack: Stack) -> AsyncIterator[Http]:
    async with calling(stack.gateway_url, stack.api_key) as caller:
        yield caller


async def _seen(stack: Stack, *words: str) -> Any:
    """What a program saw that works with a client."""
    environment = {
        "WAYFARER_URL": stack.gateway_url,
        "WAYFARER_API_KEY": stack.api_key,
        "NO_PROXY": "127.0.0.1",
    }
    done = await command(*words, environment=environment)
    assert done.code == 0, done.err
    return done.json()


async def _is_what_happened(seen: Any, http: Http, workflow: str) -> None:
    """The client's tale is that of the API, asked without it."""
    execution = await http("GET", f"/executions/{seen['execution']}")
    assert (execution.body["workflow_key"], execution.body["status"]) == (workflow, "COMPLETED")
    assert seen["listed"] == [seen["execution"]], "asked twice with one key, started once"
    log = await http("GET", f"/executions/{seen['execution']}/logs")
    events = [entry["event"] for entry in log.body["log_entries"]]
    assert (seen["log"], seen["total"]) == (events[:2], len(events))
    assert seen["nobody"] == [404, "CONTACT_NOT_FOUND"]
    assert seen["too_many"] == [["limit", "int32.gte_lte"]]


async def test_the_python_client(stack: Stack, http: Http) -> None:
    """R-API-2: made, installed in an environment of its own, held to mypy --strict, and used."""
    await asyncio.to_thread(clients.make_python)
    program = ROOT / "examples" / "clients" / "python" / "journey.py"
    seen = await _seen(stack, str(clients.PYTHON), "-W", "error", str(program))
    await _is_what_happened(seen, http, "python_journey")


@pytest.mark.tools
async def test_the_typescript_client(stack: Stack, http: Http) -> None:
    """R-API-2: made, compiled by tsc as strictly as it can, and used under node."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        problem = f"{' and '.join(missing)} is not installed (apt-get install nodejs npm)"
        if os.environ.get("WAYFARER_REQUIRE_TOOLS") == "1":
            pytest.fail(problem)
        pytest.skip(problem)
    await asyncio.to_thread(clients.make_typescript)
    seen = await _seen(stack, "node", str(clients.JAVASCRIPT))
    await _is_what_happened(seen, http, "typescript_journey")


def test_no_pin_says_where_packages_come_from() -> None:
    """Pins hold versions and hashes of all that is installed; whoever installs says from where."""
    lock = json.loads((clients.EXAMPLES / "typescript" / "pins.json").read_text(encoding="utf-8"))
    packages = {name: one for name, one in lock["packages"].items() if name}
    assert len(packages) > 10
    for name, one in packages.items():
        assert one["integrity"].startswith("sha512-"), name
        assert "resolved" not in one, name
    given = json.loads((clients.EXAMPLES / "typescript" / "package.json").read_text(encoding="utf-8"))
    for name, version in (given["dependencies"] | given["devDependencies"]).items():
        assert packages[f"node_modules/{name}"]["version"] == version
