"""The command line against a running stack: each command a person has."""

import asyncio
import json
from pathlib import Path

from tests.support.stacks import Cli

QUICK = """
key: quick
settings: {dedup_window: 60s}
steps:
  - {id: tag, type: add_tag, config: {tag: seen}}
  - {id: pause, type: wait_time, config: {amount: 1, unit: weeks}}
"""


async def _prepared(cli: Cli, tmp_path: Path, contact: str) -> str:
    """Applies the workflow, makes the contact, starts an execution; its id."""
    file = tmp_path / "quick.yaml"
    file.write_text(QUICK)
    applied = await cli("apply", str(file))
    assert applied.code == 0, applied.err
    made = await cli("contacts", "create", "--external-id", contact, "--first-name", "Jane", "--tag", "vip")
    assert made.code == 0, made.err
    started = await cli("start", "quick", contact)
    assert started.code == 0, started.err
    return started.out.split()[0]


async def test_apply_start_list_show_logs_cancel_watch(cli: Cli, tmp_path: Path) -> None:
    """R-STATE-5, A-16 by the command line; R-LOG-1."""
    execution = await _prepared(cli, tmp_path, "cli-1")
    listed = (await cli("list", "--contact", "cli-1", "--json")).json()
    assert [e["id"] for e in listed["executions"]] == [execution]
    again = await cli("start", "quick", "cli-1")
    assert "duplicate trigger ignored" in again.out
    assert execution in again.out
    cancelled = await cli("cancel", execution, "--reason", "asked by jane@example.com")
    assert "CANCELLED" in cancelled.out
    watched = await cli("watch", execution)
    assert "cancelled" in watched.out
    assert "execution_started" in watched.out
    logs = (await cli("logs", execution, "--json")).json()["log_entries"]
    assert [entry["seq"] for entry in logs] == list(range(1, len(logs) + 1))
    words = next(e for e in logs if e["event"] == "cancelled")["detail"]["words"]
    assert words == "asked by j***@e***.com"
    shown = (await cli("show", execution, "--json")).json()
    assert (shown["status"], shown["reason"]) == ("CANCELLED", "cancelled")
    refused = await cli("cancel", execution)
    assert refused.code == 1
    assert "ILLEGAL_TRANSITION" in refused.err


async def test_faults_of_a_document_come_all_at_once(cli: Cli, tmp_path: Path) -> None:
    """R-STEP-4, A-30: each fault with its path and line; nothing is written."""
    file = tmp_path / "bad.yaml"
    file.write_text(
        "key: bad\nsteps:\n"
        "  - {id: a, type: add_tagg, config: {tag: x}}\n"
        "  - {id: b, type: send_email, config: {subjekt: x}, next: nowhere}\n"
        "  - {id: c, type: if, config: {condition: '1 +', then: end, else: end}}\n"
    )
    done = await cli("apply", str(file))
    assert done.code == 1
    for expected in (
        "steps[0].type",
        "add_tag",
        "steps[1].next",
        "subjekt",
        "steps[2].config.condition",
        "line 3",
    ):
        assert expected in done.err, done.err
    missing = await cli("workflows", "show", "bad")
    assert "WORKFLOW_NOT_FOUND" in missing.err


async def test_malformed_yaml_names_line_and_column(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "torn.yaml"
    file.write_text("key: torn\nsteps:\n  - {id: a, type: add_tag\n")
    done = await cli("apply", str(file))
    assert done.code == 1
    assert "DOCUMENT_MALFORMED" in done.err
    assert "line 4" in done.err


async def test_verify_finds_every_invariant_kept(cli: Cli, tmp_path: Path) -> None:
    """R-LOG-3: the chain of each log, and the other invariants, through the public surface."""
    await _prepared(cli, tmp_path, "cli-verify")
    done = await cli("verify")
    assert done.code == 0, done.out
    for invariant in ("I1", "I2", "I3", "I4", "I5", "I8", "I11", "I12"):
        assert invariant in done.out


async def test_action_types_and_workflows_are_listed(cli: Cli, tmp_path: Path) -> None:
    await _prepared(cli, tmp_path, "cli-types")
    types = (await cli("action-types", "--json")).json()["action_types"]
    assert {t["name"] for t in types} >= {
        "send_email",
        "add_tag",
        "remove_tag",
        "update_contact",
        "webhook_call",
    }
    assert all(json.loads(t["config_schema"])["type"] == "object" for t in types)
    workflows = (await cli("workflows", "list", "--json")).json()["workflows"]
    assert "quick" in {w["key"] for w in workflows}


async def test_wrong_usage_is_told_from_refusal(cli: Cli) -> None:
    assert (await cli("list", "--status", "BUSY")).code == 2
    assert (await cli("show", "not-an-id")).code == 1
    assert (await cli("--help")).code == 0


async def test_an_operator_pauses_explains_resumes_and_publishes(cli: Cli, tmp_path: Path) -> None:
    """R-STATE-6, A-46: from the command line; an event shows its receipt."""
    file = tmp_path / "waits.yaml"
    file.write_text(
        "key: waits\nsettings: {triggers: [{event: signed_up}]}\nsteps:\n"
        "  - {id: w, type: wait_for_event, config: {event: opened, timeout: 1d}}\n"
        "  - {id: t, type: add_tag, config: {tag: x}}\n"
    )
    assert (await cli("apply", str(file))).code == 0
    assert (await cli("contacts", "create", "--external-id", "oper")).code == 0
    receipt = (await cli("events", "publish", "oper", "signed_up", "--json")).json()
    (started,) = receipt["receipts"][0]["consequences"]
    execution = started["execution_id"]
    async with asyncio.timeout(20):
        while (await cli("show", execution, "--json")).json()["status"] != "WAITING":
            pass
    assert "EVENT" in (await cli("explain", execution)).out
    assert "PAUSED" in (await cli("pause", execution, "--reason", "a look")).out
    assert "somebody paused it" in (await cli("explain", execution)).out
    kept = await cli("events", "publish", "oper", "opened", "--data", '{"n": 1}')
    assert "KEPT" in kept.out
    assert (await cli("resume", execution)).code == 0
    assert "execution_completed" in (await cli("watch", execution)).out
    assert "nothing waited for it" in (await cli("events", "publish", "oper", "opened")).out
    assert "signed_up" in (await cli("events", "list")).out
    refused = await cli("retry", execution)
    assert refused.code == 1
    assert "ILLEGAL_TRANSITION" in refused.err
    assert (await cli("events", "publish", "oper", "opened", "--data", "{")).code == 2
