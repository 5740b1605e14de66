"""What a delivery means, for every state of the ledger; pure."""

from datetime import timedelta

import pytest

from services.executors.action import EffectKey
from services.executors.decisions import Decision, LedgerRow, Refuse, Replay, Run, decide
from services.executors.results import LedgerState
from tests.contract.executors.world import uuid7

KEY = EffectKey(1, uuid7(), "step", 1)
NOTHING = timedelta(0)


def name(decision: Decision) -> str:
    match decision:
        case Run():
            return "RUN"
        case Replay():
            return "REPLAY"
        case Refuse(result):
            return result.failure.code


def row(state: LedgerState, fence: int, attempt: int, remaining: timedelta = NOTHING) -> LedgerRow:
    stored = b"x" if state in (LedgerState.DONE, LedgerState.NOT_DONE, LedgerState.UNKNOWN) else b""
    return LedgerRow(KEY, fence, attempt, state, stored, remaining)


@pytest.mark.parametrize(("expired", "expected"), [(False, "RUN"), (True, "PAST_DEADLINE")])
def test_unknown_key(expired: bool, expected: str) -> None:
    assert name(decide(None, 1, 1, expired=expired)) == expected


@pytest.mark.parametrize("fence", [1, 5, 9])
@pytest.mark.parametrize("expired", [False, True])
def test_done_is_replayed_whatever_comes(fence: int, expired: bool) -> None:
    assert name(decide(row(LedgerState.DONE, 5, 2), fence, 1, expired=expired)) == "REPLAY"


@pytest.mark.parametrize(
    ("state", "later", "same", "earlier"),
    [
        (LedgerState.NOT_DONE, "RUN", "REPLAY", "STALE_FENCE"),
        (LedgerState.UNKNOWN, "RUN", "REPLAY", "STALE_FENCE"),
        (LedgerState.SENDING, "RUN", "OUTCOME_UNKNOWN", "STALE_FENCE"),
    ],
)
def test_order_is_fence_then_attempt(state: LedgerState, later: str, same: str, earlier: str) -> None:
    known = row(state, 5, 2)
    assert name(decide(known, 5, 3, expired=False)) == later
    assert name(decide(known, 6, 1, expired=False)) == later
    assert name(decide(known, 6, 1, expired=True)) == "PAST_DEADLINE"
    assert name(decide(known, 5, 2, expired=False)) == same
    assert name(decide(known, 5, 1, expired=False)) == earlier
    assert name(decide(known, 4, 9, expired=False)) == earlier


def test_tombstone_closes_lower_fences_only() -> None:
    closed = row(LedgerState.TOMBSTONE, 5, 0)
    assert name(decide(closed, 5, 1, expired=False)) == "RUN"
    assert name(decide(closed, 4, 7, expired=False)) == "STALE_FENCE"


def test_sending_with_time_left_is_in_flight() -> None:
    under_way = row(LedgerState.SENDING, 5, 2, timedelta(seconds=3))
    decision = decide(under_way, 6, 1, expired=False)
    assert isinstance(decision, Refuse)
    assert decision.result.failure.code == "IN_FLIGHT"
    assert decision.result.retry_after.ToTimedelta() == timedelta(seconds=3)
    assert name(decide(under_way, 5, 1, expired=False)) == "STALE_FENCE"
