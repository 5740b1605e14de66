"""What Reconcile answers for effects in doubt when their action type can ask the provider.

G5, G7.
"""

import asyncio
import json
import uuid

import pytest
from wayfarer.action.v1 import action_executor_pb2 as wire
from wayfarer.action.v1 import action_pb2

from tests.contract.executors.oddities.words import Words
from tests.contract.executors.world import ACCOUNT, Client, make_action, uuid7


def key_text(action: action_pb2.Action) -> str:
    return f"{uuid.UUID(bytes=action.effect_key.execution_id)}.step.1"


async def test_found_is_done_and_stays_so(odd: Client, words: Words) -> None:
    action = make_action("vanish", {"word": "done"})
    assert (await odd.execute(action)).certainty == action_pb2.CERTAINTY_INDETERMINATE
    finding = await odd.reconcile(action, fence=2)
    assert finding.finding == wire.FINDING_DONE
    assert json.loads(finding.result.output) == {"found": True}
    assert (await odd.reconcile(action, fence=3)).finding == wire.FINDING_DONE
    assert words.asked[key_text(action)] == 1
    action.fence, action.attempt = 3, 2
    again = await odd.execute(action)
    assert (again.outcome, again.replayed) == (action_pb2.OUTCOME_SUCCEEDED, True)
    assert words.sent[key_text(action)] == 1


async def test_absent_is_not_done_and_closed_to_zombies(odd: Client, words: Words) -> None:
    action = make_action("vanish", {"word": "absent"})
    await odd.execute(action)
    assert (await odd.reconcile(action, fence=5)).finding == wire.FINDING_NOT_DONE
    action.fence, action.attempt = 4, 2
    assert (await odd.execute(action)).failure.code == "STALE_FENCE"
    action.fence = 5
    assert not (await odd.execute(action)).replayed
    assert words.sent[key_text(action)] == 2


@pytest.mark.parametrize("word", ["maybe", "raise", "nobody"])
async def test_no_certain_answer_leaves_it_unknown(odd: Client, words: Words, word: str) -> None:
    action = make_action("vanish", {"word": word})
    await odd.execute(action)
    assert (await odd.reconcile(action, fence=2)).finding == wire.FINDING_UNKNOWN
    assert words.asked[key_text(action)] == 1
    row = await odd.row(action)
    assert row is not None
    assert (row["state"], row["fence"]) == (4, 1)


async def test_a_process_that_died_left_no_refs(odd: Client, words: Words) -> None:
    """In flight nobody is asked; past the deadline the type is, with nothing to go by."""
    action = make_action("vanish", {"word": "done"})
    await odd.database.execute(
        "INSERT INTO effect_ledger"
        " (account_id, execution_id, step_id, visit, fence, attempt, state, owner, deadline)"
        " VALUES ($1, $2, 'step', 1, 1, 1, 1, $3, clock_timestamp() + interval '1 minute')",
        ACCOUNT,
        uuid.UUID(bytes=action.effect_key.execution_id),
        uuid7(),
    )
    assert (await odd.reconcile(action, fence=2)).finding == wire.FINDING_IN_FLIGHT
    assert words.asked[key_text(action)] == 0
    await odd.expire(action)
    assert (await odd.reconcile(action, fence=2)).finding == wire.FINDING_UNKNOWN
    assert words.asked[key_text(action)] == 1


async def test_pending_is_asked_until_it_ends(odd: Client, words: Words) -> None:
    under_way = make_action("vanish", {"word": "pending", "pending": True})
    ended = make_action("vanish", {"word": "done", "pending": True})
    failed = make_action("vanish", {"word": "failed", "pending": True})
    for action in (under_way, ended, failed):
        assert (await odd.execute(action)).outcome == action_pb2.OUTCOME_PENDING
    still = await odd.reconcile(under_way, fence=2)
    assert (still.finding, still.result.outcome) == (wire.FINDING_DONE, action_pb2.OUTCOME_PENDING)
    assert dict(still.result.provider_refs) == {"word": "pending"}
    done = await odd.reconcile(ended, fence=2)
    assert done.result.outcome == action_pb2.OUTCOME_SUCCEEDED
    assert (await odd.execute(ended)).outcome == action_pb2.OUTCOME_SUCCEEDED
    lost = await odd.reconcile(failed, fence=2)
    assert (lost.finding, lost.result.failure.code) == (wire.FINDING_DONE, "ABSENT")
    assert words.sent[key_text(ended)] == words.sent[key_text(failed)] == 1


async def test_what_became_known_meanwhile_is_not_overwritten(odd: Client, words: Words) -> None:
    """The attempt's own outcome comes while the provider is asked: it stands."""
    action = make_action("vanish", {"word": "overtaken"})
    await odd.execute(action)
    asking = asyncio.create_task(odd.reconcile(action, fence=2))
    await words.reached[key_text(action)].wait()
    await odd.database.execute(
        "UPDATE effect_ledger SET state = 2 WHERE execution_id = $1",
        uuid.UUID(bytes=action.effect_key.execution_id),
    )
    words.go[key_text(action)].set()
    assert (await asking).finding == wire.FINDING_UNKNOWN
    row = await odd.row(action)
    assert row is not None
    assert (row["state"], row["fence"]) == (2, 1)


async def test_types_that_cannot_ask_are_as_before(odd: Client) -> None:
    action = make_action("misbehave", {"how": "raise"})
    await odd.execute(action)
    assert (await odd.reconcile(action, fence=2)).finding == wire.FINDING_UNKNOWN


async def test_refs_of_a_failure_are_sealed(odd: Client) -> None:
    action = make_action("vanish", {"word": "somebody's number"})
    await odd.execute(action)
    row = await odd.row(action)
    assert row is not None
    assert b"somebody" not in row["result"]
