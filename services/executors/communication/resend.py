"""E-mail through Resend's API, which honours the effect's key for 24 hours.

So an attempt whose answer is lost asks again with the same key and the same message, and mostly learns what
became of it; only what stays unanswered then is uncertain.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from email.headerregistry import Address as Written
from typing import Annotated, Final

import orjson
from pydantic import AfterValidator, StringConstraints
from yarl import URL

from services.executors.action import Certainty, Failed, JsonObject
from services.executors.communication.email import CHANNEL, Accepted, EmailSettings, OutgoingEmail
from services.executors.communication.resend_events import RECIPIENT, TOKEN, EventReader, svix_secret
from services.executors.gate import SendGate
from services.executors.mail import email_faults
from services.executors.mail.addresses import Sender
from services.executors.mail.email_faults import Fault
from services.executors.providers.effect_token import EffectTokens
from services.executors.providers.http_exchange import Answer, NoAnswerError, ProviderHttp, pause_asked
from services.executors.providers.offering import BaseUrl, Offered, ProviderCredentials, Secret
from services.executors.providers.provider import Answered, Callback, ProviderAccount, ProviderError
from services.executors.providers.signed import recipient_mark

_PAUSES_S: Final = (0.0, 0.5, 2.0)
"""Before each asking again: the first follows at once, as the connection was most likely at fault."""
_OTHER_MESSAGE: Final = "INVALID_IDEMPOTENT_REQUEST"
"""The key stands for another message of this effect, and will for a day."""
_TAG_MAX: Final = 256


class ResendSettings(EmailSettings):
    """What may be shown of an account's standing with Resend."""

    base_url: BaseUrl = "https://api.resend.com"


class ResendCredentials(ProviderCredentials):
    """The account's key, and the secret of its webhook; without that no event is taken."""

    api_key: Secret
    webhook_secret: Annotated[str, StringConstraints(max_length=200), AfterValidator(svix_secret)] = ""


class ResendProvider:
    """One account at Resend."""

    name = email_faults.RESEND

    def __init__(
        self,
        account_id: int,
        settings: ResendSettings,
        credentials: ResendCredentials,
        http: ProviderHttp,
        tokens: EffectTokens,
    ) -> None:
        self._url = URL(settings.base_url) / "emails"
        self._headers = {
            "Authorization": f"Bearer {credentials.api_key}",
            "Content-Type": "application/json",
        }
        self._http = http
        self._events = EventReader(account_id, credentials.webhook_secret, tokens)
        self.sender: Sender = settings.sender

    async def send(self, message: OutgoingEmail, gate: SendGate) -> Accepted:
        """Hand over one message. Raises ProviderError, AttemptStoppedError."""
        headers = {**self._headers, "Idempotency-Key": str(message.key)}
        body = orjson.dumps(request(message))
        outcome = await self._post(headers, body, gate)
        for pause_s in _PAUSES_S:
            if isinstance(outcome, Accepted) or not _worth_asking_again(outcome):
                break
            await asyncio.sleep(pause_s)
            # The gate is passed, the effect has begun. Only a yes is news of it: a no is of this request.
            again = await self._post(headers, body, None)
            outcome = again if isinstance(again, Accepted) else outcome
        if isinstance(outcome, Failed):
            raise ProviderError(outcome)
        return outcome

    def callback(self, request: Callback) -> Answered:
        """Read a webhook. Raises CallbackRefusedError."""
        return self._events.read(request)

    async def _post(
        self, headers: Mapping[str, str], body: bytes, gate: SendGate | None
    ) -> Accepted | Failed:
        try:
            answer = await self._http.post(self._url, headers, body, gate)
        except NoAnswerError as error:
            if not error.sent:
                return email_faults.unreachable(self.name, refused=error.refused)
            return email_faults.failure(Fault(self.name, 0, timed_out=error.timed_out))
        if not 200 <= answer.status < 300:
            return email_faults.failure(_fault(answer), CHANNEL)
        told = answer.json()
        given = told.get("id") if isinstance(told, Mapping) else None
        return Accepted({"resend_email_id": str(given or "")})


def request(message: OutgoingEmail) -> JsonObject:
    """The body of the request: the same over all attempts, or Resend would refuse the key."""
    sender = str(Written(message.sender.name, addr_spec=message.sender.address))
    tags = [("category", one) for one in message.categories[:1]]
    if len(message.token) <= _TAG_MAX:
        tags.append((TOKEN, message.token))
        tags.append((RECIPIENT, recipient_mark(message.token, message.recipient)))
    body: JsonObject = {
        "from": sender,
        "to": [message.recipient],
        "subject": message.subject,
        "headers": dict(message.headers),
        "tags": [{"name": name, "value": value} for name, value in tags],
    }
    optional: JsonObject = {
        "text": message.text,
        "html": message.html,
        "cc": list(message.cc),
        "bcc": list(message.bcc),
        "reply_to": message.reply_to,
    }
    return body | {name: value for name, value in optional.items() if value}


def _worth_asking_again(failed: Failed) -> bool:
    return failed.certainty is Certainty.INDETERMINATE and failed.code != _OTHER_MESSAGE


def _fault(answer: Answer) -> Fault:
    told = answer.json()
    name = told.get("name") if isinstance(told, Mapping) else None
    pause = pause_asked(answer.status, answer.headers, datetime.now(UTC))
    return Fault(email_faults.RESEND, answer.status, name if isinstance(name, str) else "", retry_after=pause)


def offered(http: ProviderHttp, tokens: EffectTokens) -> Offered[ResendProvider]:
    """What accounts may choose."""

    def make(account: ProviderAccount) -> ResendProvider:
        settings = ResendSettings.model_validate(dict(account.settings))
        credentials = ResendCredentials.model_validate(dict(account.credentials))
        return ResendProvider(account.account_id, settings, credentials, http, tokens)

    return Offered(ResendSettings, ResendCredentials, make)
