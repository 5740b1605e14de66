"""The surroundings of the executors' contract tests: databases, families, providers, a client."""

import asyncio
import itertools
import json
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from wayfarer.action.v1 import action_executor_pb2 as wire
from wayfarer.action.v1 import action_pb2
from wayfarer.action.v1.action_executor_pb2_grpc import ActionExecutorStub

from services.executors.family import Family, open_family
from services.local.postgres import Postgres
from services.migrate.__main__ import bring_up
from services.runtime.grpc_client import open_channel

ACCOUNT = 7
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TIMEOUT_S = 20.0


def uuid7() -> uuid.UUID:
    """A UUIDv7 of now."""
    raw = bytearray(int(time.time() * 1000).to_bytes(6) + secrets.token_bytes(10))
    raw[6] = 0x70 | raw[6] & 0x0F
    raw[8] = 0x80 | raw[8] & 0x3F
    return uuid.UUID(bytes=bytes(raw))


async def make_database(postgres: Postgres, family: str) -> str:
    """Make a family's database as a deployment does: an owner that migrates, a role that uses it. Its DSN."""
    owner, app = f"wayfarer_{family}_owner", f"wayfarer_{family}"
    password = secrets.token_hex(8)
    admin = await asyncpg.connect(postgres.dsn("postgres"))
    await admin.execute(f"CREATE ROLE {owner} LOGIN PASSWORD '{password}'")
    await admin.execute(f"CREATE ROLE {app} LOGIN PASSWORD '{password}'")
    await admin.execute(f"CREATE DATABASE {app} OWNER {owner}")
    await admin.close()
    await bring_up(family, postgres.dsn(app, owner, password))
    return postgres.dsn(app, app, password)


def make_action(
    action_type: str,
    config: dict[str, Any],
    *,
    execution_id: uuid.UUID | None = None,
    contact_id: uuid.UUID | None = None,
    contact: dict[str, Any] | None = None,
    fence: int = 1,
    attempt: int = 1,
    budget_ms: int = 15_000,
    step_id: str = "step",
) -> action_pb2.Action:
    """One attempt, of a new effect unless an execution is given."""
    return action_pb2.Action(
        effect_key=action_pb2.EffectKey(
            execution_id=(execution_id or uuid7()).bytes, step_id=step_id, visit=1
        ),
        account_id=ACCOUNT,
        contact_id=(contact_id or uuid7()).bytes,
        action_type=action_type,
        config=json.dumps(config).encode(),
        contact=json.dumps(contact).encode() if contact is not None else b"",
        attempt=attempt,
        fence=fence,
        budget_ms=budget_ms,
    )


@dataclass(frozen=True, slots=True)
class Client:
    """A family, as the orchestrator sees it, and its database, as only a test does."""

    family: str
    address: str
    stub: ActionExecutorStub
    database: asyncpg.Connection
    environment: dict[str, str] = field(default_factory=dict)

    async def execute(self, action: action_pb2.Action) -> action_pb2.ActionResult:
        response = await self.stub.Execute(wire.ExecuteRequest(action=action), timeout=TIMEOUT_S)
        return response.result

    async def batch(self, actions: Sequence[action_pb2.Action]) -> list[action_pb2.ActionResult]:
        """Results by the actions' positions; each must be answered exactly once."""
        found: dict[int, action_pb2.ActionResult] = {}
        async for chunk in self.stub.ExecuteBatch(
            wire.ExecuteBatchRequest(actions=actions), timeout=TIMEOUT_S
        ):
            for one in chunk.results:
                assert one.index not in found
                found[one.index] = one.result
        return [found[place] for place in range(len(actions))]

    async def reconcile(self, action: action_pb2.Action, fence: int) -> wire.ReconcileFinding:
        item = wire.ReconcileItem(
            effect_key=action.effect_key,
            account_id=action.account_id,
            action_type=action.action_type,
            fence=fence,
        )
        response = await self.stub.Reconcile(wire.ReconcileRequest(items=[item]), timeout=TIMEOUT_S)
        return response.findings[0]

    async def cancel(self, action: action_pb2.Action) -> bool:
        request = wire.CancelRequest(effect_key=action.effect_key)
        return (await self.stub.Cancel(request, timeout=TIMEOUT_S)).was_in_flight

    async def row(self, action: action_pb2.Action) -> asyncpg.Record | None:
        """The ledger's row of an action's effect."""
        execution_id = uuid.UUID(bytes=action.effect_key.execution_id)
        return await self.database.fetchrow(
            "SELECT * FROM effect_ledger WHERE execution_id = $1 AND step_id = $2",
            execution_id,
            action.effect_key.step_id,
        )

    async def expire(self, action: action_pb2.Action) -> None:
        """Let the deadline of a SENDING row be past."""
        await self.database.execute(
            "UPDATE effect_ledger SET deadline = now() - interval '1 second' WHERE execution_id = $1",
            uuid.UUID(bytes=action.effect_key.execution_id),
        )


_TABLES = """SELECT oid::regclass::text FROM pg_class
WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace"""


async def stored_text(database: asyncpg.Connection) -> str:
    """Every row of every table that the family's role may read, as text."""
    rows = await stored_rows(database)
    return "".join("".join(sorted(found)) for found in rows.values())


async def stored_rows(database: asyncpg.Connection) -> dict[str, list[str]]:
    """The rows of each table that the family's role may read, as text."""
    found: dict[str, list[str]] = {}
    for (table,) in await database.fetch(_TABLES):
        if await database.fetchval("SELECT has_table_privilege($1, 'SELECT')", table):
            found[table] = [row[0] for row in await database.fetch(f"SELECT t::text FROM {table} t")]
    return found


@asynccontextmanager
async def open_client(
    family: Family[Any], settings: Any, environment: dict[str, str] | None = None
) -> AsyncIterator[Client]:
    """Serve a family in this process and give its client."""
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        serving = await open_family(family, settings, stack, stop)
        channel = await stack.enter_async_context(open_channel(serving.address))
        database = await asyncpg.connect(settings.database_url)
        stack.push_async_callback(database.close)
        yield Client(
            family.name, str(serving.address), ActionExecutorStub(channel), database, environment or {}
        )
        stop.set()


@dataclass(slots=True)
class Mailbox:
    """An SMTP server's memory: what it took, and how it was told to answer a recipient."""

    host: str = ""
    port: int = 0
    password: str = "correct"
    """Of any user; none is needed."""
    messages: list[tuple[str, bytes]] = field(default_factory=list)
    connections: Any = field(default_factory=itertools.count)
    replies: dict[str, str] = field(default_factory=dict)
    """By recipient: the reply to RCPT ("rcpt:550 …"), to the content ("data:451 …"), or "drop"."""

    def knows(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: LoginPassword
    ) -> AuthResult:
        """aiosmtpd's authenticator."""
        return AuthResult(success=login.password == self.password.encode(), handled=False)

    def to(self, recipient: str) -> list[bytes]:
        return [content for address, content in self.messages if address == recipient]


@dataclass(slots=True)
class Receiver:
    """An HTTP receiver's memory."""

    port: int = 0
    calls: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    hold: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def at(self, path: str) -> list[tuple[dict[str, str], bytes]]:
        return [(headers, body) for where, headers, body in self.calls if where == path]


def write_keyring(folder: Path) -> Path:
    """A keyring of one key."""
    file = folder / "keyring.json"
    file.write_text(
        json.dumps({"current": "1", "keys": {"1": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}})
    )
    return file
