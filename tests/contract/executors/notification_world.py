"""The surroundings of notification tests: the internal family, its inside doors, and the sandboxes."""

import itertools
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from wayfarer.action.v1 import action_pb2
from wayfarer.action.v1 import provider_service_pb2 as wire
from wayfarer.action.v1.provider_service_pb2_grpc import ProviderServiceStub
from wayfarer.notification.v1 import notification_service_pb2 as shown
from wayfarer.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from yarl import URL

from services.local.sandboxes.slack import BOT_TOKEN, HOOK, slack_app
from services.local.sandboxes.twilio import ACCOUNT_SID, AUTH_TOKEN
from tests.contract.executors.phone_world import Sandbox, serve
from tests.contract.executors.world import TIMEOUT_S, Client, make_action

ACCOUNTS = itertools.count(5000)
PACE_S = 3.0
PROVIDERS = {"slack": "slack", "notify_webhook": "webhook", "sms": "twilio"}


@dataclass(slots=True)
class Clock:
    """The sandbox's clock: each look at it is `step` seconds later."""

    step: float = 2 * PACE_S
    at: float = 0.0

    def __call__(self) -> float:
        self.at += self.step
        return self.at


@dataclass(slots=True)
class ServedSlack:
    """Slack's sandbox on loopback."""

    sandbox: Sandbox
    clock: Clock

    @property
    def port(self) -> int:
        return URL(self.sandbox.url).port or 0

    async def texts(self, part: str) -> list[dict[str, Any]]:
        """What came whose text holds this."""
        return [one for one in await self.sandbox.get("/messages") if part in one["text"]]


@asynccontextmanager
async def open_slack() -> AsyncIterator[ServedSlack]:
    """Serve the sandbox."""
    async with AsyncExitStack() as stack:
        clock = Clock()
        url = await serve(stack, slack_app(pace_s=PACE_S, now=clock))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield ServedSlack(Sandbox(url, http), clock)


@dataclass(frozen=True, slots=True)
class Notices:
    """The internal family, and who looks at what it did."""

    client: Client
    door: ProviderServiceStub
    inbox: NotificationServiceStub
    slack: ServedSlack
    twilio: Sandbox

    async def put(
        self, account: int, channel: str, settings: Mapping[str, Any], credentials: Mapping[str, Any]
    ) -> None:
        request = wire.PutProviderRequest(
            account_id=account,
            channel=channel,
            provider=PROVIDERS[channel],
            settings=json.dumps(settings).encode(),
            credentials=json.dumps(credentials).encode(),
        )
        await self.door.PutProvider(request, timeout=TIMEOUT_S)

    async def bot(self, channel: str = "#leads", token: str = BOT_TOKEN) -> int:
        """An account that posts to Slack with a bot's token."""
        account = next(ACCOUNTS)
        settings = {"channel": channel, "base_url": self.slack.sandbox.url}
        await self.put(account, "slack", settings, {"bot_token": token})
        return account

    async def hook(self, path: str = HOOK) -> int:
        """An account that posts to Slack by an incoming webhook."""
        account = next(ACCOUNTS)
        await self.put(account, "slack", {}, {"webhook_url": self.slack.sandbox.url + path})
        return account

    async def receiver(self, url: str, **credentials: str) -> int:
        """An account whose notifications go to a URL."""
        account = next(ACCOUNTS)
        await self.put(account, "notify_webhook", {"url": url}, credentials)
        return account

    async def texting(self, sender: str = "+15005550006") -> int:
        """An account that texts through Twilio."""
        account = next(ACCOUNTS)
        settings = {"account_sid": ACCOUNT_SID, "base_url": self.twilio.url}
        settings |= {"from_number": sender} if sender else {}
        await self.put(account, "sms", settings, {"auth_token": AUTH_TOKEN})
        return account

    async def user(self, account: int, user_id: str, *roles: str, email: str = "", phone: str = "") -> None:
        """Write how a user is reached."""
        user = shown.User(user_id=user_id, email=email, phone=phone, roles=roles)
        await self.inbox.PutUser(shown.PutUserRequest(account_id=account, user=user), timeout=TIMEOUT_S)

    async def users(self, account: int, **asked: Any) -> tuple[list[shown.User], str]:
        request = shown.ListUsersRequest(account_id=account, **asked)
        page = await self.inbox.ListUsers(request, timeout=TIMEOUT_S)
        return list(page.users), page.next_page_token

    async def listed(self, account: int, user: str, **asked: Any) -> tuple[list[shown.Notification], str]:
        request = shown.ListNotificationsRequest(account_id=account, user_id=user, **asked)
        page = await self.inbox.ListNotifications(request, timeout=TIMEOUT_S)
        return list(page.notifications), page.next_page_token

    async def marked(self, account: int, user: str, *ids: bytes) -> int:
        request = shown.MarkReadRequest(account_id=account, user_id=user, notification_ids=ids)
        count: int = (await self.inbox.MarkRead(request, timeout=TIMEOUT_S)).marked
        return count


def notification(account: int, channel: str, title: str, **more: Any) -> action_pb2.Action:
    """One attempt; `attempt`, `fence` and the like go to the action, the rest to the config."""
    names = ("attempt", "fence", "execution_id", "contact")
    own = {name: more.pop(name) for name in names if name in more}
    config = {"channel": channel, "title": title, "body": "Call back today."} | more
    action = make_action("send_notification", config, **own)
    action.account_id = account
    return action


def a_title() -> str:
    return f"Lead {uuid.uuid4().hex} replied"


def an_address() -> str:
    return f"{uuid.uuid4().hex}@example.test"


def output_of(result: action_pb2.ActionResult) -> dict[str, Any]:
    assert result.outcome == action_pb2.OUTCOME_SUCCEEDED, result
    output: dict[str, Any] = json.loads(result.output)
    return output
