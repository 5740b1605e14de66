"""`make bench-peers` stays able to run: its runner, a peer's own process, the figures and the table."""

import json
import sys
from pathlib import Path

import pytest

from tests.load.peers.installing import inherited
from tests.support.stacks import command


async def test_a_peer_runs_and_its_figures_are_told(tmp_path: Path) -> None:
    """Every step of every execution is on record, and in the database, or the peer fails."""
    out = tmp_path / "peers.json"
    runner = (sys.executable, "-m", "tests.load.peers", "--only", "plain", "--rounds", "1")
    done = await command(*runner, "--executions", "10", "--out", str(out))
    assert done.code == 0, done.err
    told = json.loads(out.read_text())
    plain = told["systems"]["plain"]
    assert "skipped" not in plain, plain
    (run,) = plain["rounds"]
    assert run["executions"] == 20
    assert run["steps_per_s"] > 0
    assert 0 < run["p50_ms"] <= run["p95_ms"]
    assert "| plain | " in done.out


async def test_a_system_that_is_unknown_is_refused(tmp_path: Path) -> None:
    done = await command(sys.executable, "-m", "tests.load.peers", "--only", "plain,cobol")
    assert done.code == 2
    assert "no such system: cobol" in done.err


def test_a_peer_does_not_inherit_the_path_to_the_compiled_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own environment does not hold the project: it would not find what measures it."""
    monkeypatch.setenv("PYTHONPATH", "build/compiled")
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.setenv("PEER_KEPT", "yes")
    passed_on = inherited()
    assert not {"PYTHONPATH", "PYTHONSAFEPATH"} & set(passed_on)
    assert passed_on["PEER_KEPT"] == "yes"
