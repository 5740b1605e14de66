"""An execution's log as a story: one chapter per visit of a step, with its attempts and waits. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from wayfarer.execution.v1.execution_pb2 import LogEntry

from services.gateway.console.rendering import plain
from services.gateway.console.words import ENTRY_TONES, words

_ENDS: Final = {
    "action_completed": ("Done", "good"),
    "action_failed": ("Failed", "bad"),
    "action_skipped": ("Skipped", "mute"),
    "skipped_non_retryable_error": ("Skipped after an error", "warn"),
    "max_retries_exhausted": ("Given up", "bad"),
    "outcome_unknown": ("Outcome unknown", "warn"),
    "send_skipped": ("Not sent", "warn"),
    "opt_out_blocked": ("Not sent", "warn"),
    "condition_evaluated": ("Decided", "good"),
    "branch_taken": ("Decided", "good"),
    "condition_failed": ("Could not decide", "bad"),
    "wait_resumed": ("Waited", "good"),
    "wait_timed_out": ("Timed out", "warn"),
    "wait_cancelled": ("Wait cancelled", "mute"),
    "jumped": ("Jumped", "good"),
    "visit_limit_reached": ("Limit reached", "warn"),
    "goal_achieved": ("Goal achieved", "good"),
}
_OPENS: Final = {
    "action_started": ("Under way", "run"),
    "action_pending": ("With the provider", "wait"),
    "action_deferred": ("Deferred", "wait"),
    "retry_scheduled": ("Will be tried again", "warn"),
    "wait_started": ("Waiting", "wait"),
    "send_deferred": ("Held back", "wait"),
    "rate_limit_hit": ("Slowed down", "warn"),
    "executor_unavailable": ("Executor away", "warn"),
}
_UNTOLD: Final = frozenset({"config", "output", "failure", "resume_at"})


@dataclass(slots=True)
class Line:
    """One log entry, as it is told."""

    seq: int
    at: datetime
    text: str
    tone: str
    attempt: int
    took: timedelta | None
    detail: str
    failure: str


@dataclass(slots=True)
class Chapter:
    """One visit of a step, or (step id "") something that concerns the execution as a whole."""

    step_id: str
    step_type: str
    visit: int
    began: datetime
    ended: datetime
    state: str = ""
    tone: str = "mute"
    lines: list[Line] = field(default_factory=list)
    sent: dict[str, Any] = field(default_factory=dict)

    @property
    def failures(self) -> list[tuple[int, str]]:
        """Attempt and error of each that failed; entries that repeat the one before are left out."""
        found = [(line.attempt, line.failure) for line in self.lines if line.failure]
        return list(dict.fromkeys(found))

    @property
    def attempts(self) -> int:
        """How many attempts were made."""
        return max((line.attempt for line in self.lines), default=0)


def chapters(entries: Sequence[LogEntry]) -> list[Chapter]:
    """The story of the entries, in their order."""
    told: list[Chapter] = []
    for entry in entries:
        at = entry.time.ToDatetime(UTC)
        last = told[-1] if told else None
        if last is None or (last.step_id, last.visit) != (entry.step_id, entry.visit):
            last = Chapter(entry.step_id, entry.step_type, entry.visit, at, at)
            told.append(last)
        last.ended = at
        detail = plain(entry.detail) if entry.HasField("detail") else {}
        if "config" in detail:
            last.sent = detail
        last.lines.append(_line(entry, at, detail))
        known = _ENDS.get(entry.event) or _OPENS.get(entry.event)
        if known is not None:
            last.state, last.tone = known
        elif not entry.step_id:
            last.state, last.tone = words(entry.event), ENTRY_TONES.get(entry.event, "mute")
    return told


def _line(entry: LogEntry, at: datetime, detail: dict[str, Any]) -> Line:
    failure = ""
    if entry.HasField("failure"):
        failure = " · ".join(filter(None, (entry.failure.code, entry.failure.message)))
    return Line(
        seq=entry.seq,
        at=at,
        text=words(entry.event),
        tone=ENTRY_TONES.get(entry.event, "mute"),
        attempt=entry.attempt,
        took=entry.duration.ToTimedelta() if entry.HasField("duration") else None,
        detail=", ".join(
            f"{words(name).lower()} {_short(value)}" for name, value in detail.items() if name not in _UNTOLD
        ),
        failure=failure,
    )


def _short(value: Any) -> str:
    text = str(value) if not isinstance(value, list) else ", ".join(map(str, value))
    return text if len(text) <= 120 else f"{text[:119]}…"
