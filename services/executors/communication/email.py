"""The e-mail channel's protocol: what every provider of it is given and gives back; send_email is its caller.

A provider that could tell afterwards whether it took a message would say so by a method of its own; none can:
SMTP and SendGrid keep no keys, and repeating a message at Resend is sending it, not asking.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Protocol

from pydantic import AfterValidator, StringConstraints

from services.executors.action import EffectKey
from services.executors.gate import SendGate
from services.executors.mail.addresses import Sender, deliverable
from services.executors.providers.offering import ProviderSettings
from services.executors.providers.provider import Calls

CHANNEL = "email"
NO_CONTROL = r"^[^\x00-\x1f\x7f\x85\u2028\u2029]*$"

Address = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=320), AfterValidator(deliverable)
]


class EmailSettings(ProviderSettings):
    """What every provider of the channel is told: whom an account's messages come from."""

    from_email: Address
    from_name: Annotated[str, StringConstraints(max_length=200, pattern=NO_CONTROL)] = ""

    @property
    def sender(self) -> Sender:
        """As messages show it."""
        return Sender(self.from_name, self.from_email)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingEmail:
    """One message, complete."""

    key: EffectKey
    token: str
    """Names the effect to the world: providers give it back in callbacks."""
    message_id: str
    """In angle brackets, the same over all attempts."""
    sender: Sender
    recipient: str
    reply_to: str
    """Empty for none."""
    subject: str
    text: str
    html: str
    """One of text and html may be empty."""
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    headers: Mapping[str, str]
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider has taken the message."""

    refs: Mapping[str, str]
    """The provider's own names for it."""


class EmailProvider(Calls, Protocol):
    """An account's provider of e-mail."""

    @property
    def name(self) -> str:
        """The provider's name, e.g. "sendgrid"."""
        ...

    @property
    def sender(self) -> Sender:
        """Whom messages come from unless they say."""
        ...

    async def send(self, message: OutgoingEmail, gate: SendGate) -> Accepted:
        """Hand over one message. Raises ProviderError, AttemptStoppedError."""
        ...
