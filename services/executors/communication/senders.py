"""Gives actions the client of the provider their account chose for a channel; the family's tools hold one."""

from collections.abc import Mapping
from typing import Final, Literal, Protocol, TypeAlias, overload

from services.executors.action import Certainty, ErrorClass, Failed
from services.executors.communication.callback_urls import CallbackUrls
from services.executors.communication.meta import Meta
from services.executors.communication.provider_http import ProviderHttp
from services.executors.communication.twilio import Twilio
from services.executors.providers.provider import ProviderAccount, ProviderError

_MOST_KEPT: Final = 1024

Channel: TypeAlias = Literal["sms", "voice", "messenger"]


class Accounts(Protocol):
    """Where the accounts' choices of providers are kept."""

    async def get(self, account_id: int, channel: str) -> ProviderAccount | None:
        """Give the account's standing for a channel; None if it chose nobody."""
        ...


class Senders(Protocol):
    """What actions ask for a client."""

    @overload
    async def for_(self, account_id: int, channel: Literal["sms", "voice"]) -> Twilio: ...

    @overload
    async def for_(self, account_id: int, channel: Literal["messenger"]) -> Meta: ...

    async def for_(self, account_id: int, channel: Channel) -> Twilio | Meta:
        """Give the client of an account's provider. Raises ProviderError if there is none that works."""
        ...


class HasSenders(Protocol):
    """What an action of this family needs of its tools."""

    @property
    def senders(self) -> Senders:
        """Who has the clients."""
        ...


class KnownAccounts:
    """Choices that are known beforehand, by account and channel."""

    def __init__(self, accounts: Mapping[tuple[int, str], ProviderAccount]) -> None:
        self._accounts = accounts

    async def get(self, account_id: int, channel: str) -> ProviderAccount | None:
        """Give the account's standing for a channel; None if it chose nobody."""
        return self._accounts.get((account_id, channel))


class AccountSenders:
    """Makes each account's clients, and keeps them until the account's choice changes."""

    def __init__(self, accounts: Accounts, http: ProviderHttp, urls: CallbackUrls) -> None:
        self._accounts = accounts
        self._http = http
        self._urls = urls
        self._kept: dict[tuple[int, str], Twilio | Meta] = {}

    @overload
    async def for_(self, account_id: int, channel: Literal["sms", "voice"]) -> Twilio: ...

    @overload
    async def for_(self, account_id: int, channel: Literal["messenger"]) -> Meta: ...

    async def for_(self, account_id: int, channel: Channel) -> Twilio | Meta:
        """Give the client of an account's provider. Raises ProviderError if there is none that works."""
        account = await self._accounts.get(account_id, channel)
        if account is None:
            raise _refused("NO_PROVIDER", f"the account has no provider for {channel}", "")
        kept = self._kept.pop((account_id, channel), None)
        if kept is None or kept.account.revision != account.revision:
            kept = self._made(account)
        self._kept[account_id, channel] = kept  # at the end: those not asked for longest go first
        if len(self._kept) > _MOST_KEPT:
            self._kept.pop(next(iter(self._kept)))
        return kept

    def _made(self, account: ProviderAccount) -> Twilio | Meta:
        match account.channel, account.provider:
            case (("sms" | "voice"), "twilio"):
                return Twilio(account, self._http, self._urls)
            case "messenger", "meta":
                return Meta(account, self._http)
            case channel, other:
                raise _refused("PROVIDER_UNKNOWN", f"{other} does not serve {channel}", other)


def _refused(code: str, text: str, provider: str) -> ProviderError:
    return ProviderError(Failed(ErrorClass.CONFIGURATION, code, text, Certainty.NOT_DONE, provider=provider))
