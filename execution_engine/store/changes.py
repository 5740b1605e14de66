"""What an action changed on a contact is an event too: put into the inbox by the transaction of its outcome.

Only where some published version of the account listens for it. The event's id derives from the effect
key, so that an outcome told twice is one event; its cause travels along, so that loops are seen.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from execution_engine import ports
from execution_engine.ids import new_id
from execution_engine.moves import Advance
from execution_engine.run import Run

_NOW_AND_LISTENING = """SELECT wf_now(), ARRAY(SELECT DISTINCT account_id || ' ' || type FROM listening
WHERE account_id = ANY ($1::bigint[]) AND type = ANY ($2::text[]))"""
_LISTENING = """SELECT DISTINCT account_id, type FROM listening
WHERE account_id = ANY ($1::bigint[]) AND type = ANY ($2::text[])"""
_PUT = """INSERT INTO event_inbox
    (account_id, contact_id, type, source_id, occurred_at, data_sealed, cause_sealed)
SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[],
    $6::bytea[], $7::bytea[])"""
_MOST_ITEMS = 200

Entry = tuple[int, UUID, str, str, datetime, bytes | None, bytes | None]


async def now_and_listening(
    connection: asyncpg.Connection, telling: Mapping[int, Collection[str]]
) -> tuple[datetime, set[tuple[int, str]]]:
    """The engine's now, and which of these event types, by account, somebody listens for."""
    if not telling:
        return await connection.fetchval("SELECT wf_now()"), set()
    types = {name for names in telling.values() for name in names}
    row = await connection.fetchrow(_NOW_AND_LISTENING, list(telling), list(types))
    pairs = (text.split(" ", 1) for text in row[1])
    return row[0], {(int(account_id), name) for account_id, name in pairs}


async def tell(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    moved: Sequence[tuple[Run, Advance]],
    heard: set[tuple[int, str]],
    now: datetime,
) -> None:
    """Puts the events of these outcomes into the inbox, where somebody listens for them."""
    telling = [(run, result) for run, result in moved if result.ended_step and result.ended_step.emits]
    if telling and heard:
        await put(
            connection, [e for run, result in telling for e in _entries(vault, run, result, heard, now)]
        )


async def tell_of_contact(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    account_id: int,
    contact_id: UUID,
    told: Sequence[tuple[str, dict[str, Any]]],
) -> None:
    """Puts into the inbox what a caller changed on a contact: (event type, data) of each change."""
    types = [name for name, _ in told]
    heard = {row[1] for row in await connection.fetch(_LISTENING, [account_id], types)}
    if not heard.intersection(types):
        return
    now: datetime = await connection.fetchval("SELECT wf_now()")
    await put(
        connection,
        [
            (
                account_id,
                contact_id,
                name,
                f"contact/{contact_id}/{new_id(now)}",
                now,
                vault.seal(ports.EVENT, account_id, orjson.dumps(data)),
                None,
            )
            for name, data in told
            if name in heard
        ],
    )


async def tell_of_other(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    run: Run,
    contact_id: UUID,
    told: Sequence[tuple[str, dict[str, Any]]],
    now: datetime,
) -> None:
    """Puts into the inbox what a run's action did to a contact that is not its own, with the run as cause."""
    if not told:
        return
    types = [name for name, _ in told]
    heard = {row[1] for row in await connection.fetch(_LISTENING, [run.account_id], types)}
    cause = vault.seal(ports.INPUT, run.account_id, _cause(run))
    entries: list[Entry] = []
    for place, (name, data) in enumerate(told):
        if name in heard:
            source = f"{run.execution_id}/{contact_id}/{run.steps_run}/{name}/{place}"
            sealed = vault.seal(ports.EVENT, run.account_id, orjson.dumps(data))
            entries.append((run.account_id, contact_id, name, source, now, sealed, cause))
    await put(connection, entries)


def _cause(run: Run) -> bytes:
    return orjson.dumps({"execution": str(run.execution_id), "workflows": [*run.cause, str(run.workflow_id)]})


async def put(connection: asyncpg.Connection, entries: Sequence[Entry]) -> None:
    """Appends events to the inbox."""
    if entries:
        await connection.execute(_PUT, *(list(column) for column in zip(*entries, strict=True)))


def _entries(
    vault: ports.Vault, run: Run, result: Advance, heard: set[tuple[int, str]], now: datetime
) -> list[Entry]:
    step = result.ended_step
    assert step is not None
    told: dict[str, Any] = orjson.loads(result.output)
    if not told.get("changed"):
        return []
    config: dict[str, Any] = orjson.loads(result.config or b"{}")
    cause = _cause(run)
    found: list[Entry] = []
    for name, key in step.emits:
        if (run.account_id, name) not in heard:
            continue
        # What was done goes before what was asked: of several tags, those that were new.
        value = told[key] if key in told else config.get(key)
        items = value if isinstance(value, list) else [value]
        for item in items[:_MOST_ITEMS]:
            data = {"value": item, "execution_id": str(run.execution_id), "step_id": step.id}
            source = f"{run.execution_id}/{step.id}/{run.steps_run}/{name}/{len(found)}"
            found.append(
                (
                    run.account_id,
                    run.contact_id,
                    name,
                    source,
                    now,
                    vault.seal(ports.EVENT, run.account_id, orjson.dumps(data)),
                    vault.seal(ports.INPUT, run.account_id, cause),
                )
            )
    return found
