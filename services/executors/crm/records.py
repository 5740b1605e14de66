"""The crm part of contacts in PostgreSQL: data sealed, tags as rows; servicer and actions call it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import asyncpg
import orjson

from services.executors.action import JsonObject
from services.executors.crm.addresses import Addresses
from services.executors.crm.ids import ContactKey
from services.executors.crm.statements import own
from services.runtime.keyring import Keyring

PURPOSE: Final = "crm.contact"


class ContactUnknownError(Exception):
    """There is no record of this contact."""


@dataclass(frozen=True, slots=True)
class Record:
    """The crm part of one contact."""

    key: ContactKey
    data: bytes
    """A JSON object: first_name, last_name, time_zone, fields."""
    tags: tuple[str, ...]
    owner: str = ""
    """The user who owns the contact; empty for nobody. Not written with the record."""


@dataclass(frozen=True, slots=True)
class Patch:
    """Changes to a record."""

    data: JsonObject
    """Merged over the stored data; null removes a key."""
    tags: tuple[str, ...] | None = None
    """Replaces the tags unless None."""
    replace_fields: bool = False
    addresses: Mapping[str, str | None] = field(default_factory=dict)
    """Addresses by kind, none if empty; those left out stay."""


class ContactRecords:
    """Reads and writes contact records."""

    def __init__(self, pool: asyncpg.Pool, keyring: Keyring, addresses: Addresses) -> None:
        self._pool = pool
        self._keyring = keyring
        self._addresses = addresses
        self._lock = own("lock_records")
        self._write = own("write_records")
        self._put = own("put_record")
        self._patch = own("patch_record")
        self._drop_tags = own("drop_tags")
        self._keep_tags = own("keep_tags")
        self._get = own("get_records")
        self._insert = own("insert_records")
        self._delete = own("delete_record")
        self._delete_tags = own("delete_tags")
        self._delete_belongings = own("delete_belongings")

    async def put(self, record: Record, revision: int, addresses: Mapping[str, str | None]) -> None:
        """Write a whole record; nothing changes if the stored one has this revision or a newer one.

        `addresses` by kind, none if empty; those left out stay.
        """
        sealed = self._keyring.seal(PURPOSE, record.key[0], record.data)
        async with self._pool.acquire() as connection, connection.transaction():
            if await connection.fetchval(self._put, *record.key, revision, sealed) is not None:
                await self._replace_tags(connection, record.key, record.tags)
                await self._addresses.replace(connection, {record.key: addresses})

    async def patch(self, key: ContactKey, patch: Patch, revision: int) -> Record:
        """Change parts and give the record as stored; an old revision changes nothing.

        Raises ContactUnknownError.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(self._lock, [key[0]], [key[1]])
            if not rows:
                raise ContactUnknownError
            if rows[0]["revision"] < revision:
                data = merged(self._open(rows[0]), patch.data, replace_fields=patch.replace_fields)
                await connection.execute(self._patch, *key, revision, self._seal(key, data))
                if patch.tags is not None:
                    await self._replace_tags(connection, key, patch.tags)
                await self._addresses.replace(connection, {key: patch.addresses})
            return self._record((await connection.fetch(self._get, [key[0]], [key[1]]))[0])

    async def get(self, keys: Sequence[ContactKey]) -> list[Record]:
        """Read records; unknown ones are left out, order is not kept."""
        rows = await self._pool.fetch(self._get, [key[0] for key in keys], [key[1] for key in keys])
        return [self._record(row) for row in rows]

    async def delete(self, key: ContactKey) -> None:
        """Delete a record and all that was kept about the contact; deleting it again is no error."""
        await self._pool.execute(self._delete, *key)
        # After the record's deletion is committed, and apart from it: a tag whose adding saw the record is
        # then mostly committed too. One that is not stays behind unseen, and goes when this is repeated.
        await self._pool.execute(self._delete_tags, *key)
        await self._pool.execute(self._delete_belongings, *key)

    async def locked(
        self, connection: asyncpg.Connection, keys: Sequence[ContactKey]
    ) -> dict[ContactKey, JsonObject]:
        """Lock records in the caller's transaction and give their data; unknown ones are left out."""
        rows = await connection.fetch(self._lock, [key[0] for key in keys], [key[1] for key in keys])
        return {(row["account_id"], row["contact_id"]): self._open(row) for row in rows}

    async def insert(self, connection: asyncpg.Connection, made: Mapping[ContactKey, JsonObject]) -> None:
        """Write records of new contacts, as of the first revision."""
        if made:
            await connection.execute(
                self._insert,
                [key[0] for key in made],
                [key[1] for key in made],
                [self._seal(key, data) for key, data in made.items()],
            )

    async def write(self, connection: asyncpg.Connection, changed: Mapping[ContactKey, JsonObject]) -> None:
        """Write data of records the caller has locked."""
        if changed:
            await connection.execute(
                self._write,
                [key[0] for key in changed],
                [key[1] for key in changed],
                [self._seal(key, data) for key, data in changed.items()],
            )

    async def _replace_tags(
        self, connection: asyncpg.Connection, key: ContactKey, tags: Sequence[str]
    ) -> None:
        await connection.execute(self._drop_tags, *key, tags)
        await connection.execute(self._keep_tags, *key, tags)

    def _record(self, row: asyncpg.Record) -> Record:
        data = self._keyring.open(PURPOSE, row["account_id"], row["data_sealed"])
        return Record((row["account_id"], row["contact_id"]), data, tuple(row["tags"]), row["owner_id"] or "")

    def _open(self, row: asyncpg.Record) -> JsonObject:
        data: JsonObject = orjson.loads(self._keyring.open(PURPOSE, row["account_id"], row["data_sealed"]))
        return data

    def _seal(self, key: ContactKey, data: JsonObject) -> bytes:
        return self._keyring.seal(PURPOSE, key[0], orjson.dumps(data))


def merged(data: JsonObject, patch: JsonObject, *, replace_fields: bool = False) -> JsonObject:
    """Merge a patch over data: null removes, `fields` key by key unless replaced as a whole."""
    result = {name: value for name, value in data.items() if patch.get(name, value) is not None}
    result.update({name: value for name, value in patch.items() if value is not None and name != "fields"})
    fields = patch.get("fields")
    if isinstance(fields, dict):
        old = data.get("fields")
        kept = old if isinstance(old, dict) and not replace_fields else {}
        result["fields"] = {name: value for name, value in {**kept, **fields}.items() if value is not None}
    return result
