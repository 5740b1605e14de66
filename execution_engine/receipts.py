"""What became of an event: its receipt, a list of consequences; events.py writes it, the API shows it."""

from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any

import orjson


class ConsequenceKind(IntEnum):
    """What an event did to an execution or a workflow; the numbers are stored, and those of the proto."""

    STARTED = 1
    RESUMED = 2
    GOAL_ACHIEVED = 3
    EXIT_REACHED = 4
    DEDUPLICATED = 5
    BLOCKED = 6
    KEPT = 7
    NOT_WAITED_FOR = 8
    CONSENT_CHANGED = 9
    REPLAYED = 10


@dataclass(frozen=True, slots=True)
class Consequence:
    """One of them. `execution_id` is the one started, moved or met; `reason` says why it was so."""

    kind: ConsequenceKind
    workflow_id: str
    execution_id: str = ""
    reason: str = ""


def dump(consequences: list[Consequence]) -> str:
    """As it is stored."""
    return orjson.dumps([asdict(one) for one in consequences]).decode()


def load(stored: str) -> list[Consequence]:
    """From what is stored."""
    items: list[dict[str, Any]] = orjson.loads(stored)
    return [Consequence(**{**item, "kind": ConsequenceKind(item["kind"])}) for item in items]
