"""The ways of messages and courses through real providers' sandboxes: how an account chooses each, whom it
reaches, how it is made to fail, what arrived. The scenarios of providers are run over them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import aiohttp
from google.protobuf.struct_pb2 import Struct
from wayfarer.admin.v1 import admin_service_pb2 as admin_pb
from wayfarer.crm.v1 import contact_pb2

from services.local.sandboxes.meta import APP_SECRET, PAGE_ID, PAGE_TOKEN, VERIFY_TOKEN
from services.local.sandboxes.slack import BOT_TOKEN
from services.local.sandboxes.thinkific import API_KEY, SUBDOMAIN
from services.local.sandboxes.twilio import ACCOUNT_SID, AUTH_TOKEN
from tests.integration.api.world import Client, World, struct

Rule = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """How a provider says it: the fields of a rule, and the code of the failure that it becomes."""

    rule: Mapping[str, Any]
    code: str


@dataclass(frozen=True, slots=True)
class Way:
    """One provider of one channel."""

    name: str
    channel: str
    provider: str
    folder: str
    """Of the sandbox."""
    kept: str
    """Where the sandbox shows what arrived."""
    lane: str
    settings: Mapping[str, Any]
    credentials: Mapping[str, str]
    wrong: Mapping[str, str]
    """Credentials it refuses."""
    step: Mapping[str, Any]
    reaches: Callable[[], str]
    """Somebody new."""
    contact: Callable[[str], Mapping[str, Any]]
    arrived: Callable[[Mapping[str, Any]], object]
    """Whom one that arrived was for; one or several."""
    unavailable: Refused
    malformed: Refused
    unauthorized: str
    """The code of the failure that wrong credentials become."""
    too_many: Refused
    match: str = "{}"

    async def choose(self, world: World, client: Client, **credentials: str) -> None:
        """Choose it as the account's administrator does."""
        request = admin_pb.SetProviderRequest(
            channel=self.channel, provider=self.provider, credentials={**self.credentials, **credentials}
        )
        request.settings.update({**self.settings, "base_url": f"{world.stack.sandboxes_url}/{self.folder}"})
        await client.call(client.admin.SetProvider, request)

    async def somebody(self, client: Client, **fields: str) -> tuple[contact_pb2.Contact, str]:
        """A new contact, and where it is reached."""
        place = self.reaches()
        return await client.contact(**self.contact(place), **fields), place

    async def misbehave(self, world: World, how: Refused, place: str = "", **more: Any) -> None:
        """Answer the next one for a place (for any, if empty) like this."""
        match = self.match.format(place) if place else ""
        await asked(world, "POST", f"/{self.folder}/_control/next", {"match": match, **how.rule, **more})

    async def behave(self, world: World) -> None:
        """Forget every misbehaviour asked for."""
        await asked(world, "DELETE", f"/{self.folder}/_control/next")

    async def taken(self, world: World, place: str) -> int:
        """How many arrived for a place."""
        kept: list[dict[str, Any]] = await asked(world, "GET", f"/{self.folder}/{self.kept}")
        return sum(place in _all(self.arrived(one)) for one in kept)

    def pausing(self, after: str) -> Refused:
        """Too many, and when to come back: seconds or a date."""
        headers = self.too_many.rule.get("headers")
        told = (
            {"headers": {**headers, "Retry-After": after}} if headers is not None else {"retry_after": after}
        )
        return Refused({**self.too_many.rule, **told}, self.too_many.code)


async def asked(world: World, method: str, path: str, body: Rule | None = None) -> Any:
    """What the sandboxes answer."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, world.stack.sandboxes_url + path, json=body) as answer,
    ):
        assert answer.status < 300, await answer.text()
        return await answer.json()


def _all(found: object) -> list[str]:
    return [str(one) for one in found] if isinstance(found, list) else [str(found)]


def _address() -> str:
    return f"{uuid4().hex}@example.test"


def _number() -> str:
    return f"+1415{uuid4().int % 10**7:07d}"


def _person() -> str:
    return str(10**14 + uuid4().int % 10**14)


def _page_scoped(person: str) -> Mapping[str, Struct]:
    return {"fields": struct({"messenger_id": person})}


_EMAIL = {"from_email": "hello@sender.test", "from_name": "Sender"}
_MAIL = {
    "type": "send_email",
    "config": {"subject": "Welcome", "text": "Good to have you.", "category": "transactional"},
}
_NO_WINDOW = {"X-RateLimit-Reset": "0", "ratelimit-reset": "0"}
"""What the provider says of its own window beside Retry-After; the longest pause counts."""

SENDGRID = Way(
    name="sendgrid",
    channel="email",
    provider="sendgrid",
    folder="email",
    kept="messages",
    lane="email",
    settings=_EMAIL,
    credentials={"api_key": "SG.good"},
    wrong={"api_key": "SG.revoked"},
    step=_MAIL,
    reaches=_address,
    contact=lambda place: {"email": place},
    arrived=lambda one: one["to"],
    unavailable=Refused({"status": 503}, "HTTP_503"),
    malformed=Refused(
        {"status": 400, "body": {"errors": [{"field": "personalizations.0.to.0.email", "message": "bad"}]}},
        "HTTP_400",
    ),
    unauthorized="HTTP_401",
    too_many=Refused({"status": 429, "headers": _NO_WINDOW}, "HTTP_429"),
)
RESEND = Way(
    name="resend",
    channel="email",
    provider="resend",
    folder="email",
    kept="messages",
    lane="email",
    settings=_EMAIL,
    credentials={"api_key": "re_good"},
    wrong={"api_key": "re_revoked"},
    step=_MAIL,
    reaches=_address,
    contact=lambda place: {"email": place},
    arrived=lambda one: one["to"],
    unavailable=Refused({"status": 503, "body": {"name": "service_unavailable"}}, "SERVICE_UNAVAILABLE"),
    malformed=Refused({"status": 422, "body": {"name": "validation_error"}}, "VALIDATION_ERROR"),
    unauthorized="VALIDATION_ERROR",
    too_many=Refused(
        {"status": 429, "headers": _NO_WINDOW, "body": {"name": "rate_limit_exceeded"}}, "RATE_LIMIT_EXCEEDED"
    ),
)
TWILIO = Way(
    name="twilio",
    channel="sms",
    provider="twilio",
    folder="twilio",
    kept="messages",
    lane="sms",
    settings={"account_sid": ACCOUNT_SID, "from_number": "+15005550006"},
    credentials={"auth_token": AUTH_TOKEN},
    wrong={"auth_token": "changed-at-twilio"},
    step={"type": "send_sms", "config": {"body": "Hello", "category": "transactional"}},
    reaches=_number,
    contact=lambda place: {"phone": place},
    arrived=lambda one: one["to"],
    unavailable=Refused({"status": 503}, "HTTP_503"),
    malformed=Refused({"status": 400, "code": 21612}, "21612"),
    unauthorized="20003",
    too_many=Refused({"status": 429, "code": 20429}, "20429"),
)
META = Way(
    name="meta",
    channel="messenger",
    provider="meta",
    folder="meta",
    kept="messages",
    lane="messenger",
    settings={"page_id": PAGE_ID},
    credentials={"page_token": PAGE_TOKEN, "app_secret": APP_SECRET, "verify_token": VERIFY_TOKEN},
    wrong={"page_token": "expired"},
    step={"type": "send_messenger", "config": {"text": "Hi", "messaging_type": "UPDATE"}},
    reaches=_person,
    contact=_page_scoped,
    arrived=lambda one: one["to"],
    unavailable=Refused({"status": 503}, "HTTP_503"),
    malformed=Refused({"status": 400, "code": 100}, "100"),
    unauthorized="190",
    too_many=Refused({"status": 429, "code": 613}, "613"),
)
THINKIFIC = Way(
    name="thinkific",
    channel="courses",
    provider="thinkific",
    folder="thinkific",
    kept="enrollments",
    lane="courses",
    settings={"subdomain": SUBDOMAIN, "course_ids": {"masterclass": 101}},
    credentials={"api_key": API_KEY},
    wrong={"api_key": "taken-back"},
    step={"type": "grant_course_access", "config": {"course": "masterclass"}},
    reaches=_address,
    contact=lambda place: {"email": place, "first_name": "Ada", "last_name": "Lovelace"},
    arrived=lambda one: one["user_email"],
    unavailable=Refused({"status": 503}, "HTTP_503"),
    malformed=Refused({"status": 422}, "HTTP_422"),
    unauthorized="HTTP_401",
    too_many=Refused({"status": 429}, "HTTP_429"),
    match="POST enrollments {}",
)
SLACK = Way(
    name="slack",
    channel="slack",
    provider="slack",
    folder="slack",
    kept="messages",
    lane="notification",
    settings={"channel": "#leads"},
    credentials={"bot_token": BOT_TOKEN},
    wrong={"bot_token": "xoxb-revoked"},
    step={
        "type": "send_notification",
        "config": {"channel": "slack", "title": "{{ contact.email }}", "body": "x"},
    },
    reaches=_address,
    contact=lambda place: {"email": place},
    arrived=lambda one: one["text"].split("*")[1],
    unavailable=Refused({"status": 503, "code": "service_unavailable"}, "SERVICE_UNAVAILABLE"),
    malformed=Refused({"status": 200, "code": "is_archived"}, "IS_ARCHIVED"),
    unauthorized="INVALID_AUTH",
    too_many=Refused({"status": 429, "code": "ratelimited"}, "RATELIMITED"),
)
MESSAGES = (SENDGRID, RESEND, TWILIO, META)
"""Ways of messages to the contact."""
WAYS = (*MESSAGES, THINKIFIC)
"""Ways whose refusal ends the journey, or a step of it."""
