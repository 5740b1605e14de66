"""What a workflow version compiles to and advance runs: a flat list of steps with jump targets.

Immutable; made by compile.py, cached by the worker. Targets are 0-based positions, or END.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from execution_engine.definition.conditions import Condition
from execution_engine.definition.templates import ConfigTemplate
from execution_engine.model import Reentry

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


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every action type the executors at hand serve, by name."""

    types: Mapping[str, ActionTypeInfo]


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a workflow, with their defaults. Durations in the unit of their name."""

    time_zone: str = "UTC"
    dedup_window_ms: int = 5_000
    reentry: Reentry = Reentry.AFTER_EXIT
    max_retries: int | None = None
    retry_base_s: float = 60.0
    retry_cap_s: float = 3_600.0
    retry_jitter: float = 0.1


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
class WaitTimeStep:
    """A wait of a fixed time."""

    id: str
    position: int
    next: int
    seconds: float
    type: str = "wait_time"


@dataclass(frozen=True, slots=True)
class EndStep:
    """The end of the workflow, wherever it stands."""

    id: str
    position: int
    type: str = "end"


Step = ActionStep | IfStep | WaitTimeStep | EndStep


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled version."""

    steps: tuple[Step, ...]
    settings: Settings
    index: Mapping[str, int]
    """Position by step id."""
    outputs_read: frozenset[str] = field(default_factory=frozenset)
    """Ids of the steps whose output a later step reads; only those are kept."""
    needs_contact: bool = False
    """Whether anything reads the contact's data."""
