"""Talks to Messenger for one account's page, and reads what Meta calls us with; senders.py makes it.

Meta knows no idempotency keys: a request whose answer is lost is uncertain, and nothing can be searched.
"""

import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Final
from urllib.parse import parse_qs, urlsplit

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from services.executors.action import JsonObject, Skipped
from services.executors.gate import SendGate
from services.executors.phone import phone_faults
from services.executors.phone.asking import Asking
from services.executors.phone.opting import is_opt_in, is_opt_out
from services.executors.providers.http_exchange import HttpRequest, ProviderHttp
from services.executors.providers.offering import BaseUrl, Offered, ProviderCredentials, ProviderSettings
from services.executors.providers.provider import (
    Answered,
    Callback,
    CallbackRefusedError,
    Happening,
    ProviderAccount,
)

PROVIDER: Final = phone_faults.META

_VERSION: Final = "v25.0"


class MetaSettings(ProviderSettings):
    """What may be shown."""

    page_id: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,32}$")]
    base_url: BaseUrl = "https://graph.facebook.com"


class MetaCredentials(ProviderCredentials):
    """What the page's messages are sent with, and Meta's callbacks are known by."""

    page_token: Annotated[str, StringConstraints(min_length=1)]
    app_secret: str = ""
    verify_token: str = ""


class _Seen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Taken(_Seen):
    """Meta's answer to a message."""

    message_id: str
    recipient_id: str = ""


class _Error(_Seen):
    code: int
    error_subcode: int | None = None


class _Refusal(_Seen):
    error: _Error


class _Party(_Seen):
    id: str


class _Message(_Seen):
    mid: str
    text: str = ""
    is_echo: bool = False


class _Postback(_Seen):
    mid: str = ""
    title: str = ""
    payload: str = ""


class _Delivery(_Seen):
    watermark: int
    mids: Sequence[str] = ()


class _Read(_Seen):
    watermark: int


class _Event(_Seen):
    sender: _Party
    timestamp: int | None = None
    message: _Message | None = None
    postback: _Postback | None = None
    delivery: _Delivery | None = None
    read: _Read | None = None


class _Entry(_Seen):
    id: str
    messaging: Sequence[_Event] = ()


class _Notice(_Seen):
    object: str
    entry: Annotated[Sequence[_Entry], Field(max_length=1000)] = ()


def offered(http: ProviderHttp) -> "Offered[Meta]":
    """What accounts may choose."""
    return Offered(MetaSettings, MetaCredentials, lambda account: Meta(account, http))


class Meta:
    """One account's page on Messenger."""

    def __init__(self, account: ProviderAccount, http: ProviderHttp) -> None:
        """Raises ValidationError for a choice that cannot work."""
        self.account = account
        self.settings = MetaSettings.model_validate(dict(account.settings))
        self._credentials = MetaCredentials.model_validate(dict(account.credentials))
        page = self.settings.page_id
        self._url = f"{self.settings.base_url.rstrip('/')}/{_VERSION}/{page}/messages"
        self._asking = Asking(http, PROVIDER, account.channel, f"meta:{page}", _own_codes)

    async def send(self, message: Mapping[str, object], gate: SendGate) -> Taken | Skipped:
        """Send a message, as the Send API takes it. Raises ProviderError, AttemptStoppedError."""
        headers = {
            "Authorization": f"Bearer {self._credentials.page_token}",
            "Content-Type": "application/json",
        }
        request = HttpRequest("POST", self._url, headers, None, orjson.dumps(dict(message)))
        return await self._asking.do(request, gate, Taken)

    def callback(self, request: Callback) -> Answered:
        """Verify and read one; a GET is Meta's question whether it is us. Raises CallbackRefusedError."""
        if request.method == "GET":
            return self._challenged(request.url)
        self._verify(request)
        try:
            notice = _Notice.model_validate_json(request.body)
        except ValidationError:
            raise CallbackRefusedError("MALFORMED") from None
        if notice.object != "page":
            return Answered(())
        entries = [entry for entry in notice.entry if entry.id == self.settings.page_id]
        return Answered(
            tuple(
                happening
                for entry in entries
                for event in entry.messaging
                for happening in _happenings(event, request.received_at)
            )
        )

    def _challenged(self, url: str) -> Answered:
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        ours, theirs = self._credentials.verify_token, query.get("hub.verify_token", "")
        same = bool(ours) and hmac.compare_digest(ours.encode(), theirs.encode())
        if not same or query.get("hub.mode") != "subscribe":
            raise CallbackRefusedError("VERIFY_TOKEN_WRONG")
        return Answered((), query.get("hub.challenge", "").encode())

    def _verify(self, request: Callback) -> None:
        secret = self._credentials.app_secret
        if not secret:
            raise CallbackRefusedError("NO_SECRET")
        given = request.headers.get("x-hub-signature-256", "")
        if not given:
            raise CallbackRefusedError("SIGNATURE_MISSING")
        made = "sha256=" + hmac.digest(secret.encode(), request.body, sha256).hex()
        if not hmac.compare_digest(made.encode(), given.encode()):
            raise CallbackRefusedError("SIGNATURE_WRONG")


def _own_codes(body: bytes) -> tuple[str, ...]:
    try:
        error = _Refusal.model_validate_json(body).error
    except ValidationError:
        return ()
    plain = str(error.code)
    return (f"{plain}/{error.error_subcode}", plain) if error.error_subcode else (plain,)


def _happenings(event: _Event, received_at: datetime) -> list[Happening]:
    """Give what one event tells: a reply, deliveries, or a reading."""
    person = event.sender.id
    when = _instant(event.timestamp, received_at)

    def told(name: str, kind: str, attributes: JsonObject, at: datetime = when) -> Happening:
        return Happening(name, kind, at, address=person, attributes=attributes)

    if event.message is not None and not event.message.is_echo:
        attributes: JsonObject = {"mid": event.message.mid, "text": event.message.text}
        return [told(event.message.mid, _kind_of(event.message.text), attributes)]
    if event.postback is not None:
        name = event.postback.mid or f"{person}:{event.timestamp}:postback"
        attributes = {"mid": name, "text": event.postback.title, "payload": event.postback.payload}
        return [told(name, "messenger_reply", attributes)]
    if event.delivery is not None:
        mark = event.delivery.watermark
        names = event.delivery.mids or (f"{person}:{mark}",)
        at = _instant(mark, received_at)
        return [told(f"{mid}:delivered", "messenger_delivered", {"mid": mid}, at) for mid in names]
    if event.read is not None:
        mark = event.read.watermark
        return [told(f"{person}:{mark}:read", "messenger_read", {"watermark": mark})]
    return []


def _kind_of(text: str) -> str:
    if is_opt_out(text):
        return "messenger_opt_out"
    return "messenger_opt_in" if is_opt_in(text) else "messenger_reply"


def _instant(milliseconds: int | None, otherwise: datetime) -> datetime:
    try:
        return datetime.fromtimestamp((milliseconds or 0) / 1000, UTC) if milliseconds else otherwise
    except (OverflowError, ValueError, OSError):
        return otherwise
