"""What an account keeps for its calls, in PostgreSQL: secrets, and endpoints that are gone.

standings.py reads it for webhooks, admin_servicer.py changes it, webhook_call notes a 410 in it.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import asyncpg
from yarl import URL

from services.executors.integrations import queries
from services.executors.queries import statement
from services.runtime.keyring import Keyring

SECRET_PURPOSE: Final = "integrations.secret"
ENDPOINT_PURPOSE: Final = "integrations.endpoint"
MAX_SECRETS: Final = 64
MAX_DISABLED: Final = 500
ROTATION: Final = timedelta(hours=24)
"""How long a replaced value goes on signing."""


class SecretsFullError(Exception):
    """The account has as many secrets as it may have."""


class SecretTimes(NamedTuple):
    """What is told of a secret."""

    name: str
    created_at: datetime
    rotated_at: datetime | None


class DisabledEndpoint(NamedTuple):
    """A URL that is not called any more."""

    url: str
    since: datetime


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A secret as stored, and the value it replaced."""

    current: bytes
    previous: bytes | None
    rotated_at: datetime | None

    def still_signing(self, now: datetime) -> list[bytes]:
        """Give the current value and, for 24 hours, the one it replaced."""
        if self.previous is None or self.rotated_at is None or now - self.rotated_at >= ROTATION:
            return [self.current]
        return [self.current, self.previous]


@dataclass(frozen=True, slots=True)
class Standing:
    """All that a webhook of an account has to know; opens and hashes only what it is asked for."""

    account_id: int
    keyring: Keyring
    sealed: Mapping[str, SealedSecret]
    gone: frozenset[bytes]

    def secret(self, name: str) -> str | None:
        """Give a secret's value. Raises KeyringError."""
        found = self.sealed.get(name)
        return None if found is None else self._open(found.current)

    def still_signing(self, name: str) -> list[str]:
        """Give the values a secret signs with: one, two while in rotation, none if unknown.

        Raises KeyringError.
        """
        found = self.sealed.get(name)
        return [] if found is None else [self._open(one) for one in found.still_signing(datetime.now(UTC))]

    def is_gone(self, url: URL) -> bool:
        """Whether the endpoint answered 410 Gone and was not enabled since."""
        return bool(self.gone) and url_hash(self.keyring, self.account_id, url) in self.gone

    def _open(self, sealed: bytes) -> str:
        return self.keyring.open(SECRET_PURPOSE, self.account_id, sealed).decode()


class AccountBook:
    """Reads and writes it; nothing is cached here."""

    def __init__(self, pool: asyncpg.Pool, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring
        self._read = _own("read_standing")
        self._get_secret = _own("get_secret")
        self._put_secret = _own("put_secret")
        self._list_secrets = _own("list_secrets")
        self._delete_secret = _own("delete_secret")
        self._disable = _own("disable_endpoint")
        self._enable = _own("enable_endpoint")
        self._list_disabled = _own("list_disabled_endpoints")

    async def standing(self, account_id: int) -> Standing:
        """Read an account's standing; one that keeps nothing has an empty one."""
        rows = await self._pool.fetch(self._read, account_id)
        return Standing(
            account_id,
            self._keyring,
            {
                row["name"]: SealedSecret(row["secret_sealed"], row["previous_sealed"], row["rotated_at"])
                for row in rows
                if row["name"] is not None
            },
            frozenset(row["url_hash"] for row in rows if row["url_hash"] is not None),
        )

    async def put_secret(self, account_id: int, name: str, value: str) -> None:
        """Set a secret; the value it has already changes nothing. Raises SecretsFullError."""
        stored = await self._pool.fetchval(self._get_secret, account_id, name)
        # Repeating a put must not make the new value its own predecessor.
        if stored is not None and self._keyring.open(SECRET_PURPOSE, account_id, stored) == value.encode():
            return
        sealed = self._keyring.seal(SECRET_PURPOSE, account_id, value.encode())
        if await self._pool.fetchval(self._put_secret, account_id, name, sealed, MAX_SECRETS) is None:
            raise SecretsFullError

    async def list_secrets(self, account_id: int) -> list[SecretTimes]:
        """Give names and times, by name."""
        return [SecretTimes(*row) for row in await self._pool.fetch(self._list_secrets, account_id)]

    async def delete_secret(self, account_id: int, name: str) -> None:
        """Remove a secret, if there."""
        await self._pool.execute(self._delete_secret, account_id, name)

    async def disable(self, account_id: int, url: URL) -> None:
        """Note that an endpoint is gone."""
        await self._pool.execute(
            self._disable,
            account_id,
            url_hash(self._keyring, account_id, url),
            self._keyring.seal(ENDPOINT_PURPOSE, account_id, endpoint(url).encode()),
            MAX_DISABLED,
        )

    async def enable(self, account_id: int, url: URL) -> None:
        """Let an endpoint be called again."""
        await self._pool.execute(self._enable, account_id, url_hash(self._keyring, account_id, url))

    async def list_disabled(self, account_id: int) -> list[DisabledEndpoint]:
        """Give the endpoints that are gone, latest first."""
        return [
            DisabledEndpoint(
                self._keyring.open(ENDPOINT_PURPOSE, account_id, row["url_sealed"]).decode(), row["since"]
            )
            for row in await self._pool.fetch(self._list_disabled, account_id)
        ]


def endpoint(url: URL) -> str:
    """Give scheme, host, port and path: what is gone is a place, whatever is asked of it."""
    return str(url.with_query(None).with_fragment(None))


def url_hash(keyring: Keyring, account_id: int, url: URL) -> bytes:
    """Give the keyed hash an endpoint is found by; it outlives the keyring's rotations."""
    return hmac.digest(keyring.mac_key(ENDPOINT_PURPOSE, account_id), endpoint(url).encode(), "sha256")


def _own(name: str) -> str:
    return statement(name, queries.__name__)
