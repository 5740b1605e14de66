"""What a workflow version compiles to and advance runs: a flat list of steps with jump targets.

Immutable; made by compile.py, cached by the worker. Targets are 0-based positions, or END.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time
from enum import Enum, IntEnum
from typing import Any, NamedTuple

from execution_engine.calendar.rules import BusinessHours, Holidays
from execution_engine.definition.conditions import Condition
from execution_engine.definition.patterns import EventPattern
from execution_engine.definition.templates import ConfigTemplate
from execution_engine.model import Reentry
from execution_engine.sending.channels import Channel

END = -1
"""The jump target that completes the execution."""


class DeliveryClass(IntEnum):
    """How surely an effect happens once; the same numbers as wayfarer.action.v1.DeliveryClass."""

    UNSPECIFIED = 0
    TX = 1
    KEYED = 2
    UNKEYED_AT_MOST_ONCE = 3
    UNKEYED_AT_LEAST_ONCE = 4


class OnUnknown(Enum):
    """What follows an outcome that nobody can tell."""

    CONTINUE = "continue"
    FAIL = "fail"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class OnError:
    """What follows when nothing more is tried: `kind` default, retry, skip, fail or go_to (with `target`)."""

    kind: str = "default"
    target: int = END


@dataclass(frozen=True, slots=True)
class ActionTypeInfo:
    """What an executor's Describe tells of one action type. Config schema and sample are JSON text."""

    name: str
    family: str
    version: int
    delivery_class: DeliveryClass
    config_schema: str
    sample: str
    contact_fields: tuple[str, ...]
    sensitive_fields: tuple[str, ...]
    timeout_ms: int
    max_retries: int
    max_batch: int
    key_window_s: float
    emits: tuple[tuple[str, str], ...] = ()
    lanes: tuple[str, ...] = ()
    channel: str = ""
    """How it reaches the contact, if it is a message; then the send gate is asked."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every action type the executors at hand serve, by name."""

    types: Mapping[str, ActionTypeInfo]


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a workflow, with their defaults. Durations in the unit of their name."""

    time_zone: str = ""
    dedup_window_ms: int = 5_000
    reentry: Reentry = Reentry.AFTER_EXIT
    max_retries: int | None = None
    retry_base_s: float = 60.0
    retry_cap_s: float = 3_600.0
    retry_jitter: float = 0.1
    business_hours: BusinessHours | None = None
    holidays: Holidays | None = None
    sending: Mapping[str, Any] = field(default_factory=dict)
    """Its rules about messages, as they are written."""


class IfPast(Enum):
    """What follows a wait for a date that has passed already."""

    CONTINUE = "continue"
    SKIP_TO_NEXT_WAIT = "skip_to_next_wait"
    EXIT = "exit"


class OnMissing(Enum):
    """What follows a wait for a date that is not there or is none."""

    CONTINUE = "continue"
    EXIT = "exit"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class ActionStep:
    """An action that an executor does."""

    id: str
    type: str
    position: int
    next: int
    family: str
    delivery_class: DeliveryClass
    config: ConfigTemplate
    contact_fields: tuple[str, ...]
    sensitive_fields: tuple[str, ...]
    on_error: OnError
    on_unknown: OnUnknown
    max_retries: int
    retry_base_s: float
    retry_cap_s: float
    retry_jitter: float
    timeout_ms: int
    needs_contact: bool
    max_batch: int
    emits: tuple[tuple[str, str], ...] = ()
    """Event type, and the config field whose value the event carries; told when the output says changed."""
    lanes: tuple[str, ...] = ()
    channel: Channel | None = None


@dataclass(frozen=True, slots=True)
class IfStep:
    """A branch."""

    id: str
    position: int
    condition: Condition
    then: int
    otherwise: int
    type: str = "if"


@dataclass(frozen=True, slots=True)
class Case:
    """One way on of a switch."""

    condition: Condition
    then: int


@dataclass(frozen=True, slots=True)
class SwitchStep:
    """The first case that holds, or `otherwise`."""

    id: str
    position: int
    cases: tuple[Case, ...]
    otherwise: int
    type: str = "switch"


@dataclass(frozen=True, slots=True)
class Branch:
    """One way on of a split: draws below `up_to` that no earlier branch took. `name` is its target's id."""

    up_to: float
    then: int
    name: str


@dataclass(frozen=True, slots=True)
class SplitStep:
    """Branches by percentage, sticky per contact."""

    id: str
    position: int
    branches: tuple[Branch, ...]
    type: str = "split"


@dataclass(frozen=True, slots=True)
class GoToStep:
    """A jump, at most `limit` times (0: a jump forward needs none), then on to `next`."""

    id: str
    position: int
    next: int
    target: int
    name: str
    limit: int
    type: str = "go_to"


@dataclass(frozen=True, slots=True)
class WaitTimeStep:
    """A wait of some length. `zone` is contact, workflow, account or an IANA name."""

    id: str
    position: int
    next: int
    amount: int
    unit: str
    zone: str
    type: str = "wait_time"


@dataclass(frozen=True, slots=True)
class WaitUntilDateStep:
    """A wait until a date and an offset from it."""

    id: str
    position: int
    next: int
    date: ConfigTemplate
    offset_s: float
    offset_days: int
    at: time | None
    zone: str
    if_past: IfPast
    on_missing: OnMissing
    type: str = "wait_until_date"


@dataclass(frozen=True, slots=True)
class WaitUntilTimeStep:
    """A wait until a time of day on chosen weekdays (0 is Monday)."""

    id: str
    position: int
    next: int
    at: time
    days: frozenset[int]
    zone: str
    skip_holidays: bool
    type: str = "wait_until_time"


@dataclass(frozen=True, slots=True)
class WaitForEventStep:
    """A wait for an event. `since` is last_action or start, or empty: then `look_back_s` counts."""

    id: str
    position: int
    next: int
    pattern: EventPattern
    since: str
    look_back_s: float
    timeout_s: float
    on_event: int
    on_timeout: int
    type: str = "wait_for_event"


@dataclass(frozen=True, slots=True)
class GoalStep:
    """Where a goal pulls contacts to; those who come by themselves go on, or end."""

    id: str
    position: int
    next: int
    ends: bool
    type: str = "goal"


@dataclass(frozen=True, slots=True)
class EndStep:
    """The end of the workflow, wherever it stands."""

    id: str
    position: int
    type: str = "end"


WaitStep = WaitTimeStep | WaitUntilDateStep | WaitUntilTimeStep | WaitForEventStep
Step = ActionStep | IfStep | SwitchStep | SplitStep | GoToStep | GoalStep | WaitStep | EndStep


class Reads(NamedTuple):
    """What is read of a contact: its data, and what the send gate knows of it."""

    contact: bool = False
    facts: bool = False

    def __or__(self, other: "Reads") -> "Reads":
        return Reads(self.contact or other.contact, self.facts or other.facts)


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled version."""

    steps: tuple[Step, ...]
    settings: Settings
    index: Mapping[str, int]
    """Position by step id."""
    outputs_read: frozenset[str] = field(default_factory=frozenset)
    """Ids of the steps whose output a later step reads; only those are kept."""
    reads_contact: tuple[bool, ...] = ()
    """Whether the step at each position reads the contact's data."""
    reads_from: tuple[Reads, ...] = ()
    """What a run that is taken up at each position may read before it rests or an action begins."""
    reads_after: tuple[Reads, ...] = ()
    """The same of a run whose action at that position has ended."""
    entries: Mapping[str, int] = field(default_factory=dict)
    """Where a jump to a step id really lands: past actions that are disabled."""
    loops: bool = False
    """Whether a step may be visited more than once."""
