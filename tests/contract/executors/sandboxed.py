"""What the tests of the sandbox family share: scripts to run, and a look at the processes that run them."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from wayfarer.action.v1 import action_pb2

from tests.contract.executors.world import TIMEOUT_S, Client, make_action

FOREVER = "function main() { for (;;); }"
QUICK = "function main(inputs) { return inputs; }"
ARRAYS = "function main() { const a = []; for (;;) a.push(new Array(1e4).fill(1)) }"


def code(source: str, inputs: dict[str, Any] | None = None, **changes: Any) -> action_pb2.Action:
    config = {"source": source, "inputs": inputs or {}, "timeout_seconds": 5, **changes}
    return make_action("custom_code", config)


async def output(client: Client, action: action_pb2.Action) -> dict[str, Any]:
    result = await client.execute(action)
    assert result.outcome == action_pb2.OUTCOME_SUCCEEDED, result
    told: dict[str, Any] = json.loads(result.output)
    return told


def processes(family: int | None = None) -> list[int]:
    """The sandbox processes of a family's process, of this one if None; not those that compile."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == (family or os.getpid()) and command.endswith(b"sandbox.quickjs\0"):
            found.append(int(folder.name))
    return found


def environment(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def open_files(pid: int) -> list[str]:
    folder = f"/proc/{pid}/fd"
    return [os.readlink(f"{folder}/{name}") for name in sorted(os.listdir(folder))]


def limits(pid: int) -> dict[str, list[str]]:
    """The soft and the hard limit by name."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {line[:26].rstrip(): line[26:].split()[:2] for line in lines}


def peak_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


async def busy_process(family: int | None = None) -> int:
    """The sandbox process that runs something: the one whose processor time grows."""
    before = {pid: cpu_ticks(pid) for pid in processes(family)}
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            for pid in processes(family):
                if cpu_ticks(pid) > before.setdefault(pid, cpu_ticks(pid)) + 20:
                    return pid
            await asyncio.sleep(0)


def cpu_ticks(pid: int) -> int:
    """Ticks of 10 ms."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def no_new_rights(pid: int) -> bool:
    return "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text()


async def gone(pid: int) -> None:
    """Return when a process has ended and its parent knows."""
    async with asyncio.timeout(TIMEOUT_S):
        while _runs(pid):
            await asyncio.sleep(0)


def _runs(pid: int) -> bool:
    """A child that its parent has not taken note of still does; one without a parent may stay a zombie."""
    try:
        state, parent = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split())[:2]
    except OSError:
        return False
    return state != "Z" or int(parent) == os.getpid()
