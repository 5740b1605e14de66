"""What an execution's row must say, folded from its log alone; verify compares it with the row (I4)."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from execution_engine.model import LogEvent, LogRow, Status

Visit = tuple[str, int]
"""A step's id, and which arrival at it."""

_ENDS = {
    LogEvent.EXECUTION_COMPLETED: Status.COMPLETED,
    LogEvent.EXECUTION_FAILED: Status.FAILED,
    LogEvent.CANCELLED: Status.CANCELLED,
}
_ATTEMPT_ENDS = frozenset(
    {
        LogEvent.ACTION_COMPLETED,
        LogEvent.ACTION_FAILED,
        LogEvent.ACTION_SKIPPED,
        LogEvent.ACTION_DEFERRED,
    }
)
_LEAVES = frozenset(
    {
        LogEvent.ACTION_COMPLETED,
        LogEvent.ACTION_SKIPPED,
        LogEvent.SKIPPED_NON_RETRYABLE_ERROR,
        LogEvent.CONDITION_EVALUATED,
        LogEvent.BRANCH_TAKEN,
        LogEvent.JUMPED,
        LogEvent.VISIT_LIMIT_REACHED,
        LogEvent.WAIT_RESUMED,
        LogEvent.WAIT_TIMED_OUT,
        LogEvent.WAIT_CANCELLED,
        LogEvent.SEND_SKIPPED,
        LogEvent.OPT_OUT_BLOCKED,
    }
)
"""After these the step is done, unless the wait was an ad-hoc one."""
_MAY_LEAVE = frozenset({LogEvent.OUTCOME_UNKNOWN, LogEvent.EXIT_REACHED})
"""After these it may be: the step's on_unknown says; an end of the workflow may have been an exit."""
_AFTER_END = frozenset({LogEvent.OUTCOME_AFTER_END, LogEvent.NOTIFICATION_SENT, LogEvent.MANUAL_RETRY})
_AD_HOC = '"rule":"ad hoc"'
_FAILURES = frozenset({LogEvent.RETRY_SCHEDULED, LogEvent.MAX_RETRIES_EXHAUSTED})


@dataclass(slots=True)
class Folded:
    """What the log tells. `ended` is None while it runs; `open_attempt` means a start without an end."""

    ended: Status | None = None
    open_attempt: bool = False
    entries_after_end: int = 0
    steps_left: int = 0
    """Steps that were done; those of `unknowns`, and a last `end` step, may come on top."""
    unknowns: int = 0
    attempts: Counter[Visit] = field(default_factory=Counter)
    failures: Counter[Visit] = field(default_factory=Counter)
    """Those that count against a visit's retries."""

    def explains(self, steps_run: int) -> bool:
        """Whether so many steps may have run."""
        most = self.unknowns + (1 if self.ended is Status.COMPLETED else 0)
        return 0 <= steps_run - self.steps_left <= most


def fold(entries: Iterable[LogRow]) -> Folded:
    """Folds entries (starts split off, in order of seq)."""
    told = Folded()
    for entry in entries:
        visit = entry.step_id, entry.visit
        if told.ended is not None and entry.event not in _AFTER_END:
            told.entries_after_end += 1
        if entry.event is LogEvent.ACTION_STARTED:
            told.open_attempt = True
            told.attempts[visit] += 1
        elif entry.event in _ATTEMPT_ENDS:
            told.open_attempt = False
        elif entry.event in _ENDS:
            told.ended = _ENDS[entry.event]
        elif entry.event in _FAILURES:
            told.failures[visit] += 1
        elif entry.event in _MAY_LEAVE:
            told.unknowns += 1
        elif entry.event is LogEvent.MANUAL_RETRY:
            told.ended = None
            told.failures[visit] = 0
        if entry.event in _LEAVES and _AD_HOC not in entry.detail:
            told.steps_left += 1
    return told
