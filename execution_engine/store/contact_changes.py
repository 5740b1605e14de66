"""Applies what actions change on contacts in the transaction of their outcome; store/commits.py calls it.

Existence, address and suppressions are the engine's alone, so an action that changes one answers with the
change: {"email", "phone", "messenger_id"} of its own contact, {"create": {…}} of another, {"suppress":
{"channel", "reason", "until"}} of an address. The contacts concerned must be locked (`concerned` names them).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from execution_engine import ports
from execution_engine.run import Run
from execution_engine.sending.channels import CHANNELS, MESSENGER_FIELD, address_hash
from execution_engine.sending.effects import Suppress
from execution_engine.store import changes, consents

_CHANGE_ADDRESS = """UPDATE contact SET email_sealed = CASE WHEN $3 THEN $4 ELSE email_sealed END,
phone_sealed = CASE WHEN $5 THEN $6 ELSE phone_sealed END,
email_hash = CASE WHEN $3 THEN $8 ELSE email_hash END,
phone_hash = CASE WHEN $5 THEN $9 ELSE phone_hash END,
messenger_hash = CASE WHEN $10 THEN $11 ELSE messenger_hash END, revision = revision + 1,
sending_rev = sending_rev + 1, updated_at = $7
WHERE account_id = $1 AND contact_id = $2 AND deleted_at IS NULL"""
_CREATE = """INSERT INTO contact AS c
    (account_id, contact_id, email_sealed, phone_sealed, email_hash, phone_hash, created_at, updated_at,
    messenger_hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8)
ON CONFLICT (account_id, contact_id) DO UPDATE SET
    email_sealed = coalesce(excluded.email_sealed, c.email_sealed),
    phone_sealed = coalesce(excluded.phone_sealed, c.phone_sealed),
    email_hash = coalesce(excluded.email_hash, c.email_hash),
    phone_hash = coalesce(excluded.phone_hash, c.phone_hash),
    messenger_hash = CASE WHEN $9 THEN excluded.messenger_hash ELSE c.messenger_hash END,
    revision = c.revision + 1, sending_rev = c.sending_rev + 1, updated_at = excluded.updated_at
WHERE c.deleted_at IS NULL"""
_SHARING = """SELECT DISTINCT o.account_id, o.contact_id
FROM unnest($1::bigint[], $2::uuid[]) AS u (account_id, contact_id)
JOIN contact c USING (account_id, contact_id)
JOIN contact o ON o.account_id = c.account_id AND o.deleted_at IS NULL
    AND (o.email_hash = c.email_hash OR o.phone_hash = c.phone_hash OR o.messenger_hash = c.messenger_hash)"""
_ADDRESSES = frozenset({"email", "phone", MESSENGER_FIELD})
_CREATED, _UPDATED, _TAGGED = "contact_created", "contact_updated", "tag_added"

Change = tuple[Run, bytes]
"""A run, and the contact changes of its outcome."""


async def concerned(connection: asyncpg.Connection, changed: Sequence[Change]) -> list[tuple[int, UUID]]:
    """The contacts that these changes touch: to be locked, with all others of the commit, in one order."""
    found: set[tuple[int, UUID]] = set()
    suppressing: list[Run] = []
    for run, raw in changed:
        given = orjson.loads(raw)
        found.add((run.account_id, run.contact_id))
        if "create" in given:
            found.add((run.account_id, UUID(given["create"]["contact_id"])))
        if "suppress" in given:
            suppressing.append(run)
    if suppressing:
        rows = await connection.fetch(
            _SHARING, [r.account_id for r in suppressing], [r.contact_id for r in suppressing]
        )
        found.update((row[0], row[1]) for row in rows)
    return sorted(found)


async def apply(
    connection: asyncpg.Connection, vault: ports.Vault, changed: Sequence[Change], now: datetime
) -> None:
    """Makes the changes, in order of the contacts they touch."""
    read = [(run, orjson.loads(raw)) for run, raw in changed]
    for run, given in sorted(read, key=lambda one: _touched(*one)):
        if "create" in given:
            await _create(connection, vault, run, given["create"], now)
        if "suppress" in given:
            await _suppress(connection, run, given["suppress"])
        if not _ADDRESSES.isdisjoint(given):
            await _change_address(connection, vault, run, given, now)


async def _create(
    connection: asyncpg.Connection, vault: ports.Vault, run: Run, given: dict[str, Any], now: datetime
) -> None:
    contact_id = UUID(given["contact_id"])
    email, phone = given.get("email"), given.get("phone")
    await connection.execute(
        _CREATE,
        run.account_id,
        contact_id,
        _sealed(vault, run, email),
        _sealed(vault, run, phone),
        _hashed(vault, run, email),
        _hashed(vault, run, phone),
        now,
        _hashed(vault, run, given.get(MESSENGER_FIELD)),
        MESSENGER_FIELD in given,
    )
    told: list[tuple[str, dict[str, Any]]] = []
    if given.get("created") or given.get("changed"):
        told.append((_CREATED if given.get("created") else _UPDATED, {}))
    told += [(_TAGGED, {"value": tag}) for tag in given.get("tags_added", ())]
    await changes.tell_of_other(connection, vault, run, contact_id, told, now)


async def _suppress(connection: asyncpg.Connection, run: Run, given: dict[str, Any]) -> None:
    channel, until = CHANNELS.get(str(given.get("channel"))), given.get("until")
    if channel is None:
        return
    what = Suppress(channel, None, str(given.get("reason", ""))[:64], float(until) if until else None)
    source = f"execution {run.execution_id}"
    await consents.apply(connection, run.account_id, run.contact_id, what, None, source)


async def _change_address(
    connection: asyncpg.Connection, vault: ports.Vault, run: Run, given: dict[str, Any], now: datetime
) -> None:
    await connection.execute(
        _CHANGE_ADDRESS,
        run.account_id,
        run.contact_id,
        "email" in given,
        _sealed(vault, run, given.get("email")),
        "phone" in given,
        _sealed(vault, run, given.get("phone")),
        now,
        _hashed(vault, run, given.get("email")),
        _hashed(vault, run, given.get("phone")),
        MESSENGER_FIELD in given,
        _hashed(vault, run, given.get(MESSENGER_FIELD)),
    )


def _sealed(vault: ports.Vault, run: Run, value: object) -> bytes | None:
    return vault.seal(ports.ADDRESS, run.account_id, str(value).encode()) if value else None


def _hashed(vault: ports.Vault, run: Run, value: object) -> bytes | None:
    return address_hash(vault, run.account_id, str(value)) if value else None


def _touched(run: Run, given: dict[str, Any]) -> tuple[int, str]:
    created = given.get("create")
    return run.account_id, str(created["contact_id"] if created else run.contact_id)
