"""Events that came before their wait did, looked for where it is registered; commits.py calls it.

The contact's gate is held, so no event is missed between the look and the commit.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from execution_engine import ports
from execution_engine.definition import patterns
from execution_engine.ids import first_id
from execution_engine.run import Run
from execution_engine.signals import SignalKind, signal
from execution_engine.store.sql import statement

_LOOK = statement("look_back")
_SIGNAL = statement("signal_rested")


async def look(
    connection: asyncpg.Connection, vault: ports.Vault, runs: Sequence[Run], now: datetime
) -> None:
    """Wakes those of the runs, just laid to rest, whose event has come already: the earliest that fits."""
    if not runs:
        return
    since = [datetime.fromisoformat(_wait(run)["since"]) for run in runs]
    rows = await connection.fetch(
        _LOOK,
        list(range(len(runs))),
        [run.account_id for run in runs],
        [run.contact_id for run in runs],
        since,
        [first_id(at) for at in since],
        sorted({name for run in runs for name in _wait(run)["types"]}),
    )
    found: dict[int, dict[str, Any]] = {}
    for row in rows:
        run = runs[row["place"]]
        if row["place"] in found or row["type"] not in _wait(run)["types"]:
            continue
        event = opened(vault, run.account_id, row)
        if patterns.admits(_wait(run)["match"], _wait(run)["filter"], event, now):
            found[row["place"]] = event
    if not found:
        return
    told = [runs[place] for place in found]
    sealed = [
        vault.seal(
            ports.SIGNALS,
            runs[place].account_id,
            orjson.dumps([signal(SignalKind.EVENT, event=event)]),
        )
        for place, event in found.items()
    ]
    await connection.execute(_SIGNAL, [r.account_id for r in told], [r.execution_id for r in told], sealed)
    for run in told:
        run.wake_at = now


def _wait(run: Run) -> dict[str, Any]:
    assert run.wait is not None, "a run that listens waits"
    return run.wait


def opened(vault: ports.Vault, account_id: int, row: asyncpg.Record) -> dict[str, Any]:
    """An event as patterns and signals take it."""
    sealed = row["data_sealed"]
    return {
        "id": str(row["event_id"]),
        "type": row["type"],
        "time": row["occurred_at"].isoformat(),
        "data": orjson.loads(vault.open(ports.EVENT, account_id, sealed)) if sealed else {},
    }
