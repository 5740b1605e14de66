"""Our requests beside those of the providers' own clients, asked for the same, at the same sandbox on loopback.

R-ACT: method, path, login, content type and every field agree. Meta and Thinkific have no client of this kind: there
the fields are held against what their references name.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import resend
import sendgrid
from aiohttp import web
from aiohttp.typedefs import Handler
from sendgrid.helpers import mail as sendgrid_mail
from slack_sdk import WebClient
from slack_sdk.webhook import WebhookClient
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client as TwilioClient
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
from services.local.sandboxes.meta import APP_SECRET, PAGE_ID, PAGE_TOKEN, meta_app
from services.local.sandboxes.slack import BOT_TOKEN, HOOK, slack_app
from services.local.sandboxes.thinkific import API_KEY, SUBDOMAIN, thinkific_app
from services.local.sandboxes.twilio import ACCOUNT_SID, AUTH_TOKEN, twilio_app
from services.runtime.config import HostPort, host_port
from services.runtime.grpc_client import open_channel
from tests.contract.executors.membership_world import MembershipWorld
from tests.contract.executors.notification_world import Notices
from tests.contract.executors.world import TIMEOUT_S, Client, make_action, open_client

ACCOUNT = 81_000
FROM, TO = "+15005550006", "+12025550123"
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


@pytest.fixture(scope="module")
async def recorded() -> AsyncIterator[Recorded]:
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


@pytest.fixture(scope="module")
async def families(
    recorded: Recorded,
    postgres: Postgres,
    keyring: Path,
    communication: Client,
    notices: Notices,
    membership: MembershipWorld,
) -> AsyncIterator[Families]:
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


@pytest.fixture(autouse=True)
def no_way_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clients read the environment: whatever it says, they go to loopback and nowhere else."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


async def test_sendgrid(families: Families, recorded: Recorded) -> None:
    """R-ACT: sendgrid's Mail and SendGridAPIClient."""
    settings = {"from_email": "hello@sender.test", "from_name": "Sender", "base_url": f"{recorded.url}/email"}
    await families.put(families.communication, "email", "sendgrid", settings, {"api_key": "SG.key"})
    config = {
        "subject": "Grüße",
        "text": "Hallo",
        "html": "<p>Hallo</p>",
        "cc": ["copy@example.test"],
        "bcc": ["blind@example.test"],
        "reply_to": "help@sender.test",
        "headers": {"X-Campaign": "spring"},
        "category": "transactional",
    }
    await families.done(families.communication, "send_email", config, email="ada@example.test")
    ours = recorded.last()
    theirs = sendgrid_mail.Mail()
    theirs.from_email = sendgrid_mail.From("hello@sender.test", "Sender")
    theirs.to = sendgrid_mail.To("ada@example.test")
    theirs.cc = sendgrid_mail.Cc("copy@example.test")
    theirs.bcc = sendgrid_mail.Bcc("blind@example.test")
    theirs.subject = sendgrid_mail.Subject("Grüße")
    theirs.content = [
        sendgrid_mail.Content("text/plain", "Hallo"),
        sendgrid_mail.Content("text/html", "<p>Hallo</p>"),
    ]
    theirs.reply_to = sendgrid_mail.ReplyTo("help@sender.test")
    theirs.category = sendgrid_mail.Category("transactional")
    theirs.custom_arg = [
        sendgrid_mail.CustomArg(name, value)
        for name, value in ours.json()["personalizations"][0]["custom_args"].items()
    ]
    tracking = sendgrid_mail.TrackingSettings()
    tracking.click_tracking = sendgrid_mail.ClickTracking(enable=False)
    tracking.open_tracking = sendgrid_mail.OpenTracking(enable=False)
    theirs.tracking_settings = tracking
    client = sendgrid.SendGridAPIClient("SG.key", host=f"{recorded.url}/email")
    # The helper puts a message's header into the recipient's part, which the API takes for the same.
    theirs.header = sendgrid_mail.Header("X-Campaign", "spring")
    assert (await asyncio.to_thread(client.send, theirs)).status_code == 202
    asked = recorded.last()
    assert asked is not ours
    assert ours.essence() == asked.essence()
    expected = asked.json()
    expected["headers"] = expected["personalizations"][0].pop("headers", None) or expected.get("headers")
    expected["personalizations"][0].setdefault("custom_args", expected.pop("custom_args", None))
    assert ours.json() == expected


async def test_resend(families: Families, recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """R-ACT: resend's Emails.send, and the names its SendParams has."""
    settings = {"from_email": "hello@sender.test", "from_name": "Sender", "base_url": f"{recorded.url}/email"}
    await families.put(families.communication, "email", "resend", settings, {"api_key": "re_key"})
    config = {
        "subject": "Grüße",
        "text": "Hallo",
        "html": "<p>Hallo</p>",
        "cc": ["copy@example.test"],
        "bcc": ["blind@example.test"],
        "reply_to": "help@sender.test",
        "headers": {"X-Campaign": "spring"},
        "category": "transactional",
    }
    await families.done(families.communication, "send_email", config, email="ada@example.test")
    ours = recorded.last()
    monkeypatch.setattr(resend, "api_key", "re_key")
    monkeypatch.setattr(resend, "api_url", f"{recorded.url}/email")
    params: resend.Emails.SendParams = {
        "from": "Sender <hello@sender.test>",
        "to": ["ada@example.test"],
        "subject": "Grüße",
        "text": "Hallo",
        "html": "<p>Hallo</p>",
        "cc": ["copy@example.test"],
        "bcc": ["blind@example.test"],
        "reply_to": "help@sender.test",
        "headers": {"X-Campaign": "spring"},
        "tags": ours.json()["tags"],
    }
    options: resend.Emails.SendOptions = {"idempotency_key": ours.headers["idempotency-key"]}
    await asyncio.to_thread(resend.Emails.send, params, options)
    asked = recorded.last()
    assert asked is not ours
    assert ours.essence() == asked.essence()
    assert ours.headers["idempotency-key"] == asked.headers["idempotency-key"]
    assert ours.json() == asked.json()


class _OnLoopback(TwilioHttpClient):  # type: ignore[misc]
    """Twilio's own HTTP client; it goes to the recorder instead of Twilio."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        assert url.startswith("https://api.twilio.com/")
        return super().request(method, url.replace("https://api.twilio.com", self._url), *args, **kwargs)


@pytest.fixture
async def twilio(families: Families, recorded: Recorded) -> TwilioClient:
    """Twilio's client, beside an account of ours that has the same login."""
    settings = {"account_sid": ACCOUNT_SID, "from_number": FROM, "base_url": f"{recorded.url}/twilio"}
    for channel in ("sms", "voice"):
        await families.put(families.communication, channel, "twilio", settings, {"auth_token": AUTH_TOKEN})
    client = _OnLoopback(f"{recorded.url}/twilio")
    return TwilioClient(ACCOUNT_SID, AUTH_TOKEN, http_client=client)


async def test_twilio_messages(families: Families, recorded: Recorded, twilio: TwilioClient) -> None:
    """R-ACT: twilio's messages.create, with a number and with a messaging service."""
    media = ["https://example.test/a.png", "https://example.test/b.png"]
    service = "MG" + "0" * 32
    for sender, named in (
        ({}, {"from_": FROM}),
        ({"messaging_service_sid": service}, {"messaging_service_sid": service}),
    ):
        config = {"body": "Hello Ada ö", "media_url": media, "validity_period": 600, **sender}
        await families.done(families.communication, "send_sms", config, phone=TO)
        ours = recorded.last()
        callback = dict(ours.form())["StatusCallback"]
        await asyncio.to_thread(
            twilio.messages.create,
            to=TO,
            body="Hello Ada ö",
            media_url=media,
            validity_period=600,
            status_callback=callback,
            **named,
        )
        assert recorded.last() is not ours
        assert ours.essence() == recorded.last().essence()
        assert ours.form() == recorded.last().form()


@pytest.mark.parametrize(
    ("action_type", "config", "told"),
    [
        (
            "make_call",
            {"text": "Hello", "machine_detection": "detect", "record": True, "ring_timeout_s": 30},
            {"machine_detection": "Enable", "record": True, "timeout": 30},
        ),
        (
            "send_voicemail",
            {"text": "Hello", "machine_timeout_s": 20},
            {"machine_detection": "DetectMessageEnd", "machine_detection_timeout": 20, "timeout": 60},
        ),
    ],
)
async def test_twilio_calls(
    families: Families,
    recorded: Recorded,
    twilio: TwilioClient,
    action_type: str,
    config: dict[str, Any],
    told: dict[str, Any],
) -> None:
    """R-ACT: twilio's calls.create."""
    await families.done(families.communication, action_type, config, phone=TO)
    ours = next(one for one in reversed(recorded.asked) if one.path.endswith("/Calls.json"))
    form = dict(ours.form())
    said = {"twiml": form["Twiml"]} if "Twiml" in form else {"url": form["Url"]}
    await asyncio.to_thread(
        twilio.calls.create, to=TO, from_=FROM, status_callback=form["StatusCallback"], **said, **told
    )
    theirs = next(one for one in reversed(recorded.asked) if one.path.endswith("/Calls.json"))
    assert theirs is not ours
    assert ours.essence() == theirs.essence()
    lowered = [
        (name, value.lower() if value in ("True", "False") else value) for name, value in theirs.form()
    ]
    assert ours.form() == lowered


async def test_slack(families: Families, recorded: Recorded) -> None:
    """R-ACT: slack_sdk's chat_postMessage, and its WebhookClient."""
    config = {"channel": "slack", "title": "A lead", "body": "Call <back> & hurry."}
    settings = {"channel": "#leads", "base_url": f"{recorded.url}/slack"}
    await families.put(families.internal, "slack", "slack", settings, {"bot_token": BOT_TOKEN})
    await families.done(families.internal, "send_notification", config)
    ours = recorded.last()
    client = WebClient(BOT_TOKEN, base_url=f"{recorded.url}/slack/api/")
    text = "*A lead*\nCall &lt;back&gt; &amp; hurry."
    await asyncio.to_thread(lambda: client.chat_postMessage(channel="#leads", text=text, unfurl_links=False))
    assert recorded.last() is not ours
    assert ours.essence() == recorded.last().essence()
    assert ours.json() == recorded.last().json()

    hook = f"{recorded.url}/slack{HOOK}"
    await families.put(families.internal, "slack", "slack", {}, {"webhook_url": hook})
    await families.done(families.internal, "send_notification", config)
    ours = recorded.last()
    answer = await asyncio.to_thread(lambda: WebhookClient(hook).send(text=text))
    assert (answer.status_code, answer.body) == (200, "ok")
    assert ours.essence() == recorded.last().essence()
    assert ours.json() == recorded.last().json()


SEND_API: dict[str, set[str]] = {
    "": {"recipient", "message", "messaging_type", "tag", "notification_type", "persona_id", "reply_to"},
    "recipient": {"id"},
    "message": {"text", "attachment", "metadata", "quick_replies"},
}
"""Parameters of POST /{page-id}/messages; developers.facebook.com/docs/messenger-platform/reference/send-api."""


@pytest.mark.parametrize(
    "config",
    [
        {"text": "Hi", "messaging_type": "UPDATE"},
        {"text": "Hi", "messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"},
        {
            "messaging_type": "RESPONSE",
            "attachment": {"type": "image", "url": "https://example.test/a.png"},
        },
    ],
)
async def test_meta(families: Families, recorded: Recorded, config: dict[str, Any]) -> None:
    """R-ACT: path, page token and names as the Send API's reference has them."""
    settings = {"page_id": PAGE_ID, "base_url": f"{recorded.url}/meta"}
    known = {"page_token": PAGE_TOKEN, "app_secret": APP_SECRET, "verify_token": "v"}
    await families.put(families.communication, "messenger", "meta", settings, known)
    await families.done(families.communication, "send_messenger", config, messenger_id="24681")
    ours = recorded.last()
    method, path, login, kind = ours.essence()
    assert (method, login, kind) == ("POST", f"Bearer {PAGE_TOKEN}", "application/json")
    version, page, edge = path.removeprefix("/meta/").split("/")
    assert (version[:1], version[1:].replace(".", "").isdigit(), page, edge) == (
        "v",
        True,
        PAGE_ID,
        "messages",
    )
    body = ours.json()
    assert set(body) <= SEND_API[""]
    assert set(body["recipient"]) == SEND_API["recipient"]
    assert set(body["message"]) <= SEND_API["message"]
    assert body["messaging_type"] in ("RESPONSE", "UPDATE", "MESSAGE_TAG", "UTILITY")
    if "attachment" in body["message"]:
        assert set(body["message"]["attachment"]) == {"type", "payload"}
        assert body["message"]["attachment"]["type"] in ("audio", "file", "image", "template", "video")


THINKIFIC: dict[tuple[str, str], set[str]] = {
    ("GET", "/users"): set(),
    ("POST", "/users"): {"first_name", "last_name", "email", "send_welcome_email"},
    ("GET", "/enrollments"): set(),
    ("POST", "/enrollments"): {"course_id", "user_id", "activated_at", "expiry_date"},
    ("PUT", "/enrollments"): {"activated_at", "expiry_date"},
}
"""Operations and fields of the public API's description; developers.thinkific.com/api/api-documentation."""
THINKIFIC_QUERIES = {"query[email]", "query[user_id]", "query[course_id]", "page", "limit"}


async def test_thinkific(families: Families, recorded: Recorded) -> None:
    """R-ACT: paths, headers, queries and names as the public API's description has them."""
    settings = {
        "subdomain": SUBDOMAIN,
        "base_url": f"{recorded.url}/thinkific",
        "course_ids": {"masterclass": 101},
    }
    await families.put(families.membership, "courses", "thinkific", settings, {"api_key": API_KEY})
    before = len(recorded.asked)
    contact = {"email": "ada@example.test", "first_name": "Ada", "last_name": "Lovelace"}
    grant = {"course": "masterclass", "duration_days": 3}
    for config in (grant, {"course": "masterclass"}):
        await families.done(families.membership, "grant_course_access", config, **contact)
    await families.done(families.membership, "revoke_course_access", {"course": "masterclass"}, **contact)
    asked = recorded.asked[before:]
    met = set()
    for one in asked:
        path, _, query = one.path.removeprefix("/thinkific/api/public/v1").partition("?")
        operation = one.method, "/" + path.split("/")[1]
        met.add(operation)
        assert (one.headers["x-auth-api-key"], one.headers["x-auth-subdomain"]) == (API_KEY, SUBDOMAIN)
        assert {name for name, _ in parse_qsl(query)} <= THINKIFIC_QUERIES
        if one.method != "GET":
            assert set(one.json()) <= THINKIFIC[operation]
            assert one.headers["content-type"] == "application/json"
    assert met == set(THINKIFIC)
