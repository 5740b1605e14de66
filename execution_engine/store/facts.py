"""Reads what the send gate knows of contacts, in batches; dispatcher/contacts.py asks."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import orjson

from execution_engine import ports
from execution_engine.sending.channels import Category, Channel, address_hash
from execution_engine.sending.facts import Consent, Facts, Sent, Suppression
from execution_engine.store.sql import statement

_LOAD = statement("load_facts")


class Wanted(NamedTuple):
    """Whose facts, how far back its sends are read, and an address that is not the contact's own."""

    account_id: int
    contact_id: UUID
    back: timedelta
    foreign: str


async def load(
    connection: asyncpg.Connection | asyncpg.Pool,
    vault: ports.Vault,
    wanted: Sequence[Wanted],
    addresses: Mapping[tuple[int, UUID], Sequence[str]],
) -> dict[Wanted, Facts]:
    """Facts of those contacts that exist. `addresses`: each contact's own, in clear."""
    foreign = [address_hash(vault, w.account_id, w.foreign) if w.foreign else None for w in wanted]
    rows = await connection.fetch(
        _LOAD,
        [w.account_id for w in wanted],
        [w.contact_id for w in wanted],
        [w.back for w in wanted],
        foreign,
    )
    by_key = {(row["account_id"], row["contact_id"]): row for row in rows}
    found: dict[Wanted, Facts] = {}
    for one in wanted:
        row = by_key.get((one.account_id, one.contact_id))
        if row is not None:
            own = addresses.get((one.account_id, one.contact_id), ())
            texts = [text for text in (*own, one.foreign) if text]
            found[one] = _facts(row, {text: address_hash(vault, one.account_id, text) for text in texts})
    return found


def _facts(row: asyncpg.Record, hashes: Mapping[str, bytes]) -> Facts:
    return Facts(
        rev=row["sending_rev"],
        opted_out=row["opted_out"],
        deleted=row["deleted"],
        consents={
            (Channel(channel), Category(category)): Consent(granted, source, datetime.fromisoformat(at))
            for channel, category, granted, source, at in _list(row["consents"])
        },
        suppressions=tuple(
            Suppression(
                Channel(channel),
                bytes.fromhex(hashed),
                Category(category) if category else None,
                reason,
                datetime.fromisoformat(until) if until else None,
            )
            for channel, hashed, category, reason, until in _list(row["suppressions"])
        ),
        sent=tuple(
            Sent(datetime.fromisoformat(at), Channel(channel), Category(category), (execution, step, visit))
            for at, channel, category, execution, step, visit in _list(row["sent"])
        ),
        hashes=hashes,
    )


def _list(text: str | None) -> list[Any]:
    found: list[Any] = orjson.loads(text) if text else []
    return found
