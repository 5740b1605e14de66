"""Fixtures of the executors' contract tests: one PostgreSQL, the families, real providers."""

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest
from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session
from wayfarer.action.v1.provider_service_pb2_grpc import ProviderServiceStub
from wayfarer.crm.v1.contact_record_service_pb2_grpc import ContactRecordServiceStub
from wayfarer.crm.v1.crm_service_pb2_grpc import CrmServiceStub
from wayfarer.integrations.v1.integrations_admin_service_pb2_grpc import IntegrationsAdminServiceStub
from wayfarer.membership.v1.membership_service_pb2_grpc import MembershipServiceStub
from wayfarer.notification.v1.notification_service_pb2_grpc import NotificationServiceStub

from services.executors import integrations as integrations_package
from services.executors.communication.__main__ import Settings as CommunicationSettings
from services.executors.crm.__main__ import FAMILY as CRM
from services.executors.crm.__main__ import Settings as CrmSettings
from services.executors.family import Family, FamilySettings, Parts
from services.executors.integrations.__main__ import FAMILY as INTEGRATIONS
from services.executors.integrations.__main__ import Settings as IntegrationsSettings
from services.executors.integrations.__main__ import parts as integrations_parts
from services.executors.integrations.caller import WebhookCaller
from services.executors.internal.__main__ import FAMILY as INTERNAL
from services.executors.internal.__main__ import Settings as InternalSettings
from services.executors.mail.addresses import Sender
from services.executors.membership.__main__ import FAMILY as MEMBERSHIP
from services.executors.membership.__main__ import Settings as MembershipSettings
from services.executors.sandbox.__main__ import FAMILY as SANDBOX
from services.executors.sandbox.__main__ import Settings as SandboxSettings
from services.local.postgres import Postgres
from services.runtime.config import HostPort
from services.runtime.grpc_client import open_channel
from services.runtime.keyring import Keyring
from tests.contract.executors import oddities
from tests.contract.executors.crm_world import CrmWorld
from tests.contract.executors.email_world import ServedSandbox, serve_sandbox
from tests.contract.executors.leadconnector_world import (
    LEADCONNECTOR_ANSWER_S,
    ElsewhereWorld,
    Location,
    serve_leadconnector,
)
from tests.contract.executors.membership_world import THINKIFIC_ANSWER_S, MembershipWorld, serve_thinkific
from tests.contract.executors.notification_world import Notices, open_slack
from tests.contract.executors.oddities.words import Words
from tests.contract.executors.phone_world import ANSWER_S, Phone, open_phone
from tests.contract.executors.webhook_site import Hooks, Names, no_way_out, open_site
from tests.contract.executors.world import (
    SECRET,
    Client,
    Mailbox,
    Receiver,
    make_database,
    open_client,
    write_keyring,
)

LOOPBACK = HostPort("127.0.0.1", 0)


@pytest.fixture(scope="session")
async def postgres() -> AsyncIterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="wayfarer-executors-"))
    os.chmod(folder, 0o755)  # the server runs as another user
    port = await _free_port()
    async with Postgres(folder / "data", port, settings={"shared_buffers": "32MB"}) as running:
        yield running
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_keyring(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
async def leadconnector() -> AsyncIterator[Location]:
    async with serve_leadconnector() as location:
        yield location


@pytest.fixture(scope="session")
async def crm(postgres: Postgres, keyring: Path, leadconnector: Location) -> AsyncIterator[Client]:
    url = await make_database(postgres, "crm")
    settings = CrmSettings(
        database_url=url,
        keyring=keyring,
        listen=LOOPBACK,
        profile="local",
        provider_allow=(HostPort("127.0.0.1", leadconnector.port),),
        provider_answer_s=LEADCONNECTOR_ANSWER_S,
    )
    async with open_client(CRM, settings, {"url": url}) as client:
        yield client


@pytest.fixture(scope="session")
async def crm_world(crm: Client) -> AsyncIterator[CrmWorld]:
    async with open_channel(crm.address) as channel:
        world = CrmWorld(crm, ContactRecordServiceStub(channel), CrmServiceStub(channel))
        await world.furnish()
        yield world


@pytest.fixture(scope="session")
async def elsewhere(crm_world: CrmWorld, leadconnector: Location) -> AsyncIterator[ElsewhereWorld]:
    async with open_channel(crm_world.client.address) as channel:
        yield ElsewhereWorld(crm_world, ProviderServiceStub(channel), leadconnector)


@pytest.fixture(scope="session")
async def phone() -> AsyncIterator[Phone]:
    async with open_phone() as opened:
        yield opened


@pytest.fixture(scope="session")
async def communication(
    postgres: Postgres, keyring: Path, mailbox: Mailbox, email_sandbox: ServedSandbox, phone: Phone
) -> AsyncIterator[Client]:
    settings = CommunicationSettings(
        database_url=await make_database(postgres, "communication"),
        keyring=keyring,
        listen=LOOPBACK,
        profile="local",
        smtp_host=mailbox.host,
        smtp_port=mailbox.port,
        mail_from=Sender("Wayfarer", "no-reply@example.test"),
        provider_allow=(
            HostPort("127.0.0.1", email_sandbox.port),
            HostPort(mailbox.host, mailbox.port),
            *phone.ports(),
        ),
        provider_answer_s=ANSWER_S,
        public_url=phone.told.url,
    )
    async with open_client(phone.family(), settings) as client:
        yield client


@pytest.fixture(scope="session")
async def integrations(postgres: Postgres, keyring: Path, receiver: Receiver) -> AsyncIterator[Client]:
    url = await make_database(postgres, "integrations")
    settings = IntegrationsSettings(
        database_url=url,
        keyring=keyring,
        listen=LOOPBACK,
        profile="local",
        webhook_allow=(HostPort("127.0.0.1", receiver.port),),
        webhook_secret=SECRET,
    )
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "WAYFARER_DATABASE_URL": url,
        "WAYFARER_KEYRING": str(keyring),
        "WAYFARER_PROFILE": "local",
        "WAYFARER_WEBHOOK_ALLOW": f"127.0.0.1:{receiver.port}",
        "WAYFARER_WEBHOOK_SECRET": SECRET,
    }
    async with open_client(INTEGRATIONS, settings, environment) as client:
        yield client


@pytest.fixture(scope="session")
async def hooks(integrations: Client, keyring: Path) -> AsyncIterator[Hooks]:
    """The integrations family on a network of the tests' own, beside the plain one and on its database."""
    names = Names()
    async with AsyncExitStack() as stack:
        site, elsewhere, forbidden = [await stack.enter_async_context(open_site()) for _ in range(3)]
        closed = stack.enter_context(socket.socket())  # bound, never listening: connecting is refused
        closed.bind(("127.0.0.1", 0))
        ports = (site.port, site.raw_port, elsewhere.port, closed.getsockname()[1])
        allow = {HostPort(host, port) for host in ("127.0.0.1", "hooks.test") for port in ports}

        async def open_parts(
            settings: IntegrationsSettings, stack: AsyncExitStack, pool: asyncpg.Pool, keyring: Keyring
        ) -> Parts:
            caller = WebhookCaller(frozenset(allow), resolver=names, sockets=no_way_out)
            return integrations_parts(settings, pool, keyring, await stack.enter_async_context(caller))

        family = Family("integrations", integrations_package, IntegrationsSettings, open_parts)
        settings = IntegrationsSettings(
            database_url=integrations.environment["WAYFARER_DATABASE_URL"],
            keyring=keyring,
            listen=LOOPBACK,
            profile="local",
            webhook_secret=SECRET,
        )
        client = await stack.enter_async_context(
            open_client(family, settings, {"url": settings.database_url})
        )
        channel = await stack.enter_async_context(open_channel(client.address))
        admin = IntegrationsAdminServiceStub(channel)
        yield Hooks(client, admin, site, elsewhere, forbidden, names, ports[-1])


@pytest.fixture(scope="session")
async def sandbox(postgres: Postgres, keyring: Path) -> AsyncIterator[Client]:
    settings = SandboxSettings(
        database_url=await make_database(postgres, "sandbox"),
        keyring=keyring,
        listen=LOOPBACK,
        profile="local",
        custom_code=True,
        sandbox_processes=4,
    )
    async with open_client(SANDBOX, settings) as client:
        yield client


@pytest.fixture(scope="session")
async def membership(postgres: Postgres, keyring: Path) -> AsyncIterator[MembershipWorld]:
    async with serve_thinkific() as site:
        url = await make_database(postgres, "membership")
        settings = MembershipSettings(
            database_url=url,
            keyring=keyring,
            listen=LOOPBACK,
            profile="local",
            provider_allow=(HostPort("127.0.0.1", site.port),),
            provider_answer_s=THINKIFIC_ANSWER_S,
        )
        async with (
            open_client(MEMBERSHIP, settings, {"url": url}) as client,
            open_channel(client.address) as channel,
        ):
            world = MembershipWorld(
                client, MembershipServiceStub(channel), ProviderServiceStub(channel), site
            )
            await world.add_course("masterclass")
            yield world


@pytest.fixture(scope="session")
def internal(notices: Notices) -> Client:
    return notices.client


@pytest.fixture(scope="session")
async def notices(
    postgres: Postgres, keyring: Path, mailbox: Mailbox, receiver: Receiver, phone: Phone
) -> AsyncIterator[Notices]:
    """The internal family, its inside doors, and the sandboxes."""
    url = await make_database(postgres, "internal")
    async with open_slack() as slack:
        settings = InternalSettings(
            database_url=url,
            keyring=keyring,
            listen=LOOPBACK,
            profile="local",
            smtp_host=mailbox.host,
            smtp_port=mailbox.port,
            mail_from=Sender("Wayfarer", "no-reply@example.test"),
            provider_allow=(
                HostPort("127.0.0.1", slack.port),
                HostPort("127.0.0.1", receiver.port),
                *phone.ports(),
            ),
            provider_answer_s=ANSWER_S,
        )
        async with (
            open_client(INTERNAL, settings, {"url": url}) as client,
            open_channel(client.address) as channel,
        ):
            doors = ProviderServiceStub(channel), NotificationServiceStub(channel)
            yield Notices(client, *doors, slack, phone.twilio)


@pytest.fixture(scope="session")
def words() -> Words:
    return Words()


@pytest.fixture(scope="session")
async def odd(
    communication: Client, keyring: Path, words: Words, postgres: Postgres
) -> AsyncIterator[Client]:
    """The oddities, on the communication family's ledger."""

    async def open_parts(*_: object) -> Parts:
        return Parts(words)

    family: Family[FamilySettings] = Family("oddities", oddities, FamilySettings, open_parts)
    settings = FamilySettings(
        database_url=postgres.dsn("wayfarer_communication"), keyring=keyring, listen=LOOPBACK, profile="local"
    )
    async with open_client(family, settings) as client:
        yield client


@pytest.fixture(scope="session")
async def mailbox() -> AsyncIterator[Mailbox]:
    box = Mailbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(
            _Postbox(box), loop=loop, hostname="mail.test", authenticator=box.knows, auth_require_tls=False
        ),
        "127.0.0.1",
        0,
    )
    box.host, box.port = server.sockets[0].getsockname()[:2]
    yield box
    server.close()


@pytest.fixture(scope="session")
async def email_sandbox() -> AsyncIterator[ServedSandbox]:
    async with serve_sandbox() as served:
        yield served


@pytest.fixture(scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    kept = Receiver()

    async def take(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        kept.calls.append((request.path, dict(request.headers), body))
        return await _answer(request, kept)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", take)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    kept.port = runner.addresses[0][1]
    yield kept
    kept.hold.set()
    await runner.cleanup()


async def _answer(request: web.Request, kept: Receiver) -> web.StreamResponse:
    """Do what the path says: /status/429, /hang, /reset, /json, /large, /redirect, /chosen-retry/DATE."""
    match request.path.split("/")[1:]:
        case ["status", code, *_]:
            headers = {"Retry-After": request.query["after"]} if "after" in request.query else {}
            return web.Response(status=int(code), headers=headers)
        case ["hang", *_]:
            kept.arrived.set()
            await kept.hold.wait()
            return web.Response()
        case ["reset", *_]:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        case ["large", *_]:
            return web.Response(body=b"y" * 300_000)
        case ["redirect", *_]:
            return web.Response(status=302, headers={"Location": "http://169.254.169.254/"})
        case _:
            return web.json_response({"taken": True, "nul": "a\x00b"})


class _Postbox:
    """aiosmtpd's handler: answers as the mailbox was told."""

    def __init__(self, box: Mailbox) -> None:
        self._box = box

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        next(self._box.connections)
        session.host_name = hostname
        return responses

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self._box.replies.get(address, "")
        if reply.startswith("rcpt:"):
            return reply.removeprefix("rcpt:")
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        address = envelope.rcpt_tos[0]
        reply = self._box.replies.get(address, "")
        if reply.startswith("data:"):
            return reply.removeprefix("data:")
        content = envelope.content
        assert isinstance(content, bytes)
        self._box.messages.append((address, content))
        if reply == "drop":
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return "250 taken"


async def _free_port() -> int:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port
