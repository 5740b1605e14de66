"""The engine's part of contacts: existence, address, consent, and what is still owed to the crm service.

The API's ContactService uses it. A write puts this part and the crm's (as `crm_pending`) down in one
transaction; the crm's is then carried over and, after a crash, carried over again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from execution_engine import ports
from execution_engine.errors import ExternalIdTaken, NotFound
from execution_engine.sending.channels import address_hash

_COLUMNS = """contact_id, external_id, email_sealed, phone_sealed, opted_out, revision, crm_pending,
created_at, updated_at"""
_BY_ID = f"SELECT {_COLUMNS} FROM contact WHERE account_id = $1 AND contact_id = $2 AND deleted_at IS NULL"
_BY_EXTERNAL = f"""SELECT {_COLUMNS} FROM contact
WHERE account_id = $1 AND external_id = $2 AND deleted_at IS NULL"""
_IDS_OF = """SELECT external_id, contact_id FROM contact
WHERE account_id = $1 AND external_id = ANY ($2::text[]) AND deleted_at IS NULL"""
_OF_ADDRESS = """SELECT contact_id FROM contact
WHERE account_id = $1 AND (email_hash = $2 OR phone_hash = $2 OR messenger_hash = $2) AND deleted_at IS NULL
ORDER BY contact_id LIMIT 100"""
_MANY = f"""SELECT {_COLUMNS} FROM contact
WHERE account_id = $1 AND contact_id = ANY ($2::uuid[]) AND deleted_at IS NULL"""
_PAGE = f"""SELECT {_COLUMNS} FROM contact WHERE account_id = $1 AND deleted_at IS NULL
AND ($2::uuid IS NULL OR contact_id < $2) ORDER BY contact_id DESC LIMIT $3"""
_INSERT = """INSERT INTO contact (account_id, contact_id, external_id, email_sealed, phone_sealed, opted_out,
crm_pending, created_at, updated_at, email_hash, phone_hash, messenger_hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10, $11)
ON CONFLICT (account_id, external_id) WHERE external_id IS NOT NULL AND deleted_at IS NULL DO NOTHING
RETURNING contact_id"""
_UPDATE = """UPDATE contact SET external_id = $3, email_sealed = $4, phone_sealed = $5, opted_out = $6,
crm_pending = $7, email_hash = $8, phone_hash = $9,
messenger_hash = CASE WHEN $10 THEN $11 ELSE messenger_hash END, revision = revision + 1,
sending_rev = sending_rev + 1, updated_at = wf_now() WHERE account_id = $1 AND contact_id = $2"""
_DELETE = """UPDATE contact SET deleted_at = wf_now(), external_id = NULL, email_sealed = NULL,
phone_sealed = NULL, email_hash = NULL, phone_hash = NULL, messenger_hash = NULL, crm_pending = $3,
revision = revision + 1, sending_rev = sending_rev + 1, updated_at = wf_now()
WHERE account_id = $1 AND contact_id = $2"""
_CARRIED = """UPDATE contact SET crm_pending = NULL
WHERE account_id = $1 AND contact_id = $2 AND revision = $3"""
_OWED = "SELECT crm_pending, revision FROM contact WHERE account_id = $1 AND contact_id = $2"
_OWING = "SELECT account_id, contact_id FROM wf_contacts_owing_crm($1)"


@dataclass(frozen=True, slots=True)
class ContactRow:
    """The engine's part of one contact, in clear."""

    contact_id: UUID
    external_id: str
    email: str
    phone: str
    opted_out: bool
    revision: int
    owes_crm: bool
    created_at: datetime
    updated_at: datetime


async def find(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    account_id: int,
    contact_id: UUID,
    *,
    lock: bool = False,
) -> ContactRow:
    """One contact; with `lock` it is gated until the end. Raises NotFound."""
    row = await connection.fetchrow(_BY_ID + (" FOR UPDATE" if lock else ""), account_id, contact_id)
    if row is None:
        raise NotFound("contact", str(contact_id))
    return _row(row, vault, account_id)


async def find_external(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    account_id: int,
    external_id: str,
    *,
    lock: bool = False,
) -> ContactRow | None:
    """The contact of an external id, or None."""
    row = await connection.fetchrow(_BY_EXTERNAL + (" FOR UPDATE" if lock else ""), account_id, external_id)
    return _row(row, vault, account_id) if row is not None else None


async def many(
    connection: asyncpg.Connection, vault: ports.Vault, account_id: int, ids: Sequence[UUID]
) -> dict[UUID, ContactRow]:
    """Those of the contacts that exist."""
    rows = await connection.fetch(_MANY, account_id, list(ids))
    return {row["contact_id"]: _row(row, vault, account_id) for row in rows}


async def ids_of(connection: asyncpg.Connection, account_id: int, names: Sequence[str]) -> dict[str, UUID]:
    """Ids of those contacts that have these external ids."""
    rows = await connection.fetch(_IDS_OF, account_id, list(names))
    return {row["external_id"]: row["contact_id"] for row in rows}


async def of_address(connection: asyncpg.Connection, account_id: int, address_hash: bytes) -> list[UUID]:
    """Contacts that have an address, at most a hundred."""
    return [row[0] for row in await connection.fetch(_OF_ADDRESS, account_id, address_hash)]


async def page(
    connection: asyncpg.Connection, vault: ports.Vault, account_id: int, before: UUID | None, size: int
) -> list[ContactRow]:
    """Up to `size` contacts, newest first, after id `before`."""
    return [_row(row, vault, account_id) for row in await connection.fetch(_PAGE, account_id, before, size)]


async def insert(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    account_id: int,
    row: ContactRow,
    messenger_id: str,
    owed: bytes,
) -> bool:
    """Makes a contact that owes the crm service `owed`; False if its external id is taken.

    `messenger_id`: its page-scoped id, empty for none; the crm service has it, here it is only hashed.
    """
    made = await connection.fetchval(
        _INSERT,
        account_id,
        row.contact_id,
        row.external_id or None,
        _sealed(vault, account_id, row.email),
        _sealed(vault, account_id, row.phone),
        row.opted_out,
        vault.seal(ports.CRM_PENDING, account_id, owed),
        row.created_at,
        _hashed(vault, account_id, row.email),
        _hashed(vault, account_id, row.phone),
        _hashed(vault, account_id, messenger_id),
    )
    return made is not None


async def update(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    account_id: int,
    row: ContactRow,
    messenger_id: str | None,
    owed: bytes,
) -> None:
    """Writes the changed part; `messenger_id` None leaves it. Row locked. Raises ExternalIdTaken."""
    try:
        await connection.execute(
            _UPDATE,
            account_id,
            row.contact_id,
            row.external_id or None,
            _sealed(vault, account_id, row.email),
            _sealed(vault, account_id, row.phone),
            row.opted_out,
            vault.seal(ports.CRM_PENDING, account_id, owed),
            _hashed(vault, account_id, row.email),
            _hashed(vault, account_id, row.phone),
            messenger_id is not None,
            _hashed(vault, account_id, messenger_id or ""),
        )
    except asyncpg.UniqueViolationError as error:
        raise ExternalIdTaken(row.external_id) from error


async def delete(
    connection: asyncpg.Connection, vault: ports.Vault, account_id: int, contact_id: UUID, owed: bytes
) -> None:
    """Marks a contact deleted and wipes its address. The row must be locked."""
    await connection.execute(_DELETE, account_id, contact_id, vault.seal(ports.CRM_PENDING, account_id, owed))


async def owed(
    connection: asyncpg.Connection, vault: ports.Vault, account_id: int, contact_id: UUID
) -> tuple[bytes, int] | None:
    """What is still owed to the crm service and the revision it belongs to; None if nothing."""
    row = await connection.fetchrow(_OWED, account_id, contact_id)
    if row is None or row["crm_pending"] is None:
        return None
    return vault.open(ports.CRM_PENDING, account_id, row["crm_pending"]), row["revision"]


async def carried(connection: asyncpg.Connection, account_id: int, contact_id: UUID, revision: int) -> None:
    """The crm service has it, unless the contact changed again meanwhile."""
    await connection.execute(_CARRIED, account_id, contact_id, revision)


async def owing(pool: asyncpg.Pool, most: int) -> list[tuple[int, UUID]]:
    """Contacts of any account that have owed for more than two seconds."""
    return [(row[0], row[1]) for row in await pool.fetch(_OWING, most)]


def _sealed(vault: ports.Vault, account_id: int, text: str) -> bytes | None:
    return vault.seal(ports.ADDRESS, account_id, text.encode()) if text else None


def _hashed(vault: ports.Vault, account_id: int, text: str) -> bytes | None:
    return address_hash(vault, account_id, text) if text else None


def _row(row: asyncpg.Record, vault: ports.Vault, account_id: int) -> ContactRow:
    def opened(name: str) -> str:
        sealed = row[name]
        return vault.open(ports.ADDRESS, account_id, sealed).decode() if sealed else ""

    return ContactRow(
        contact_id=row["contact_id"],
        external_id=row["external_id"] or "",
        email=opened("email_sealed"),
        phone=opened("phone_sealed"),
        opted_out=row["opted_out"],
        revision=row["revision"],
        owes_crm=row["crm_pending"] is not None,
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
