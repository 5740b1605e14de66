"""Which contacts there are and who owns them, locked for a batch's transaction; the actions ask it first."""

import uuid
from collections.abc import Mapping, Sequence

import asyncpg

from services.executors.action import Call, ConfigT
from services.executors.crm.ids import ContactKey
from services.executors.crm.statements import own


class Contacts:
    """Locks contact records in key order. A deletion waits for the lock, then finds all that was written."""

    def __init__(self) -> None:
        self._hold = own("hold_contacts")
        self._lock = own("lock_contacts")
        self._write_owners = own("write_owners")

    async def held(
        self, connection: asyncpg.Connection, calls: Sequence[Call[ConfigT]]
    ) -> dict[ContactKey, str | None]:
        """Keep the calls' contacts from being deleted; give the owners of those that exist."""
        return await self._owners(connection, self._hold, calls)

    async def locked(
        self, connection: asyncpg.Connection, calls: Sequence[Call[ConfigT]]
    ) -> dict[ContactKey, str | None]:
        """As `held`, and nobody else decides on these contacts until the transaction ends."""
        return await self._owners(connection, self._lock, calls)

    async def write_owners(self, connection: asyncpg.Connection, owners: Mapping[ContactKey, str]) -> None:
        """Write the owners of contacts that are locked."""
        accounts, contacts = columns(list(owners))
        await connection.execute(self._write_owners, accounts, contacts, list(owners.values()))

    async def _owners(
        self, connection: asyncpg.Connection, statement: str, calls: Sequence[Call[ConfigT]]
    ) -> dict[ContactKey, str | None]:
        rows = await connection.fetch(statement, *columns([contact_of(call) for call in calls]))
        return {(row["account_id"], row["contact_id"]): row["owner_id"] for row in rows}


def contact_of(call: Call[ConfigT]) -> ContactKey:
    """Give the contact a call is about."""
    return call.key.account_id, call.contact_id


def columns(keys: Sequence[ContactKey]) -> tuple[list[int], list[uuid.UUID]]:
    """Give contacts as a statement takes them: accounts, contact ids."""
    return [key[0] for key in keys], [key[1] for key in keys]
