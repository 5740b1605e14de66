"""An execution in the hands of somebody who does not drive it: locked, read, appended to, written back.

Every change from outside goes through here: cancel, pause, resume, retry, waits by hand, goals, migration. A
row that is driven (ACTIVE) may be ended, which raises its fence, or asked (see signals.py), which does not.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from execution_engine import chain, ports
from execution_engine.definition.program import END
from execution_engine.errors import NotFound
from execution_engine.journal import as_json
from execution_engine.model import BlockedOn, Failure, LogEvent, LogRow, OutcomeCode, Status
from execution_engine.moves import Count
from execution_engine.signals import Ask, Signal
from execution_engine.states import require_move
from execution_engine.store.commits import append, log_record, state_of
from execution_engine.store.counts import Tally
from execution_engine.store.sql import statement
from execution_engine.store.workflows import Outlines

_COLUMNS = """account_id, execution_id, workflow_id, contact_id, version, status, priority, blocked_on,
parked, wake_at, step, visit, attempt, failures, crashes, attempt_open, open_seq, open_at, steps_run, log_seq,
log_hash, state_sealed, reason, failure, created_at, ended_at, ask, ask_detail, held_on, resume_at,
not_before, adhoc_no, wait_seq, wait_sealed, signals_sealed, wf_now() AS now"""
_ONE = f"SELECT {_COLUMNS} FROM execution WHERE account_id = $1 AND execution_id = $2 FOR UPDATE"
_OF_CONTACTS = f"""SELECT {_COLUMNS} FROM execution WHERE account_id = $1 AND contact_id = ANY ($2::uuid[])
AND status IN (1, 2, 3, 4) ORDER BY execution_id FOR UPDATE"""
_PAST = "SELECT status FROM execution_history WHERE account_id = $1 AND execution_id = $2"
_WRITE = statement("write_locked")
_ASK = statement("ask_driver")


class Locked:
    """One execution's row under lock: set attributes named like its columns, then `write` or `ask`."""

    def __init__(self, row: asyncpg.Record, vault: ports.Vault, outline: Sequence[tuple[str, str]]) -> None:
        self._vault = vault
        self._outline = outline
        self._rows: list[LogRow] = []
        self._state_sealed: bytes | None = row["state_sealed"]
        self.account_id: int = row["account_id"]
        self.execution_id: UUID = row["execution_id"]
        self.workflow_id: UUID = row["workflow_id"]
        self.contact_id: UUID = row["contact_id"]
        self.version: int = row["version"]
        self.status = Status(row["status"])
        self.blocked_on = BlockedOn(row["blocked_on"])
        self.parked: bool = row["parked"]
        self.wake_at: datetime | None = row["wake_at"]
        self.step: int = row["step"]
        self.visit: int = row["visit"]
        self.attempt: int = row["attempt"]
        self.failures: int = row["failures"]
        self.crashes: int = row["crashes"]
        self.steps_run: int = row["steps_run"]
        self.attempt_open: bool = row["attempt_open"]
        self.open_seq: int = row["open_seq"]
        self.open_at: datetime | None = row["open_at"]
        self.log_seq: int = row["log_seq"]
        self.log_hash: bytes = row["log_hash"]
        self.reason: str = row["reason"]
        self.failure: str | None = row["failure"]
        self.created_at: datetime = row["created_at"]
        self.ended_at: datetime | None = row["ended_at"]
        self.asked = Ask(row["ask"])
        self.ask_detail: str = row["ask_detail"]
        self.held_on = BlockedOn(row["held_on"])
        self.resume_at: datetime | None = row["resume_at"]
        self.not_before: datetime | None = row["not_before"]
        self.adhoc_no: int = row["adhoc_no"]
        self.wait_seq: int = row["wait_seq"]
        self._wait_sealed: bytes | None = row["wait_sealed"]
        self.signals: list[Signal] = self._open(ports.SIGNALS, row["signals_sealed"]) or []
        self.now: datetime = row["now"]
        self._counts: list[tuple[int, str, Count]] = []

    @property
    def driven(self) -> bool:
        """Whether a worker drives it."""
        return self.status is Status.ACTIVE

    @property
    def step_id(self) -> str:
        """The id of the step it is at; empty past its end."""
        return self._outline[self.step][0] if self.step != END else ""

    @property
    def step_type(self) -> str:
        """The type of the step it is at; empty past its end."""
        return self._outline[self.step][1] if self.step != END else ""

    def wait(self) -> dict[str, Any]:
        """What the pending wait of its step listens for and depends on; empty for none."""
        opened: dict[str, Any] | None = self._open(ports.WAIT, self._wait_sealed) if self.wait_seq else None
        return opened or {}

    def state(self) -> dict[str, Any]:
        """Outputs of its steps, and visits."""
        opened: dict[str, Any] = self._open(ports.STATE, self._state_sealed) or {}
        return opened

    def set_state(self, outputs: dict[str, Any], visits: dict[str, Any]) -> None:
        """Replaces them."""
        self._state_sealed = self._vault.seal(ports.STATE, self.account_id, state_of(outputs, visits))

    def _open(self, purpose: str, sealed: bytes | None) -> Any:
        return orjson.loads(self._vault.open(purpose, self.account_id, sealed)) if sealed else None

    def seen_in(self, outline: Sequence[tuple[str, str]]) -> None:
        """Its steps are those of another version from here on."""
        self._outline = outline

    def count(self, position: int, what: Count) -> None:
        """Counts for the step at `position`, or (END) for the version as a whole."""
        name = self._outline[position][0] if position != END else ""
        self._counts.append((self.version, name, what))

    def append(
        self, event: LogEvent, detail: Mapping[str, object] | None = None, failure: Failure | None = None
    ) -> int:
        """Appends an entry about the step at hand; its sequence number. An open start comes first."""
        step_id, step_type = self.step_id, self.step_type
        visit, attempt = (self.visit, self.attempt) if step_id else (0, 0)
        if self.open_seq:
            assert self.open_at is not None
            self._rows.append(
                chain.open_start(
                    self.open_seq, step_id, step_type, visit, attempt, self.open_at, self.log_hash
                )
            )
            self.open_seq = 0
        content: dict[str, object] = dict(detail) if detail else {}
        if failure is not None:
            content["failure"] = as_json(failure)
        text = orjson.dumps(content).decode() if content else ""
        self.log_seq += 1
        self.log_hash = chain.link(
            self._vault.mac_key(ports.CHAIN, self.account_id),
            self.log_hash,
            self.log_seq,
            event,
            step_id,
            step_type,
            visit,
            attempt,
            chain.microseconds(self.now),
            OutcomeCode.NONE,
            text,
        )
        self._rows.append(
            LogRow(
                self.log_seq,
                self.log_seq,
                event,
                step_id,
                step_type,
                visit,
                attempt,
                None,
                self.now,
                OutcomeCode.NONE,
                text,
                b"",
                self.log_hash,
            )
        )
        return self.log_seq

    def move_to(self, status: Status) -> None:
        """Changes the status. Raises IllegalTransition."""
        require_move(self.status, status)
        self.status = status

    def end(self, status: Status, reason: str) -> None:
        """Ends it: nothing will wake it, and what was pending goes with it. Raises IllegalTransition."""
        self.move_to(status)
        if self.wait_seq and self.step != END:
            self.count(self.step, Count.NOT_WAITING)
        self.rest(BlockedOn.NOTHING, None)
        self.reason, self.ended_at = reason, self.now
        self.wait_seq, self.not_before, self.signals, self.ask_detail = 0, None, [], ""
        self.held_on, self.resume_at = BlockedOn.NOTHING, None

    def rest(self, blocked_on: BlockedOn, wake_at: datetime | None) -> None:
        """What it waits for from here on, and until when."""
        self.blocked_on, self.wake_at, self.parked = blocked_on, wake_at, False

    async def write(self, connection: asyncpg.Connection) -> None:
        """Writes row, log and counters. Whoever drove it drives it no more."""
        await connection.execute(
            _WRITE,
            self.account_id,
            self.execution_id,
            self.status,
            self.blocked_on,
            self.parked,
            self.wake_at,
            self.version,
            self.step,
            self.visit,
            self.attempt,
            self.failures,
            self.attempt_open,
            self.log_seq,
            self.log_hash,
            self._state_sealed,
            self.reason,
            self.failure,
            self.ended_at,
            self.ask_detail,
            self.held_on,
            self.resume_at,
            self.not_before,
            self.adhoc_no,
            self.wait_seq,
            self._wait_sealed if self.wait_seq else None,
            self._signals_sealed(),
            self.crashes,
            self.steps_run,
        )
        records = [log_record(self._vault, self.account_id, self.execution_id, row) for row in self._rows]
        await append(connection, records)
        tally = Tally()
        for version, name, what in self._counts:
            tally.add((self.account_id, self.workflow_id, version), [(name, what)])
        await tally.write(connection)

    async def ask(self, connection: asyncpg.Connection, what: Ask) -> None:
        """Asks its driver, who goes on holding it; signals, not_before and ask_detail go along."""
        await connection.execute(
            _ASK,
            self.account_id,
            self.execution_id,
            self.asked | what,
            self.ask_detail,
            self.not_before,
            self.adhoc_no,
            self._signals_sealed(),
        )

    def _signals_sealed(self) -> bytes | None:
        if not self.signals:
            return None
        return self._vault.seal(ports.SIGNALS, self.account_id, orjson.dumps(self.signals))


async def lock(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    outlines: Outlines,
    account_id: int,
    execution_id: UUID,
    move: Status | None = None,
) -> Locked:
    """Locks one execution. Raises NotFound; IllegalTransition if it is past and was to go to `move`."""
    row = await connection.fetchrow(_ONE, account_id, execution_id)
    if row is None:
        past = await connection.fetchval(_PAST, account_id, execution_id)
        if past is None:
            raise NotFound("execution", str(execution_id))
        require_move(Status(past), move or Status.ACTIVE)
        raise NotFound("execution", str(execution_id))
    return Locked(row, vault, await outlines.of(connection, account_id, row["workflow_id"], row["version"]))


async def lock_of_contacts(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    outlines: Outlines,
    account_id: int,
    contacts: Sequence[UUID],
) -> list[Locked]:
    """Locks what runs for the contacts, in order of id. Their gates must be locked."""
    rows = await connection.fetch(_OF_CONTACTS, account_id, list(contacts))
    return [
        Locked(row, vault, await outlines.of(connection, account_id, row["workflow_id"], row["version"]))
        for row in rows
    ]
