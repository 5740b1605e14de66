"""Hashes addresses of contacts that are older than the hashes; the API's sweep asks until none is left.

The crm service is owed their addresses as well, by which create_contact knows them again. A contact that
changes meanwhile keeps what the change wrote, and comes again.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import asyncpg

from execution_engine import ports
from execution_engine.sending.channels import address_hash
from execution_engine.store.contacts import ContactRow

_UNHASHED = "SELECT account_id, contact_id FROM wf_contacts_unhashed($1)"
_LOCK = """SELECT contact_id FROM contact WHERE account_id = $1 AND contact_id = ANY ($2::uuid[])
ORDER BY contact_id FOR NO KEY UPDATE"""
_HASH = """UPDATE contact c SET hashed = true, email_hash = u.email, phone_hash = u.phone,
    messenger_hash = u.messenger, crm_pending = u.owed, revision = c.revision + (u.owed IS NOT NULL)::integer
FROM unnest($2::uuid[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[])
    AS u (contact_id, revision, email, phone, messenger, owed)
WHERE c.account_id = $1 AND c.contact_id = u.contact_id AND c.revision = u.revision AND NOT c.hashed
    AND c.crm_pending IS NULL"""


class Unhashed(NamedTuple):
    """A contact as it was read, and what there is to know of it."""

    row: ContactRow
    messenger_id: str
    """Empty for none."""
    owed: bytes | None
    """What tells the crm service its addresses; None for nothing to tell."""


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
    found: Sequence[Unhashed],
) -> None:
    """Writes the hashes of contacts as they were read."""

    def hashed(address: str) -> bytes | None:
        return address_hash(vault, account_id, address) if address else None

    await connection.fetch(_LOCK, account_id, [one.row.contact_id for one in found])
    await connection.execute(
        _HASH,
        account_id,
        [one.row.contact_id for one in found],
        [one.row.revision for one in found],
        [hashed(one.row.email) for one in found],
        [hashed(one.row.phone) for one in found],
        [hashed(one.messenger_id) for one in found],
        [vault.seal(ports.CRM_PENDING, account_id, one.owed) if one.owed else None for one in found],
    )
