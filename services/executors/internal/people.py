"""How the account's users are reached and which roles they have, in PostgreSQL, addresses sealed;
NotificationService writes it, send_notification asks whom its recipients mean.
"""

from dataclasses import dataclass
from typing import Final

import asyncpg

from services.executors.internal.recipients import Addressed, Named
from services.executors.internal.statements import own
from services.runtime.keyring import Keyring

MOST: Final = 100
"""How many users one notification may go to."""
_EMAIL: Final = "notification.email"
_PHONE: Final = "notification.phone"


@dataclass(frozen=True, slots=True)
class User:
    """One user; `email` and `phone` are empty for none."""

    user_id: str
    email: str
    phone: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reached:
    """Whom a notification goes to: ids of users, or addresses."""

    recipients: tuple[str, ...]
    unreached: int
    """How many users are meant of whom the channel knows no address, and owners that are not there."""


class TooManyError(Exception):
    """More users are meant than one notification may go to."""


class People:
    """Reads and writes users."""

    def __init__(self, pool: asyncpg.Pool, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring
        self._put = own("put_user")
        self._drop = own("drop_roles")
        self._keep = own("keep_roles")
        self._delete = own("delete_user")
        self._page = own("page_users")
        self._find = own("find_users")

    async def put(self, account_id: int, user: User) -> None:
        """Write a user as a whole."""
        sealed = self._sealed(_EMAIL, account_id, user.email), self._sealed(_PHONE, account_id, user.phone)
        who = account_id, user.user_id
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(self._put, *who, *sealed)
            await connection.execute(self._drop, *who, user.roles)
            await connection.execute(self._keep, *who, user.roles)

    async def delete(self, account_id: int, user_id: str) -> None:
        """Forget a user; one who is not there is no error."""
        await self._pool.execute(self._delete, account_id, user_id)

    async def page(self, account_id: int, after: str, size: int) -> list[User]:
        """Give an account's users by id, those after `after`."""
        return [
            User(
                row["user_id"],
                self._opened(_EMAIL, account_id, row["email_sealed"]),
                self._opened(_PHONE, account_id, row["phone_sealed"]),
                tuple(row["roles"]),
            )
            for row in await self._pool.fetch(self._page, account_id, after, size)
        ]

    async def reached(self, account_id: int, channel: Addressed, named: Named) -> Reached:
        """Tell whom these recipients mean on a channel. Raises TooManyError."""
        if channel == "in_app" and not named.roles:  # an id is all that the inbox needs
            return Reached(tuple(sorted(named.users)), named.nobody)
        rows = []
        if named.users or named.roles:
            rows = await self._pool.fetch(
                self._find, account_id, sorted(named.users), sorted(named.roles), MOST + 1
            )
        if len(rows) + len(named.addresses) > MOST:
            raise TooManyError
        known = {row["user_id"] for row in rows}
        if channel == "in_app":
            return Reached(tuple(sorted(named.users | known)), named.nobody)
        column, purpose = ("email_sealed", _EMAIL) if channel == "email" else ("phone_sealed", _PHONE)
        theirs = [self._opened(purpose, account_id, row[column]) for row in rows]
        unreached = named.nobody + theirs.count("") + len(named.users - known)
        return Reached(tuple(dict.fromkeys([*named.addresses, *filter(None, theirs)])), unreached)

    def _sealed(self, purpose: str, account_id: int, address: str) -> bytes | None:
        return self._keyring.seal(purpose, account_id, address.encode()) if address else None

    def _opened(self, purpose: str, account_id: int, sealed: bytes | None) -> str:
        return self._keyring.open(purpose, account_id, sealed).decode() if sealed else ""
