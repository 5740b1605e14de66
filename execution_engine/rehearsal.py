"""Walks a run as an execution would go, with nothing done: pure; execution_api/previewing.py drives it.

Decisions are `advance`'s own. Where an execution would hand an action to its executor, the caller shows what
it would do, and the run goes on as if it had succeeded, with no output.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto
from typing import Final

from execution_engine.advance import advance
from execution_engine.definition.program import ActionStep
from execution_engine.model import BlockedOn, Failure, LogRow, Status
from execution_engine.moves import Advance
from execution_engine.outcome import Certainty, Claimed, Event, Failed, Succeeded
from execution_engine.run import Run
from execution_engine.sending.facts import Sent
from execution_engine.signals import SignalKind, signal

MOST_MOVES: Final = 200
"""After so many a rehearsal stops where it is: a workflow may go round in circles."""
MOST_SHOWN_BYTES: Final = 2 * 1024 * 1024
"""Of what actions would do: it stops before the one that would be too much."""


class Next(Enum):
    """What a rehearsal needs to go on."""

    PREVIEW = auto()
    """What `action` would do: then `went`, or `refused`."""
    FACTS = auto()
    """What is known of the contact's addresses and of `run.foreign`: then `again`."""
    NOTHING = auto()
    """It has ended, or rests where the one who asked wants it to rest."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How waits are passed: `skip_waits`, as if their time had come; `events_come`: those for an event by the
    first event they listen for. Else the rehearsal ends at the first wait.
    """

    skip_waits: bool = False
    events_come: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """A log entry as the execution would have it; what its action would do, a JSON object, b"" for none."""

    row: LogRow
    preview: bytes = b""


class Rehearsal:
    """One run on its way. `now` is the moment it has come to; `told` what would be logged until then;
    `stopped` whether it would go on, but for the limits.
    """

    def __init__(self, run: Run, now: datetime, pace: Pace) -> None:
        self.run = run
        self.now = now
        self.told: list[Told] = []
        self.stopped = False
        self.action: ActionStep | None = None
        self._shown_bytes = 0
        self._pace = pace
        self._moves = 0

    def begin(self) -> Next:
        """The run's first move."""
        return self._move(Claimed(Status.QUEUED, BlockedOn.NOTHING))

    def again(self) -> Next:
        """What is known of the contact has been read: decided on that."""
        self.run.log_seq = max(self.run.log_seq, 2)  # no more its beginning
        return self._move(Claimed(Status.WAITING, BlockedOn.WORKER))

    def went(self, preview: bytes) -> Next:
        """The action would have done what `preview` shows."""
        self._shown_bytes += len(preview)
        if self._shown_bytes > MOST_SHOWN_BYTES:
            self.stopped = True
            return Next.NOTHING
        return self._move(Succeeded(), preview)

    def refused(self, failure: Failure) -> Next:
        """The action's executor would not take it."""
        return self._move(Failed(failure, Certainty.NOT_DONE))

    def _move(self, event: Event, preview: bytes = b"") -> Next:
        following: Event | None = event
        while following is not None:
            self._moves += 1
            if self._moves > MOST_MOVES:
                self.stopped = True
                return Next.NOTHING
            result = advance(self.run, following, self.now, 0.5)
            self.told += [Told(row, preview if place == 0 else b"") for place, row in enumerate(result.rows)]
            preview = b""
            if result.refresh:
                return Next.FACTS
            if result.begin is not None:
                self._note_message(result, result.begin)
                self.action = result.begin
                return Next.PREVIEW
            following = self._passed()
        return Next.NOTHING

    def _note_message(self, result: Advance, step: ActionStep) -> None:
        """Later messages are judged as if this one had been sent."""
        run, message = self.run, result.message
        if message is None or run.facts is None or not run.counts_sends:
            return
        key = (str(run.execution_id), step.id, run.visit)
        sent = Sent(self.now, message.channel, message.category, key)
        run.facts = replace(run.facts, sent=(*run.facts.sent, sent))

    def _passed(self) -> Event | None:
        """How the rest the run has come to ends; None if it does not."""
        run = self.run
        if run.status is not Status.WAITING or run.wake_at is None:
            return None
        if run.blocked_on is BlockedOn.EVENT and self._pace.events_come:
            types = (run.wait or {}).get("types") or [""]
            event = {"id": "", "type": types[0], "data": {}}
            run.signals = [signal(SignalKind.EVENT, event=event)]
        elif self._pace.skip_waits or run.blocked_on is BlockedOn.WORKER:
            self.now = max(self.now, run.wake_at)
        else:
            return None
        return Claimed(Status.WAITING, run.blocked_on)
