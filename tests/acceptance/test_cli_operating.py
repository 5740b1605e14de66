"""The command line against a running stack: what operators do with many, and what they look at."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp

from services.local.stack import Stack
from tests.support.stacks import Cli, command, wayfarer
from tests.support.terminal import terminal

CLEARING = "\x1b[?1049l"
"""What gives the terminal back as it was."""


async def _apply(cli: Cli, tmp_path: Path, document: str) -> dict[str, Any]:
    file = tmp_path / "workflow.yaml"
    file.write_text(document)
    done = await cli("apply", str(file), "--json")
    assert done.code == 0, done.err
    workflow: dict[str, Any] = done.json()["workflow"]
    return workflow


async def _contacts(cli: Cli, names: list[str], tag: str) -> list[str]:
    """Their ids, in order."""
    made = [await cli("contacts", "create", "--external-id", n, "--tag", tag, "--json") for n in names]
    return [one.json()["contact"]["id"] for one in made]


async def _failed(cli: Cli, stack: Stack, tmp_path: Path, key: str, names: list[str]) -> list[str]:
    """Executions that failed at their webhook, which answers well from now on."""
    path = f"/hooks/{key}"
    async with aiohttp.ClientSession() as session:
        rule = {"match": path, "times": len(names), "status": 401}
        (await session.post(f"{stack.receiver_url}/rules", json=rule)).raise_for_status()
    await _apply(
        cli,
        tmp_path,
        f"key: {key}\nsteps:\n"
        f"  - {{id: call, type: webhook_call, config: {{url: '{stack.receiver_url}{path}'}}}}\n"
        "  - {id: tag, type: add_tag, config: {tag: called}}\n",
    )
    await _contacts(cli, names, key)
    started = [(await cli("start", key, name, "--json")).json()["execution"]["id"] for name in names]
    for execution in started:
        assert "execution_failed" in (await cli("log", execution, "--follow")).out
    return started


def _waiting(key: str, step: str) -> str:
    return (
        f"key: {key}\nsteps:\n"
        f"  - {{id: {step}, type: wait_time, config: {{amount: 1, unit: weeks}}}}\n"
        "  - {id: tag, type: add_tag, config: {tag: waited}}\n"
    )


async def test_failed_ones_are_filtered_skipped_and_retried_in_bulk(
    cli: Cli, stack: Stack, tmp_path: Path
) -> None:
    """R-STATE-7: by the command line, one with the failed step skipped, the others by a bulk operation."""
    executions = await _failed(cli, stack, tmp_path, "cli-retry", ["cr-1", "cr-2", "cr-3"])
    chosen = ("--workflow", "cli-retry", "--version", "1", "--error-class", "AUTHENTICATION", "--since", "1h")
    listed = await cli("executions", "--status", "failed", "--step", "call", *chosen, "--all", "--json")
    rows = [json.loads(line) for line in listed.out.splitlines()]
    assert [row["id"] for row in rows] == executions[::-1]
    by_reason = await cli("executions", "--reason", rows[0]["reason"], *chosen, "--json")
    assert len(by_reason.json()["executions"]) == 3
    assert (await cli("executions", "--workflow", "cli-retry", "--version", "2", "--json")).json() == {
        "executions": [],
        "next_page_token": "",
    }
    assert "no execution is so" in (await cli("executions", "--until", "1h", *chosen)).out

    assert (await cli("skip", executions[0], "--json")).json()["status"] == "QUEUED"
    followed = await cli("log", executions[0], "--follow", "--json")
    entries = [json.loads(line) for line in followed.out.splitlines()]
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    assert entries[-1]["event"] == "execution_completed"
    assert not any(entry["step_id"] == "call" for entry in entries if entry["event"] == "action_completed")

    assert "2 in all: 2 FAILED" in (await cli("bulk", "preview", "retry", *chosen)).out
    done = (await cli("bulk", "start", "retry", *chosen, "--reason", "fixed", "--yes", "--json")).json()
    assert (done["kind"], done["state"], done["outcomes"]) == ("RETRY", "DONE", {"retried": 2})
    for execution in executions[1:]:
        assert "COMPLETED" in (await cli("watch", execution)).out
    items = (await cli("bulk", "items", done["id"], "--outcome", "retried", "--json")).json()["items"]
    assert sorted(item["subject_id"] for item in items) == sorted(executions[1:])


async def test_many_are_enrolled_at_a_pace_that_can_be_stopped(
    cli: Cli, stack: Stack, tmp_path: Path
) -> None:
    """R-TRIG-8: previewed, paced, paused, resumed and cancelled by the command line."""
    key, names = "cli-enrol", [f"ce-{n}" for n in range(4)]
    await _apply(cli, tmp_path, _waiting(key, "pause"))
    ids = await _contacts(cli, names, key)
    file = tmp_path / "people.txt"
    file.write_text("\n".join([*names[:3], "", ids[3], str(uuid4())]))
    preview = (await cli("bulk", "preview", "enroll", key, "--contacts-from", str(file), "--json")).json()
    assert (preview["total"], preview["counts"]) == (5, {"started": 4, "contact_not_found": 1})

    slow = ("--per-tick", "1", "--tick", "1h", "--detach", "--yes", "--json")
    started = (await cli("bulk", "start", "enroll", key, "--contacts-from", str(file), *slow)).json()
    operation = started["id"]
    paused = (await cli("bulk", "pause", operation, "--json")).json()
    assert (paused["state"], paused["tick"], paused["per_tick"]) == ("PAUSED", "3600s", 1)
    assert "ILLEGAL_TRANSITION" in (await cli("bulk", "pause", operation)).err
    assert (await cli("bulk", "resume", operation, "--json")).json()["state"] == "RUNNING"
    assert "CANCELLED" in (await cli("bulk", "cancel", operation)).out
    assert "CANCELLED" in (await cli("bulk", "show", operation, "--follow")).out
    assert operation in (await cli("bulk", "list")).out

    words = ("bulk", "start", "enroll", key, "--where", f"'{key}' in contact.tags", "--tick", "1s")
    async with terminal(wayfarer(), *words, "--per-tick", "1", environment=cli.access) as shown:
        await shown.shows("everybody for whom the condition holds")
        await shown.shows("Start it?")
        shown.press("y\n")
        await shown.shows("ENROLL RUNNING")
        assert await shown.ended() == 0
        await shown.shows("4 of 4")
    assert len((await cli("executions", "--workflow", key, "--json")).json()["executions"]) == 4
    cancelled = await cli("bulk", "start", "cancel", "--workflow", key, "--yes", "--json")
    assert cancelled.json()["outcomes"] == {"cancelled": 4}


async def test_a_workflow_is_published_and_its_executions_move(cli: Cli, tmp_path: Path) -> None:
    """R-STEP-6: to the version just published, previewed before."""
    key = "cli-move"
    await _apply(cli, tmp_path, _waiting(key, "old"))
    await _contacts(cli, ["cm-1"], key)
    execution = (await cli("start", key, "cm-1")).out.split()[0]
    async with asyncio.timeout(30):
        while (await cli("show", execution, "--json")).json()["status"] != "WAITING":
            pass
    file = tmp_path / "next.yaml"
    file.write_text(_waiting(key, "new"))
    assert (await cli("apply", str(file), "--no-publish")).code == 0
    assert f"{key}: ACTIVE, version 2" in (await cli("workflows", "publish", key)).out
    versions = (await cli("workflows", "versions", key, "--json")).json()["counts"]
    assert [(row["version"], row["entered"]) for row in versions] == [(2, 0), (1, 1)]
    gone = (await cli("workflows", "migrate", key, "--preview", "--json")).json()["moves"]
    assert [(move["step_id"], move["to_step_id"], move["executions"]) for move in gone] == [("old", "", 1)]
    assert (await cli("show", execution, "--json")).json()["workflow_version"] == 1
    moved = await cli("workflows", "migrate", key, "--map", "old=new", "--yes", "--json")
    assert moved.json()["outcomes"] == {"moved": 1}
    now = (await cli("show", execution, "--json")).json()
    assert (now["workflow_version"], now["current_step_id"]) == (2, "new")
    counts = (await cli("workflows", "counts", key, "--version", "2")).out
    assert "new" in counts
    refused = await cli("workflows", "migrate", key, "--map", "old")
    assert (refused.code, "OLD=NEW" in refused.err) == (2, True)


async def test_a_contacts_past_and_present_are_shown_with_what_was_refused(cli: Cli, tmp_path: Path) -> None:
    """R-TRIG-6: a start that may not be is refused, and found again by contact, workflow and kind."""
    key, signed = "cli-once", "cli_signed_up"
    await _apply(
        cli,
        tmp_path,
        f"key: {key}\nsettings: {{triggers: [{{event: {signed}}}], reentry: never, dedup_window: 0s}}\nsteps:\n"
        "  - {id: pause, type: wait_time, config: {amount: 1, unit: weeks}}\n",
    )
    (contact,) = await _contacts(cli, ["co-1"], key)
    first = await cli("events", "publish", "co-1", signed, "--id", "co-first")
    assert "STARTED" in first.out
    own_id = str(uuid4())
    again = await cli("events", "publish", "co-1", signed, "--id", own_id)
    assert "BLOCKED" in again.out
    assert "BLOCKED" in (await cli("events", "receipt", own_id)).out
    assert "EVENT_NOT_FOUND" in (await cli("events", "receipt", str(uuid4()))).err
    receipt = (await cli("events", "receipt", "co-first", "--json")).json()
    assert [one["kind"] for one in receipt["consequences"]] == ["STARTED"]
    assert "STARTED" in (await cli("events", "receipt", receipt["id"])).out
    chosen = ("--contact", "co-1", "--workflow", key, "--kind", "reentry_blocked")
    refusals = (await cli("events", "refused", *chosen, "--json")).json()["refusals"]
    assert [(one["contact_id"], one["kind"]) for one in refusals] == [(contact, "reentry_blocked")]
    assert key in (await cli("events", "refused", *chosen)).out
    assert (await cli("events", "list", "--contact", "co-1", "--type", signed, "--json")).out.count(
        signed
    ) == 2
    assert "no event is set aside" in (await cli("events", "set-aside", "--contact", "co-1")).out

    shown = (await cli("contacts", "show", "co-1", "--json")).json()
    assert shown["contact"]["id"] == contact
    assert [row["workflow_key"] for row in shown["executions"]] == [key]
    assert [one["kind"] for one in shown["refusals"]] == ["reentry_blocked"]
    assert {"waits", "consents", "suppressions", "messages", "events"} <= shown.keys()
    told = (await cli("contacts", "show", "co-1")).out
    for words in ("Present of cli-once v1", "Refused starts", "Events", "co-1"):
        assert words in told
    unknown = await cli("events", "publish", str(uuid4()), signed, "--json")
    assert (unknown.code, "CONTACT_NOT_FOUND" in unknown.err) == (1, True)
    assert (await cli("events", "refused", "--kind", "nonsense")).code == 2
    assert "BLOCKED" in (await cli("events", "replay", own_id)).out
    assert "REPLAYED" in (await cli("events", "receipt", own_id)).out
    assert "NOTHING_TO_REPLAY" in (await cli("events", "replay", "co-first")).err
    assert "SET_ASIDE_EVENT_NOT_FOUND" in (await cli("events", "replay", "--set-aside", "1")).err
    assert (await cli("events", "replay")).code == 2


async def test_the_overview_counts_and_top_is_live(cli: Cli, stack: Stack, tmp_path: Path) -> None:
    """The same figures once, as JSON, and on a terminal of 80 by 24, which is left as it was."""
    await _failed(cli, stack, tmp_path, "cli-top", ["ct-1"])
    seen = (await cli("overview", "--json")).json()
    counts = {count["status"]: count["executions"] for count in seen["overview"]["statuses"]}
    assert counts["FAILED"] >= 1
    assert len(seen["activity"]["points"]) == 60
    told = (await cli("overview")).out
    assert "1× cli-top at call" in told
    piped = await cli("top")
    assert (piped.code, "Newest failures" in piped.out, "\x1b" in piped.out) == (0, True, False)

    async with terminal(wayfarer(), "top", "--once", environment=cli.access) as once:
        assert await once.ended() == 0
        await once.shows("1× cli-top at call")
        screen = once.text.rstrip("\n").split("\n")
        assert len(screen) <= 24
        assert max(map(len, screen)) <= 80
        assert CLEARING not in once.written

    async with terminal(wayfarer(), "top", "--interval", "200ms", environment=cli.access) as live:
        await live.shows("q quits")
        await live.shows(f"FAILED {counts['FAILED']}")
        await _failed(cli, stack, tmp_path, "cli-top2", ["ct-2"])
        await live.shows("1× cli-top2 at call")
        live.press("q")
        assert await live.ended() == 0
        assert live.written.rstrip().endswith(CLEARING)


async def test_the_shell_completes_commands_statuses_and_workflow_keys(cli: Cli, tmp_path: Path) -> None:
    """What the script of `--show-completion` asks for, word by word."""
    await _apply(cli, tmp_path, _waiting("cli-completed", "pause"))

    async def offered(*words: str) -> list[str]:
        environment = {
            **cli.access,
            "_WAYFARER_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(("wayfarer", *words)),
            "COMP_CWORD": str(len(words)),
        }
        async with terminal(wayfarer(), environment=environment) as shell:
            await shell.ended()
            await shell.shows("\n")
            return shell.text.split()

    assert await offered("bulk", "pre") == ["preview"]
    assert await offered("executions", "--status", "wai") == ["waiting"]
    assert await offered("start", "cli-compl") == ["cli-completed"]
    # The shell is found out by what has started the program, so that it must still be there.
    script = await command("bash", "-c", f"{wayfarer()} --show-completion; true")
    assert "_WAYFARER_COMPLETE=complete_bash" in script.out
