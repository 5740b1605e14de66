"""Talks to Twilio for one account: messages, calls, and what its callbacks tell; senders.py makes it.

Twilio knows no idempotency keys: a request whose answer is lost is uncertain.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, ValidationError

from services.executors.action import (
    Call,
    Certainty,
    ErrorClass,
    Failed,
    Result,
    Skipped,
    succeeded,
)
from services.executors.gate import SendGate
from services.executors.phone import phone_faults
from services.executors.phone.asking import Asking
from services.executors.phone.callback_urls import CallbackUrls
from services.executors.phone.twilio_account import TwilioCredentials, TwilioSettings
from services.executors.phone.twilio_callbacks import CallState, read_callback, verify
from services.executors.providers.http_exchange import HttpRequest, ProviderHttp
from services.executors.providers.offering import Offered
from services.executors.providers.provider import Answered, Callback, Happening, ProviderAccount

PROVIDER: Final = phone_faults.TWILIO

_PAGE: Final = 100
_SKEW: Final = timedelta(seconds=5)
_LATEST: Final = timedelta(seconds=30)
"""How long before and after its request a message may have been made: clocks differ, and requests queue."""


class _Resource(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    sid: str
    status: str


class Message(_Resource):
    """A message as Twilio describes it."""

    num_segments: int | None = None
    body: str = ""
    direction: str = ""
    date_created: str = ""


class PhoneCall(_Resource):
    """A call as Twilio describes it."""

    answered_by: str | None = None
    duration: int | None = None

    def state(self) -> CallState:
        """Give what is the same in a status callback."""
        return CallState(self.sid, self.status, self.answered_by or "", self.duration or 0)


class _Messages(BaseModel):
    messages: Sequence[Message]
    next_page_uri: str | None = None


class _Refusal(BaseModel):
    code: int | None = None


def offered(http: ProviderHttp, urls: CallbackUrls) -> "Offered[Twilio]":
    """What accounts may choose."""
    return Offered(TwilioSettings, TwilioCredentials, lambda account: Twilio(account, http, urls))


class Twilio:
    """One account's Twilio, for sms or voice."""

    def __init__(self, account: ProviderAccount, http: ProviderHttp, urls: CallbackUrls) -> None:
        """Raises ValidationError for a choice that cannot work."""
        self.account = account
        self.urls = urls
        self.settings = TwilioSettings.model_validate(dict(account.settings))
        self._credentials = TwilioCredentials.model_validate(dict(account.credentials))
        user, password = self._credentials.login(self.settings.account_sid)
        self._login = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self._root = f"{self.settings.base_url.rstrip('/')}/2010-04-01/Accounts/{self.settings.account_sid}"
        lane = f"twilio:{self.settings.account_sid}"
        self._asking = Asking(http, PROVIDER, account.channel, lane, _own_code)

    async def send_message(self, form: Sequence[tuple[str, str]], gate: SendGate) -> Message | Skipped:
        """Send a message, as Messages.json takes it. Raises ProviderError, AttemptStoppedError."""
        fields = dict(form)
        refs = (
            ("to", fields["To"]),
            ("body_sha256", _digest(fields.get("Body", ""))),
            ("begun_at", datetime.now(UTC).isoformat()),
        )
        return await self._asking.do(self._posted("Messages.json", form), gate, Message, refs)

    async def place_call(self, form: Sequence[tuple[str, str]], gate: SendGate) -> PhoneCall | Skipped:
        """Call somebody, as Calls.json takes it. Raises ProviderError, AttemptStoppedError."""
        return await self._asking.do(self._posted("Calls.json", form), gate, PhoneCall)

    async def message(self, sid: str) -> Message:
        """Read one message. Raises ProviderError."""
        return await self._asking.read(self._got(f"Messages/{sid}.json"), Message)

    async def phone_call(self, sid: str) -> PhoneCall:
        """Read one call. Raises ProviderError."""
        return await self._asking.read(self._got(f"Calls/{sid}.json"), PhoneCall)

    async def find_message(self, refs: Mapping[str, str]) -> Message | None:
        """Give the one message that a lost request made, by its recipient, text and time.

        An equal text to the same number within these seconds, by another effect, would be taken for it. None
        proves nothing: a message still queued has no date to be found by, and Twilio may list late. Raises
        ProviderError.
        """
        begun = datetime.fromisoformat(refs["begun_at"])
        query = {"To": refs["to"], "DateSent>": f"{begun - _SKEW:%Y-%m-%d}", "PageSize": str(_PAGE)}
        listed = await self._asking.read(self._got("Messages.json", query), _Messages)
        alike = [
            one
            for one in listed.messages
            if one.direction.startswith("outbound")
            and _digest(one.body) == refs["body_sha256"]
            and begun - _SKEW <= _instant(one.date_created) <= begun + _LATEST
        ]
        return alike[0] if len(alike) == 1 and listed.next_page_uri is None else None

    def status_callback(self, call: Call[Any], carried: bytes = b"") -> str:
        """Give the URL at which Twilio tells of this effect; empty if it cannot reach us."""
        channel = self.account.channel
        return self.urls.make(PROVIDER, channel, call.key, call.contact_id, carried)

    def callback(self, request: Callback) -> Answered:
        """Verify and read one. Raises CallbackRefusedError."""
        fields = verify(request, self._credentials.auth_token, self.settings.account_sid)
        return read_callback(request, fields, self.urls, self.account)

    def _posted(self, path: str, form: Sequence[tuple[str, str]]) -> HttpRequest:
        headers = {"Authorization": self._login, "Content-Type": "application/x-www-form-urlencoded"}
        return HttpRequest("POST", f"{self._root}/{path}", headers, None, urlencode(form).encode())

    def _got(self, path: str, query: Mapping[str, str] | None = None) -> HttpRequest:
        return HttpRequest("GET", f"{self._root}/{path}", {"Authorization": self._login}, query)


def call_result(call: CallState) -> Result | None:
    """Give the result of an action whose call has ended, by its last callback or as polled; None before.

    That nobody answered is a result, to branch on; that the call could not be made is a failure.
    """
    match call.status:
        case "completed" | "busy" | "no-answer" | "canceled":
            output = {
                "status": call.status,
                "answered_by": call.answered_by,
                "duration": call.duration_s,
                "dropped": call.dropped,
            }
            return succeeded(output, refs={"call_sid": call.sid})
        case "failed":
            text = "the call could not be put through"
            return Failed(ErrorClass.CONTACT_DATA, "CALL_FAILED", text, Certainty.NOT_DONE, provider=PROVIDER)
        case _:
            return None


def result_of(happening: Happening) -> Result | None:
    """Give the result of the action whose call a callback tells of; None if it tells of no call's end."""
    told = happening.attributes
    sid, status, answered_by, duration = (
        told.get(name) for name in ("sid", "status", "answered_by", "duration")
    )
    if not happening.type.startswith("call_") or not isinstance(duration, int):
        return None
    return call_result(CallState(str(sid), str(status), str(answered_by), duration))


def _own_code(body: bytes) -> tuple[str, ...]:
    try:
        code = _Refusal.model_validate_json(body).code
    except ValidationError:
        return ()
    return (str(code),) if code else ()


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _instant(text: str) -> datetime:
    """Read Twilio's dates, e.g. "Thu, 26 Nov 2026 01:50:29 +0000"; a strange one is long past."""
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)
