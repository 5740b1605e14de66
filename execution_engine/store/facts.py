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
    """Whose facts: the addresses asked about, in clear, how far back its sends are read, and the contact's
    sending_rev when those addresses were read.
    """

    account_id: int
    contact_id: UUID
    addresses: tuple[str, ...]
    back: timedelta
    rev: int | None


async def load(
    connection: asyncpg.Connection | asyncpg.Pool, vault: ports.Vault, wanted: Sequence[Wanted]
) -> list[Facts | None]:
    """The facts of each, None of a contact that is not there.

    Their revision is that of the addresses if that is older: what changed in between makes them old.
    """
    hashes = [{text: address_hash(vault, w.account_id, text) for text in w.addresses} for w in wanted]
    pairs = [(place, hashed) for place, known in enumerate(hashes, 1) for hashed in known.values()]
    rows = await connection.fetch(
        _LOAD,
        [w.account_id for w in wanted],
        [w.contact_id for w in wanted],
        [w.back for w in wanted],
        [place for place, _ in pairs],
        [hashed for _, hashed in pairs],
    )
    found: list[Facts | None] = [None] * len(wanted)
    for row in rows:
        place = row["place"] - 1
        facts = _facts(row, hashes[place])
        rev = wanted[place].rev
        facts.rev = facts.rev if rev is None else min(facts.rev, rev)
        found[place] = facts
    return found


def _facts(row: asyncpg.Record, hashes: Mapping[str, bytes]) -> Facts:
    return Facts(
        rev=row["sending_rev"],
        opted_out=row["opted_out"],
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
