"""Reading and cancelling executions that no worker has touched: lists, logs, watch, cancel, verify.

R-STATE-4, R-STATE-5, R-LOG-1, R-LOG-3, R-LOG-4, A-25, G17.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from wayfarer.execution.v1 import execution_pb2
from wayfarer.execution.v1 import execution_service_pb2 as pb

from execution_engine import chain, ports
from execution_engine.model import LogEvent
from services.execution_api import paging
from services.runtime.keyring import Keyring
from tests.integration.api.world import NOWHERE, Client, World, refused, tagging, waiting

QUEUED, CANCELLED = execution_pb2.EXECUTION_STATUS_QUEUED, execution_pb2.EXECUTION_STATUS_CANCELLED


async def started(client: Client, count: int, workflow: str = "plan") -> list[str]:
    """Ids of executions of as many contacts, oldest first."""
    await client.publish(waiting(workflow))
    ids = []
    for _ in range(count):
        ids.append((await client.start(workflow, (await client.contact()).id)).execution.id)
    return ids


def stamp(at: datetime) -> Timestamp:
    result = Timestamp()
    result.FromDatetime(at)
    return result


async def pages(client: Client, **filters: Any) -> list[list[str]]:
    """Ids, page by page."""
    found: list[list[str]] = []
    token = ""
    while True:
        page = await client.listed(page_token=token, **filters)
        found.append([execution.id for execution in page.executions])
        token = page.next_page_token
        if not token:
            return found


async def test_lists_are_newest_first_and_stable_while_new_ones_arrive(client: Client) -> None:
    ids = await started(client, 7)
    first = await client.listed(page_size=3)
    assert [execution.id for execution in first.executions] == ids[:3:-1]
    late = await started(client, 1, "late")
    second = await client.listed(page_size=3, page_token=first.next_page_token)
    assert [execution.id for execution in second.executions] == ids[3:0:-1]
    third = await client.listed(page_size=3, page_token=second.next_page_token)
    assert [execution.id for execution in third.executions] == [ids[0]]
    assert third.next_page_token == ""
    assert (await client.listed(page_size=1)).executions[0].id == late[0]


async def test_pages_that_come_out_even_end(client: Client) -> None:
    ids = await started(client, 4)
    assert await pages(client, page_size=2) == [ids[:1:-1], ids[1::-1]]


async def test_filters(client: Client) -> None:
    ids = await started(client, 4)
    others = await started(client, 2, "second")
    await client.cancel(ids[1])
    contact = (await client.get(ids[2])).contact_id
    assert await pages(client, workflow="plan") == [ids[::-1]]
    assert await pages(client, workflow=(await client.get(others[0])).workflow_id) == [others[::-1]]
    assert await pages(client, contact_id=contact) == [[ids[2]]]
    assert await pages(client, status=CANCELLED) == [[ids[1]]]
    assert await pages(client, status=QUEUED, workflow="plan") == [[ids[3], ids[2], ids[0]]]
    third = (await client.get(ids[2])).create_time.ToDatetime(UTC)
    assert await pages(client, create_time_from=stamp(third)) == [[*others[::-1], *ids[:1:-1]]]
    assert await pages(client, create_time_to=stamp(third)) == [ids[1::-1]]
    after = stamp(third + timedelta(microseconds=1))
    assert ids[2] in (await pages(client, create_time_to=after))[0]
    assert ids[2] not in (await pages(client, create_time_from=after))[0]
    assert await pages(client, create_time_from=stamp(datetime(9999, 12, 31, tzinfo=UTC))) == [[]]
    assert await pages(client, create_time_to=stamp(datetime(1, 1, 1, tzinfo=UTC))) == [[]]
    refusal = await refused(client.listed(workflow="nothing"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "WORKFLOW_NOT_FOUND")


@pytest.mark.parametrize("seconds", [10**15, -(10**15)])
async def test_times_out_of_range_are_refused(client: Client, seconds: int) -> None:
    refusal = await refused(client.listed(create_time_from=Timestamp(seconds=seconds)))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.rules.keys() == {"create_time_from"}


@pytest.mark.parametrize("size", [-1, 1_001, 10_000])
async def test_page_sizes_out_of_range_are_refused(client: Client, size: int) -> None:
    ids = await started(client, 1)
    for call in (client.listed(page_size=size), client.logs(ids[0], page_size=size)):
        refusal = await refused(call)
        assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
        assert refusal.rules.keys() == {"page_size"}


async def test_tokens_of_other_lists_are_refused(client: Client) -> None:
    ids = await started(client, 3)
    token = (await client.listed(page_size=1)).next_page_token
    assert (await refused(client.listed(page_size=1, page_token=token, status=QUEUED))).reason == (
        "PAGE_TOKEN_INVALID"
    )
    for wrong in (token, token[:-4], "AAAA", "!!!", "x" * 500):
        refusal = await refused(client.logs(ids[0], page_token=wrong))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
    # The size of the page may change on the way.
    assert len((await client.listed(page_size=2, page_token=token)).executions) == 2


async def test_forged_log_tokens_are_refused(client: Client) -> None:
    """The mark is no secret: what follows it must still be a sequence number."""
    ids = await started(client, 1)
    mark = paging.filter_mark(pb.ListExecutionLogsRequest(execution_id=ids[0]))
    for last in (b"\xff" * 4, b"\x00" * 5, b"\x01" * 300, b"\x01"):
        refusal = await refused(client.logs(ids[0], page_token=paging.encode(last, mark)))
        assert refusal.reason == "PAGE_TOKEN_INVALID", last


async def test_unknown_executions(client: Client) -> None:
    for call in (client.get(NOWHERE), client.logs(NOWHERE), client.cancel(NOWHERE)):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "EXECUTION_NOT_FOUND")


async def test_cancel_ends_it_at_once_and_says_who(world: World, client: Client) -> None:
    (execution_id,) = await started(client, 1)
    before = await world.row(execution_id)
    ended = await client.cancel(execution_id, reason="asked by ada@example.com")
    assert (ended.status, ended.reason, ended.log_entries) == (CANCELLED, "cancelled", 2)
    assert ended.HasField("end_time")
    row = await world.row(execution_id)
    assert before is not None
    assert row is not None
    assert (row["fence"], row["rev"]) == (before["fence"] + 1, before["rev"] + 1)
    assert (row["wake_at"], row["worker_id"], row["attempt_open"]) == (None, None, False)
    assert row["settle_at"] is not None
    entry = (await client.logs(execution_id)).log_entries[1]
    assert entry.event == "cancelled"
    assert entry.detail["actor"] == "local-stack"
    assert "ada@example.com" not in str(entry.detail)
    assert "a***@e***.com" in str(entry.detail)
    refusal = await refused(client.cancel(execution_id))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ILLEGAL_TRANSITION")
    assert refusal.metadata == {"from_status": "CANCELLED", "to_status": "CANCELLED"}
    assert all(count == 0 for count in (await client.verify()).values())


async def test_simultaneous_cancels_end_it_once(client: Client) -> None:
    (execution_id,) = await started(client, 1)
    answers = await asyncio.gather(*(client.cancel(execution_id) for _ in range(20)), return_exceptions=True)
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 1
    assert (await client.get(execution_id)).log_entries == 2


async def test_a_repeated_cancel_of_one_request_id_answers_the_same(client: Client) -> None:
    (execution_id,) = await started(client, 1)
    request_id = str(uuid4())
    answers = await asyncio.gather(*(client.cancel(execution_id, request_id=request_id) for _ in range(8)))
    assert all(answer == answers[0] for answer in answers)
    assert (await client.get(execution_id)).log_entries == 2


async def test_cancelling_with_a_start_open_writes_the_start_first(world: World, client: Client) -> None:
    """A driver's attempt is under way, its start only in the row: as a worker's commit leaves it."""
    (execution_id,) = await started(client, 1)
    await begin_attempt(world, client, execution_id)
    open_log = (await client.logs(execution_id)).log_entries
    assert [(e.seq, e.event, e.step_id) for e in open_log] == [
        (1, "execution_started", ""),
        (2, "action_started", "before"),
    ]
    assert not {name for name, count in (await client.verify()).items() if count}
    ended = await client.cancel(execution_id)
    assert (ended.status, ended.log_entries) == (CANCELLED, 3)
    log = (await client.logs(execution_id)).log_entries
    assert [(e.seq, e.event) for e in log] == [
        (1, "execution_started"),
        (2, "action_started"),
        (3, "cancelled"),
    ]
    row = await world.row(execution_id)
    assert row is not None
    # The attempt may still have its effect: a worker finds out later.
    assert (row["attempt_open"], row["open_seq"], row["worker_id"]) == (True, 0, None)
    assert row["settle_at"] > row["ended_at"]
    assert all(count == 0 for count in (await client.verify()).values())


async def begin_attempt(world: World, client: Client, execution_id: str) -> None:
    """Writes what a worker's commit writes when an attempt begins."""
    row = await world.row(execution_id)
    assert row is not None
    key = Keyring.load(world.stack.prepared.keyring).mac_key(ports.CHAIN, client.account_id)
    at = row["created_at"] + timedelta(seconds=1)
    hash_ = chain.start_hash(key, row["log_hash"], 2, "before", "add_tag", 1, 1, chain.microseconds(at))
    await world.owner.execute(
        """UPDATE execution SET status = 2, lane = 0, worker_id = 1, wake_at = wf_now() + interval '20 s',
        fence = 1, attempt = 1, attempt_open = true, open_seq = 2, open_at = $2, log_seq = 2, log_hash = $3
        WHERE execution_id = $1""",
        UUID(execution_id),
        at,
        hash_,
    )


async def test_one_whose_input_cannot_be_opened_is_shown(world: World, client: Client) -> None:
    (execution_id,) = await started(client, 1)
    await world.owner.execute(
        "UPDATE execution SET input_sealed = 'not sealed by us' WHERE execution_id = $1", UUID(execution_id)
    )
    read = await client.get(execution_id)
    assert (read.id, read.trace_id) == (execution_id, "")
    # Nobody can drive it: left behind, it would be claimed anew by every later worker.
    await client.cancel(execution_id)


async def test_logs_are_paged_and_counted(world: World, client: Client) -> None:
    (execution_id,) = await started(client, 1)
    await begin_attempt(world, client, execution_id)
    await client.cancel(execution_id)
    seen: list[int] = []
    token = ""
    for _ in range(3):
        page = await client.logs(execution_id, page_size=1, page_token=token)
        assert page.total_size == 3
        seen += [entry.seq for entry in page.log_entries]
        token = page.next_page_token
    assert (seen, token) == ([1, 2, 3], "")


async def test_watch_tells_what_was_and_what_comes_and_ends(client: Client) -> None:
    (execution_id,) = await started(client, 1)
    stream = client.watch(execution_id)
    first = await stream.read()
    assert (first.execution.status, [e.seq for e in first.log_entries]) == (QUEUED, [1])
    await client.cancel(execution_id)
    second = await stream.read()
    assert (second.execution.status, [e.seq for e in second.log_entries]) == (CANCELLED, [2])
    assert await stream.read() is grpc.aio.EOF


async def test_watch_goes_on_after_a_sequence_number(client: Client) -> None:
    (execution_id,) = await started(client, 1)
    await client.cancel(execution_id)
    for after, expected in ((0, [1, 2]), (1, [2]), (2, []), (7, []), (2**31, []), (2**32 - 1, [])):
        seen = [
            entry.seq async for change in client.watch(execution_id, after) for entry in change.log_entries
        ]
        assert seen == expected, after


async def test_watch_of_nothing_is_not_found(client: Client) -> None:
    async def watch() -> object:
        return [change async for change in client.watch(NOWHERE)]

    assert (await refused(watch())).reason == "EXECUTION_NOT_FOUND"


TAMPERINGS = {
    "an entry's detail": (
        'UPDATE execution_log SET detail = \'{"actor":"nobody"}\' WHERE execution_id = $1 AND seq = 2',
        "I3",
    ),
    "an entry's time": (
        "UPDATE execution_log SET at = at - interval '1 us' WHERE execution_id = $1 AND seq = 1",
        "I3",
    ),
    "an entry's event": (
        f"UPDATE execution_log SET event = {LogEvent.RECOVERED} WHERE execution_id = $1 AND seq = 2",
        "I3",
    ),
    "an entry removed": ("DELETE FROM execution_log WHERE execution_id = $1 AND seq = 1", "I3"),
    "the last entry removed": ("DELETE FROM execution_log WHERE execution_id = $1 AND seq = 2", "I3"),
    "the row's place": ("UPDATE execution SET log_seq = 3 WHERE execution_id = $1", "I3"),
    "the row's hash": ("UPDATE execution SET log_hash = '\\x00' WHERE execution_id = $1", "I3"),
    "the row's end": ("UPDATE execution SET status = 5 WHERE execution_id = $1", "I4"),
}


@pytest.mark.parametrize("what", TAMPERINGS)
async def test_verify_finds_tampering(world: World, client: Client, what: str) -> None:
    statement, invariant = TAMPERINGS[what]
    ids = await started(client, 2)
    await client.cancel(ids[0])
    assert all(count == 0 for count in (await client.verify()).values())
    assert (await world.owner.execute(statement, UUID(ids[0]))).endswith(" 1")
    answer = await client.call(client.executions.VerifyExecutions, pb.VerifyExecutionsRequest())
    broken = {check.id: list(check.examples) for check in answer.checks if check.violations}
    assert invariant in broken
    assert all(ids[0] in example for example in broken[invariant])
    assert answer.executions_checked == 2


async def test_verify_lists_the_invariants_in_order(client: Client) -> None:
    await client.publish(tagging())
    answer = await client.call(client.executions.VerifyExecutions, pb.VerifyExecutionsRequest())
    names = [check.id for check in answer.checks]
    assert names == sorted(names, key=lambda name: int(name[1:]))
    assert {"I1", "I2", "I3", "I4", "I5", "I8", "I11", "I12"} <= set(names)
    assert all(check.description for check in answer.checks)
