"""Attempts whose effects are outside: joining, cancelling, misbehaving, and dying between send and result.

G7.
"""

import asyncio
import json
import os
import random
import signal
import sys
import uuid

import pytest
from wayfarer.action.v1 import action_executor_pb2 as wire
from wayfarer.action.v1 import action_pb2
from wayfarer.action.v1.action_executor_pb2_grpc import ActionExecutorStub
from wayfarer.common.v1 import failure_pb2

from services.runtime.grpc_client import open_channel
from tests.contract.executors.oddities.words import Words
from tests.contract.executors.world import ACCOUNT, Client, Receiver, make_action, uuid7


def key_text(action: action_pb2.Action) -> str:
    return f"{uuid.UUID(bytes=action.effect_key.execution_id)}.step.1"


async def test_redelivery_joins_the_attempt_under_way(odd: Client, words: Words) -> None:
    action = make_action("hold", {"word": "join"})
    first = asyncio.create_task(odd.execute(action))
    await words.reached["join"].wait()
    second = asyncio.create_task(odd.batch([action]))
    words.go["join"].set()
    assert not (await first).replayed
    assert (await second)[0].replayed
    assert words.sent[key_text(action)] == 1


async def test_results_stream_as_they_end(odd: Client, words: Words) -> None:
    actions = [make_action("hold", {"word": f"stream{n}"}) for n in range(3)]
    words.go["stream1"].set()
    stream = odd.stub.ExecuteBatch(wire.ExecuteBatchRequest(actions=actions), timeout=20)
    order = []
    async for chunk in stream:
        order += [one.index for one in chunk.results]
        if order == [1]:
            words.go["stream2"].set()
        if order == [1, 2]:
            words.go["stream0"].set()
    assert order == [1, 2, 0]


async def test_cancel_before_sending_sends_nothing(odd: Client, words: Words) -> None:
    action = make_action("hold", {"word": "never"})
    attempt = asyncio.create_task(odd.execute(action))
    await words.reached["never"].wait()
    assert await odd.cancel(action)
    result = await attempt
    assert (result.failure.code, result.certainty) == ("CANCELLED", action_pb2.CERTAINTY_NOT_DONE)
    assert words.sent[key_text(action)] == 0
    assert not await odd.cancel(action)
    assert (await odd.reconcile(action, 2)).finding == wire.FINDING_NOT_DONE


async def test_cancel_after_sending_is_advisory(odd: Client, words: Words) -> None:
    action = make_action("hold", {"word": "late", "after_sending": True})
    attempt = asyncio.create_task(odd.execute(action))
    await words.reached["late"].wait()
    assert await odd.cancel(action)
    words.go["late"].set()
    assert (await attempt).outcome == action_pb2.OUTCOME_SUCCEEDED


async def test_caller_that_goes_away_does_not_stop_the_attempt(odd: Client, words: Words) -> None:
    action = make_action("hold", {"word": "alone", "after_sending": True})
    call = odd.stub.ExecuteBatch(wire.ExecuteBatchRequest(actions=[action]), timeout=20)
    reading = asyncio.ensure_future(call.read())
    await words.reached["alone"].wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert (await odd.reconcile(action, 1)).finding == wire.FINDING_IN_FLIGHT
    words.go["alone"].set()
    result = await odd.execute(action)
    assert (result.outcome, result.replayed) == (action_pb2.OUTCOME_SUCCEEDED, True)
    assert words.sent[key_text(action)] == 1


async def test_budget_ends_before_and_after_sending(odd: Client) -> None:
    before = make_action("hold", {"word": "before"}, budget_ms=150)
    after = make_action("hold", {"word": "after", "after_sending": True}, budget_ms=150)
    results = await odd.batch([before, after])
    assert results[0].failure.code == "PAST_DEADLINE"
    assert results[0].certainty == action_pb2.CERTAINTY_NOT_DONE
    assert results[1].failure.error_class == failure_pb2.ERROR_CLASS_TIMEOUT
    assert results[1].certainty == action_pb2.CERTAINTY_INDETERMINATE
    assert (await odd.reconcile(after, 1)).finding == wire.FINDING_UNKNOWN


async def test_misbehaving_action_harms_no_neighbour(odd: Client, words: Words) -> None:
    actions = [make_action("misbehave", {"how": how}) for how in ("behave", "raise", "babble", "behave")]
    fine, raised, babbled, also_fine = await odd.batch(actions)
    assert fine.outcome == also_fine.outcome == action_pb2.OUTCOME_SUCCEEDED
    assert raised.failure.error_class == failure_pb2.ERROR_CLASS_SERVER_ERROR
    assert raised.certainty == action_pb2.CERTAINTY_INDETERMINATE
    assert "ada" not in raised.failure.message
    assert (await odd.reconcile(actions[1], 1)).finding == wire.FINDING_UNKNOWN
    assert babbled.outcome == action_pb2.OUTCOME_SUCCEEDED
    assert json.loads(babbled.output)["output_omitted"] is True
    again = await odd.execute(actions[1])
    assert (again.replayed, again.certainty) == (True, action_pb2.CERTAINTY_INDETERMINATE)
    actions[1].attempt = 2
    assert not (await odd.execute(actions[1])).replayed
    assert words.sent[key_text(actions[1])] == 2


async def test_raising_apply_fails_alone_and_leaves_nothing_done(odd: Client) -> None:
    actions = [make_action("misapply", {"fail": n == 3}) for n in range(7)]
    results = await odd.batch([*actions, make_action("misbehave", {"how": "behave"})])
    assert [one.outcome == action_pb2.OUTCOME_SUCCEEDED for one in results] == [n != 3 for n in range(8)]
    assert results[3].certainty == action_pb2.CERTAINTY_NOT_DONE
    assert (await odd.reconcile(actions[3], 2)).finding == wire.FINDING_NOT_DONE


@pytest.mark.parametrize("action_type", ["misbehave", "misapply"])
async def test_zombies_race_their_successors(odd: Client, words: Words, action_type: str) -> None:
    """Old driver, new driver and its question at once, for many effects: one effect each, and no zombie's."""
    config: dict[str, object] = {"how": "behave"} if action_type == "misbehave" else {}
    old = [make_action(action_type, config, fence=1) for _ in range(60)]
    new = []
    for action in old:
        copy = action_pb2.Action()
        copy.CopyFrom(action)
        copy.fence = 2
        new.append(copy)
    shuffled = random.sample(range(60), 60)
    zombies, findings, heirs = await asyncio.gather(
        asyncio.gather(*(odd.batch([old[n] for n in shuffled[at : at + 20]]) for at in (0, 20, 40))),
        asyncio.gather(*(odd.reconcile(one, fence=2) for one in old)),
        odd.batch(new),
    )
    by_zombie = dict(zip(shuffled, [result for batch in zombies for result in batch], strict=True))
    for n, (finding, heir) in enumerate(zip(findings, heirs, strict=True)):
        zombie = by_zombie[n]
        acted = zombie.outcome == action_pb2.OUTCOME_SUCCEEDED and not zombie.replayed
        if finding.finding == wire.FINDING_NOT_DONE:
            assert not acted, (n, zombie)
        assert heir.outcome == action_pb2.OUTCOME_SUCCEEDED, heir
        assert acted != (not heir.replayed) or zombie.failure.code == "STALE_FENCE"
        if action_type == "misbehave":
            assert words.sent[key_text(old[n])] == 1


async def test_attempt_of_another_process(integrations: Client, receiver: Receiver) -> None:
    """A row that another owner announced: in flight until its deadline, then unknown, then taken over."""
    action = make_action("webhook_call", {"url": receiver.url("/taken-over")})
    await integrations.database.execute(
        "INSERT INTO effect_ledger"
        " (account_id, execution_id, step_id, visit, fence, attempt, state, owner, deadline)"
        " VALUES ($1, $2, 'step', 1, 1, 1, 1, $3, clock_timestamp() + interval '1 minute')",
        ACCOUNT,
        uuid.UUID(bytes=action.effect_key.execution_id),
        uuid7(),
    )
    finding = await integrations.reconcile(action, fence=2)
    assert finding.finding == wire.FINDING_IN_FLIGHT
    assert 50 < finding.in_flight_for.ToTimedelta().total_seconds() <= 60
    action.fence = 2
    refused = await integrations.execute(action)
    assert (refused.failure.code, refused.certainty) == ("IN_FLIGHT", action_pb2.CERTAINTY_INDETERMINATE)
    assert 50 < refused.retry_after.ToTimedelta().total_seconds() <= 60
    await integrations.expire(action)
    assert (await integrations.reconcile(action, fence=2)).finding == wire.FINDING_UNKNOWN
    action.fence = 1
    assert (await integrations.execute(action)).failure.code == "OUTCOME_UNKNOWN"
    assert not receiver.at("/taken-over")
    action.fence = 2
    assert (await integrations.execute(action)).outcome == action_pb2.OUTCOME_SUCCEEDED
    assert len(receiver.at("/taken-over")) == 1


async def test_a_record_that_cannot_be_read_holds_up_nobody(integrations: Client, receiver: Receiver) -> None:
    """Attempts of many calls are announced together: one whose row is broken is answered, and so are the others."""
    config = {"url": receiver.url("/unread"), "body": {}}
    broken, whole = make_action("webhook_call", config), make_action("webhook_call", config)
    await integrations.execute(broken)
    await integrations.database.execute(
        "UPDATE effect_ledger SET result = $2 WHERE execution_id = $1",
        uuid.UUID(bytes=broken.effect_key.execution_id),
        b"\x00\xff\xff",
    )
    unread, done = await integrations.batch([broken, whole])
    assert (unread.failure.code, unread.certainty) == (
        "RESULT_UNREADABLE",
        action_pb2.CERTAINTY_INDETERMINATE,
    )
    assert done.outcome == action_pb2.OUTCOME_SUCCEEDED
    assert len(receiver.at("/unread")) == 2


async def test_killed_between_send_and_result(integrations: Client, receiver: Receiver) -> None:
    """A real process, killed while the receiver holds its answer back."""
    receiver.arrived.clear()
    action = make_action("webhook_call", {"url": receiver.url("/hang/killed")})
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "services.executors.integrations"),
        env={**integrations.environment, "WAYFARER_LISTEN": "127.0.0.1:0", "PYTHONUNBUFFERED": "1"},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        address = await _address(process.stderr)
        async with open_channel(address) as channel:
            stub = ActionExecutorStub(channel)
            call = asyncio.ensure_future(stub.Execute(wire.ExecuteRequest(action=action), timeout=20))
            await receiver.arrived.wait()
            process.send_signal(signal.SIGKILL)
            await process.wait()
            with pytest.raises(Exception):  # noqa: B017, PT011 - whatever gRPC makes of it
                await call
    finally:
        if process.returncode is None:
            process.kill()
    assert (await integrations.reconcile(action, fence=2)).finding == wire.FINDING_IN_FLIGHT
    await integrations.expire(action)
    assert (await integrations.reconcile(action, fence=2)).finding == wire.FINDING_UNKNOWN
    receiver.hold.set()
    action.fence = 2
    assert (await integrations.execute(action)).outcome == action_pb2.OUTCOME_SUCCEEDED
    receiver.hold.clear()
    calls = receiver.at("/hang/killed")
    assert len(calls) == 2
    assert calls[0][0]["webhook-id"] == calls[1][0]["webhook-id"]


async def _address(stderr: asyncio.StreamReader) -> str:
    async for line in stderr:
        entry = json.loads(line)
        if entry["event"] == "serving":
            return str(entry["address"])
    raise AssertionError("the process ended before it served")


async def test_process_without_settings_says_which(tmp_path: object) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "services.executors.communication"),
        env={"PATH": os.environ.get("PATH", "")},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode == 2
    for name in (b"WAYFARER_DATABASE_URL", b"WAYFARER_SMTP_HOST", b"WAYFARER_MAIL_FROM"):
        assert name in errors
