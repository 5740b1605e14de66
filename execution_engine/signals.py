"""What others leave in a run's row for its driver to decide: requests and signals; advance reads them.

A request is put beside the fence and makes the driver's next write stand out of its batch; a signal is what
arrived for the run: an event it waits for, a goal met, a wait ended by hand.
"""

from enum import IntEnum, IntFlag
from typing import Any


class Ask(IntFlag):
    """What an operator asked of a driven run; the numbers are stored."""

    NOTHING = 0
    PAUSE = 1
    LET_GO = 2


class SignalKind(IntEnum):
    """What kind of signal; the numbers are stored."""

    EVENT = 1
    """An event that the pending wait listens for: {event: {id, type, time, data}}."""
    END = 2
    """A goal or an exit: {reason, goal: bool, go_to, event}."""
    RESUME = 3
    """The pending wait is to end as if its time had come: {actor}."""
    LIFT = 4
    """The pending wait is taken away: {actor}."""
    RECHECK = 5
    """What the pending wait depends on has changed, or a provider has told of the attempt under way."""


Signal = dict[str, Any]


def signal(kind: SignalKind, **content: Any) -> Signal:
    """A signal as it is stored."""
    return {"kind": int(kind), **content}


def first(signals: list[Signal], *kinds: SignalKind) -> Signal | None:
    """The earliest signal of these kinds."""
    return next((one for one in signals if one["kind"] in kinds), None)
