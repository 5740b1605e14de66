"""What the peers run on, fresh for every run and on loopback: PostgreSQL, Redis, Temporal's server; `__main__.py` enters them."""

import asyncio
import json
import os
import random
import signal
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import asyncpg

from services.local.postgres import Postgres
from services.local.reaper import wrapped
from services.local.stack import listening
from tests.load.bed import POSTGRES
from tests.load.peers.installing import BUILD, NotRun, Program, last_line

HOST: Final = "127.0.0.1"
_PORTS: Final = range(20_000, 32_000)
_READY_S: Final = 60.0
_SHARDS: Final = 4
_LIMIT: Final = 1_000_000


def free_ports(count: int) -> list[int]:
    """So many ports that nobody listens on, below 32768: Temporal's schema keeps them in a smallint."""
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            found.append(port)
        if len(found) == count:
            return found
    raise NotRun(f"{count} ports between {_PORTS.start} and {_PORTS.stop} are not free")


@asynccontextmanager
async def postgres(folder: Path, binaries: Path | None = None) -> AsyncIterator[Postgres]:
    """A cluster with an empty database `peer`, with the same settings as Wayfarer's."""
    (port,) = free_ports(1)
    async with Postgres(folder / "postgres", port, settings=POSTGRES, binaries=binaries) as server:
        connection = await asyncpg.connect(server.dsn("postgres"))
        await connection.execute("CREATE DATABASE peer")
        await connection.close()
        yield server


@asynccontextmanager
async def redis(folder: Path, program: Program) -> AsyncIterator[str]:
    """A Redis whose log is synced once a second, as its documentation advises; its address."""
    (port,) = free_ports(1)
    place = folder / "redis"
    place.mkdir()
    options = {
        "bind": HOST,
        "port": str(port),
        "dir": str(place),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
    }
    words = [str(program.path), *(word for name, value in options.items() for word in (f"--{name}", value))]
    async with _running(words, BUILD / "redis" / "log", port, program.environment):
        yield f"redis://{HOST}:{port}/0"


@asynccontextmanager
async def temporal(folder: Path, programs: Path, database: Postgres) -> AsyncIterator[str]:
    """Temporal's four services in one process, its schema in `database`; where its frontend listens.

    4 history shards, as its configuration for one machine has it. Its rate limits are lifted, activities may
    start eagerly, a task queue has one partition (several are for many matching hosts), and it asks nobody
    for newer versions.
    """
    place = folder / "temporal"
    place.mkdir()
    for name in ("temporal", "visibility"):
        await _schema(programs, database, name)
    ports = free_ports(8)
    settings, dynamic = place / "settings.json", place / "dynamic.json"
    # JSON is YAML.
    settings.write_text(json.dumps(_settings(database, ports, dynamic)))
    dynamic.write_text(json.dumps({name: [{"value": value}] for name, value in _DYNAMIC.items()}))
    words = (str(programs / "server"), "--config-file", str(settings), "--allow-no-auth", "start")
    quiet = {"TEMPORAL_VERSION_CHECK_DISABLED": "1"}
    async with _running(words, BUILD / "temporal" / "server.log", ports[0], quiet):
        yield f"{HOST}:{ports[0]}"


_DYNAMIC: Final[Mapping[str, object]] = {
    "system.enableActivityEagerExecution": True,
    "frontend.enableServerVersionCheck": False,
    "frontend.rps": _LIMIT,
    "frontend.namespaceRPS": _LIMIT,
    "frontend.namespaceCount": _LIMIT,
    "frontend.persistenceMaxQPS": _LIMIT,
    "history.rps": _LIMIT,
    "history.persistenceMaxQPS": _LIMIT,
    "matching.rps": _LIMIT,
    "matching.persistenceMaxQPS": _LIMIT,
    "matching.numTaskqueueReadPartitions": 1,
    "matching.numTaskqueueWritePartitions": 1,
}


def _settings(database: Postgres, ports: Sequence[int], dynamic: Path) -> Mapping[str, object]:
    def store(name: str, connections: int) -> Mapping[str, object]:
        return {
            "sql": {
                "pluginName": "postgres12_pgx",
                "databaseName": name,
                "connectAddr": f"{HOST}:{database.port}",
                "connectProtocol": "tcp",
                "user": "postgres",
                "password": database.password,
                "maxConns": connections,
                "maxIdleConns": connections,
                "maxConnLifetime": "1h",
            }
        }

    services = {
        name: {"rpc": {"grpcPort": ports[n], "membershipPort": ports[n + 4], "bindOnLocalHost": True}}
        for n, name in enumerate(("frontend", "history", "matching", "worker"))
    }
    cluster = {
        "enabled": True,
        "initialFailoverVersion": 1,
        "rpcName": "frontend",
        "rpcAddress": f"{HOST}:{ports[0]}",
    }
    return {
        "log": {"stdout": True, "level": "error"},
        "persistence": {
            "defaultStore": "default",
            "visibilityStore": "visibility",
            "numHistoryShards": _SHARDS,
            "datastores": {"default": store("temporal", 40), "visibility": store("visibility", 10)},
        },
        "global": {"membership": {"maxJoinDuration": "30s", "broadcastAddress": HOST}},
        "services": services,
        "clusterMetadata": {
            "enableGlobalNamespace": False,
            "failoverVersionIncrement": 10,
            "masterClusterName": "active",
            "currentClusterName": "active",
            "clusterInformation": {"active": cluster},
        },
        "publicClient": {"hostPort": f"{HOST}:{ports[0]}"},
        "dcRedirectionPolicy": {"policy": "noop"},
        "dynamicConfigClient": {"filepath": str(dynamic), "pollInterval": "60s"},
    }


async def _schema(programs: Path, database: Postgres, name: str) -> None:
    """Makes one of Temporal's databases with its own tool, from the schema inside the tool."""
    options = ("--plugin", "postgres12_pgx", "--ep", HOST, "-p", str(database.port), "-u", "postgres")
    for words in (
        ("create-database",),
        ("setup-schema", "-v", "0.0"),
        ("update-schema", "--schema-name", f"postgresql/v12/{name}"),
    ):
        process = await asyncio.create_subprocess_exec(
            str(programs / "sql"),
            *options,
            "--db",
            name,
            *words,
            env=os.environ | {"SQL_PASSWORD": database.password},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        if process.returncode:
            raise NotRun(f"Temporal's schema tool failed at {words[0]}: {last_line(said.decode())}")


@asynccontextmanager
async def _running(
    words: Sequence[str], log: Path, port: int, environment: Mapping[str, str]
) -> AsyncIterator[None]:
    """A server, once it listens. Raises NotRun with what it said last, if it never does."""
    async with AsyncExitStack() as ending:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *wrapped(signal.SIGTERM, words),
                env=os.environ | dict(environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        ending.push_async_callback(_end, process)
        ended = asyncio.ensure_future(process.wait())
        ready = asyncio.ensure_future(listening(port))
        await asyncio.wait((ended, ready), timeout=_READY_S, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            raise _not_started(Path(words[0]).name, log)
        yield


def _not_started(name: str, log: Path) -> NotRun:
    return NotRun(f"{name} did not start: {last_line(log.read_text(errors='replace'))}")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 15)
        except TimeoutError:
            process.kill()
            await process.wait()
