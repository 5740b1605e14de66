"""Our requests beside those of the providers' own clients, asked for the same, at the same sandbox on loopback.

R-ACT: method, path, login, content type and every field agree.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import resend
import sendgrid
from sendgrid.helpers import mail as sendgrid_mail
from slack_sdk import WebClient
from slack_sdk.webhook import WebhookClient
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client as TwilioClient

from services.local.postgres import Postgres
from services.local.sandboxes.slack import BOT_TOKEN, HOOK
from services.local.sandboxes.twilio import ACCOUNT_SID, AUTH_TOKEN
from tests.contract.executors.membership_world import MembershipWorld
from tests.contract.executors.notification_world import Notices
from tests.contract.executors.recorded_world import Families, Recorded, open_families, open_recorded
from tests.contract.executors.world import Client

FROM, TO = "+15005550006", "+12025550123"


@pytest.fixture(scope="module")
async def recorded() -> AsyncIterator[Recorded]:
    async with open_recorded() as served:
        yield served


@pytest.fixture(scope="module")
async def families(
    recorded: Recorded,
    postgres: Postgres,
    keyring: Path,
    communication: Client,
    notices: Notices,
    membership: MembershipWorld,
) -> AsyncIterator[Families]:
    """On the databases of these three."""
    async with open_families(recorded, postgres, keyring) as opened:
        yield opened


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
