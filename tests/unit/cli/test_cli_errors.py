"""What a person reads when the API refuses, or is not there."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.__main__ import app
from services.local.stack import LOCAL_FILE
from tests.unit.cli.world import EXECUTION, KEY, World


async def test_every_fault_of_a_document_has_path_line_and_message(world: World, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("bad", encoding="utf-8")
    result = await world.run("apply", str(file))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "the workflow has 2 faults [WORKFLOW_INVALID]",
        "  steps[0].config.tag: 'tag' is required (line 4, column 5) (missing)",
        "  steps[2].type: no such type 'sned_email' (line 9, column 5) (choice)",
    ]


async def test_a_refusal_shows_message_and_reason(world: World) -> None:
    result = await world.run("start", "paused", "jane")
    assert result.exit_code == 1
    assert result.stderr.strip() == "workflow 'paused' is PAUSED [WORKFLOW_NOT_ACTIVE]"


async def test_an_unknown_external_id_starts_nothing(world: World) -> None:
    result = await world.run("start", "welcome", "nobody")
    assert result.exit_code == 1
    assert "CONTACT_NOT_FOUND" in result.stderr
    assert world.executions.asked == []


async def test_an_rpc_that_is_not_served_is_an_error_too(world: World) -> None:
    result = await world.run("workflows", "archive", "welcome")
    assert result.exit_code == 1
    assert "UNIMPLEMENTED" in result.stderr


async def test_a_file_that_is_not_there_is_wrong_usage(world: World, tmp_path: Path) -> None:
    result = await world.run("apply", str(tmp_path / "none.yaml"))
    assert result.exit_code == 2
    assert "none.yaml" in result.stderr


@pytest.fixture
def free_address() -> Iterator[str]:
    """An address that is bound, and at which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


def test_an_api_that_is_not_there_tells_how_to_start_one(free_address: str) -> None:
    result = CliRunner().invoke(
        app, ["show", EXECUTION], env={"WAYFARER_ADDRESS": free_address, "WAYFARER_API_KEY": KEY}
    )
    assert result.exit_code == 1
    assert "cannot be reached" in result.stderr
    assert "wayfarer up" in result.stderr


def test_without_a_key_nothing_is_called(tmp_path: Path) -> None:
    environment = {"WAYFARER_HOME": str(tmp_path), "WAYFARER_API_KEY": "", "WAYFARER_ADDRESS": ""}
    result = CliRunner().invoke(app, ["list"], env=environment)
    assert result.exit_code == 1
    assert "WAYFARER_API_KEY" in result.stderr


async def test_address_and_key_come_from_the_local_stack(world: World, tmp_path: Path) -> None:
    local = {"address": world.address, "api_key": "wf_local"}
    (tmp_path / LOCAL_FILE).write_text(json.dumps(local), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAYFARER_HOME", str(tmp_path))
        result = await world.run("list", address="", key="")
    assert result.exit_code == 0
    assert world.executions.keys == ["Bearer wf_local"]
