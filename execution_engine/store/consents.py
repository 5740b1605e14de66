"""Keeps consents, suppressions and what was sent; ConsentService and events write them through here.

Every write is made under the locks of the contacts it concerns and raises their sending_rev, so that no
message judged by what was before is begun after it. Stamps are taken after the locks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from execution_engine.errors import NotFound
from execution_engine.sending.channels import Category, Channel
from execution_engine.sending.effects import Deny, Effect, Lift, Suppress

_NOW = "(SELECT clock_timestamp() + shift FROM clock_offset)"
_LOCK = """SELECT contact_id FROM contact
WHERE account_id = $1 AND contact_id = ANY ($2::uuid[]) AND deleted_at IS NULL
ORDER BY contact_id FOR NO KEY UPDATE"""
_SHARING = """SELECT contact_id FROM contact WHERE account_id = $1 AND deleted_at IS NULL AND
(email_hash = ANY ($2::bytea[]) OR phone_hash = ANY ($2::bytea[]) OR messenger_hash = ANY ($2::bytea[]))"""
_HASHES = """SELECT contact_id, email_hash, phone_hash, messenger_hash FROM contact
WHERE account_id = $1 AND contact_id = ANY ($2::uuid[])"""
_RAISE = """UPDATE contact SET sending_rev = sending_rev + 1
WHERE account_id = $1 AND contact_id = ANY ($2::uuid[])"""
_SET = f"""INSERT INTO consent AS k (account_id, contact_id, channel, category, granted, source, at)
VALUES ($1, $2, $3, $4, $5, $6, {_NOW})
ON CONFLICT (account_id, contact_id, channel, category) DO UPDATE
    SET granted = excluded.granted, source = excluded.source, at = excluded.at
RETURNING channel, category, granted, source, at"""
_CONSENTS = """SELECT channel, category, granted, source, at FROM consent
WHERE account_id = $1 AND contact_id = $2 ORDER BY channel, category"""
_SUPPRESS = f"""INSERT INTO suppression AS s
    (account_id, address_hash, channel, category, reason, until, source, at)
VALUES ($1, $2, $3, $4, $5, CASE WHEN $6::float8 IS NULL THEN NULL
    ELSE {_NOW} + make_interval(secs => $6) END, $7, {_NOW})
ON CONFLICT (account_id, address_hash, channel, category) DO UPDATE
    SET reason = excluded.reason, source = excluded.source, at = excluded.at,
        until = CASE WHEN s.until IS NULL OR excluded.until IS NULL THEN NULL
                ELSE greatest(s.until, excluded.until) END
RETURNING channel, category, reason, until, source, at"""
_LIFT = """DELETE FROM suppression
WHERE account_id = $1 AND address_hash = $2 AND channel = $3 AND ($4::smallint IS NULL OR category = $4)"""
_SUPPRESSIONS = """SELECT channel, category, reason, until, source, at FROM suppression
WHERE account_id = $1 AND address_hash = ANY ($2::bytea[]) AND (until IS NULL OR until > wf_now())
ORDER BY channel, category"""
_MESSAGES = """SELECT channel, category, at, execution_id, step_id, visit FROM message_intent
WHERE account_id = $1 AND contact_id = $2 AND ($3::timestamptz IS NULL
    OR (at, execution_id, step_id, visit) < ($3, $4::uuid, $5::text, $6::smallint))
ORDER BY at DESC, execution_id DESC, step_id DESC, visit DESC LIMIT $7"""


@dataclass(frozen=True, slots=True)
class ConsentView:
    """One consent as it is recorded."""

    channel: Channel
    category: Category
    granted: bool
    source: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SuppressionView:
    """One suppression as it is recorded. `category` 0: every one."""

    channel: Channel
    category: int
    reason: str
    until: datetime | None
    source: str
    at: datetime


@dataclass(frozen=True, slots=True)
class MessageView:
    """One message that was begun to be sent."""

    channel: Channel
    category: Category
    at: datetime
    execution_id: UUID
    step_id: str
    visit: int


async def set_consent(
    connection: asyncpg.Connection,
    account_id: int,
    contact_id: UUID,
    channel: Channel,
    category: Category,
    source: str,
    *,
    granted: bool,
) -> ConsentView:
    """Records a consent. Raises NotFound."""
    if not await connection.fetch(_LOCK, account_id, [contact_id]):
        raise NotFound("contact", str(contact_id))
    row = await connection.fetchrow(_SET, account_id, contact_id, channel, category, granted, source)
    await connection.execute(_RAISE, account_id, [contact_id])
    return ConsentView(Channel(row[0]), Category(row[1]), *row[2:])


async def consents(
    connection: asyncpg.Connection, account_id: int, contact_id: UUID
) -> tuple[list[ConsentView], list[SuppressionView]]:
    """A contact's consents, and what holds for its addresses. Raises NotFound."""
    hashes = (await _hashes(connection, account_id, [contact_id])).get(contact_id)
    if hashes is None:
        raise NotFound("contact", str(contact_id))
    said = await connection.fetch(_CONSENTS, account_id, contact_id)
    held = await connection.fetch(_SUPPRESSIONS, account_id, list(hashes.values()))
    return (
        [ConsentView(Channel(row[0]), Category(row[1]), *row[2:]) for row in said],
        [SuppressionView(Channel(row[0]), *row[1:]) for row in held],
    )


async def suppress(
    connection: asyncpg.Connection, account_id: int, address_hash: bytes, what: Suppress, source: str
) -> SuppressionView:
    """Suppresses an address; one that is for good already stays so."""
    sharing = await _lock_sharing(connection, account_id, [address_hash])
    row = await _suppress(connection, account_id, address_hash, what, source)
    await connection.execute(_RAISE, account_id, sharing)
    return SuppressionView(Channel(row[0]), *row[1:])


async def lift(
    connection: asyncpg.Connection,
    account_id: int,
    address_hash: bytes,
    channel: Channel,
    category: Category | None,
) -> bool:
    """Ends a suppression; False if there was none."""
    sharing = await _lock_sharing(connection, account_id, [address_hash])
    number = int(category) if category is not None else 0
    gone = await connection.execute(_LIFT, account_id, address_hash, channel, number)
    await connection.execute(_RAISE, account_id, sharing)
    return not gone.endswith(" 0")


async def concerned(
    connection: asyncpg.Connection, account_id: int, contacts: Sequence[UUID], addresses: Sequence[bytes]
) -> list[UUID]:
    """Contacts that have one of the addresses, or one of these contacts' own: to be locked with them."""
    own = await _hashes(connection, account_id, contacts)
    wanted = {*addresses, *(hashed for named in own.values() for hashed in named.values())}
    rows = await connection.fetch(_SHARING, account_id, list(wanted))
    return [row[0] for row in rows]


async def apply(
    connection: asyncpg.Connection,
    account_id: int,
    contact_id: UUID,
    effect: Effect,
    address_hash: bytes | None,
    source: str,
) -> bool:
    """Does what an event means; its contact, and those of `concerned`, must be locked.

    `address_hash`: of the address the event names; the contact's own of the channel if None. False if there
    is no address.
    """
    if isinstance(effect, Deny):
        await connection.execute(_SET, account_id, contact_id, effect.channel, effect.category, False, source)
        await connection.execute(_RAISE, account_id, [contact_id])
        return True
    own = (await _hashes(connection, account_id, [contact_id])).get(contact_id, {})
    hashed = address_hash or own.get(effect.channel)
    if hashed is None:
        return False
    if isinstance(effect, Lift):
        await connection.execute(_LIFT, account_id, hashed, effect.channel, None)
    else:
        await _suppress(connection, account_id, hashed, effect, source)
    rows = await connection.fetch(_SHARING, account_id, [hashed])
    await connection.execute(_RAISE, account_id, sorted({contact_id, *(row[0] for row in rows)}))
    return True


async def messages(
    connection: asyncpg.Connection, account_id: int, contact_id: UUID, after: MessageView | None, most: int
) -> list[MessageView]:
    """Messages to a contact, newest first, after one."""
    place = (after.at, after.execution_id, after.step_id, after.visit) if after else (None, None, None, None)
    rows = await connection.fetch(_MESSAGES, account_id, contact_id, *place, most)
    return [MessageView(Channel(row[0]), Category(row[1]), *row[2:]) for row in rows]


async def _suppress(
    connection: asyncpg.Connection, account_id: int, address_hash: bytes, what: Suppress, source: str
) -> asyncpg.Record:
    category = int(what.category) if what.category is not None else 0
    return await connection.fetchrow(
        _SUPPRESS, account_id, address_hash, what.channel, category, what.reason, what.seconds, source
    )


async def _lock_sharing(
    connection: asyncpg.Connection, account_id: int, addresses: Sequence[bytes]
) -> list[UUID]:
    rows = await connection.fetch(_SHARING, account_id, list(addresses))
    ids = sorted(row[0] for row in rows)
    await connection.fetch(_LOCK, account_id, ids)
    return ids


async def _hashes(
    connection: asyncpg.Connection, account_id: int, contacts: Sequence[UUID]
) -> dict[UUID, dict[Channel, bytes]]:
    """Hashes of contacts' own addresses by channel."""
    found: dict[UUID, dict[Channel, bytes]] = {}
    for row in await connection.fetch(_HASHES, account_id, list(contacts)):
        named = {
            Channel.EMAIL: row["email_hash"],
            Channel.SMS: row["phone_hash"],
            Channel.VOICE: row["phone_hash"],
            Channel.MESSENGER: row["messenger_hash"],
        }
        found[row["contact_id"]] = {channel: hashed for channel, hashed in named.items() if hashed}
    return found
