"""What a run's log gains while it is moved: rows with their sequence and hash; advance writes through it.

The start of an attempt is fixed in the run (`open_seq`, `open_at`, `log_hash`) and not yet a row. If its end
follows at once, one row carries both; whatever else follows spills the start first.
"""

from collections.abc import Mapping
from datetime import datetime

import orjson

from execution_engine import chain
from execution_engine.definition.program import END, ActionStep
from execution_engine.model import Failure, LogEvent, LogRow, OutcomeCode
from execution_engine.run import Run


class Journal:
    """Appends to `rows` for one run at one moment, and keeps the run's end of the chain."""

    __slots__ = ("_now", "_now_us", "_rows", "_run")

    def __init__(self, run: Run, now: datetime, rows: list[LogRow]) -> None:
        self._run = run
        self._rows = rows
        self._now = now
        self._now_us = chain.microseconds(now)

    def begin_attempt(self, step: ActionStep) -> None:
        """Opens an attempt: counted before it runs, its start fixed but not yet a row."""
        run = self._run
        run.attempt += 1
        run.attempt_open = True
        run.log_seq += 1
        run.open_seq = run.log_seq
        run.open_at = self._now
        run.log_hash = chain.start_hash(
            run.chain_key, run.log_hash, run.log_seq, step.id, step.type, run.visit, run.attempt, self._now_us
        )

    def end_attempt(
        self,
        step: ActionStep,
        event: LogEvent,
        outcome: OutcomeCode,
        failure: Failure | None,
        output: bytes = b"",
    ) -> None:
        """Ends the open attempt: one row with its start if nothing was appended since."""
        run = self._run
        detail = orjson.dumps({"failure": as_json(failure)}).decode() if failure else ""
        private = b'{"config":%b,"output":%b}' % (run.config or b"null", output or b"null")
        merged = run.open_seq == run.log_seq
        row = self._append(step.id, step.type, run.visit, run.attempt, event, outcome, detail, private)
        if merged:
            row.seq, row.started_at = run.open_seq, run.open_at
        run.open_seq, run.attempt_open = 0, False

    def spill_start(self) -> None:
        """Writes out the start of the open attempt, because something else is about to follow it."""
        run = self._run
        if not run.open_seq:
            return
        assert run.program is not None
        assert run.open_at is not None
        step = run.program.steps[run.step]
        self._rows.append(
            chain.open_start(
                run.open_seq, step.id, step.type, run.visit, run.attempt, run.open_at, run.log_hash
            )
        )
        run.open_seq = 0

    def note(
        self,
        event: LogEvent,
        outcome: OutcomeCode = OutcomeCode.NONE,
        detail: Mapping[str, object] | None = None,
        failure: Failure | None = None,
    ) -> None:
        """Appends an entry about the step at hand, or about the run as a whole once it is past its steps."""
        self.spill_start()
        run = self._run
        content: dict[str, object] = dict(detail) if detail else {}
        if failure is not None:
            content["failure"] = as_json(failure)
        text = orjson.dumps(content).decode() if content else ""
        if run.step == END:
            self._append("", "", 0, 0, event, outcome, text, b"")
            return
        assert run.program is not None
        step = run.program.steps[run.step]
        self._append(step.id, step.type, run.visit, run.attempt, event, outcome, text, b"")

    def _append(
        self,
        step_id: str,
        step_type: str,
        visit: int,
        attempt: int,
        event: LogEvent,
        outcome: OutcomeCode,
        detail: str,
        private: bytes,
    ) -> LogRow:
        run = self._run
        seq = run.log_seq = run.log_seq + 1
        run.log_hash = chain.link(
            run.chain_key,
            run.log_hash,
            seq,
            event,
            step_id,
            step_type,
            visit,
            attempt,
            self._now_us,
            outcome,
            detail,
            private,
        )
        row = LogRow(
            seq,
            seq,
            event,
            step_id,
            step_type,
            visit,
            attempt,
            None,
            self._now,
            outcome,
            detail,
            private,
            run.log_hash,
        )
        self._rows.append(row)
        return row


def as_json(failure: Failure) -> dict[str, object]:
    """An error as the log and the row store it."""
    return {
        "class": int(failure.error_class),
        "provider": failure.provider,
        "code": failure.code,
        "message": failure.message,
    }
