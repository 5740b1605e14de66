"""The worker's gate to providers: admission with its feedback, kept in the database; worker.py asks it.

Wiring only: what is decided is in execution_engine/admission.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg

from execution_engine.admission.admission import Admission, turn
from execution_engine.admission.lanes import lane_keys
from execution_engine.definition.program import ActionStep
from execution_engine.moves import Blocked
from execution_engine.outcome import Failed, Outcome, Skipped, Succeeded, Unreachable
from execution_engine.run import Run
from execution_engine.store import lanes

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ProviderGate:
    """One per worker."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._admission = Admission()
        self._now = _EPOCH

    def learn_settings(self, account_id: int, settings: Mapping[str, Any]) -> None:
        """An account's settings were read."""
        self._admission.set_rates(account_id, settings.get("rates") or {})

    def at(self, now: datetime) -> Callable[[Run, ActionStep], Blocked | None]:
        """The gate at one moment of the database's clock."""
        self._now = max(now, self._now)

        def ask(run: Run, step: ActionStep) -> Blocked | None:
            run.lanes = lane_keys(step.lanes, run.config) if step.lanes else ()
            return self._admission.ask(
                run.account_id, step.family, run.lanes, now, run.blocked_on, turn(run.blocked_by)
            )

        return ask

    def told(self, run: Run, outcome: Outcome) -> None:
        """What became of an attempt, for its lanes and its executor."""
        assert run.program is not None
        step = run.program.steps[run.step]
        assert isinstance(step, ActionStep)
        match outcome:
            case Failed():
                self._admission.failed(
                    run.account_id,
                    step.family,
                    run.lanes,
                    outcome.failure.error_class,
                    outcome.retry_after_s,
                    self._now,
                )
            case Unreachable():
                self._admission.unreachable(step.family, self._now)
            case Succeeded() | Skipped():
                self._admission.succeeded(run.account_id, step.family, run.lanes, self._now)
            case _:
                pass

    def not_sent(self, runs: Sequence[Run]) -> None:
        """Runs that were let go and are decided anew, still as they were moved."""
        for run in runs:
            step = run.program.steps[run.step] if run.program is not None and run.step >= 0 else None
            if isinstance(step, ActionStep):
                self._admission.not_sent(run.account_id, step.family, run.lanes)

    async def keep(self) -> None:
        """Writes down the lanes that have changed."""
        changed = self._admission.take_changed(self._now)
        if changed:
            async with self._pool.acquire() as connection:
                await lanes.save(connection, changed)

    async def take_over(self, shards: Sequence[int]) -> None:
        """Reads the lanes of accounts whose shards this worker now owns."""
        async with self._pool.acquire() as connection:
            self._admission.restore(await lanes.of_shards(connection, shards))
