"""What can happen to a run: the closed union that `advance` decides on; the dispatcher makes them.

`Event` = `Claimed` (a worker took the run) | `Outcome` (what became of an attempt).
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from execution_engine.model import BlockedOn, Failure, Status

NEEDS_REAUTHORISATION: Final = "NEEDS_REAUTHORISATION"
"""The code of a deferral until the account's provider gets new credentials; the executors' word."""


class Certainty(IntEnum):
    """What is known of an effect; the same numbers as wayfarer.action.v1.Certainty."""

    UNSPECIFIED = 0
    DONE = 1
    NOT_DONE = 2
    INDETERMINATE = 3


@dataclass(frozen=True, slots=True)
class Claimed:
    """A worker took the run: `was` its status, `blocked_on` what it waited for until then."""

    was: Status
    blocked_on: BlockedOn


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The effect happened. `output` is a JSON object or b""."""

    output: bytes = b""
    contact_changes: bytes = b""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Nothing to do, or a rule forbade it."""

    failure: Failure | None = None
    contact_changes: bytes = b""


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not now; try again after so many seconds."""

    after_s: float
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed."""

    failure: Failure
    certainty: Certainty
    retry_after_s: float | None = None
    contact_changes: bytes = b""
    final: bool = False
    """An INDETERMINATE effect must not be tried again, whatever the type's delivery class."""


@dataclass(frozen=True, slots=True)
class Pending:
    """The provider works on it; asked about again after so many seconds."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The executor could not be asked, or its answer was lost: Reconcile decides later."""

    problem: str


@dataclass(frozen=True, slots=True)
class InFlight:
    """Reconcile: an attempt is still under way, for at most so many seconds."""

    for_s: float


@dataclass(frozen=True, slots=True)
class NotDone:
    """Reconcile: the effect did not happen and will not; safe to run again."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Reconcile: nobody can tell; the delivery class decides."""


Outcome = Succeeded | Skipped | Deferred | Failed | Pending | Unreachable | InFlight | NotDone | Unknown
Event = Claimed | Outcome
