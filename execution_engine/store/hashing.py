"""Hashes addresses of contacts that are older than the hashes; the API's sweep asks until none is left.

A contact that changes meanwhile keeps what the change wrote, and comes again.
"""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from execution_engine import ports
from execution_engine.sending.channels import address_hash
from execution_engine.store.contacts import ContactRow

_UNHASHED = "SELECT account_id, contact_id FROM wf_contacts_unhashed($1)"
_HASH = """UPDATE contact c SET hashed = true, email_hash = u.email, phone_hash = u.phone,
    messenger_hash = u.messenger
FROM unnest($2::uuid[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bytea[])
    AS u (contact_id, revision, email, phone, messenger)
WHERE c.account_id = $1 AND c.contact_id = u.contact_id AND c.revision = u.revision AND NOT c.hashed
RETURNING c.contact_id"""


async def unhashed(pool: asyncpg.Pool, most: int) -> dict[int, list[UUID]]:
    """Contacts of any account that are to be hashed, by account; none that still owes the crm service."""
    found: dict[int, list[UUID]] = {}
    for row in await pool.fetch(_UNHASHED, most):
        found.setdefault(row["account_id"], []).append(row["contact_id"])
    return found


async def hash_them(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    account_id: int,
    rows: Sequence[tuple[ContactRow, str]],
) -> int:
    """Writes the hashes of contacts as they were read, with their page-scoped ids; how many."""

    def hashed(address: str) -> bytes | None:
        return address_hash(vault, account_id, address) if address else None

    written = await connection.fetch(
        _HASH,
        account_id,
        [row.contact_id for row, _ in rows],
        [row.revision for row, _ in rows],
        [hashed(row.email) for row, _ in rows],
        [hashed(row.phone) for row, _ in rows],
        [hashed(messenger_id) for _, messenger_id in rows],
    )
    return len(written)
