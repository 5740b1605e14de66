"""What each command asks of the API, and what a person or a program gets to read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from wayfarer.common.v1 import failure_pb2

from tests.unit.cli.world import CONTACT, EXECUTION, KEY, World, execution

REQUEST_ID = "01890a5d-ac96-774b-bcce-b302099a8059"


async def test_start_sends_trigger_request_id_and_the_contact_behind_an_external_id(world: World) -> None:
    result = await world.run(
        "start", "welcome", "jane", "--trigger", '{"plan": "pro"}', "--request-id", REQUEST_ID
    )
    assert (result.exit_code, result.output.strip()) == (0, EXECUTION)
    (asked,) = world.executions.asked
    assert (asked.workflow, asked.contact_id, asked.request_id) == ("welcome", CONTACT, REQUEST_ID)
    assert dict(asked.trigger) == {"plan": "pro"}
    assert world.executions.keys == [f"Bearer {KEY}"]


@pytest.mark.parametrize("trigger", ["[1]", "{", '"text"'])
async def test_a_trigger_that_is_no_object_is_wrong_usage(world: World, trigger: str) -> None:
    result = await world.run("start", "welcome", "jane", "--trigger", trigger)
    assert result.exit_code == 2
    assert "--trigger" in result.output
    assert world.executions.asked == []


async def test_list_filters_and_shows_short_names(world: World) -> None:
    world.executions.row = execution("WAITING")
    result = await world.run("list", "--status", "waiting", "--workflow", "welcome", "--contact", "jane")
    assert result.exit_code == 0
    for told in (EXECUTION, "welcome v3", "WAITING", "settle_in", " 37 ", "TIMER"):
        assert told in result.output
    (asked,) = world.executions.asked
    assert (asked.workflow, asked.contact_id, asked.page_size) == ("welcome", CONTACT, 20)


async def test_list_sends_every_filter(world: World) -> None:
    result = await world.run(
        *("executions", "--workflow", "welcome", "--version", "3", "--step", "settle_in", "--reason", "r"),
        *(
            "--error-class",
            "rate-limit",
            "--since",
            "2026-03-01T12:00:00Z",
            "--until",
            "2026-03-02T12:00:00Z",
        ),
    )
    assert result.exit_code == 0
    (asked,) = world.executions.asked
    assert (asked.workflow, asked.version, asked.step_id, asked.reason) == ("welcome", 3, "settle_in", "r")
    assert asked.error_class == failure_pb2.ERROR_CLASS_RATE_LIMIT
    assert asked.create_time_from.ToJsonString() == "2026-03-01T12:00:00Z"
    assert asked.create_time_to.ToJsonString() == "2026-03-02T12:00:00Z"


async def test_all_reads_page_by_page_to_the_end(world: World) -> None:
    world.executions.pages = 3
    result = await world.run("executions", "--all", "--json")
    assert [json.loads(line)["id"] for line in result.output.splitlines()] == [EXECUTION] * 3
    assert [asked.page_token for asked in world.executions.asked] == ["", "2", "3"]
    assert {asked.page_size for asked in world.executions.asked} == {1000}


async def test_one_page_says_how_to_go_on(world: World) -> None:
    world.executions.pages = 3
    assert "--page-token 2" in (await world.run("executions")).stderr
    last = await world.run("executions", "--page-token", "3", "--limit", "5")
    assert last.stderr == ""
    assert (world.executions.asked[-1].page_token, world.executions.asked[-1].page_size) == ("3", 5)


async def test_a_bulk_operation_needs_to_be_told_what_it_is_for(world: World) -> None:
    for verb in ("preview", "start"):
        result = await world.run("bulk", verb, "cancel")
        assert result.exit_code == 2
        assert "--everything" in result.output


async def test_ids_and_statuses_stay_whole_on_a_narrow_screen(world: World) -> None:
    result = await world.run("list", columns=80)
    assert EXECUTION in result.output
    assert "ACTIVE" in result.output


async def test_list_refuses_a_status_there_is_not(world: World) -> None:
    result = await world.run("list", "--status", "DONE")
    assert result.exit_code == 2
    assert "COMPLETED" in result.output


async def test_json_has_short_names_whole_numbers_and_every_field(world: World) -> None:
    shown = json.loads((await world.run("show", EXECUTION, "--json")).output)
    assert (shown["status"], shown["progress_percent"], shown["retry_count"]) == ("ACTIVE", 37, 0)
    listed = json.loads((await world.run("list", "--json")).output)
    assert [row["id"] for row in listed["executions"]] == [EXECUTION]
    entries = json.loads((await world.run("logs", EXECUTION, "--json")).output)["log_entries"]
    assert entries[1]["detail"]["output"]["status"] == 200
    contact = (await world.run("contacts", "get", "jane")).output
    assert '"visits": 3\n' in contact


async def test_show_prints_a_failure_as_it_is_written(world: World) -> None:
    world.executions.row = execution("FAILED")
    result = await world.run("show", EXECUTION)
    assert result.exit_code == 0
    assert "max_retries_exhausted" in result.output
    assert "network · smtp NET: no answer [/red] from [bold]host" in result.output


async def test_a_time_of_another_day_has_its_date(world: World) -> None:
    assert "2026-03-0" in (await world.run("show", EXECUTION)).output


async def test_logs_leave_out_what_is_masked(world: World) -> None:
    result = await world.run("logs", EXECUTION)
    assert "welcome_mail" in result.output
    assert "41 ms" in result.output
    assert "output.status=200" in result.output
    assert "redacted" not in result.output


async def test_watch_follows_to_the_end(world: World) -> None:
    result = await world.run("watch", EXECUTION)
    assert result.exit_code == 0
    told = [
        result.output.index(word) for word in ("execution_started", "ACTIVE", "action_completed", "COMPLETED")
    ]
    assert told == sorted(told)


async def test_watch_gives_one_object_per_line_to_programs(world: World) -> None:
    lines = (await world.run("watch", EXECUTION, "--json")).output.splitlines()
    assert [json.loads(line)["execution"]["status"] for line in lines] == ["ACTIVE", "COMPLETED"]


async def test_names_that_look_like_markup_are_shown_as_they_are(world: World) -> None:
    result = await world.run("contacts", "list")
    assert result.exit_code == 0
    assert "[bold]Jane[/x]" in result.output


async def test_cancel_sends_the_reason(world: World) -> None:
    result = await world.run("cancel", EXECUTION, "--reason", "asked to")
    assert result.output.strip() == f"{EXECUTION}: CANCELLED"
    assert world.executions.asked[0].reason == "asked to"


@pytest.mark.parametrize(("violations", "code"), [(0, 0), (2, 1)])
async def test_verify_fails_on_violations(world: World, violations: int, code: int) -> None:
    world.executions.violations = violations
    result = await world.run("verify")
    assert result.exit_code == code
    assert "logs have no gaps" in result.output
    assert (EXECUTION in result.output) or not violations


@pytest.mark.parametrize(
    ("options", "publish", "validate_only", "told"),
    [
        ((), True, False, "version 1 is published"),
        (("--no-publish",), False, False, "kept as draft"),
        (("--validate-only",), False, True, "is valid"),
    ],
)
async def test_apply_publishes_unless_told_otherwise(
    world: World, options: tuple[str, ...], publish: bool, validate_only: bool, told: str
) -> None:
    result = await world.run("apply", "-", *options, text="key: welcome")
    assert result.exit_code == 0
    assert told in result.output
    (asked,) = world.workflows.asked
    assert (asked.document, asked.publish, asked.validate_only) == ("key: welcome", publish, validate_only)


async def test_workflows_pause(world: World) -> None:
    assert (await world.run("workflows", "pause", "welcome")).output.strip() == "welcome: PAUSED"


async def test_action_types(world: World) -> None:
    result = await world.run("action-types")
    assert "add_tag" in result.output
    assert "Adds a tag to the contact." in result.output


def test_help_needs_no_grpc() -> None:
    code = "import sys, services.cli.__main__; sys.exit('grpc' in sys.modules or 'rich.live' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_demo_finds_its_workflow() -> None:
    assert (Path(__file__).parents[3] / "examples" / "welcome.yaml").is_file()


@pytest.mark.parametrize("given", [["push"], ["push=127.0.0.1"], ["push=h:1", "push=h:2"], ["P=h:1"]])
async def test_up_refuses_what_is_no_executor(world: World, given: list[str]) -> None:
    """R-ACT: a family that cannot be reached is wrong usage, before anything is started."""
    result = await world.run("up", *(word for one in given for word in ("--executor", one)))
    assert result.exit_code == 2
    assert "--executor" in result.output


async def test_up_refuses_an_executor_that_has_the_name_of_its_own(world: World, tmp_path: Path) -> None:
    result = await world.run("up", "--executor", "crm=127.0.0.1:7790", "--state-dir", str(tmp_path / "home"))
    assert result.exit_code == 1
    assert not (tmp_path / "home").exists()
