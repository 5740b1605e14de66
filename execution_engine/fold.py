"""What an execution's row must say, folded from its log alone; verify compares it with the row (I4)."""

from collections.abc import Iterable
from dataclasses import dataclass

from execution_engine.model import LogEvent, LogRow, Status

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


@dataclass(frozen=True, slots=True)
class Folded:
    """What the log tells. `ended` is None while it runs; `open_attempt` means a start without an end."""

    ended: Status | None
    open_attempt: bool
    steps_started: int
    ends_of_attempts: int
    entries_after_end: int


def fold(entries: Iterable[LogRow]) -> Folded:
    """Folds entries (starts split off, in order of seq)."""
    ended: Status | None = None
    open_attempt = False
    started: set[tuple[str, int]] = set()
    ends = late = 0
    for entry in entries:
        if ended is not None and entry.event is not LogEvent.OUTCOME_AFTER_END:
            late += 1
        if entry.event is LogEvent.ACTION_STARTED:
            open_attempt = True
            started.add((entry.step_id, entry.visit))
        elif entry.event in _ATTEMPT_ENDS:
            open_attempt = False
            ends += 1
        elif entry.event in _ENDS:
            ended = _ENDS[entry.event]
    return Folded(ended, open_attempt, len(started), ends, late)
