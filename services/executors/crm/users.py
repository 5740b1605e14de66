"""The account's users in PostgreSQL, and how many contacts each owns; actions that name users ask it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import asyncpg

from services.executors.action import Failed
from services.executors.crm.fields import OWNER
from services.executors.crm.ids import ContactKey
from services.executors.crm.refusals import CONTACT_NOT_FOUND, USER_INACTIVE, USER_UNKNOWN
from services.executors.crm.statements import own
from services.runtime.keyring import Keyring

_PURPOSE: Final = "crm.user"

UserKey: TypeAlias = tuple[int, str]
"""Account and user id."""


@dataclass(frozen=True, slots=True)
class User:
    """One user, as people see it."""

    user_id: str
    name: str
    active: bool
    owned: int = 0
    """How many contacts this user owns."""


class Standing(NamedTuple):
    """What a choice among users goes by."""

    active: bool
    owned: int


class Assignee(NamedTuple):
    """Who was meant; None is nobody."""

    user_id: str | None


class Users:
    """Reads and writes users, their counts of contacts, and the turns they take."""

    def __init__(self, pool: asyncpg.Pool, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring
        self._put = own("put_user")
        self._page = own("page_users")
        self._get = own("get_users")
        self._lock = own("lock_users")
        self._count = own("count_owned")
        self._take = own("take_turns")

    async def put(self, account_id: int, user: User) -> None:
        """Write a user; `owned` stays as it is."""
        sealed = self._keyring.seal(_PURPOSE, account_id, user.name.encode())
        await self._pool.execute(self._put, account_id, user.user_id, sealed, user.active)

    async def page(self, account_id: int, after: str, size: int) -> list[User]:
        """Give an account's users by id, those after `after`."""
        return [
            User(
                row["user_id"],
                self._keyring.open(_PURPOSE, account_id, row["name_sealed"]).decode(),
                row["active"],
                row["owned"],
            )
            for row in await self._pool.fetch(self._page, account_id, after, size)
        ]

    async def known(
        self, connection: asyncpg.Connection, named: Iterable[tuple[int, str | None]]
    ) -> dict[UserKey, Standing]:
        """Give those of the users that exist; "owner" and nobody are passed over."""
        keys = [(account_id, user_id) for account_id, user_id in named if user_id not in (None, OWNER)]
        return await self._standing(connection, self._get, keys) if keys else {}

    async def locked(
        self, connection: asyncpg.Connection, keys: Iterable[tuple[int, str]]
    ) -> dict[UserKey, Standing]:
        """As `known`, and their counts stay as they are until the transaction changes them."""
        return await self._standing(connection, self._lock, sorted(set(keys)))

    async def count(self, connection: asyncpg.Connection, differences: Mapping[UserKey, int]) -> None:
        """Change how many contacts users own; the caller has locked them."""
        changed = sorted((key, difference) for key, difference in differences.items() if difference)
        if changed:
            await connection.execute(
                self._count,
                [key[0] for key, _ in changed],
                [key[1] for key, _ in changed],
                [difference for _, difference in changed],
            )

    async def take_turns(
        self, connection: asyncpg.Connection, wanted: Mapping[tuple[int, str], int]
    ) -> dict[tuple[int, str], int]:
        """Take as many turns under each (account, key) as wanted and give the first one's number, from 0."""
        if not wanted:
            return {}
        rows = await connection.fetch(
            self._take, [key[0] for key in wanted], [key[1] for key in wanted], list(wanted.values())
        )
        return {(row[0], row[1]): row[2] - wanted[row[0], row[1]] for row in rows}

    async def _standing(
        self, connection: asyncpg.Connection, statement: str, keys: Sequence[tuple[int, str | None]]
    ) -> dict[UserKey, Standing]:
        rows = await connection.fetch(statement, [key[0] for key in keys], [key[1] for key in keys])
        return {(row[0], row[1]): Standing(row[2], row[3]) for row in rows}


def assignee(
    contact: ContactKey,
    named: str | None,
    owners: Mapping[ContactKey, str | None],
    users: Mapping[UserKey, Standing],
) -> Assignee | Failed:
    """Tell who is meant by `assigned_to` of an action on this contact, or why nobody can be."""
    if contact not in owners:
        return CONTACT_NOT_FOUND
    if named is None:
        return Assignee(None)
    if named == OWNER:
        return Assignee(owners[contact])
    user = users.get((contact[0], named))
    if user is None:
        return USER_UNKNOWN
    return Assignee(named) if user.active else USER_INACTIVE
