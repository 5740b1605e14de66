"""What a provider is to its family: who it acts for, how it fails, what its callbacks tell; each provider's
module is written with it.

A provider's class has the methods of its channel (see the channel's module, e.g. communication/email.py), and
`callback`. It is made per ProviderAccount and kept while that account's choice stands.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from services.executors.action import Certainty, Deferred, EffectKey, ErrorClass, Failed, JsonObject

NEEDS_REAUTHORISATION: Final = "NEEDS_REAUTHORISATION"
CREDENTIALS_CHANGED: Final = "CREDENTIALS_CHANGED"

_NO_ATTRIBUTES: Final[JsonObject] = {}
_ASK_AGAIN: Final = timedelta(minutes=15)
"""New credentials wake what waits for them; this is for what came to wait in that very moment."""
_AT_ONCE: Final = timedelta(seconds=1)


class Refusal(NamedTuple):
    """That a provider refuses the account's credentials."""

    code: str
    """The provider's own, e.g. "20003"."""
    meaning: str
    since: datetime


@dataclass(frozen=True, slots=True)
class ProviderAccount:
    """An account's standing with the provider it chose for a channel. `repr` shows no credentials."""

    account_id: int
    channel: str
    """email, sms, voice, messenger, crm, courses, slack, notify_webhook."""
    provider: str
    """The provider's name, e.g. "sendgrid"."""
    settings: Mapping[str, object]
    """What may be shown: senders, page ids, base URL."""
    credentials: Mapping[str, str] = field(repr=False)
    revision: int
    """Raised by every change, so that whoever keeps a client knows it for stale."""
    refusal: Refusal | None = None
    """Set from the first refusal of these credentials until the choice is changed."""


class ProviderError(Exception):
    """The provider did not do it; `failed` is the attempt's result."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.code)
        self.failed = failed


class CredentialsRefusedError(Exception):
    """The provider refuses the account's credentials, and nobody has set new ones: nothing is sent."""

    def __init__(self, account: ProviderAccount) -> None:
        super().__init__(account.provider)
        self._provider = account.provider
        self._text = f"{account.provider} needs new credentials for {account.channel}"

    def deferred(self) -> Deferred:
        """Give the result of an attempt that waits for new ones."""
        return Deferred(_ASK_AGAIN, NEEDS_REAUTHORISATION, self._text, self._provider)

    def failed(self) -> Failed:
        """Give the result of an attempt that does not wait."""
        kind = ErrorClass.AUTHENTICATION
        return Failed(kind, NEEDS_REAUTHORISATION, self._text, Certainty.NOT_DONE, provider=self._provider)


class CredentialsChangedError(CredentialsRefusedError):
    """The provider refused the credentials the attempt went out with, and others have been set meanwhile."""

    def __init__(self, account: ProviderAccount) -> None:
        super().__init__(account)
        self._text = f"the credentials for {account.provider} ({account.channel}) were changed meanwhile"

    def deferred(self) -> Deferred:
        """Give the result of an attempt that is made again with the new ones."""
        return Deferred(_AT_ONCE, CREDENTIALS_CHANGED, self._text, self._provider)

    def failed(self) -> Failed:
        """Give the result of an attempt that does not wait, but may be made again."""
        kind, provider = ErrorClass.SERVER_ERROR, self._provider
        return Failed(kind, CREDENTIALS_CHANGED, self._text, Certainty.NOT_DONE, _AT_ONCE, provider=provider)


class CallbackRefusedError(Exception):
    """A callback that is not the provider's: its signature is missing, wrong or too old. `code` is stable."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Callback(NamedTuple):
    """One HTTP request a provider made to us."""

    method: str
    url: str
    """As the provider called it, with its query: what Twilio signs."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing a callback tells of: an event of a contact to be."""

    id: str
    """The provider's own id of it, stable over repeats, e.g. sg_event_id or "SM…:delivered"."""
    type: str
    """The event's type, e.g. "email_delivered"."""
    occurred_at: datetime
    effect: EffectKey | None = None
    """The effect it is about, where the provider gives ours back."""
    contact_id: uuid.UUID | None = None
    """The contact the effect was done to, where that is known."""
    address: str = ""
    """Whose it is where no effect is known: an e-mail address, a phone number, a page-scoped id."""
    attributes: JsonObject = field(default_factory=lambda: dict(_NO_ATTRIBUTES))


class Answered(NamedTuple):
    """What a verified callback tells, and what the provider is to be answered."""

    happenings: Sequence[Happening]
    body: bytes = b""
    content_type: str = "text/plain"
    status: int = 200
    location: str = ""
    """Where the caller is sent on; empty for nowhere."""


class Calls(Protocol):
    """What every provider does with callbacks."""

    def callback(self, request: Callback) -> Answered:
        """Verify and read one. Raises CallbackRefusedError; a malformed body is refused as MALFORMED."""
        ...
