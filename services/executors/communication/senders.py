"""Gives actions the client of the provider their account chose for a channel; the family's tools hold one."""

from contextlib import AbstractAsyncContextManager
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
    def acting(
        self, account_id: int, channel: Literal["sms", "voice"]
    ) -> AbstractAsyncContextManager[Twilio]: ...

    @overload
    def acting(self, account_id: int, channel: Literal["messenger"]) -> AbstractAsyncContextManager[Meta]: ...

    def acting(
        self, account_id: int, channel: Channel
    ) -> AbstractAsyncContextManager[Twilio] | AbstractAsyncContextManager[Meta]:
        """Act as an account by the client of its provider; as Chosen.acting."""
        match channel:
            case "sms":
                return self.sms.acting(account_id)
            case "voice":
                return self.voice.acting(account_id)
            case "messenger":
                return self.messenger.acting(account_id)


class HasSenders(Protocol):
    """What an action of this family needs of its tools."""

    @property
    def senders(self) -> Senders:
        """Who has the clients."""
        ...
