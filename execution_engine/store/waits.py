"""Pending waits: read, listed, put on one execution, ended by hand; the API's WaitService uses it.

A wait is named by its execution and its place: `<execution>.<log position of its start>` for a step's wait,
`<execution>.a<number>` for an ad-hoc one.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from execution_engine import ports
from execution_engine.errors import IllegalTransition, InvalidValue, NotFound, WaitExists
from execution_engine.model import TERMINAL, BlockedOn, LogEvent, Status
from execution_engine.signals import Ask, SignalKind, signal
from execution_engine.store.locked import Locked, lock
from execution_engine.store.workflows import Outlines

_ID = re.compile(r"^([0-9a-f-]{36})\.(a?)(\d{1,9})$")
_LONGEST = timedelta(days=366)
_STEP_WAITS = (BlockedOn.TIMER, BlockedOn.EVENT)
_PAGE = """SELECT execution_id, workflow_id, contact_id, version, status, step, not_before, adhoc_no,
    wait_seq, wait_sealed
FROM execution WHERE account_id = $1 AND status IN (1, 2, 3, 4) AND (wait_seq > 0 OR not_before > wf_now())
    AND ($2::uuid IS NULL OR execution_id < $2) AND ($4::uuid IS NULL OR contact_id = $4)
ORDER BY execution_id DESC LIMIT $3"""
_ONE = _PAGE.replace("($2::uuid IS NULL OR execution_id < $2)", "execution_id = $2")


@dataclass(frozen=True, slots=True)
class WaitView:
    """One pending wait. `types` are the events it listens for; `paused`: its execution is."""

    wait_id: str
    execution_id: UUID
    workflow_id: UUID
    contact_id: UUID
    version: int
    step: int
    ad_hoc: bool
    rule: str
    since: datetime | None
    until: datetime
    types: tuple[str, ...]
    paused: bool


@dataclass(frozen=True, slots=True)
class WaitId:
    """A wait's name, taken apart."""

    execution_id: UUID
    ad_hoc: bool
    number: int

    @staticmethod
    def parse(text: str) -> "WaitId":
        """Raises NotFound: what is no name of a wait names none."""
        match = _ID.match(text)
        if match is None:
            raise NotFound("wait", text)
        try:
            return WaitId(UUID(match.group(1)), bool(match.group(2)), int(match.group(3)))
        except ValueError as error:
            raise NotFound("wait", text) from error


async def page(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    account_id: int,
    before: UUID | None,
    size: int,
    contact_id: UUID | None = None,
) -> list[WaitView]:
    """Pending waits of up to `size` executions, newest execution first; one may have two."""
    rows = await connection.fetch(_PAGE, account_id, before, size, contact_id)
    return [view for row in rows for view in _views(row, vault, account_id)]


async def get(connection: asyncpg.Connection, vault: ports.Vault, account_id: int, wait_id: str) -> WaitView:
    """One pending wait. Raises NotFound, also for one that is over."""
    rows = await connection.fetch(_ONE, account_id, WaitId.parse(wait_id).execution_id, 1, None)
    for row in rows:
        for view in _views(row, vault, account_id):
            if view.wait_id == wait_id:
                return view
    raise NotFound("wait", wait_id)


def _views(row: asyncpg.Record, vault: ports.Vault, account_id: int) -> list[WaitView]:
    views: list[WaitView] = []
    paused = row["status"] == Status.PAUSED
    common = {name: row[name] for name in ("execution_id", "workflow_id", "contact_id", "version", "step")}
    if row["wait_seq"] and row["wait_sealed"]:
        wait: dict[str, Any] = orjson.loads(vault.open(ports.WAIT, account_id, row["wait_sealed"]))
        views.append(
            WaitView(
                wait_id=f"{row['execution_id']}.{row['wait_seq']}",
                ad_hoc=False,
                rule=wait["rule"],
                since=datetime.fromisoformat(wait["began"]),
                until=datetime.fromisoformat(wait["until"]),
                types=tuple(wait.get("types", ())),
                paused=paused,
                **common,
            )
        )
    if row["not_before"] is not None:
        views.append(
            WaitView(
                wait_id=f"{row['execution_id']}.a{row['adhoc_no']}",
                ad_hoc=True,
                rule="ad hoc",
                since=None,
                until=row["not_before"],
                types=(),
                paused=paused,
                **common,
            )
        )
    return views


async def create(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    outlines: Outlines,
    account_id: int,
    execution_id: UUID,
    until: datetime,
    actor: str,
) -> str:
    """Puts an ad-hoc wait on an execution: no step begins before `until`. The wait's id.

    Raises NotFound, IllegalTransition, InvalidValue, WaitExists.
    """
    row = await lock(connection, vault, outlines, account_id, execution_id, Status.WAITING)
    if row.status in TERMINAL:
        raise IllegalTransition(row.status.name, Status.WAITING.name)
    if not row.now < until <= row.now + _LONGEST:
        raise InvalidValue("until", "range", "must be in the future, at most 366 days from now")
    if row.not_before is not None and row.not_before > row.now:
        raise WaitExists(f"{execution_id}.a{row.adhoc_no}")
    row.adhoc_no += 1
    row.not_before = until
    detail = {"resume_at": until.isoformat(), "rule": "ad hoc", "actor": actor}
    if row.driven:
        row.ask_detail = orjson.dumps({"actor": actor}).decode()
        await row.ask(connection, Ask.NOTHING)
    else:
        row.append(LogEvent.WAIT_STARTED, detail)
        row.ask_detail = orjson.dumps({"actor": actor, "told": True}).decode()
        await row.write(connection)
    return f"{execution_id}.a{row.adhoc_no}"


async def end(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    outlines: Outlines,
    account_id: int,
    wait_id: str,
    kind: SignalKind,
    actor: str,
) -> UUID:
    """Ends a pending wait by hand: RESUME as if its time had come, LIFT as if it were not there.

    The execution's id. Raises NotFound, also for a wait that is over.
    """
    named = WaitId.parse(wait_id)
    try:
        row = await lock(connection, vault, outlines, account_id, named.execution_id, Status.WAITING)
    except (NotFound, IllegalTransition) as error:
        raise NotFound("wait", wait_id) from error
    told = signal(kind, actor=actor)
    if named.ad_hoc:
        await _end_ad_hoc(connection, row, named, wait_id, told, kind, actor)
    else:
        await _end_step_wait(connection, row, named, wait_id, told)
    return named.execution_id


async def _end_step_wait(
    connection: asyncpg.Connection, row: Locked, named: WaitId, wait_id: str, told: dict[str, Any]
) -> None:
    if row.status in TERMINAL or row.wait_seq != named.number:
        raise NotFound("wait", wait_id)
    row.signals.append(told)
    if row.driven:
        await row.ask(connection, Ask.NOTHING)
        return
    if row.status is Status.PAUSED:
        row.resume_at = row.now
    elif row.blocked_on in _STEP_WAITS:
        row.wake_at = None if row.parked else row.now
    await row.write(connection)


async def _end_ad_hoc(
    connection: asyncpg.Connection,
    row: Locked,
    named: WaitId,
    wait_id: str,
    told: dict[str, Any],
    kind: SignalKind,
    actor: str,
) -> None:
    if row.status in TERMINAL or row.adhoc_no != named.number or row.not_before is None:
        raise NotFound("wait", wait_id)
    row.not_before = None
    held = row.held_on if row.status is Status.PAUSED else row.blocked_on
    if row.driven:
        row.signals.append(told)
        await row.ask(connection, Ask.NOTHING)
        return
    if held is BlockedOn.AD_HOC_WAIT:
        row.signals.append(told)
        if row.status is Status.PAUSED:
            row.resume_at = row.now
        else:
            row.wake_at = None if row.parked else row.now
    else:
        event = LogEvent.WAIT_CANCELLED if kind is SignalKind.LIFT else LogEvent.WAIT_RESUMED
        row.append(event, {"rule": "ad hoc", "actor": actor})
    await row.write(connection)
