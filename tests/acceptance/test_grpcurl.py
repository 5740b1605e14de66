"""R-API-1: the real grpcurl drives the running stack, and shows a bad request's details."""

import json
import os
import shutil

import pytest

from services.local.stack import Stack
from tests.support.stacks import Done, command

pytestmark = pytest.mark.tools
SERVICE = "wayfarer.execution.v1.ExecutionService"
DOCUMENT = "key: curled\nsteps:\n  - {id: tag, type: add_tag, config: {tag: curled}}\n"


@pytest.fixture(scope="session")
def grpcurl() -> str:
    found = shutil.which("grpcurl") or shutil.which("grpcurl", path=os.path.expanduser("~/go/bin"))
    if found is None:
        problem = "grpcurl is not installed (go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest)"
        if os.environ.get("WAYFARER_REQUIRE_TOOLS") == "1":
            pytest.fail(problem)
        pytest.skip(problem)
    return found


async def _call(grpcurl: str, stack: Stack, method: str, request: dict[str, object]) -> Done:
    credential = f"authorization: Bearer {stack.api_key}"
    data = json.dumps(request)
    return await command(grpcurl, "-plaintext", "-H", credential, "-d", data, stack.address, method)


async def test_list_and_describe(grpcurl: str, stack: Stack) -> None:
    listed = await command(grpcurl, "-plaintext", stack.address, "list")
    assert SERVICE in listed.out
    assert "wayfarer.crm.v1.ContactService" in listed.out
    assert "grpc.health.v1.Health" in listed.out
    described = await command(grpcurl, "-plaintext", stack.address, "describe", SERVICE)
    assert "rpc StartExecution" in described.out


async def test_start_and_watch(grpcurl: str, stack: Stack) -> None:
    applied = await _call(
        grpcurl,
        stack,
        "wayfarer.execution.v1.WorkflowService/ApplyWorkflow",
        {"document": DOCUMENT, "publish": True},
    )
    assert applied.code == 0, applied.err
    made = await _call(
        grpcurl, stack, "wayfarer.crm.v1.ContactService/CreateContact", {"contact": {"first_name": "Curl"}}
    )
    contact = json.loads(made.out)["contact"]["id"]
    started = await _call(
        grpcurl, stack, f"{SERVICE}/StartExecution", {"workflow": "curled", "contact_id": contact}
    )
    execution = json.loads(started.out)["execution"]["id"]
    watched = await _call(grpcurl, stack, f"{SERVICE}/WatchExecution", {"id": execution})
    assert watched.code == 0, watched.err
    assert "EXECUTION_STATUS_COMPLETED" in watched.out
    assert "action_completed" in watched.out


async def test_bad_request_carries_its_details(grpcurl: str, stack: Stack) -> None:
    refused = await _call(
        grpcurl, stack, f"{SERVICE}/StartExecution", {"workflow": "no such!", "contact_id": "x"}
    )
    assert refused.code != 0
    for expected in (
        "InvalidArgument",
        "google.rpc.BadRequest",
        '"workflow"',
        "contact_id",
        "REQUEST_INVALID",
    ):
        assert expected in refused.err, refused.err
    unknown = await command(
        grpcurl, "-plaintext", "-d", '{"id": "x"}', stack.address, f"{SERVICE}/GetExecution"
    )
    assert "Unauthenticated" in unknown.err
