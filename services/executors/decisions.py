"""Decides what a delivery means, given what the ledger knows of its effect; called by both execution paths.

Pure. The order of attempts is (fence, attempt); whether one should be made at all is the orchestrator's.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from wayfarer.action.v1 import action_pb2

from services.executors.action import Certainty, EffectKey, ErrorClass
from services.executors.results import LedgerState, refusal


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What the ledger knows of one effect."""

    key: EffectKey
    fence: int
    attempt: int
    state: LedgerState
    stored: bytes
    """The result's bytes; empty if there is none."""
    remaining: timedelta
    """While SENDING: how long the attempt may still take."""


@dataclass(frozen=True, slots=True)
class Run:
    """Make the attempt."""


@dataclass(frozen=True, slots=True)
class Replay:
    """Answer what is recorded."""

    stored: bytes


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer this; no effect."""

    result: action_pb2.ActionResult


Decision: TypeAlias = Run | Replay | Refuse


def decide(row: LedgerRow | None, fence: int, attempt: int, *, expired: bool) -> Decision:
    """Say what becomes of a delivery of (fence, attempt) whose budget has `expired` or not."""
    if row is None:
        return past_deadline() if expired else Run()
    if row.state is LedgerState.DONE:
        return Replay(row.stored)
    mine, recorded = (fence, attempt), (row.fence, row.attempt)
    if recorded > mine:
        return _stale(row.fence)
    if row.state is LedgerState.SENDING and row.remaining:
        return _in_flight(row.remaining)
    if recorded == mine:
        return Replay(row.stored) if row.stored else _outcome_unknown()
    return past_deadline() if expired else Run()


def past_deadline() -> Refuse:
    """The refusal of an attempt that came, or got its turn, after its budget."""
    return Refuse(
        refusal(ErrorClass.TIMEOUT, "PAST_DEADLINE", "the attempt's budget ended before its effect began")
    )


def _stale(fence: int) -> Refuse:
    return Refuse(
        refusal(
            ErrorClass.SERVER_ERROR, "STALE_FENCE", f"a later attempt (fence {fence}) supersedes this one"
        )
    )


def _in_flight(remaining: timedelta) -> Refuse:
    text = "another process is making an attempt at this effect"
    return Refuse(refusal(ErrorClass.INDETERMINATE, "IN_FLIGHT", text, Certainty.INDETERMINATE, remaining))


def _outcome_unknown() -> Refuse:
    text = "this attempt was begun and its outcome was never recorded"
    return Refuse(refusal(ErrorClass.INDETERMINATE, "OUTCOME_UNKNOWN", text, Certainty.INDETERMINATE))
