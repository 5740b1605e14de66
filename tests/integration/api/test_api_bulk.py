"""Operations on many: retry, cancel, enrolment with drip, migration with preview.

A-38, A-39, A-43, R-STATE-7, R-TRIG-8, R-STEP-6.
"""

from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from google.protobuf.duration_pb2 import Duration
from wayfarer.common.v1 import failure_pb2
from wayfarer.execution.v1 import bulk_service_pb2 as pb
from wayfarer.execution.v1 import execution_pb2

from tests.integration.api.world import Client, World, refused, tagging, until, waiting

pytestmark = pytest.mark.usefixtures("worker")
DONE = pb.BULK_STATE_DONE


def every(seconds: float) -> Duration:
    result = Duration()
    result.FromTimedelta(timedelta(seconds=seconds))
    return result


async def start(client: Client, task: pb.BulkTask, **more: Any) -> pb.BulkOperation:
    request = pb.StartBulkOperationRequest(task=task, **more)
    answer: pb.StartBulkOperationResponse = await client.call(client.bulk.StartBulkOperation, request)
    return answer.operation


async def read(client: Client, operation_id: str) -> pb.BulkOperation:
    answer: pb.GetBulkOperationResponse = await client.call(
        client.bulk.GetBulkOperation, pb.GetBulkOperationRequest(id=operation_id)
    )
    return answer.operation


async def finished(client: Client, operation_id: str) -> pb.BulkOperation:
    async def look() -> pb.BulkOperation | None:
        operation = await read(client, operation_id)
        return operation if operation.state == DONE else None

    return await until(look, 60)


async def preview(client: Client, task: pb.BulkTask) -> pb.PreviewBulkOperationResponse:
    answer: pb.PreviewBulkOperationResponse = await client.call(
        client.bulk.PreviewBulkOperation, pb.PreviewBulkOperationRequest(task=task)
    )
    return answer


async def contacts(world: World, client: Client, number: int, opted_out: bool = False) -> list[str]:
    """Contacts made in one statement: their crm part does not matter here."""
    rows = await world.owner.fetch(
        "INSERT INTO contact (account_id, contact_id, opted_out) SELECT $1, uuidv7(), $3 FROM generate_series(1, $2)"
        " RETURNING contact_id",
        client.account_id,
        number,
        opted_out,
    )
    return [str(row[0]) for row in rows]


async def failed(world: World, client: Client, number: int) -> str:
    """So many executions that failed with 401; the path that made them fail."""
    path = f"many-{uuid4()}"
    url = await world.misbehave(path, times=number, status=401)
    steps = [{"id": "c", "type": "webhook_call", "config": {"url": url, "method": "POST"}}]
    workflow = await client.publish({"key": f"w-{uuid4()}", "steps": steps})
    ids = await contacts(world, client, number)
    task = pb.BulkTask(enroll=pb.EnrollMany(workflow=workflow, contact_ids=ids))
    await start(client, task, per_tick=20_000, tick=every(0.1))
    query = "SELECT count(*) FROM execution WHERE account_id = $1 AND status = 6"

    async def all_failed() -> bool:
        return bool(await world.owner.fetchval(query, client.account_id) == number)

    await until(all_failed, 60)
    return path


async def test_many_failed_executions_are_retried_at_a_pace(world: World) -> None:
    """A-38: preview, 100 a second, pause, resume, an outcome for each; the same request id starts it once."""
    client = await world.client(active_limit=1_000)
    # Auth failures in a row would open the breaker: 15 at a time stay below.
    await failed(world, client, 15)
    await world.owner.execute(
        "UPDATE execution SET failure = replace(failure, '\"class\":7', '\"class\":3') WHERE account_id = $1"
        " AND execution_id IN (SELECT execution_id FROM execution WHERE account_id = $1 LIMIT 3)",
        client.account_id,
    )
    auth = pb.ExecutionFilter(error_class=failure_pb2.ERROR_CLASS_AUTHENTICATION)
    task = pb.BulkTask(retry=pb.RetryMany(filter=auth))
    counted = await preview(client, task)
    assert (counted.total, dict(counted.counts)) == (12, {"FAILED": 12})
    request_id = str(uuid4())
    begun = await start(client, task, per_tick=2, tick=every(3600), request_id=request_id)
    assert await start(client, task, per_tick=2, tick=every(3600), request_id=request_id) == begun

    async def ticked(number: int) -> bool:
        return (await read(client, begun.id)).finished == number

    await until(lambda: ticked(2))
    await client.call(client.bulk.PauseBulkOperation, pb.PauseBulkOperationRequest(id=begun.id))
    await world.let_pass(timedelta(hours=5))
    assert (await read(client, begun.id)).finished == 2
    await client.call(client.bulk.ResumeBulkOperation, pb.ResumeBulkOperationRequest(id=begun.id))
    await until(lambda: ticked(4))
    for number in (6, 8, 10, 12):
        await world.let_pass(timedelta(hours=1, seconds=1))
        await until(partial(ticked, number))
    ended = await finished(client, begun.id)
    assert (ended.total, dict(ended.outcomes), ended.actor) == (12, {"retried": 12}, "local-stack")
    answer = await client.call(
        client.bulk.ListBulkItems, pb.ListBulkItemsRequest(id=begun.id, page_size=1000)
    )
    assert [item.item for item in answer.items] == list(range(1, 13))
    assert {item.outcome for item in answer.items} == {"retried"}
    for item in answer.items:
        ended_one, _ = await client.watched_to_end(item.subject_id)
        assert ended_one.status == execution_pb2.EXECUTION_STATUS_COMPLETED
    assert (await preview(client, pb.BulkTask(retry=pb.RetryMany()))).total == 3
    assert not any((await client.verify()).values())


async def test_many_are_cancelled_with_an_outcome_for_each(world: World, client: Client) -> None:
    workflow = await client.publish(waiting())
    ids = await contacts(world, client, 300)
    enroll = pb.BulkTask(enroll=pb.EnrollMany(workflow=workflow, contact_ids=ids))
    await finished(client, (await start(client, enroll, per_tick=300, tick=every(0.1))).id)
    task = pb.BulkTask(cancel=pb.CancelMany(filter=pb.ExecutionFilter(workflow="waiting")))
    operation = await start(client, task, per_tick=1000, tick=every(0.1), reason="a mistake")
    ended = await finished(client, operation.id)
    assert dict(ended.outcomes) == {"cancelled": 300}
    listed = await client.listed(status=execution_pb2.EXECUTION_STATUS_CANCELLED, page_size=1000)
    assert len(listed.executions) == 300
    assert not any((await client.verify()).values())


async def test_those_at_a_step_are_chosen_in_whichever_version(client: Client) -> None:
    """A-38: a filter by step finds it at its place in each version, and nobody who has gone on."""

    def waits(*names: str) -> dict[str, Any]:
        steps = [
            {"id": name, "type": "wait_for_event", "config": {"events": [f"custom:{name}"], "timeout": "9d"}}
            for name in names
        ]
        return {"key": "stages", "steps": steps}

    async def entered(document: dict[str, Any], passed: int) -> str:
        """An execution that has gone past so many steps."""
        workflow = await client.publish(document)
        contact = await client.contact()
        started = (await client.start(workflow, contact.id)).execution.id
        await client.reaches(started, "WAITING")
        for step in document["steps"][:passed]:
            await client.publish_event(contact.id, f"custom:{step['id']}")
        return started

    here = [await entered(waits("a", "b"), 0), await entered(waits("new", "a", "b"), 1)]
    beyond = [await entered(waits("a", "b"), 1), await entered(waits("new", "a", "b"), 0)]
    chosen = pb.ExecutionFilter(workflow="stages", step_id="a")
    task = pb.BulkTask(cancel=pb.CancelMany(filter=chosen))

    async def at_the_step() -> bool:
        return (await preview(client, task)).total == len(here)

    await until(at_the_step)
    only_first = pb.ExecutionFilter(workflow="stages", step_id="a", version=1)
    assert (await preview(client, pb.BulkTask(cancel=pb.CancelMany(filter=only_first)))).total == 1
    ended = await finished(client, (await start(client, task)).id)
    assert dict(ended.outcomes) == {"cancelled": 2}
    states = {one: (await client.get(one)).status for one in (*here, *beyond)}
    cancelled = execution_pb2.EXECUTION_STATUS_CANCELLED
    assert [one for one, status in states.items() if status == cancelled] == here


@pytest.mark.parametrize(
    ("asked", "rule"),
    [
        ({"step_id": "settle_in"}, "required"),
        ({"step_id": "nowhere", "workflow": "waiting"}, "unknown_step"),
        ({"step_id": "wait", "workflow": "waiting", "version": 2**31 - 1}, "unknown_step"),
    ],
)
async def test_a_step_that_cannot_be_chosen_is_refused(
    client: Client, asked: dict[str, Any], rule: str
) -> None:
    await client.publish(waiting())
    refusal = await refused(
        preview(client, pb.BulkTask(cancel=pb.CancelMany(filter=pb.ExecutionFilter(**asked))))
    )
    assert refusal.rules == {"filter.step_id": rule}


async def test_contacts_are_enrolled_by_drip_with_counts_by_reason(world: World) -> None:
    """A-39: 10,000 contacts, 200 opted out, 300 already in, 50 duplicates: 9,450 started, 1,000 a minute."""
    client = await world.client(active_limit=1_000)
    workflow = await client.publish(waiting(dedup_window="0s"))
    fresh = await contacts(world, client, 9_450)
    out = await contacts(world, client, 200, opted_out=True)
    inside = await contacts(world, client, 300)
    first = pb.BulkTask(enroll=pb.EnrollMany(workflow=workflow, contact_ids=inside))
    await finished(client, (await start(client, first, per_tick=300, tick=every(0.1))).id)
    ids = fresh[:50] + out + inside + fresh
    assert len(ids) == 10_000
    task = pb.BulkTask(enroll=pb.EnrollMany(workflow=workflow, contact_ids=ids))
    expected = {"started": 9_450, "opted_out": 200, "already_in": 300, "duplicate": 50}
    counted = await preview(client, task)
    assert (counted.total, dict(counted.counts)) == (10_000, expected)
    operation = await start(client, task, per_tick=1_000, tick=every(60))

    async def reached(number: int) -> bool:
        return (await read(client, operation.id)).finished == number

    await until(lambda: reached(1_000))
    await world.let_pass(timedelta(seconds=50))
    assert (await read(client, operation.id)).finished == 1_000
    await world.let_pass(timedelta(seconds=11))
    await until(lambda: reached(2_000))
    await client.call(client.bulk.PauseBulkOperation, pb.PauseBulkOperationRequest(id=operation.id))
    await world.let_pass(timedelta(minutes=10))
    assert (await read(client, operation.id)).finished == 2_000
    await client.call(client.bulk.ResumeBulkOperation, pb.ResumeBulkOperationRequest(id=operation.id))
    for number in range(3_000, 11_000, 1_000):
        await until(partial(reached, number), 30)
        await world.let_pass(timedelta(seconds=61))
    ended = await finished(client, operation.id)
    # The window is 0 s here, and repeats come in other transactions: what is in a list twice is a duplicate even so.
    assert dict(ended.outcomes) == expected
    row = await world.owner.fetchrow(
        "SELECT count(*) AS number, min(priority) AS priority FROM execution WHERE account_id = $1 AND contact_id = ANY ($2)",
        client.account_id,
        [UUID(i) for i in fresh],
    )
    assert (row["number"], row["priority"]) == (9_450, execution_pb2.PRIORITY_LOW)


async def test_an_enrolment_can_be_cancelled_and_chosen_by_a_filter(client: Client) -> None:
    workflow = await client.publish(tagging())
    vips = [(await client.contact(tags=["vip"])).id for _ in range(4)]
    for _ in range(3):
        await client.contact()
    task = pb.BulkTask(enroll=pb.EnrollMany(workflow=workflow, contact_filter="'vip' in contact.tags"))
    operation = await start(client, task, per_tick=2, tick=every(3600))

    async def two() -> bool:
        return (await read(client, operation.id)).finished == 2

    await until(two)
    answer = await client.call(
        client.bulk.CancelBulkOperation, pb.CancelBulkOperationRequest(id=operation.id)
    )
    assert answer.operation.state == pb.BULK_STATE_CANCELLED
    assert (answer.operation.total, answer.operation.finished) == (4, 2)
    listed = await client.listed()
    assert {e.contact_id for e in listed.executions} <= set(vips)
    refusal = await refused(
        client.call(client.bulk.ResumeBulkOperation, pb.ResumeBulkOperationRequest(id=operation.id))
    )
    assert refusal.reason == "ILLEGAL_TRANSITION"


async def test_executions_migrate_by_step_id_with_a_preview(world: World, client: Client) -> None:
    """A-43: it ends on its version unless moved; the preview counts right and lists steps that are gone."""

    def version(*names: str) -> dict[str, Any]:
        steps: list[dict[str, Any]] = []
        for name in names:
            if name.startswith("w"):
                steps.append({"id": name, "type": "wait_time", "config": {"amount": 2, "unit": "hours"}})
            else:
                steps.append({"id": name, "type": "add_tag", "config": {"tag": name}})
        return {"key": "evolving", "steps": steps}

    await client.publish(version("a", "w1", "b", "w2", "c"))
    stays = (await client.start("evolving", (await client.contact()).id)).execution.id
    moves = (await client.start("evolving", (await client.contact()).id)).execution.id
    for execution_id in (stays, moves):
        await client.reaches(execution_id, "WAITING")
    await world.let_pass(timedelta(hours=2, seconds=1))

    async def at_second(execution_id: str) -> bool:
        view = await client.get(execution_id)
        return view.current_step_id == "w2" and view.status == execution_pb2.EXECUTION_STATUS_WAITING

    await until(lambda: at_second(stays))
    await until(lambda: at_second(moves))
    late = (await client.start("evolving", (await client.contact()).id)).execution.id
    await client.reaches(late, "WAITING")
    await client.publish(version("a", "w2", "new", "c"))
    migrate = pb.MigrateMany(workflow="evolving", removed=pb.REMOVED_STEP_ADVANCE)
    counted = await preview(client, pb.BulkTask(migrate=migrate))
    assert [(m.step_id, m.to_step_id, m.executions) for m in counted.moves] == [
        ("w1", "", 1),
        ("w2", "w2", 2),
    ]
    await client.cancel(stays)
    operation = await start(client, pb.BulkTask(migrate=migrate))
    assert dict((await finished(client, operation.id)).outcomes) == {"moved": 2}
    for execution_id in (moves, late):
        assert (await client.get(execution_id)).workflow_version == 2
    assert (await client.get(stays)).workflow_version == 1
    # What waited at w1 goes on at the next step that is left, and waits there anew.

    async def waits_anew() -> bool:
        view = await client.get(late)
        return (view.current_step_id, view.blocked_on) == ("w2", execution_pb2.BLOCKED_ON_TIMER)

    await until(waits_anew)
    await world.let_pass(timedelta(hours=2, seconds=1))
    ended, log = await client.watched_to_end(moves)
    assert [e.step_id for e in log if e.event == "action_completed"] == ["a", "b", "new", "c"]
    assert "migrated" in [e.event for e in log]
    _, log = await client.watched_to_end(late)
    assert [e.step_id for e in log if e.event == "action_completed"] == ["a", "new", "c"]
    assert not any((await client.verify()).values())
    assert ended.workflow_version == 2


async def test_bad_tasks_are_refused_with_the_field(client: Client) -> None:
    await client.publish(tagging())
    contact_id = (await client.contact()).id
    both = pb.EnrollMany(workflow="tagging", contact_ids=[contact_id], contact_filter="true")
    syntax = pb.EnrollMany(workflow="tagging", contact_filter="contact.tags &&")
    for task, field in ((both, "enroll.contact_ids"), (syntax, "enroll.contact_filter")):
        refusal = await refused(start(client, pb.BulkTask(enroll=task)))
        assert list(refusal.rules) == [field]
    good = pb.BulkTask(enroll=pb.EnrollMany(workflow="tagging", contact_ids=[contact_id]))
    refusal = await refused(start(client, good, per_tick=5, tick=every(0.01)))
    assert refusal.rules == {"tick": "range"}
    nowhere = pb.MigrateMany(workflow="tagging", to_version=9)
    refusal = await refused(start(client, pb.BulkTask(migrate=nowhere)))
    assert refusal.reason == "WORKFLOW_NOT_FOUND"
    mapped = pb.MigrateMany(workflow="tagging", to_version=1, step_map={"tag": "gone"})
    refusal = await refused(start(client, pb.BulkTask(migrate=mapped)))
    assert list(refusal.rules) == ["migrate.step_map[tag]"]
