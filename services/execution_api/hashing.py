"""Hashes addresses of contacts that are older than the hashes; services/execution_api/__main__ runs it.

Bounded and resumable: a batch is a transaction per account, and what is done is marked in the contact's row.
What the crm service is owed by it CrmRecords carries over; the next batch waits while a batch is owed.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import asyncpg
import orjson
import structlog
from wayfarer.crm.v1.contact_record_service_pb2 import ContactRecord

from execution_engine import ports
from execution_engine.errors import ExecutorUnavailable
from execution_engine.sending.channels import Channel, address_of
from execution_engine.store import contacts, hashing
from execution_engine.store.accounts import account_transaction
from execution_engine.store.contacts import ContactRow
from execution_engine.store.hashing import Unhashed
from services.execution_api import crm_records
from services.execution_api.crm_records import CrmRecords

log = structlog.get_logger(__name__)
_BATCH: Final = 200


class Hashing:
    """One per API process; several at once do no harm."""

    def __init__(self, pool: asyncpg.Pool, vault: ports.Vault, records: CrmRecords) -> None:
        self._pool = pool
        self._vault = vault
        self._records = records

    async def sweep(self) -> bool:
        """Hashes a batch; False, as the next round is soon enough."""
        found = await hashing.unhashed(self._pool, _BATCH)
        if found and len(await contacts.owing(self._pool, _BATCH)) == _BATCH:
            return False
        try:
            for account_id, ids in found.items():
                await self._hash(account_id, ids)
        except ExecutorUnavailable:
            log.warning("crm_still_unreachable", unhashed=sum(map(len, found.values())))
        return False

    async def _hash(self, account_id: int, ids: Sequence[UUID]) -> None:
        async with account_transaction(self._pool, account_id) as connection:
            rows = await contacts.many(connection, self._vault, account_id, ids)
        records = await self._records.read(account_id, list(rows))
        found = [_unhashed(row, records.get(contact_id)) for contact_id, row in rows.items()]
        async with account_transaction(self._pool, account_id) as connection:
            await hashing.hash_them(connection, self._vault, account_id, found)


def _unhashed(row: ContactRow, record: ContactRecord | None) -> Unhashed:
    addresses = {name: text for name, text in (("email", row.email), ("phone", row.phone)) if text}
    if record is None:
        return Unhashed(row, "", None)
    messenger_id = address_of(Channel.MESSENGER, orjson.loads(record.data or b"{}"))
    owed = crm_records.patch({}, None, False, addresses) if addresses else None
    return Unhashed(row, messenger_id, owed)
