"""What a family offers accounts to choose from, and the clients made of their choices.

A family's `__main__.py` gives its offers to `Parts.providers`, and a Chosen per channel to its actions; the
ProviderService checks what is chosen against the offers.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar, runtime_checkable

import asyncpg
import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError
from yarl import URL

from services.executors.action import Certainty, ErrorClass, Failed
from services.executors.providers.accounts import ProviderAccounts
from services.executors.providers.provider import (
    CredentialsChangedError,
    CredentialsRefusedError,
    ProviderAccount,
    ProviderError,
)
from services.runtime.database import DatabaseUnavailableError
from services.runtime.errors import Violation
from services.runtime.keyring import KeyringError

log = structlog.get_logger(__name__)

_CLIENTS_KEPT: Final = 512
_LOST: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    DatabaseUnavailableError,
    OSError,
)

P = TypeVar("P")
P_co = TypeVar("P_co", covariant=True)


def _base_url(text: str) -> str:
    try:
        url = URL(text)
    except ValueError:
        raise ValueError("is not a URL") from None
    if url.scheme not in ("http", "https") or not url.host or url.user or url.query or url.fragment:
        raise ValueError("must be an http or https URL without credentials and query")
    return text.rstrip("/")


BaseUrl = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500), AfterValidator(_base_url)]
"""Where a provider's API is, if not where it always is."""
Secret = Annotated[str, StringConstraints(min_length=1, max_length=4000, pattern=r"^[\x21-\x7e]+$")]
"""A credential that goes into a header."""


class ProviderSettings(BaseModel):
    """The base of what may be shown of a choice: frozen, and nothing that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ProviderCredentials(BaseModel):
    """The base of what may not; `repr` shows nothing of it. Every field is a text."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def __repr_args__(self) -> Any:
        """Show nothing."""
        return ()


class ChoiceRefusedError(Exception):
    """Settings or credentials that the provider cannot be used with."""

    def __init__(self, violations: list[Violation]) -> None:
        super().__init__(f"{len(violations)} faults")
        self.violations = violations


@dataclass(frozen=True, slots=True)
class Offered(Generic[P_co]):
    """One provider: what it must be told, and how its client is made of an account's choice."""

    settings: type[ProviderSettings]
    credentials: type[ProviderCredentials]
    make: Callable[[ProviderAccount], P_co]
    """Raises ValidationError for a choice that `checked` would refuse."""

    def checked(self, account: ProviderAccount) -> ProviderAccount:
        """Give the choice in its stored form. Raises ChoiceRefusedError naming every fault."""
        violations: list[Violation] = []
        settings = _read(self.settings, account.settings, "settings", violations)
        read = _read(self.credentials, account.credentials, "credentials", violations)
        credentials = {name: value for name, value in read.items() if value}
        if violations:
            raise ChoiceRefusedError(violations)
        return ProviderAccount(
            account.account_id, account.channel, account.provider, settings, credentials, account.revision
        )


Offers: TypeAlias = Mapping[str, Offered[P]]
"""By the provider's name."""


@runtime_checkable
class Closable(Protocol):
    """A client that holds something open."""

    def close(self) -> None:
        """Let it go; messages under way still end."""
        ...


class _Client(NamedTuple):
    revision: int
    client: Any


class Chosen(Generic[P]):
    """The clients of one channel: each account's own, or the default's for one that chose nothing."""

    def __init__(
        self, accounts: ProviderAccounts, channel: str, offers: Offers[P], default: P | None = None
    ) -> None:
        self.accounts = accounts
        self.offers = offers
        self._channel = channel
        self._default = default
        self._clients: OrderedDict[int, _Client] = OrderedDict()

    @asynccontextmanager
    async def acting(self, account_id: int) -> AsyncIterator[P]:
        """Act as an account, by its client. The first ProviderError that says so marks the account's choice.

        Raises ProviderError; CredentialsRefusedError for a choice that is marked, CredentialsChangedError for
        one that was changed before its refusal came.
        """
        account = await self._choice(account_id)
        if account is not None and account.refusal is not None:
            # Another process may have cleared the mark since it was read; what it woke is not to wait again.
            self.accounts.forget(account_id)
            account = await self._choice(account_id)
        if account is None:
            yield self._shared()
            return
        if account.refusal is not None:
            raise CredentialsRefusedError(account)
        try:
            yield self.client(account)
        except ProviderError as error:
            if error.failed.needs_reauthorisation:
                raise await self._refused(account, error.failed) from error
            raise

    async def _choice(self, account_id: int) -> ProviderAccount | None:
        try:
            return await self.accounts.get(account_id, self._channel)
        except _LOST:
            text = "the choice of provider cannot be read now"
            raise _failed(ErrorClass.DATABASE, "PROVIDER_UNREADABLE", text) from None
        except KeyringError:
            text = "the provider's credentials cannot be read with this keyring"
            raise _failed(ErrorClass.CONFIGURATION, "CREDENTIALS_UNREADABLE", text) from None

    def _shared(self) -> P:
        if self._default is None:
            text = f"the account has chosen no provider for {self._channel}"
            raise _failed(ErrorClass.CONFIGURATION, "NO_PROVIDER", text)
        return self._default

    def client(self, account: ProviderAccount) -> P:
        """Give the client of a choice, the same while the choice stands. Raises ProviderError."""
        kept = self._clients.get(account.account_id)
        if kept is not None and kept.revision >= account.revision:
            self._clients.move_to_end(account.account_id)
            client: P = kept.client
            return client
        made = self._made(account)
        if kept is not None:
            _close(kept.client)
        self._clients[account.account_id] = _Client(account.revision, made)
        self._clients.move_to_end(account.account_id)
        if len(self._clients) > _CLIENTS_KEPT:
            _close(self._clients.popitem(last=False)[1].client)
        return made

    async def _refused(self, account: ProviderAccount, failed: Failed) -> Exception:
        """Mark a choice as refused; give what the attempt ends with: only the one that marked it fails."""
        named = {"account_id": account.account_id, "channel": account.channel, "provider": account.provider}
        try:
            first = await self.accounts.mark(account, failed.code, failed.message)
        except _LOST as error:
            # The next attempt is refused as well, and marks it.
            log.warning("provider_account_not_marked", error=type(error).__name__, **named)
        else:
            if not first and failed.certainty is Certainty.NOT_DONE:
                current = await self._choice(account.account_id)
                changed = current is None or current.revision != account.revision
                return CredentialsChangedError(account) if changed else CredentialsRefusedError(account)
            log.warning("provider_account_refused", code=failed.code, **named)
        text = f"{failed.message}; {account.provider} needs new credentials for {account.channel}"
        return ProviderError(replace(failed, message=text))

    def close(self) -> None:
        """Let go of every client."""
        while self._clients:
            _close(self._clients.popitem()[1].client)

    def _made(self, account: ProviderAccount) -> P:
        offered = self.offers.get(account.provider)
        if offered is None:
            text = f"the provider {account.provider} is not offered"
            raise _failed(ErrorClass.CONFIGURATION, "PROVIDER_UNKNOWN", text)
        try:
            return offered.make(account)
        except ValidationError:
            text = f"the settings for {account.provider} are not valid any more"
            raise _failed(ErrorClass.CONFIGURATION, "PROVIDER_SETTINGS_INVALID", text) from None


def _close(client: object) -> None:
    if isinstance(client, Closable):
        client.close()


def _failed(error_class: ErrorClass, code: str, text: str) -> ProviderError:
    return ProviderError(Failed(error_class, code, text, Certainty.NOT_DONE))


def _read(
    model: type[BaseModel], given: Mapping[str, Any], part: str, violations: list[Violation]
) -> dict[str, Any]:
    try:
        return model.model_validate(dict(given)).model_dump(mode="json", exclude_none=True)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=False, include_input=False):
            place = ".".join(str(step) for step in (part, *detail["loc"]))
            violations.append(Violation(place, detail["msg"], detail["type"]))
        return {}
