"""Operations on many at once: kinds, states, parameters; store/bulk.py keeps them, the API runs them."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from uuid import UUID

from execution_engine.model import ErrorClass, Priority, Status


class BulkKind(IntEnum):
    """What is done to each item; the numbers are stored, and those of the proto."""

    RETRY = 1
    CANCEL = 2
    ENROLL = 3
    MIGRATE = 4


class BulkState(IntEnum):
    """Where an operation stands; the numbers are stored, and those of the proto."""

    RUNNING = 1
    PAUSED = 2
    DONE = 3
    CANCELLED = 4
    GATHERING = 5


class Removed(IntEnum):
    """What becomes of an execution whose step the newer version has not; the numbers of the proto."""

    KEEP = 0
    """It stays on its version."""
    ADVANCE = 1
    """It goes to the next step of its old list that the newer version has."""
    EXIT = 2
    """It completes, reason step_removed."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which executions: by ids, or by a filter over those that have not gone to the history."""

    ids: tuple[UUID, ...] = ()
    workflow_id: UUID | None = None
    version: int = 0
    statuses: tuple[Status, ...] = ()
    error_class: ErrorClass | None = None
    reason: str = ""
    created_from: datetime | None = None
    created_to: datetime | None = None
    places: tuple[tuple[int, int], ...] | None = None
    """Versions with positions of the step they stand at; None for any."""


@dataclass(frozen=True, slots=True)
class Pace:
    """`per_tick` items every `tick`."""

    per_tick: int
    tick: timedelta


BRISK = Pace(100, timedelta(milliseconds=100))
"""The pace of an operation for which none was asked: 1,000 a second."""


@dataclass(frozen=True, slots=True)
class Params:
    """What an operation was asked to do; each kind reads its own."""

    kind: BulkKind
    words: str = ""
    chosen: Chosen = field(default_factory=Chosen)
    from_step: str = ""
    skip_failed: bool = False
    workflow_id: UUID | None = None
    contacts: tuple[UUID, ...] = ()
    contact_filter: str = ""
    date_trigger: str = ""
    """JSON of a date trigger: only contacts whose date fires within (after, until]."""
    after: datetime | None = None
    until: datetime | None = None
    trigger: str = ""
    priority: Priority = Priority.LOW
    to_version: int = 0
    step_map: tuple[tuple[str, str], ...] = ()
    removed: Removed = Removed.KEEP
