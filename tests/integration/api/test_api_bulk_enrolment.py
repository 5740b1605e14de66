"""Enrolment of many through the API: killed half-way, listed as it goes, with consent withdrawn meanwhile. R-TRIG-8."""

import os
import signal
from datetime import timedelta
from uuid import UUID

import grpc
from wayfarer.execution.v1 import bulk_service_pb2 as pb

from tests.integration.api.test_api_bulk import contacts, every, finished, read, start
from tests.integration.api.world import NOWHERE, Client, World, until, waiting


def enrolment(workflow: str, ids: list[str]) -> pb.BulkTask:
    return pb.BulkTask(enroll=pb.EnrollMany(workflow=workflow, contact_ids=ids))


async def listed(
    client: Client, operation_id: str, size: int = 1_000, outcome: str = ""
) -> list[pb.BulkItem]:
    """Every item, page by page."""
    found: list[pb.BulkItem] = []
    token = ""
    while True:
        request = pb.ListBulkItemsRequest(id=operation_id, page_size=size, page_token=token, outcome=outcome)
        answer: pb.ListBulkItemsResponse = await client.call(client.bulk.ListBulkItems, request)
        found += answer.items
        token = answer.next_page_token
        if not token:
            return found


async def reached(client: Client, operation_id: str, number: int) -> pb.BulkOperation:
    async def look() -> pb.BulkOperation | None:
        operation = await read(client, operation_id)
        return operation if operation.finished == number else None

    return await until(look)


async def answers(client: Client) -> bool:
    """Whether the API does, on the channel that the tests share."""
    try:
        await client.listed()
    except grpc.aio.AioRpcError:
        return False
    return True


async def test_killed_half_way_it_goes_on_and_nobody_is_enrolled_twice(world: World, client: Client) -> None:
    """R-TRIG-8: SIGKILL of the process between two transactions' commits: each contact has one execution, and an outcome."""
    workflow = await client.publish(waiting(reentry="always", dedup_window="0s"))
    ids = await contacts(world, client, 20_000)
    operation = await start(client, enrolment(workflow, ids), per_tick=20_000, tick=every(0.1))
    query = "SELECT total, outcomes <> '{}' AS begun, state FROM bulk_operation WHERE operation_id = $1"

    async def begun() -> bool:
        return bool((await world.owner.fetchrow(query, UUID(operation.id)))["begun"])

    await until(begun)
    os.kill(world.stack.supervisor.pids()["api"], signal.SIGKILL)
    counted = "SELECT count(*) FROM execution WHERE account_id = $1"
    there = await world.owner.fetchval(counted, client.account_id)
    assert 0 < there < 20_000
    await until(lambda: answers(client))
    ended = await finished(client, operation.id)
    assert (ended.total, ended.finished, dict(ended.outcomes)) == (20_000, 20_000, {"started": 20_000})
    rows = await world.owner.fetch(
        "SELECT contact_id, execution_id FROM execution WHERE account_id = $1", client.account_id
    )
    assert len(rows) == 20_000
    items = await listed(client, operation.id)
    assert [item.item for item in items] == list(range(1, 20_001))
    assert [item.subject_id for item in items] == ids
    made = {str(row["contact_id"]): str(row["execution_id"]) for row in rows}
    assert {item.subject_id: item.execution_id for item in items} == made
    broken = {name for name, number in (await client.verify()).items() if number}
    assert broken <= {"I12"}  # no worker takes them


async def test_items_are_listed_as_it_goes_and_a_consent_withdrawn_meanwhile_counts(
    world: World, client: Client
) -> None:
    """R-TRIG-8: a contact who opts out during the run is not enrolled; a repeated one is not, in a later tick either."""
    workflow = await client.publish(waiting(reentry="always", dedup_window="0s"))
    a, b, c, d = [(await client.contact()).id for _ in range(4)]
    ids = [a, b, a, c, NOWHERE, d, a]
    operation = await start(client, enrolment(workflow, ids), per_tick=3, tick=every(3600))
    await reached(client, operation.id, 3)
    outcomes = ["started", "started", "duplicate", "", "", "", ""]
    for size in (1, 2, 3, 7, 1_000):
        items = await listed(client, operation.id, size)
        assert [(item.item, item.subject_id) for item in items] == list(enumerate(ids, 1))
        assert [item.outcome for item in items] == outcomes
    await client.update_contact(d, "opted_out", opted_out=True)
    for number in (6, 7):
        await world.let_pass(timedelta(hours=1, seconds=1))
        await reached(client, operation.id, number)
    ended = await finished(client, operation.id)
    assert dict(ended.outcomes) == {"started": 3, "duplicate": 2, "contact_not_found": 1, "opted_out": 1}
    items = await listed(client, operation.id)
    assert [item.outcome for item in items[3:]] == ["started", "contact_not_found", "opted_out", "duplicate"]
    assert [items[n].execution_id for n in (2, 6)] == [items[0].execution_id] * 2
    assert [item.item for item in await listed(client, operation.id, 1, "duplicate")] == [3, 7]
    kinds = await world.owner.fetch(
        "SELECT kind FROM start_refusal WHERE account_id = $1 ORDER BY refusal_id", client.account_id
    )
    assert [row["kind"] for row in kinds].count("deduplication_blocked") == 2
    assert [row["kind"] for row in kinds].count("opt_out_blocked") == 1


async def test_an_operation_of_the_version_before_is_worked_off(world: World, client: Client) -> None:
    """G22: its contacts are rows; they are enrolled and counted as they would have been."""
    workflow = await client.publish(waiting(reentry="always", dedup_window="0s"))
    first = await start(client, enrolment(workflow, await contacts(world, client, 1)))
    await finished(client, first.id)
    ids = await contacts(world, client, 3) + await contacts(world, client, 1, opted_out=True)
    before = await world.owner.fetchval(
        """WITH made AS (
            INSERT INTO bulk_operation (account_id, operation_id, kind, state, params_sealed, actor, per_tick, tick,
                total, created_at, updated_at)
            SELECT account_id, uuidv7(), kind, 1, params_sealed, actor, 2, tick, 4, created_at, updated_at
            FROM bulk_operation WHERE operation_id = $1 RETURNING account_id, operation_id
        ), items AS (
            INSERT INTO bulk_item (account_id, operation_id, item, subject)
            SELECT account_id, operation_id, place, subject
            FROM made, unnest($2::uuid[]) WITH ORDINALITY AS u (subject, place)
        )
        SELECT operation_id FROM made""",
        UUID(first.id),
        ids,
    )
    await world.owner.execute("UPDATE bulk_operation SET next_at = wf_now() WHERE operation_id = $1", before)
    ended = await finished(client, str(before))
    assert (ended.total, dict(ended.outcomes)) == (4, {"started": 3, "opted_out": 1})
    items = await listed(client, str(before))
    assert [item.subject_id for item in items] == ids
    assert all(item.execution_id for item in items[:3])
