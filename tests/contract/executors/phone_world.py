"""The surroundings of phone and messenger tests: the sandboxes on loopback, accounts, and who takes callbacks."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast

import aiohttp
import asyncpg
from aiohttp import web
from yarl import URL

from services.executors import communication
from services.executors.communication.__main__ import Settings, Tools, equip
from services.executors.communication.meta import Meta
from services.executors.communication.senders import Senders
from services.executors.family import Family, Parts
from services.executors.phone.twilio import Twilio
from services.executors.providers.accounts import ProviderAccounts
from services.executors.providers.provider import (
    Callback,
    CallbackRefusedError,
    Happening,
    ProviderAccount,
)
from services.local.sandboxes.meta import (
    APP_SECRET,
    PAGE_ID,
    PAGE_TOKEN,
    VERIFY_TOKEN,
    meta_app,
)
from services.local.sandboxes.twilio import ACCOUNT_SID, AUTH_TOKEN, twilio_app
from services.runtime.config import HostPort
from services.runtime.keyring import Keyring
from tests.contract.executors.world import ACCOUNT

KEYED_ACCOUNT = 8
"""Logs in with an API key."""
BARE_ACCOUNT = 9
"""Has a provider, but no sender."""
LOCKED_OUT = 10
"""Has a wrong token."""
API_KEY = "SK000000000000000000000000000000aa"
PATIENCE_S = 10.0
ANSWER_S = 1.0
"""How long an answer is waited for."""


@dataclass(slots=True)
class Told:
    """Takes callbacks at our public URL, as the world reaches it, and keeps what they tell."""

    url: str = ""
    senders: Senders | None = None
    happenings: list[Happening] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    _came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, request: web.Request) -> web.Response:
        assert self.senders is not None
        client: Twilio | Meta
        if request.match_info["provider"] == "meta":
            async with self.senders.acting(ACCOUNT, "messenger") as client:
                pass
        else:
            channel = cast(Literal["sms", "voice"], request.match_info["channel"])
            async with self.senders.acting(ACCOUNT, channel) as client:
                pass
        headers = {name.lower(): value for name, value in request.headers.items()}
        callback = Callback(
            request.method,
            f"{self.url}{request.path_qs}",
            headers,
            await request.read(),
            datetime.now(UTC),
        )
        try:
            answered = client.callback(callback)
        except CallbackRefusedError as refused:
            self.refused.append(refused.code)
            return web.Response(status=403)
        async with self._came:
            self.happenings += answered.happenings
            self._came.notify_all()
        return web.Response(body=answered.body, content_type=answered.content_type)

    async def of(self, sid: str, count: int = 1) -> list[Happening]:
        """Wait until so many have come whose id begins like this."""
        return await self.until(lambda one: one.id.startswith(sid), count)

    async def until(self, fits: Callable[[Happening], bool], count: int = 1) -> list[Happening]:
        """Wait until so many of a kind have come."""
        async with asyncio.timeout(PATIENCE_S), self._came:
            await self._came.wait_for(lambda: len([one for one in self.happenings if fits(one)]) >= count)
            return [one for one in self.happenings if fits(one)]


@dataclass(slots=True)
class Sandbox:
    """A sandbox on loopback, by its HTTP side."""

    url: str
    http: aiohttp.ClientSession

    async def get(self, path: str) -> Any:
        async with self.http.get(self.url + path) as response:
            return await response.json()

    async def control(self, name: str, **asked: Any) -> Any:
        async with self.http.post(f"{self.url}/_control/{name}", json=asked) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def to(self, kind: str, recipient: str) -> list[dict[str, Any]]:
        """What came for a recipient."""
        return [one for one in await self.get(f"/{kind}") if one["to"] == recipient]


class _Known(ProviderAccounts):
    """The choices of these tests, beside those that are stored."""

    def __init__(
        self, known: dict[tuple[int, str], ProviderAccount], pool: asyncpg.Pool, keyring: Keyring
    ) -> None:
        super().__init__(pool, keyring)
        self._known = known

    async def get(self, account_id: int, channel: str) -> ProviderAccount | None:
        known = self._known.get((account_id, channel))
        return known if known is not None else await super().get(account_id, channel)

    async def mark(self, account: ProviderAccount, code: str, meaning: str) -> bool:
        # Of a choice that is kept nowhere, nothing can be marked: each refusal is the first.
        is_known = (account.account_id, account.channel) in self._known
        return is_known or await super().mark(account, code, meaning)


@dataclass(slots=True)
class Phone:
    """The sandboxes, and the accounts that use them."""

    twilio: Sandbox
    meta: Sandbox
    told: Told
    accounts: dict[tuple[int, str], ProviderAccount]
    http: aiohttp.ClientSession

    def ports(self) -> list[HostPort]:
        """Where the sandboxes are."""
        urls = [URL(sandbox.url) for sandbox in (self.twilio, self.meta)]
        return [HostPort(url.host or "", url.port or 0) for url in urls]

    def family(self) -> Family[Settings]:
        """The communication family with these accounts."""

        async def open_parts(
            settings: Settings, stack: AsyncExitStack, pool: asyncpg.Pool, keyring: Keyring
        ) -> Parts:
            parts = await equip(settings, stack, _Known(self.accounts, pool, keyring), keyring)
            assert isinstance(parts.tools, Tools)
            self.told.senders = parts.tools.senders
            return parts

        return Family("communication", communication, Settings, open_parts)


@asynccontextmanager
async def open_phone() -> AsyncIterator[Phone]:
    """Serve the sandboxes and whoever takes callbacks."""
    async with AsyncExitStack() as stack:
        told = Told()
        ours = web.Application()
        ours.router.add_route("*", "/callbacks/{provider}/{channel}/{token}", told.take)
        told.url = await serve(stack, ours)
        url = await serve(stack, twilio_app(api_keys={API_KEY: "key-secret"}, pace_s=0))
        webhook = f"{told.url}/callbacks/meta/messenger/page"
        page = await serve(stack, meta_app(webhook_url=webhook, pace_s=0))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        accounts = _accounts(url) | _pages(page)
        yield Phone(Sandbox(url, http), Sandbox(page, http), told, accounts, http)


async def serve(stack: AsyncExitStack, application: web.Application) -> str:
    """Serve an application on loopback; its URL."""
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


def _accounts(base_url: str) -> dict[tuple[int, str], ProviderAccount]:
    settings = {"account_sid": ACCOUNT_SID, "base_url": base_url}
    sender = settings | {"from_number": "+15005550006"}
    token = {"auth_token": AUTH_TOKEN}
    key = {"api_key_sid": API_KEY, "api_key_secret": "key-secret"}
    known = [
        *((ACCOUNT, channel, sender, token) for channel in ("sms", "voice")),
        *((KEYED_ACCOUNT, channel, sender, key) for channel in ("sms", "voice")),
        *((BARE_ACCOUNT, channel, settings, token) for channel in ("sms", "voice")),
        (LOCKED_OUT, "sms", sender, {"auth_token": "wrong"}),
    ]
    return {
        (account, channel): ProviderAccount(account, channel, "twilio", chosen, secret, 1)
        for account, channel, chosen, secret in known
    }


def _pages(base_url: str) -> dict[tuple[int, str], ProviderAccount]:
    settings = {"page_id": PAGE_ID, "base_url": base_url}
    known = {"page_token": PAGE_TOKEN, "app_secret": APP_SECRET, "verify_token": VERIFY_TOKEN}
    credentials = {ACCOUNT: known, LOCKED_OUT: known | {"page_token": "old"}}
    return {
        (account, "messenger"): ProviderAccount(account, "messenger", "meta", settings, secret, 1)
        for account, secret in credentials.items()
    }
