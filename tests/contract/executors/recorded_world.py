"""Every provider's sandbox behind one port that writes down what it is asked, and families that reach it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from aiohttp.typedefs import Handler
from wayfarer.action.v1 import action_pb2
from wayfarer.action.v1 import provider_service_pb2 as wire
from wayfarer.action.v1.provider_service_pb2_grpc import ProviderServiceStub

from services.executors.communication.__main__ import FAMILY as COMMUNICATION
from services.executors.communication.__main__ import Settings as CommunicationSettings
from services.executors.internal.__main__ import FAMILY as INTERNAL
from services.executors.internal.__main__ import Settings as InternalSettings
from services.executors.mail.addresses import Sender
from services.executors.membership.__main__ import FAMILY as MEMBERSHIP
from services.executors.membership.__main__ import Settings as MembershipSettings
from services.local.arrivals import Arrivals
from services.local.postgres import Postgres
from services.local.sandboxes.email import EmailSandbox
from services.local.sandboxes.meta import meta_app
from services.local.sandboxes.slack import slack_app
from services.local.sandboxes.thinkific import thinkific_app
from services.local.sandboxes.twilio import twilio_app
from services.runtime.config import HostPort, host_port
from services.runtime.grpc_client import open_channel
from tests.contract.executors.world import TIMEOUT_S, Client, make_action, open_client

ACCOUNT = 81_000
CALLBACK = "http://127.0.0.1:1/hooks"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def essence(self) -> tuple[str, str, str, str]:
        """What must be the same whoever asks: method, path, login, content type."""
        kind = self.headers.get("content-type", "").partition(";")[0]
        return self.method, self.path, self.headers.get("authorization", ""), kind

    def form(self) -> list[tuple[str, str]]:
        return sorted(parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=True))

    def json(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(self.body)
        return read


@dataclass(slots=True)
class Recorded:
    """Every sandbox behind one port that writes down what it is asked."""

    url: str = ""
    port: int = 0
    asked: list[Asked] = field(default_factory=list)

    def last(self) -> Asked:
        return self.asked[-1]


@asynccontextmanager
async def open_recorded() -> AsyncIterator[Recorded]:
    """Serve the sandboxes behind the recorder."""
    kept = Recorded()

    @web.middleware
    async def write_down(request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        kept.asked.append(Asked(request.method, request.path_qs, headers, await request.read()))
        return await handler(request)

    application = web.Application(middlewares=[write_down])
    application.add_subapp("/email", EmailSandbox(Arrivals(None)).application())
    application.add_subapp("/twilio", twilio_app(pace_s=0))
    application.add_subapp("/meta", meta_app(webhook_url="", pace_s=0))
    application.add_subapp("/slack", slack_app(pace_s=0))
    application.add_subapp("/thinkific", thinkific_app())
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    kept.port = runner.addresses[0][1]
    kept.url = f"http://127.0.0.1:{kept.port}"
    yield kept
    await runner.cleanup()


@dataclass(frozen=True, slots=True)
class Families:
    """The families that reach the recorder, each on the database it has."""

    communication: Client
    internal: Client
    membership: Client

    async def put(self, client: Client, channel: str, provider: str, settings: Any, credentials: Any) -> None:
        request = wire.PutProviderRequest(
            account_id=ACCOUNT,
            channel=channel,
            provider=provider,
            settings=json.dumps(settings).encode(),
            credentials=json.dumps(credentials).encode(),
        )
        async with open_channel(host_port(client.address)) as door:
            await ProviderServiceStub(door).PutProvider(request, timeout=TIMEOUT_S)

    async def done(self, client: Client, action_type: str, config: Any, **contact: str) -> None:
        action = make_action(action_type, config, contact=contact)
        action.account_id = ACCOUNT
        result = await client.execute(action)
        assert result.outcome in (action_pb2.OUTCOME_SUCCEEDED, action_pb2.OUTCOME_PENDING), result


@asynccontextmanager
async def open_families(recorded: Recorded, postgres: Postgres, keyring: Path) -> AsyncIterator[Families]:
    """Serve the families, which may reach the recorder; their databases must be there."""
    common: dict[str, Any] = {
        "keyring": keyring,
        "listen": HostPort("127.0.0.1", 0),
        "profile": "local",
        "provider_allow": (HostPort("127.0.0.1", recorded.port),),
    }
    mail: dict[str, Any] = {
        "smtp_host": "127.0.0.1",
        "smtp_port": 1,
        "mail_from": Sender("Wayfarer", "no-reply@example.test"),
    }
    sending = CommunicationSettings(
        database_url=postgres.dsn("wayfarer_communication"), public_url=CALLBACK, **mail, **common
    )
    telling = InternalSettings(database_url=postgres.dsn("wayfarer_internal"), **mail, **common)
    granting = MembershipSettings(database_url=postgres.dsn("wayfarer_membership"), **common)
    async with (
        open_client(COMMUNICATION, sending) as one,
        open_client(INTERNAL, telling) as two,
        open_client(MEMBERSHIP, granting) as three,
    ):
        yield Families(one, two, three)
