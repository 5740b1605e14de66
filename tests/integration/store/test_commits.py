"""The store's fences on real PostgreSQL: who may write what, and what a write that flies twice leaves behind.

G3, G4, R-STEP-3, R-TRIG-1, A-14.
"""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest

from dispatcher.clock import Clock
from dispatcher.commit import Committer, Pending
from dispatcher.settings import WorkerSettings
from execution_engine import chain
from execution_engine.definition.program import END
from execution_engine.model import BlockedOn, Status
from execution_engine.moves import Hold
from execution_engine.outcome import Deferred, Succeeded
from execution_engine.run import Run
from execution_engine.sending.channels import Category, Channel, Message
from execution_engine.sending.facts import Facts
from execution_engine.store import commits, few, reauthorisation
from execution_engine.store.commits import Move
from services.worker.__main__ import PLANNER
from tests.integration.store.store_world import FIRST_CLAIM, Store, moved


async def test_a_move_that_flies_again_keeps_the_moment_its_hash_was_made_of(store: Store) -> None:
    """A commit whose answer was lost is written later, by another transaction with another time."""
    account_id, execution_id = await store.start()
    (run,) = await store.claim(await store.register(), account_id)
    decided = await store.now()
    move = moved(run, FIRST_CLAIM, decided)
    later = decided + timedelta(seconds=3)
    assert await store.write(run, move, later)
    row = await store.row(execution_id)
    assert row["open_at"] == decided
    key = store.vault.mac_key("engine.chain", account_id)
    genesis = await store.owner.fetchval(
        "SELECT hash FROM execution_log WHERE execution_id = $1 AND seq = 1", execution_id
    )
    expected = chain.start_hash(key, genesis, 2, "one", "add_tag", 1, 1, chain.microseconds(row["open_at"]))
    assert row["log_hash"] == expected


async def test_a_move_is_written_once_and_reread_tells_so(store: Store) -> None:
    account_id, _ = await store.start()
    (run,) = await store.claim(await store.register(), account_id)
    now = await store.now()
    move = moved(run, FIRST_CLAIM, now)
    assert await store.write(run, move, now)
    assert not await store.write(run, move, now), "the same rev counts once"
    standing = (await commits.reread(store.worker, [run]))[run.execution_id]
    assert (standing.fence, standing.rev) == (run.fence, run.rev + 1)


async def test_what_is_written_is_logged_and_counted_with_it_and_only_with_it(store: Store) -> None:
    account_id, execution_id = await store.start()
    (run,) = await store.claim(await store.register(), account_id)
    now = await store.now()
    assert await store.write(run, moved(run, FIRST_CLAIM, now), now)
    run.rev += 1
    done = moved(run, Succeeded(), now)
    logged = "SELECT count(*) FROM execution_log WHERE execution_id = $1"
    counted = "SELECT coalesce(sum((deltas -> 'one' ->> 1)::int), 0) FROM step_delta WHERE account_id = $1"
    run.fence -= 1
    assert not await store.write(run, done, now), "somebody else's"
    assert await store.owner.fetchval(logged, execution_id) == 1
    assert await store.owner.fetchval(counted, account_id) == 0
    run.fence += 1
    assert await store.write(run, done, now)
    assert not await store.write(run, done, now)
    assert await store.owner.fetchval(logged, execution_id) == 2
    assert await store.owner.fetchval(counted, account_id) == 1


async def test_moves_of_every_kind_are_written_together_but_for_those_that_are_lost(store: Store) -> None:
    """One goes on, one waits, one completes and one is somebody else's: rows, log and counters say so."""
    (goes, waits, ends, lost) = runs = [await _driven(store) for _ in range(4)]
    now = await store.now()
    first = moved(ends, Succeeded(), now)
    assert await store.write(ends, first, now)
    ends.rev += 1
    lost.fence -= 1
    moves = [moved(run, Deferred(60, None) if run is waits else Succeeded(), now) for run in runs]
    if store.few:
        assert few.suits(moves, set())
        written, _ = await few.write(store.worker, store.vault, now, moves)
    else:
        async with store.worker.transaction():
            written = await commits.commit(store.worker, store.vault, now, moves, set())
    assert written == {run.execution_id for run in (goes, waits, ends)}
    standing = "SELECT status, step, log_seq, log_hash FROM {} WHERE execution_id = $1"
    for run, table, status, step in (
        (goes, "execution", Status.ACTIVE, 1),
        (waits, "execution", Status.WAITING, 0),
        (ends, "execution_history", Status.COMPLETED, END),
        (lost, "execution", Status.ACTIVE, 0),
    ):
        row = await store.owner.fetchrow(standing.format(table), run.execution_id)
        assert (row["status"], row["step"]) == (status, step)
        if run is not lost:
            assert (row["log_seq"], row["log_hash"]) == (run.log_seq, run.log_hash)
    ended = "SELECT count(*) FROM execution_log WHERE execution_id = $1 AND seq > 1"
    done = """SELECT coalesce(sum((d.value ->> 1)::int), 0) FROM step_delta, jsonb_each(deltas) AS d
        WHERE account_id = $1"""
    for run, rows, counted in ((goes, 1, 1), (waits, 1, 0), (ends, 3, 3), (lost, 0, 0)):
        assert await store.owner.fetchval(ended, run.execution_id) == rows, run
        assert await store.owner.fetchval(done, run.account_id) == counted, run


async def _driven(store: Store) -> Run:
    """An execution whose first action was sent."""
    account_id, _ = await store.start()
    (run,) = await store.claim(await store.register(), account_id)
    now = await store.now()
    assert await store.write(run, moved(run, FIRST_CLAIM, now), now)
    run.rev += 1
    return run


async def test_a_step_is_all_there_or_not_at_all(store: Store) -> None:
    account_id, execution_id = await store.start()
    (run,) = await store.claim(await store.register(), account_id)
    now = await store.now()
    assert await store.write(run, moved(run, FIRST_CLAIM, now), now)
    run.rev += 1
    before = dict(await store.row(execution_id))
    transaction = store.worker.transaction()
    await transaction.start()
    await commits.commit(store.worker, store.vault, now, [moved(run, Succeeded(), now)], set())
    await transaction.rollback()
    assert dict(await store.row(execution_id)) == before
    logged = "SELECT count(*) FROM execution_log WHERE execution_id = $1"
    assert await store.owner.fetchval(logged, execution_id) == 1


async def test_the_worker_role_cannot_change_what_is_not_its_own(store: Store) -> None:
    for statement in (
        "UPDATE workflow SET name = 'x'",
        "DELETE FROM execution_log",
        "UPDATE execution_log SET detail = ''",
        "SELECT key_hash FROM api_key",
        "UPDATE contact SET deleted_at = now()",
        "UPDATE clock_offset SET shift = '1 hour'",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await store.worker.execute(statement)


@asynccontextmanager
async def _committer(
    store: Store,
    *,
    done: Callable[[list[Move]], None],
    refresh: Callable[[list[Pending]], None] = lambda _: None,
) -> AsyncIterator[Committer]:
    """As a worker has it, with a pool of its own."""
    async with asyncpg.create_pool(
        store.stack.prepared.dsns["wayfarer_worker"], min_size=1, max_size=2, server_settings=PLANNER
    ) as pool:
        yield Committer(
            pool,
            store.vault,
            WorkerSettings(),
            done=done,
            under_way=lambda: 1,
            reconcile=lambda _: None,
            lost=lambda _: None,
            hold=lambda _: Hold.GO,
            not_sent=lambda _: None,
            refresh=refresh,
            gate=lambda _: lambda run, step: None,
            dice=random.Random(1),
        )


async def test_a_commit_takes_the_time_it_was_told_a_moment_ago_and_tells_the_next(store: Store) -> None:
    """One round trip less; and where nothing was told for long, the database is asked."""
    run = await _driven(store)
    done: list[Move] = []
    elapsed = 0.0
    async with _committer(store, done=done.extend) as committer:
        committer.clock = Clock(lambda: elapsed)
        before = await store.now()
        told = before - timedelta(milliseconds=500)
        committer.clock.told(told, elapsed)
        committer.sink.put(Pending(run, Succeeded()))
        await committer.sink.drain()
        assert [row.at for row in done[0].rows] == [told]
        guess = committer.clock.now()
        assert guess is not None
        assert before <= guess <= await store.now()
        elapsed = 60.0
        committer.sink.put(Pending(run, Succeeded()))
        await committer.sink.drain()
    assert guess < done[1].rows[-1].at <= await store.now()


@pytest.mark.parametrize(
    "why", ["a delay begins", "somebody asked for something", "it fell due since", "a claim without its time"]
)
async def test_a_time_that_was_not_asked_for_decides_nothing_that_hangs_on_it(store: Store, why: str) -> None:
    """G2, R-STEP-3: a retry is not early, what was asked is not overlooked, what is due stays due."""
    account_id, _ = await store.start()
    (run,) = await store.claim(await store.register(), account_id)
    before = await store.now()
    claim = Pending(run, FIRST_CLAIM, since=before if why == "it fell due since" else None)
    if not why.endswith("since") and not why.startswith("a claim"):
        assert await store.write(run, moved(run, FIRST_CLAIM, before), before)
        run.rev += 1
    if why == "somebody asked for something":
        # Its first decision is not written: it is read again, and decided anew.
        asked = "UPDATE execution SET asks = asks + 1 WHERE execution_id = $1"
        await store.owner.execute(asked, run.execution_id)
    pending = {
        "a delay begins": Pending(run, Deferred(60, None)),
        "somebody asked for something": Pending(run, Succeeded()),
    }.get(why, claim)
    done: list[Move] = []
    async with _committer(store, done=done.extend) as committer:
        committer.clock = Clock(lambda: 0.0)
        committer.clock.told(before - timedelta(milliseconds=500), 0.0)
        committer.sink.put(pending)
        await committer.sink.drain()
    assert len(done) == 1
    at = done[0].rows[-1].at if done[0].rows else done[0].run.open_at
    assert at is not None
    assert at >= before


async def test_a_message_whose_commit_lost_its_answer_is_not_decided_again(store: Store) -> None:
    """G1, G4: where sends are counted, a written intent makes its own facts old; it is written all the same."""
    account_id, execution_id = await store.start()
    (run,) = await store.claim(await store.register(), account_id)
    move = moved(run, FIRST_CLAIM, await store.now())
    assert move.result.begin is not None
    move.result.message = Message(Channel.EMAIL, Category.MARKETING, "ann@example.com")
    run.facts, run.counts_sends = Facts(rev=1), True
    pending = Pending(run, FIRST_CLAIM, move=move)
    assert await store.write(run, move, await store.now())  # and its answer never came
    done: list[Move] = []
    decided_again: list[Pending] = []
    async with _committer(store, done=done.extend, refresh=decided_again.extend) as committer:
        committer.sink.put(pending)
        await committer.sink.drain()
    assert decided_again == []
    assert done == [move]
    assert run.rev == (await store.row(execution_id))["rev"]
    assert (
        await store.owner.fetchval("SELECT count(*) FROM message_intent WHERE account_id = $1", account_id)
        == 1
    )


async def _waiting(store: Store, account_id: int, blocked_on: BlockedOn, number: int) -> None:
    """So many executions of the account that wait for a day."""
    await store.owner.execute(
        "INSERT INTO execution (account_id, execution_id, workflow_id, contact_id, version, shard, status,"
        " priority, lane, blocked_on, wake_at, log_seq, log_hash, created_at, updated_at)"
        " SELECT $1, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, 0, 4, 2, 2, $2,"
        " wf_now() + interval '1 day', 1, '', wf_now(), wf_now() FROM generate_series(1, $3)",
        account_id,
        blocked_on,
        number,
    )


async def test_new_credentials_wake_each_that_waits_for_them_once(store: Store) -> None:
    """R-ERR-1: however many there are, and however many more wait for something else."""
    account_id, _ = await store.account()
    await _waiting(store, account_id, BlockedOn.TIMER, 500)
    await _waiting(store, account_id, BlockedOn.REAUTHORISATION, 2_500)
    assert await reauthorisation.wake(store.api, account_id) == 2_500
    due = (
        "SELECT count(*) FROM execution WHERE account_id = $1 AND rev = 1"
        " AND wake_at < wf_now() + interval '1 hour'"
    )
    assert await store.owner.fetchval(due, account_id) == 2_500
    assert await reauthorisation.wake(store.api, account_id) == 0
