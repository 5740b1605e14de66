"""Ports, processes and files of the local stack: reserved once, restarted, bounded, private."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from services.local.ports import PortsTaken, reserve
from services.local.stack import Stack, StackError, listening, scratch_state_dir
from services.local.state_files import AlreadyHeld, cut_log, exclusive, open_log, write_private
from services.local.supervisor import Supervisor
from tests.support.postgres import free_port
from tests.support.stacks import ROOT

_BASE = 10_400
"""Beyond the bases that stacks choose by themselves."""
_SUPERVISE = """
import asyncio, sys
from pathlib import Path
from services.local.supervisor import Supervisor

async def main():
    async with Supervisor(Path(sys.argv[1])) as supervisor:
        await supervisor.start("receiver", "services.local.receiver", {"WAYFARER_LISTEN": sys.argv[2]})
        print(supervisor.pids()["receiver"], flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


def test_a_base_is_reserved_once() -> None:
    with reserve(_BASE) as ports:
        with pytest.raises(PortsTaken, match="in use"), reserve(_BASE):
            pass
        numbers = ports.all()
        assert len(numbers) == len(set(numbers))
        assert max(numbers) < _BASE + 100
    with reserve(_BASE):
        pass


async def test_a_base_with_one_port_in_use_is_refused_and_another_is_found() -> None:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", _BASE + 26)
    async with server:
        with pytest.raises(PortsTaken, match="in use"), reserve(_BASE):
            pass
    with reserve(None) as first, reserve(None) as second:
        assert not set(first.all()) & set(second.all())


def test_a_base_without_ports_is_refused() -> None:
    with pytest.raises(PortsTaken, match="no ports"), reserve(65_530):
        pass


async def test_a_killed_child_is_started_again_and_told_of(tmp_path: Path) -> None:
    changed = asyncio.Event()
    port = free_port()
    async with Supervisor(tmp_path / "logs", on_change=changed.set) as supervisor:
        await supervisor.start(
            "receiver", "services.local.receiver", {"WAYFARER_LISTEN": f"127.0.0.1:{port}"}
        )
        await listening(port)
        killed = supervisor.kill("receiver")
        await asyncio.wait_for(changed.wait(), 10)
        assert supervisor.pids()["receiver"] != killed
        await asyncio.wait_for(listening(port), 10)
        child = supervisor.children["receiver"]
        assert child.starts == 2
    assert supervisor.pids() == {}
    assert child.process is not None
    assert child.process.returncode == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel tells children on Linux only")
async def test_children_end_with_a_killed_supervisor(tmp_path: Path) -> None:
    port = free_port()
    supervisor = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _SUPERVISE, str(tmp_path), f"127.0.0.1:{port}"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert supervisor.stdout is not None
    assert int(await supervisor.stdout.readline())
    await asyncio.wait_for(listening(port), 20)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    supervisor.kill()
    await supervisor.wait()
    # Its connection ends with it.
    assert await asyncio.wait_for(reader.read(), 15) == b""
    writer.close()


async def test_logs_are_bounded_while_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "child.log"
    with open_log(path) as output:
        output.write(b"x" * 100)
        output.flush()
        assert not cut_log(path, 100)
        output.write(b"y")
        output.flush()
        assert cut_log(path, 100)
        output.write(b"after")
    assert path.read_bytes() == b"after"
    assert len((tmp_path / "child.log.1").read_bytes()) == 101
    assert path.stat().st_mode & 0o077 == 0


def test_a_lock_tells_who_holds_it_and_is_free_afterwards(tmp_path: Path) -> None:
    with exclusive(tmp_path / "lock"):
        with pytest.raises(AlreadyHeld) as refused, exclusive(tmp_path / "lock"):
            pass
        assert refused.value.holder == str(os.getpid())
    with exclusive(tmp_path / "lock"):
        pass


def test_a_private_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old and readable")
    write_private(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [left.name for left in tmp_path.iterdir()] == ["secret"]


async def test_local_json_follows_the_processes(tmp_path: Path) -> None:
    """Also: a second stack on the same data is refused, and secrets are nobody else's to read."""
    with scratch_state_dir() as state_dir:
        path = state_dir / "local.json"
        async with Stack(
            state_dir, port_base=_BASE, workers=0, postgres_settings={"shared_buffers": "32MB"}
        ) as stack:
            with pytest.raises(StackError, match=f"already runs .* {os.getpid()}"):
                await Stack(state_dir).__aenter__()
            told = json.loads(path.read_text())
            assert (told["address"], told["api_key"]) == (stack.address, stack.api_key)
            assert told["api_key"].startswith("wf_")
            assert told["pids"] == stack.supervisor.pids()
            stack.postgres.restarted.clear()
            os.kill(told["postgres_pid"], signal.SIGKILL)
            await asyncio.wait_for(stack.postgres.restarted.wait(), 30)
            assert json.loads(path.read_text())["postgres_pid"] == stack.postgres.pid
            for name in ("local.json", "secrets.json", "keyring.json", "postgres.password"):
                assert (state_dir / name).stat().st_mode & 0o777 == 0o600, name
        told = json.loads(path.read_text())
        assert (told["pid"], told["postgres_pid"], told["pids"]) == (0, 0, {})
