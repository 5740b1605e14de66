"""`make demo` and `make up`, as a newcomer meets them."""

import asyncio
import json
import os
import signal
from pathlib import Path

from services.local.stack import scratch_state_dir
from tests.support.stacks import ROOT, command, wayfarer


async def test_demo_runs_the_main_job_and_says_what_happened() -> None:
    """A-5, A-6, A-7, A-20, R-TRIG-1, R-STEP-1, R-STEP-7: the welcome sequence for ten contacts."""
    done = await command(wayfarer(), "demo", "--json")
    assert done.code == 0, done.err
    told = done.json()
    assert [e["status"] for e in told["executions"]] == ["COMPLETED"] * 10
    # Seven steps each way: the branch runs one of two, and then the end.
    assert [e["steps_run"] for e in told["executions"]] == [7] * 10
    assert told["emails_received"] == 10
    assert told["webhooks_received"] == 10
    assert told["log_entries"] == 10 * 14
    assert 2 <= told["seconds"] < 15


async def test_up_keeps_its_data_and_stops_cleanly() -> None:
    """R-STATE-3: data outlives a restart; a second stack on the same data is refused."""
    with scratch_state_dir() as state_dir:
        environment = {"WAYFARER_HOME": str(state_dir), "COLUMNS": "200"}
        first = await _up(environment)
        created = await command(
            wayfarer(), "contacts", "create", "--external-id", "jane", environment=environment
        )
        assert created.code == 0, created.err
        refused = await command(wayfarer(), "up", environment=environment)
        assert refused.code == 1
        assert "already runs" in refused.err
        await _stop(first)
        second = await _up(environment)
        found = await command(wayfarer(), "contacts", "get", "jane", environment=environment)
        assert json.loads(found.out)["external_id"] == "jane", found.err
        await _stop(second)


async def _up(environment: dict[str, str]) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        wayfarer(),
        "up",
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while b"Ctrl-C stops everything" not in await process.stdout.readline():
            assert process.returncode is None
    return process


async def _stop(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGINT)
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    assert b"stopped" in out


def test_the_example_is_the_one_the_readme_shows() -> None:
    assert (Path(ROOT) / "examples" / "welcome.yaml").read_text().startswith("# A welcome sequence")
