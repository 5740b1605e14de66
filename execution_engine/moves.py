"""What a move of a run comes to, and what may hold it up; walk.py makes it, commit writes it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum

from execution_engine.definition.program import ActionStep
from execution_engine.model import BlockedOn, LogRow
from execution_engine.run import Run
from execution_engine.sending.channels import Message


class Count(IntEnum):
    """What is counted per version and step; END stands for the version as a whole."""

    ENTERED = 0
    DONE = 1
    FAILED = 2
    WAITING = 3
    NOT_WAITING = 4
    NOT_FAILED = 5


class Hold(Enum):
    """Whether the run may start another step now."""

    GO = 0
    """Yes."""
    PARK = 1
    """No: its workflow is paused. It leaves the wake-up index until the workflow resumes."""
    YIELD = 2
    """No: this worker drains. Another takes it at once."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """An action may not begin before `until`, because of a lane, a breaker or a rate limit."""

    reason: BlockedOn
    lane: str
    until: datetime


Gate = Callable[[Run, ActionStep], Blocked | None]
"""Asked before an attempt is opened, so that being blocked spends none."""


class Advance:
    """What to do with a run that has been moved: append `rows`, and then what `run.status` says.

    ACTIVE with `begin`: send that action once the commit is durable. ACTIVE with `reconcile`:
    ask that action's executor what became of its open attempt. Anything else: let the run go.
    `listens`: it now waits for an event, which may have come already. `message`: what `begin` sends, by the
    facts it was judged by. `refresh`: nothing could be decided; read the contact, decide again. `unsent`: the
    step and visit of a message that failed for good.
    """

    __slots__ = ("__dict__", "counts", "rows")
    # Defaults on the class: one is made for every move, and few of these are ever set.
    begin: ActionStep | None = None
    reconcile: ActionStep | None = None
    listens: bool = False
    contact_changes: bytes = b""
    output: bytes = b""
    config: bytes = b""
    ended_step: ActionStep | None = None
    message: Message | None = None
    refresh: bool = False
    unsent: tuple[str, int] | None = None

    def __init__(self) -> None:
        self.rows: list[LogRow] = []
        self.counts: list[tuple[int, Count]] = []
