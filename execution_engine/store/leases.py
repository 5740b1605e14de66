"""Workers, shards, claims and leases in the database; dispatcher/{shards,claim,heartbeat}.py call it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import structlog

from execution_engine import ports
from execution_engine.model import BlockedOn, Priority, Status
from execution_engine.outcome import Claimed
from execution_engine.run import Run
from execution_engine.store.sql import statement

log = structlog.get_logger(__name__)
_CLAIM = statement("claim_due")
_DISCOVER = statement("discover_due")
_RENEW = statement("renew_leases")
_REGISTER = statement("register_worker")
_BEAT = statement("beat")
_RETIRE = statement("retire_workers")
_LIVE = statement("live_workers")
_TAKE = statement("take_shards")
_RELEASE = statement("release_shards")
_ORPHANS = statement("orphaned_leases")
_END_SESSIONS = statement("end_sessions")
_UNHELD = statement("release_unheld")
_RELOAD = statement("reload_runs")
_ACTIVE = statement("count_active")
_MAKE_PARTITIONS = "SELECT wf_make_partitions(wf_now(), 3)"


@dataclass(frozen=True, slots=True)
class Due:
    """The earliest wake-up of one lane of one account."""

    account_id: int
    lane: int
    active_limit: int
    wake_at: datetime
    now: datetime


@dataclass(frozen=True, slots=True)
class Ask:
    """How many executions to claim from one lane of one account."""

    account_id: int
    lane: int
    quota: int
    competes: bool = False
    """Whether other lanes of the account want the same slots."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One execution claimed."""

    run: Run
    event: Claimed
    lane: int
    due_at: datetime
    now: datetime


@dataclass(frozen=True, slots=True)
class LiveWorker:
    """A worker that is not retired."""

    worker_id: int
    host: str
    pid: int
    shards: frozenset[int]


async def register(connection: asyncpg.Connection, incarnation: UUID, host: str, pid: int) -> int:
    """Enters a worker process; its id is never used again."""
    return int(await connection.fetchval(_REGISTER, incarnation, host, pid))


async def beat(connection: asyncpg.Connection, worker_id: int) -> bool:
    """Tells that the worker lives; False if it has been retired and must stop."""
    return await connection.fetchval(_BEAT, worker_id) is not None


async def retire(
    connection: asyncpg.Connection, worker_id: int, silent_for: timedelta, dead: Sequence[int] = ()
) -> list[int]:
    """Retires other workers that are silent or known to be dead; returns their ids."""
    return [row[0] for row in await connection.fetch(_RETIRE, worker_id, silent_for, list(dead))]


def session_name(incarnation: UUID) -> str:
    """What a worker calls its database sessions, so that whoever retires it can end them."""
    return f"wayfarer worker {incarnation}"


async def end_sessions(connection: asyncpg.Connection, worker_ids: Sequence[int]) -> int:
    """Ends what retired workers have open, and so their locks; returns how many sessions ended."""
    return int(await connection.fetchval(_END_SESSIONS, list(worker_ids)))


async def live_workers(connection: asyncpg.Connection) -> list[LiveWorker]:
    """Every worker not retired, by id."""
    return [
        LiveWorker(row["worker_id"], row["host"], row["pid"], frozenset(row["shards"]))
        for row in await connection.fetch(_LIVE)
    ]


async def take_shards(connection: asyncpg.Connection, worker_id: int, most: int) -> list[int]:
    """Takes up to `most` shards that nobody alive owns."""
    return [row[0] for row in await connection.fetch(_TAKE, worker_id, most)]


async def release_shards(connection: asyncpg.Connection, worker_id: int, shards: Sequence[int]) -> None:
    """Gives up shards of its own."""
    await connection.execute(_RELEASE, worker_id, list(shards))


async def end_orphaned_leases(connection: asyncpg.Connection, shards: Sequence[int]) -> int:
    """Makes executions of retired workers due at once, at most 1,000; returns how many."""
    return int((await connection.execute(_ORPHANS, list(shards))).rpartition(" ")[2])


async def release_unheld(
    connection: asyncpg.Connection, worker_id: int, shards: Sequence[int], held: Sequence[UUID]
) -> None:
    """Ends the worker's leases on executions it does not hold: those of a claim whose answer was lost."""
    await connection.execute(_UNHELD, worker_id, list(shards), list(held))


async def discover(connection: asyncpg.Connection, shards: Sequence[int], watermark: datetime) -> list[Due]:
    """What is due next in each account and lane of the shards, from the watermark on."""
    rows = await connection.fetch(_DISCOVER, list(shards), watermark)
    return [Due(r["account_id"], r["lane"], r["active_limit"], r["wake_at"], r["now"]) for r in rows]


async def claim(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    worker_id: int,
    asks: Sequence[Ask],
    watermark: datetime,
    lease: timedelta,
) -> list[Claim]:
    """Claims due executions for the worker; those of paused workflows are parked and left out."""
    rows = await connection.fetch(
        _CLAIM,
        worker_id,
        [a.account_id for a in asks],
        [a.lane for a in asks],
        [a.quota for a in asks],
        watermark,
        lease,
    )
    claims = [_claimed_or_none(row, vault) for row in rows if not row["paused"]]
    return [claim for claim in claims if claim is not None]


def _claimed_or_none(row: asyncpg.Record, vault: ports.Vault) -> Claim | None:
    """None for a row that cannot be opened (a key is missing): its lease ends, its neighbours go on."""
    try:
        return _claimed(row, vault)
    except Exception:
        log.exception("claimed_row_cannot_be_opened", execution_id=str(row["execution_id"]))
        return None


def _claimed(row: asyncpg.Record, vault: ports.Vault) -> Claim:
    run = _run(row, vault)
    claimed = Claimed(Status(row["was"]), run.blocked_on)
    return Claim(run, claimed, row["lane_was"], row["due_at"], row["now"])


def _run(row: asyncpg.Record, vault: ports.Vault) -> Run:
    account_id = row["account_id"]
    given = _opened(vault, ports.INPUT, account_id, row["input_sealed"]) or {}
    state = _opened(vault, ports.STATE, account_id, row["state_sealed"]) or {}
    return Run(
        account_id=account_id,
        execution_id=row["execution_id"],
        workflow_id=row["workflow_id"],
        contact_id=row["contact_id"],
        version=row["version"],
        priority=Priority(row["priority"]),
        fence=row["fence"],
        rev=row["rev"],
        status=Status.ACTIVE,
        blocked_on=BlockedOn(row["blocked_on"]),
        step=row["step"],
        visit=row["visit"],
        attempt=row["attempt"],
        failures=row["failures"],
        crashes=row["crashes"],
        attempt_open=row["attempt_open"],
        open_seq=row["open_seq"],
        open_at=row["open_at"],
        steps_run=row["steps_run"],
        log_seq=row["log_seq"],
        log_hash=row["log_hash"],
        chain_key=vault.mac_key(ports.CHAIN, account_id),
        trigger=given.get("trigger", {}),
        traceparent=given.get("trace", ""),
        cause=given.get("cause", []),
        outputs=state.get("outputs", {}),
        visits=state.get("visits", {}),
        asks=row["asks"],
        ask=row["ask"],
        ask_detail=row["ask_detail"],
        held_on=BlockedOn(row["held_on"]),
        resume_at=row["resume_at"],
        not_before=row["not_before"],
        wait_seq=row["wait_seq"],
        wait=_opened(vault, ports.WAIT, account_id, row["wait_sealed"]),
        blocked_by=row["blocked_by"],
        signals=_opened(vault, ports.SIGNALS, account_id, row["signals_sealed"]) or [],
    )


def _opened(vault: ports.Vault, purpose: str, account_id: int, sealed: bytes | None) -> Any:
    return orjson.loads(vault.open(purpose, account_id, sealed)) if sealed else None


async def reload(
    connection: asyncpg.Connection, vault: ports.Vault, held: Sequence[tuple[int, UUID, int]]
) -> dict[UUID, Run]:
    """The rows of driven runs as they now are, by id; those whose fence was raised are left out."""
    rows = await connection.fetch(_RELOAD, [h[0] for h in held], [h[1] for h in held], [h[2] for h in held])
    return {row["execution_id"]: _run(row, vault) for row in rows}


async def renew(
    connection: asyncpg.Connection,
    worker_id: int,
    held: Sequence[tuple[int, UUID, int]],
    lease: timedelta,
) -> None:
    """Extends leases past their half. `held`: (account_id, execution_id, fence), ≤ 1,000 a call."""
    await connection.execute(
        _RENEW, worker_id, [h[0] for h in held], [h[1] for h in held], [h[2] for h in held], lease
    )


async def count_active(connection: asyncpg.Connection, accounts: Sequence[int]) -> dict[int, tuple[int, int]]:
    """ACTIVE executions and limit of each account."""
    rows = await connection.fetch(_ACTIVE, list(accounts))
    return {row["account_id"]: (row["active"], row["active_limit"]) for row in rows}


async def make_partitions(connection: asyncpg.Connection) -> int:
    """Makes the partitions of this month and the next three; returns how many were missing."""
    return int(await connection.fetchval(_MAKE_PARTITIONS))
