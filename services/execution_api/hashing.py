"""Hashes addresses of contacts that are older than the hashes; services/execution_api/__main__ runs it.

Bounded and resumable: a batch is a transaction per account, and what is done is marked in the contact's row.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import asyncpg
import orjson
import structlog

from execution_engine import ports
from execution_engine.errors import ExecutorUnavailable
from execution_engine.sending.channels import Channel, address_of
from execution_engine.store import contacts, hashing
from execution_engine.store.accounts import account_transaction
from services.execution_api.crm_records import CrmRecords

log = structlog.get_logger(__name__)
_BATCH: Final = 500


class Hashing:
    """One per API process; several at once do no harm."""

    def __init__(self, pool: asyncpg.Pool, vault: ports.Vault, records: CrmRecords) -> None:
        self._pool = pool
        self._vault = vault
        self._records = records

    async def sweep(self) -> bool:
        """Hashes a batch; True if there may be more."""
        found = await hashing.unhashed(self._pool, _BATCH)
        done = 0
        for account_id, ids in found.items():
            try:
                done += await self._hash(account_id, ids)
            except ExecutorUnavailable:
                log.warning("crm_still_unreachable", unhashed=len(ids))
                return False
        return done == _BATCH

    async def _hash(self, account_id: int, ids: Sequence[UUID]) -> int:
        async with account_transaction(self._pool, account_id) as connection:
            rows = await contacts.many(connection, self._vault, account_id, ids)
        records = await self._records.read(account_id, list(rows))
        read = [
            (row, address_of(Channel.MESSENGER, orjson.loads(records[contact_id].data or b"{}")))
            if contact_id in records
            else (row, "")
            for contact_id, row in rows.items()
        ]
        async with account_transaction(self._pool, account_id) as connection:
            return await hashing.hash_them(connection, self._vault, account_id, read)
