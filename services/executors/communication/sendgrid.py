"""E-mail through SendGrid's v3 API. It knows no keys: what is uncertain stays so until its events tell.

Requests are those of Twilio's published description of `POST /v3/mail/send`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import orjson
from pydantic import AfterValidator, StringConstraints
from yarl import URL

from services.executors.action import JsonObject
from services.executors.communication.email import CHANNEL, Accepted, EmailSettings, OutgoingEmail
from services.executors.communication.sendgrid_events import RECIPIENT, TOKEN, EventReader, verification_key
from services.executors.gate import SendGate
from services.executors.mail import email_faults
from services.executors.mail.addresses import Sender
from services.executors.mail.email_faults import Fault
from services.executors.providers.effect_token import EffectTokens
from services.executors.providers.http_exchange import Answer, NoAnswerError, ProviderHttp, pause_asked
from services.executors.providers.offering import BaseUrl, Offered, ProviderCredentials, Secret
from services.executors.providers.provider import Answered, Callback, ProviderAccount, ProviderError
from services.executors.providers.signed import recipient_mark


class SendGridSettings(EmailSettings):
    """What may be shown of an account's standing with SendGrid."""

    base_url: BaseUrl = "https://api.sendgrid.com"
    webhook_public_key: Annotated[
        str, StringConstraints(max_length=500), AfterValidator(verification_key)
    ] = ""
    """The event webhook's verification key; without it no event is taken."""


class SendGridCredentials(ProviderCredentials):
    """The account's key."""

    api_key: Secret


class SendGridProvider:
    """One account at SendGrid."""

    name = email_faults.SENDGRID

    def __init__(
        self,
        account_id: int,
        settings: SendGridSettings,
        credentials: SendGridCredentials,
        http: ProviderHttp,
        tokens: EffectTokens,
    ) -> None:
        self._url = URL(settings.base_url) / "v3/mail/send"
        self._headers = {
            "Authorization": f"Bearer {credentials.api_key}",
            "Content-Type": "application/json",
        }
        self._http = http
        self._events = EventReader(account_id, settings.webhook_public_key, tokens)
        self.sender: Sender = settings.sender

    async def send(self, message: OutgoingEmail, gate: SendGate) -> Accepted:
        """Hand over one message. Raises ProviderError, AttemptStoppedError."""
        try:
            answer = await self._http.post(self._url, self._headers, orjson.dumps(request(message)), gate)
        except NoAnswerError as error:
            if not error.sent:
                failed = email_faults.unreachable(self.name, refused=error.refused)
                raise ProviderError(failed) from None
            fault = Fault(self.name, 0, timed_out=error.timed_out)
            raise ProviderError(email_faults.failure(fault)) from None
        if not 200 <= answer.status < 300:
            raise ProviderError(email_faults.failure(_fault(answer), CHANNEL))
        return Accepted({"sendgrid_message_id": answer.headers.get("X-Message-Id", "")})

    def callback(self, request: Callback) -> Answered:
        """Read a post of the Event Webhook. Raises CallbackRefusedError."""
        return self._events.read(request)


def request(message: OutgoingEmail) -> JsonObject:
    """The body of the request. An address may appear once over to, cc and bcc, or all is refused."""
    seen = {message.recipient.lower()}
    to: JsonObject = {"to": [{"email": message.recipient}]}
    for field, copies in (("cc", message.cc), ("bcc", message.bcc)):
        fresh = [address for address in dict.fromkeys(copies) if address.lower() not in seen]
        seen.update(address.lower() for address in fresh)
        if fresh:
            to[field] = [{"email": address} for address in fresh]
    mark = recipient_mark(message.token, message.recipient)
    to["custom_args"] = {TOKEN: message.token, RECIPIENT: mark}
    content = [("text/plain", message.text), ("text/html", message.html)]
    body: JsonObject = {
        "personalizations": [to],
        "from": _named(message.sender),
        "subject": message.subject,
        "content": [{"type": kind, "value": value} for kind, value in content if value],
        "categories": list(message.categories),
        # Links and pixels of our own are in the message if they are wanted.
        "tracking_settings": {"click_tracking": {"enable": False}, "open_tracking": {"enable": False}},
    }
    if message.headers:
        body["headers"] = dict(message.headers)
    if message.reply_to:
        body["reply_to"] = {"email": message.reply_to}
    return body


def _named(sender: Sender) -> JsonObject:
    return {"email": sender.address, **({"name": sender.name} if sender.name else {})}


def _fault(answer: Answer) -> Fault:
    """SendGrid names no kinds of faults; the first one's field says most."""
    told = answer.json()
    faults = told.get("errors") if isinstance(told, Mapping) else None
    first = faults[0] if isinstance(faults, list) and faults else None
    field = first.get("field") if isinstance(first, Mapping) else None
    pause = pause_asked(answer.status, answer.headers, datetime.now(UTC))
    return Fault(
        email_faults.SENDGRID, answer.status, field if isinstance(field, str) else "", retry_after=pause
    )


def offered(http: ProviderHttp, tokens: EffectTokens) -> Offered[SendGridProvider]:
    """What accounts may choose."""

    def make(account: ProviderAccount) -> SendGridProvider:
        settings = SendGridSettings.model_validate(dict(account.settings))
        credentials = SendGridCredentials.model_validate(dict(account.credentials))
        return SendGridProvider(account.account_id, settings, credentials, http, tokens)

    return Offered(SendGridSettings, SendGridCredentials, make)
