"""The whole of Wayfarer on one machine: `async with Stack(state_dir)`; the CLI and the tests run it."""

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.local import bootstrap
from services.local.binaries import reachable
from services.local.demo_providers import choose_sandboxes
from services.local.ports import FAMILIES, MOST_WORKERS, Ports, reserve
from services.local.postgres import Postgres
from services.local.processes import HOST, Processes
from services.local.state_files import AlreadyHeld, exclusive, make_folder, write_private
from services.local.supervisor import Supervisor
from services.runtime.config import HostPort

log = structlog.get_logger(__name__)
LOCAL_FILE = "local.json"
_READY_S = 40.0


class StackError(Exception):
    """The stack cannot run; the message says why."""


class Stack:
    """Real processes on loopback: PostgreSQL, API, workers, executor families, mailbox, receiver, sandboxes.

    `state_dir` holds all data and is locked while the stack runs. `environment` is added to every
    process's. `workers` may be 0: `start_worker` adds them later. `executors` are families that somebody else
    runs, by name; they may come later and go.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        port_base: int | None = None,
        workers: int = 1,
        environment: Mapping[str, str] | None = None,
        postgres_settings: Mapping[str, str] | None = None,
        executors: Mapping[str, HostPort] | None = None,
    ) -> None:
        if not 0 <= workers <= MOST_WORKERS:
            raise StackError(f"between 0 and {MOST_WORKERS} workers, not {workers}")
        self._executors = dict(executors or {})
        own = sorted(self._executors.keys() & set(FAMILIES))
        if own:
            raise StackError(
                f"the stack runs the executor {own[0]} itself; a family of yours has another name"
            )
        self.state_dir = state_dir
        self._port_base = port_base
        self._workers = workers
        self._environment = dict(environment or {})
        self._postgres_settings = dict(postgres_settings or {})
        self._stack = AsyncExitStack()
        self._running = False
        self.ports: Ports
        self.postgres: Postgres
        self.prepared: bootstrap.Prepared
        self._processes: Processes
        self.supervisor = Supervisor(state_dir / "logs", on_change=self._tell)

    @property
    def address(self) -> str:
        """Where the API listens."""
        return f"{HOST}:{self.ports.api}"

    @property
    def api_key(self) -> str:
        """The demo account's key."""
        return self.prepared.api_key

    @property
    def mailbox_url(self) -> str:
        """Where the mailbox shows what arrived."""
        return f"http://{HOST}:{self.ports.mailbox}"

    @property
    def receiver_url(self) -> str:
        """The HTTP receiver: webhooks go to paths under /hooks/."""
        return f"http://{HOST}:{self.ports.receiver}"

    @property
    def gateway_url(self) -> str:
        """Where the HTTP API is, and where callbacks and clicks come in."""
        return f"http://{HOST}:{self.ports.gateway}"

    @property
    def console_url(self) -> str:
        """Where people look: the console; one signs in with an API key."""
        return f"{self.gateway_url}/console/"

    @property
    def sandboxes_url(self) -> str:
        """The providers' sandboxes, each in a folder of its own."""
        return f"http://{HOST}:{self.ports.sandboxes}"

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _open(self) -> None:
        self._stack.enter_context(_locked(self.state_dir))
        self.ports = self._stack.enter_context(reserve(self._port_base))
        self.postgres = await self._stack.enter_async_context(
            Postgres(
                self.state_dir / "postgres",
                self.ports.postgres,
                settings=self._postgres_settings,
                log_file=self.state_dir / "logs" / "postgres.log",
                on_restart=self._tell,
            )
        )
        self.prepared = await bootstrap.prepare(self.postgres, self.state_dir)
        await self._stack.enter_async_context(self.supervisor)
        self._processes = Processes(
            self.ports, self.prepared, self.state_dir, self._environment, self._executors
        )
        for process in self._processes.all():
            await self.supervisor.start(*process)
        for _ in range(self._workers):
            await self.start_worker()
        await self.wait_ready()
        await choose_sandboxes(self.address, self.api_key, self.sandboxes_url)
        self._running = True
        self._stack.callback(self._tell_stopped)
        self._tell()

    async def start_worker(self) -> str:
        """Adds one worker; its name."""
        number = sum(name.startswith("worker") for name in self.supervisor.children)
        process = self._processes.worker(number)
        await self.supervisor.start(*process)
        return process.name

    async def wait_ready(self, timeout_s: float = _READY_S) -> None:
        """Waits until every process answers. Raises StackError naming those that do not."""
        targets = {f: f"{HOST}:{self.ports.executor(f)}" for f in FAMILIES} | {"api": self.address}
        ports = {
            "mailbox": self.ports.smtp,
            "receiver": self.ports.receiver,
            "sandboxes": self.ports.sandboxes,
            "gateway": self.ports.gateway,
        }
        ports |= {
            name: self.ports.worker_metrics(int(name.removeprefix("worker-")))
            for name in self.supervisor.children
            if name.startswith("worker")
        }
        waits = {name: asyncio.create_task(_serving(target)) for name, target in targets.items()}
        waits |= {name: asyncio.create_task(listening(port)) for name, port in ports.items()}
        try:
            done, late = await asyncio.wait(waits.values(), timeout=timeout_s)
        finally:
            for task in waits.values():
                task.cancel()
        for task in done:
            task.result()
        if late:
            names = ", ".join(sorted(name for name, task in waits.items() if task in late))
            raise StackError(f"not ready after {timeout_s:g} s: {names}; see {self.state_dir / 'logs'}")

    def _tell(self) -> None:
        """Writes where everything is to local.json, where the CLI looks; again when a process id changes."""
        if not self._running:
            return
        told = {
            "address": self.address,
            "api_key": self.api_key,
            "mailbox_url": self.mailbox_url,
            "receiver_url": self.receiver_url,
            "sandboxes_url": self.sandboxes_url,
            "gateway_url": self.gateway_url,
            "console_url": self.console_url,
            "pid": os.getpid(),
            "postgres_pid": self.postgres.pid,
            "pids": self.supervisor.pids(),
        }
        try:
            write_private(self.state_dir / LOCAL_FILE, json.dumps(told, indent=2))
        except OSError as error:
            # A full disk, say. The processes run on; only this file is behind.
            log.error("local_file_not_written", reason=str(error))

    def _tell_stopped(self) -> None:
        """Takes the process ids out of local.json, before they become other processes'."""
        self._running = False
        path = self.state_dir / LOCAL_FILE
        with suppress(OSError, ValueError):
            told = json.loads(path.read_text(encoding="utf-8"))
            write_private(path, json.dumps(told | {"pid": 0, "postgres_pid": 0, "pids": {}}, indent=2))


async def _serving(target: str) -> None:
    async with grpc.aio.insecure_channel(target, [("grpc.max_reconnect_backoff_ms", 200)]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while True:
            try:
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            except grpc.aio.AioRpcError:
                pass
            await asyncio.sleep(0.05)


async def listening(port: int) -> None:
    """Returns once somebody listens on that port of this machine."""
    while True:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


@contextmanager
def _locked(state_dir: Path) -> Iterator[None]:
    """Holds the state directory; a second stack on it is refused."""
    with ExitStack() as held:
        try:
            make_folder(state_dir)
            held.enter_context(exclusive(state_dir / "lock"))
        except AlreadyHeld as other:
            raise StackError(f"a stack already runs in {state_dir} (pid {other.holder})") from None
        except OSError as error:
            raise StackError(f"{error}; choose another place with WAYFARER_HOME") from error
        yield


def default_state_dir() -> Path:
    """$WAYFARER_HOME, else the user's data folder, else (root, whose home others cannot enter) /var/lib."""
    if chosen := os.environ.get("WAYFARER_HOME"):
        return Path(chosen).expanduser()
    data = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "wayfarer"
    return data if reachable(data / "postgres") else Path("/var/lib/wayfarer")


@contextmanager
def scratch_state_dir(*, keep: bool = False) -> Iterator[Path]:
    """A fresh state directory in the temp folder that PostgreSQL's user can enter; removed after use."""
    temporary = Path(tempfile.gettempdir())
    if not reachable(temporary / "any"):
        temporary = Path("/var/tmp")
    path = Path(tempfile.mkdtemp(prefix="wayfarer-", dir=temporary))
    path.chmod(0o711)
    try:
        yield path
    finally:
        if not keep:
            shutil.rmtree(path, ignore_errors=True)
