"""The engine's nouns: statuses, reasons, log events and outcomes; everything else here imports them.

The numbers are stored in the database and are never given another meaning.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from uuid import UUID


class Status(IntEnum):
    """Where an execution stands in its life (docs/states.md has the picture)."""

    QUEUED = 1
    ACTIVE = 2
    PAUSED = 3
    WAITING = 4
    COMPLETED = 5
    FAILED = 6
    CANCELLED = 7


LIVE = (Status.QUEUED, Status.ACTIVE, Status.PAUSED, Status.WAITING)
TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})


class BlockedOn(IntEnum):
    """Why an execution that has not ended does not move."""

    NOTHING = 0
    WORKER = 1
    TIMER = 2
    RETRY = 3
    RECONCILE = 4
    EXECUTOR = 5
    DEFERRAL = 6
    PENDING = 7
    WORKFLOW_PAUSED = 8
    ACCOUNT_LIMIT = 9
    OPERATOR = 10
    EVENT = 11
    AD_HOC_WAIT = 12
    LANE = 13
    BREAKER = 14
    RATE_LIMIT = 15
    OUTCOME_UNKNOWN = 16
    QUIET_HOURS = 17
    FREQUENCY_CAP = 18
    REAUTHORISATION = 19


class Priority(IntEnum):
    """The order in which executions get slots; also the claim lane of one that is not leased."""

    HIGH = 1
    NORMAL = 2
    LOW = 3


AGEING_S = (0.0, 30.0, 120.0)
"""Seconds by which each priority stands behind HIGH when slots are few: nothing starves."""

LEASED_LANE = 0
"""The claim lane of a leased execution: its wake_at is the lease's end."""


class WorkflowStatus(IntEnum):
    """Where a workflow stands in its life."""

    DRAFT = 1
    ACTIVE = 2
    PAUSED = 3
    ARCHIVED = 4


class Reentry(IntEnum):
    """Whether a contact may enter a workflow again."""

    NEVER = 1
    AFTER_EXIT = 2
    ALWAYS = 3


class LogEvent(IntEnum):
    """What a log entry tells. Names in lower case are what callers see."""

    EXECUTION_STARTED = 1
    ACTION_STARTED = 2
    ACTION_COMPLETED = 3
    ACTION_FAILED = 4
    ACTION_SKIPPED = 5
    ACTION_DEFERRED = 6
    ACTION_PENDING = 7
    RETRY_SCHEDULED = 8
    CONDITION_EVALUATED = 9
    WAIT_STARTED = 10
    WAIT_RESUMED = 11
    SKIPPED_NON_RETRYABLE_ERROR = 12
    MAX_RETRIES_EXHAUSTED = 13
    OUTCOME_UNKNOWN = 14
    RECOVERED = 15
    CANCELLED = 16
    OUTCOME_AFTER_END = 17
    EXECUTION_COMPLETED = 18
    EXECUTION_FAILED = 19
    EXECUTOR_UNAVAILABLE = 20
    RATE_LIMIT_HIT = 21
    CONDITION_FAILED = 22
    WAIT_TIMED_OUT = 23
    GOAL_ACHIEVED = 24
    EXIT_REACHED = 25
    PAUSED = 26
    RESUMED = 27
    MANUAL_RETRY = 28
    NOTIFICATION_SENT = 29
    WAIT_CANCELLED = 30
    WAIT_RESCHEDULED = 31
    MIGRATED = 32
    BRANCH_TAKEN = 33
    VISIT_LIMIT_REACHED = 34
    JUMPED = 35
    SEND_ALLOWED = 36
    SEND_SKIPPED = 37
    SEND_DEFERRED = 38
    OPT_OUT_BLOCKED = 39


class OutcomeCode(IntEnum):
    """What an attempt came to, as the log stores it."""

    NONE = 0
    SUCCEEDED = 1
    SKIPPED = 2
    DEFERRED = 3
    FAILED = 4
    PENDING = 5
    UNKNOWN = 6


class ErrorClass(IntEnum):
    """What kind of failure it was; the same numbers as wayfarer.common.v1.ErrorClass."""

    UNSPECIFIED = 0
    TIMEOUT = 1
    RATE_LIMIT = 2
    SERVER_ERROR = 3
    NETWORK = 4
    VALIDATION = 5
    NOT_FOUND = 6
    AUTHENTICATION = 7
    AUTHORIZATION = 8
    CONFIGURATION = 9
    CONTACT_DATA = 10
    DATABASE = 11
    INDETERMINATE = 12


@dataclass(frozen=True, slots=True)
class Failure:
    """One error of one attempt; never holds personal data or credentials."""

    error_class: ErrorClass
    provider: str
    code: str
    message: str


@dataclass(slots=True)
class LogRow:
    """One stored row of the log. With seq_end = seq + 1 it is an attempt's start and end in one.

    Times are the database's. `private` is plaintext until the store seals it.
    """

    seq: int
    seq_end: int
    event: LogEvent
    step_id: str
    step_type: str
    visit: int
    attempt: int
    started_at: datetime | None
    at: datetime
    outcome: OutcomeCode
    detail: str
    private: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class ExecutionView:
    """An execution as lists and reads show it, from the hot or the history table."""

    account_id: int
    execution_id: UUID
    workflow_id: UUID
    contact_id: UUID
    version: int
    status: Status
    priority: Priority
    blocked_on: BlockedOn
    wake_at: datetime | None
    step: int
    visit: int
    attempt: int
    failures: int
    steps_run: int
    attempt_open: bool
    open_seq: int
    open_at: datetime | None
    log_seq: int
    log_hash: bytes
    reason: str
    failure: str | None
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    pause_asked: bool = False
    blocked_by: str = ""
    held_on: BlockedOn = BlockedOn.NOTHING
    resume_at: datetime | None = None
    not_before: datetime | None = None
