"""`make bench-peers`: the same five durable steps on Wayfarer and on what else people use, in one run.

    make bench-peers ARGS="--only wayfarer,dbos,plain --executions 300"

A step records durably that it is done before the next begins, and does nothing else. Everything runs on this
machine, one after another, every round on servers of its own with the same settings. Prints a table; all
figures go to build/peers.json.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from services.cli.up import quiet
from services.local.stack import scratch_state_dir
from tests.load.bed import Size, bed, throughput
from tests.load.jobs import JOBS
from tests.load.peers import installing, servers
from tests.load.peers.installing import BUILD, ROOT, NotRun, Program, inherited, last_line
from tests.load.peers.measuring import CORES, STEPS
from tests.load.peers.table import OURS, ratio, table
from tests.load.rig import say

_OUT: Final = ROOT / "build" / "peers.json"
_LONGEST_S: Final = 1200.0
_PREPARED_RATE: Final = 20_000


@dataclass(frozen=True, slots=True)
class Kit:
    """What a peer runs with; what it does not need is None."""

    python: Path
    redis: Program | None = None
    temporal: Path | None = None
    postgres: Path | None = None
    """The folder of PostgreSQL's programs, if not the wheel's."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One of them: how it is installed, and how many executions it gets of those asked for."""

    install: Callable[[], Kit]
    share: float = 1.0
    """So that slow and quick ones run for about as long."""


PEERS: Final[Mapping[str, Peer]] = {
    "plain": Peer(lambda: Kit(Path(sys.executable)), share=2),
    "dbos": Peer(lambda: Kit(installing.python("dbos"))),
    "celery": Peer(lambda: Kit(installing.python("celery"), redis=installing.redis())),
    "arq": Peer(lambda: Kit(installing.python("arq"), redis=installing.redis())),
    "temporal": Peer(
        lambda: Kit(
            installing.python("temporal"),
            temporal=installing.temporal(),
            postgres=installing.contrib_postgres(),
        ),
        share=0.2,
    ),
}
_OUR_SHARE, _OUR_LEAST = 20, 20_000
"""Ours is the quickest, and its rate is sampled twice a second, so that short runs would tell little."""


@dataclass(slots=True)
class Found:
    """What a system did in each round; or why it did not run."""

    rounds: list[dict[str, Any]] = field(default_factory=list)
    skipped: str = ""

    def told(self) -> dict[str, Any]:
        """For build/peers.json and the table."""
        if self.skipped:
            return {"skipped": self.skipped}
        return {
            "steps_per_s": round(statistics.mean(run["steps_per_s"] for run in self.rounds), 1),
            "p50_ms": round(statistics.mean(run["p50_ms"] for run in self.rounds), 2),
            "p95_ms": round(statistics.mean(run["p95_ms"] for run in self.rounds), 2),
            "rounds": self.rounds,
        }


async def ours(executions: int) -> dict[str, Any]:
    """Wayfarer's bare job: a family over gRPC whose action does nothing; a worker and one of it per two cores."""
    pairs = max(1, CORES // 2)
    size = Size(1, executions * STEPS / _PREPARED_RATE, waiting=0, expected=_PREPARED_RATE)
    job = JOBS["bare"]
    async with bed(job, size, executors=pairs) as place:
        await throughput(place, job, Size(1, 0.5, waiting=0, expected=_PREPARED_RATE), pairs)
        run = await throughput(place, job, size, pairs)
    return {
        "steps_per_s": run["actions_per_s"],
        "p50_ms": run["full_load_ms"]["p50"],
        "p95_ms": run["full_load_ms"]["p95"],
        "executions": run["actions"] // STEPS,
        "configuration": f"as deployed: API, {pairs} worker, {pairs} executor over gRPC, sealed and chained log",
    }


async def theirs(name: str, kit: Kit, executions: int) -> dict[str, Any]:
    """One run of a peer in its own environment, on fresh servers. Raises NotRun if it fails."""
    with scratch_state_dir() as folder:
        async with AsyncExitStack() as running:
            database = await running.enter_async_context(servers.postgres(folder, kit.postgres))
            environment = {
                "PEER_EXECUTIONS": str(executions),
                "PEER_RECORD": str(folder / "record"),
                "PEER_POSTGRES": database.dsn("peer"),
            }
            if kit.redis:
                redis = servers.redis(folder, kit.redis)
                environment["PEER_REDIS"] = await running.enter_async_context(redis)
            if kit.temporal:
                temporal = servers.temporal(folder, kit.temporal, database)
                environment["PEER_TEMPORAL"] = await running.enter_async_context(temporal)
            return await _measured(name, kit.python, environment)


async def _measured(name: str, python: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    log = BUILD / name / "log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            str(python),
            "-m",
            f"tests.load.peers.on_{name}",
            cwd=ROOT,
            env=inherited() | dict(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(), _LONGEST_S)
        except TimeoutError:
            raise NotRun(f"it did not end within {_LONGEST_S:g} s; see {log.relative_to(ROOT)}") from None
        finally:
            _end_group(process.pid)
            await process.wait()
    if process.returncode:
        raise NotRun(f"it failed: {last_line(log.read_text(errors='replace'))}; see {log.relative_to(ROOT)}")
    figures: dict[str, Any] = json.loads(said.decode().splitlines()[-1])
    return figures


def _end_group(leader: int) -> None:
    """Ends what the peer's process may have left behind."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return


def installed(names: Sequence[str]) -> tuple[dict[str, Kit], dict[str, Found]]:
    """Installs what is missing; kits, and those that cannot be had with their reasons."""
    kits, found = {}, {name: Found() for name in names}
    for name in names:
        if name in PEERS:
            try:
                kits[name] = PEERS[name].install()
            except NotRun as missing:
                found[name].skipped = str(missing)
                say(f"{name}: skipped, {missing}")
    return kits, found


async def measure(names: Sequence[str], executions: int, rounds: int, out: Path) -> dict[str, Any]:
    """All rounds, one system after another; kept in `out` after each run."""
    kits, found = installed(names)
    for number in range(1, rounds + 1):
        for name in names:
            if found[name].skipped:
                continue
            say(f"round {number}: {name} …")
            try:
                if name == OURS:
                    run = await ours(max(_OUR_LEAST, executions * _OUR_SHARE))
                else:
                    count = max(1, round(executions * PEERS[name].share))
                    run = await theirs(name, kits[name], count)
            except NotRun as failed:
                found[name].skipped = str(failed)
                say(f"{name}: {failed}")
                continue
            found[name].rounds.append(run)
            say(f"round {number}: {name}: {run['steps_per_s']:,.0f} steps/s")
            _keep(found, out)
    return _keep(found, out)


def _keep(found: Mapping[str, Found], out: Path) -> dict[str, Any]:
    systems = {name: each.told() for name, each in found.items() if each.rounds or each.skipped}
    told = {"cores": CORES, "steps": STEPS, "systems": systems, "ratio_to_fastest": ratio(systems)}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(told, indent=1))
    return told


def main() -> int:
    """Reads the arguments, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    everybody = (*PEERS, OURS)
    parser.add_argument("--only", default=",".join(everybody), help=f"systems: {', '.join(everybody)}")
    parser.add_argument(
        "--executions", type=int, default=3000, help="per run; slow and quick ones get a share"
    )
    parser.add_argument("--rounds", type=int, default=2, help="how often each runs")
    parser.add_argument("--out", type=Path, default=_OUT, help="where the figures go")
    given = parser.parse_args()
    names = given.only.split(",")
    if unknown := [name for name in names if name not in everybody]:
        parser.error(f"no such system: {', '.join(unknown)}")
    if given.executions < 1 or given.rounds < 1:
        parser.error("--executions and --rounds are at least 1")
    quiet()
    print(table(asyncio.run(measure(names, given.executions, given.rounds, given.out))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
