"""One PostgreSQL per test process and databases cloned from migrated templates; tests/conftest.py loads it.

Each test gets a database of its own within some 30 ms: the migrations ran once, and the clone copies files.
"""

import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg
import pytest

from services.local.bootstrap import ENGINE_DATABASE, bring_up_databases, database_of, new_passwords
from services.local.postgres import Postgres
from services.local.stack import scratch_state_dir

CLUSTER_SETTINGS = {"shared_buffers": "64MB", "fsync": "off", "full_page_writes": "off"}
"""For what is thrown away: quick. What was committed outlives the server, though not the machine."""


@dataclass(frozen=True, slots=True)
class Database:
    """A database of one test, with the roles and grants of its template."""

    name: str
    postgres: Postgres
    passwords: dict[str, str]

    def dsn(self, role: str) -> str:
        """Where a role connects: wayfarer_owner, wayfarer_api, wayfarer_crm …; postgres is the superuser."""
        return self.postgres.dsn(self.name, role, self.passwords.get(role))


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running server with every database of Wayfarer migrated once, to clone and leave as they are."""

    postgres: Postgres
    passwords: dict[str, str]

    @asynccontextmanager
    async def clone(self, template: str) -> AsyncIterator[Database]:
        """A database like `template`, with its owner; dropped afterwards, whoever is still connected."""
        name = f"{template}_{uuid.uuid4().hex[:12]}"
        owner = f"{template}_owner"
        await self._administer(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {owner}")
        try:
            yield Database(name, self.postgres, self.passwords)
        finally:
            await self._administer(f"DROP DATABASE {name} WITH (FORCE)")

    async def _administer(self, statement: str) -> None:
        admin = await asyncpg.connect(self.postgres.dsn("postgres"))
        try:
            await admin.execute(statement)
        finally:
            await admin.close()


def free_port() -> int:
    """A port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
async def cluster() -> AsyncIterator[Cluster]:
    """The test process's own server; under xdist each worker has one."""
    with scratch_state_dir() as folder:
        async with Postgres(folder / "data", free_port(), settings=CLUSTER_SETTINGS) as postgres:
            passwords = new_passwords()
            await bring_up_databases(postgres, passwords)
            yield Cluster(postgres, passwords)


@pytest.fixture
async def engine_database(cluster: Cluster) -> AsyncIterator[Database]:
    """The engine's database, migrated and empty."""
    async with cluster.clone(ENGINE_DATABASE) as database:
        yield database


@pytest.fixture
async def family_database(cluster: Cluster) -> AsyncIterator[Callable[[str], Awaitable[Database]]]:
    """Makes an executor family's database, migrated and empty: `await family_database("crm")`."""
    async with AsyncExitStack() as clones:

        async def make(family: str) -> Database:
            return await clones.enter_async_context(cluster.clone(database_of(family)))

        yield make
