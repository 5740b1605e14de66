"""Gives actions the client of the provider their account chose for a channel; the family's tools hold one."""

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, overload

from services.executors.communication.meta import Meta
from services.executors.phone.twilio import Twilio
from services.executors.providers.offering import Chosen

Channel: TypeAlias = Literal["sms", "voice", "messenger"]


@dataclass(frozen=True, slots=True)
class Senders:
    """The clients of these channels."""

    sms: Chosen[Twilio]
    voice: Chosen[Twilio]
    messenger: Chosen[Meta]

    @overload
    async def for_(self, account_id: int, channel: Literal["sms", "voice"]) -> Twilio: ...

    @overload
    async def for_(self, account_id: int, channel: Literal["messenger"]) -> Meta: ...

    async def for_(self, account_id: int, channel: Channel) -> Twilio | Meta:
        """Give the client of an account's provider. Raises ProviderError if there is none that works."""
        match channel:
            case "sms":
                return await self.sms.of(account_id)
            case "voice":
                return await self.voice.of(account_id)
            case "messenger":
                return await self.messenger.of(account_id)


class HasSenders(Protocol):
    """What an action of this family needs of its tools."""

    @property
    def senders(self) -> Senders:
        """Who has the clients."""
        ...
