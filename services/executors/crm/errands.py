"""Effects on their way to a provider, and who contacts are there, in PostgreSQL; carrying.py asks it.

An errand is written before anything is sent, so that whoever comes after a crash knows what to look for.
"""

import uuid
from dataclasses import replace
from typing import Any, Final

import asyncpg
import orjson

from services.executors.action import EffectKey, JsonObject, Succeeded
from services.executors.crm.addresses import Addresses
from services.executors.crm.ids import ContactKey
from services.executors.crm.provider import Errand, Person, Turn
from services.executors.crm.records import ContactRecords
from services.executors.crm.statements import own
from services.runtime.keyring import Keyring

_PURPOSE: Final = "crm.errand"
_FORGOTTEN: Final[dict[str, JsonObject]] = {"config": {}, "plan": {}}
"""Of an errand that has its result."""


class Errands:
    """Reads and writes errands, and contacts as providers know them."""

    def __init__(
        self, pool: asyncpg.Pool, keyring: Keyring, records: ContactRecords, addresses: Addresses
    ) -> None:
        self._pool = pool
        self._keyring = keyring
        self._records = records
        self._addresses = addresses
        self._get = own("get_errand")
        self._lock = own("lock_errand")
        self._insert = own("insert_errand")
        self._take = own("take_errand")
        self._send = own("send_errand")
        self._end = own("end_errand")
        self._drop = own("drop_errands")
        self._get_elsewhere = own("get_elsewhere")
        self._put_elsewhere = own("put_elsewhere")
        self._drop_elsewhere = own("drop_elsewhere")

    async def get(self, key: EffectKey, action_type: str) -> Errand | None:
        """Give an errand as it stands."""
        return self._errand(key, action_type, await self._pool.fetchrow(self._get, *key))

    async def locked(self, connection: asyncpg.Connection, key: EffectKey, action_type: str) -> Errand | None:
        """As `get`, and nobody else ends it until the transaction does."""
        return self._errand(key, action_type, await connection.fetchrow(self._lock, *key))

    async def open(self, connection: asyncpg.Connection, errand: Errand) -> None:
        """Write a new one."""
        told = self._sealed(errand.effect, {"config": errand.config, "plan": errand.plan})
        await connection.execute(self._insert, *errand.effect, errand.contact_id, told, *errand.turn)

    async def taken(self, errand: Errand, turn: Turn) -> Errand | None:
        """Give it to a later attempt; None if it is done, or a still later one has it."""
        if not await self._has_changed(self._take, *errand.effect, *turn):
            return None
        return replace(errand, turn=turn)

    async def sent(self, errand: Errand, details: JsonObject | None) -> Errand | None:
        """Write that it may leave now, with what to look for it by; None: that it did not. Give it so.

        Nothing is written, and None given, if it is done, another attempt has it, or its contact was deleted.
        """
        sealed = None if details is None else self._sealed(errand.effect, details)
        if not await self._has_changed(self._send, *errand.effect, sealed, *errand.turn):
            return None
        return replace(errand, sent=details)

    async def end(self, connection: asyncpg.Connection, errand: Errand, result: Succeeded) -> None:
        """Write what it came to, in the transaction that keeps our own part of it."""
        told: JsonObject = {
            "output": result.output.decode(),
            "refs": dict(result.refs),
            "changes": result.contact_changes.decode(),
        }
        await connection.execute(self._end, *errand.effect, self._sealed(errand.effect, told))

    async def drop_old(self) -> None:
        """Delete those that no ledger knows any more."""
        await self._pool.execute(self._drop)

    async def person(self, key: ContactKey) -> Person:
        """Give what is known of a contact."""
        async with self._pool.acquire() as connection:
            addresses = await self._addresses.read(connection, key)
        found = await self._records.get([key])
        data: JsonObject = orjson.loads(found[0].data or b"{}") if found else {}
        names = (str(data.get(name) or "") for name in ("first_name", "last_name", "time_zone"))
        return Person(key[1], addresses.get("email", ""), addresses.get("phone", ""), *names)

    async def their_id(self, key: ContactKey, site: str) -> str:
        """Give who a contact is at a provider; empty if that is not known."""
        found: str | None = await self._pool.fetchval(self._get_elsewhere, *key, site)
        return found or ""

    async def put_their_id(self, key: ContactKey, site: str, their_id: str) -> None:
        """Write who a contact is at a provider."""
        await self._pool.execute(self._put_elsewhere, *key, site, their_id)

    async def forget_their_id(self, key: ContactKey, site: str, their_id: str) -> None:
        """Forget it, if it is still what is written."""
        await self._pool.execute(self._drop_elsewhere, *key, site, their_id)

    async def _has_changed(self, statement: str, *arguments: object) -> bool:
        status: str = await self._pool.execute(statement, *arguments)
        return status.endswith(" 1")

    def _errand(self, key: EffectKey, action_type: str, row: asyncpg.Record | None) -> Errand | None:
        if row is None:
            return None
        told = self._opened(key, row["told_sealed"]) if row["told_sealed"] else _FORGOTTEN
        contact_id: uuid.UUID = row["contact_id"]
        sent = self._opened(key, row["sent_sealed"]) if row["sent_sealed"] else None
        result = _result(self._opened(key, row["result_sealed"])) if row["result_sealed"] else None
        turn = Turn(row["fence"], row["attempt"])
        return Errand(key, action_type, contact_id, told["config"], told["plan"], turn, sent, result)

    def _sealed(self, key: EffectKey, told: JsonObject) -> bytes:
        return self._keyring.seal(_PURPOSE, key.account_id, orjson.dumps(told))

    def _opened(self, key: EffectKey, sealed: bytes) -> dict[str, Any]:
        told: dict[str, Any] = orjson.loads(self._keyring.open(_PURPOSE, key.account_id, sealed))
        return told


def _result(told: dict[str, Any]) -> Succeeded:
    refs = tuple((name, str(value)) for name, value in told["refs"].items())
    return Succeeded(str(told["output"]).encode(), refs, str(told["changes"]).encode())
