"""With a worker: what callers see of executions that run, wait, end, are paused and cancelled.

R-STATE-1, R-STATE-9, R-STEP-1, R-API-3, A-16, A-22.
"""

import asyncio
from datetime import timedelta
from uuid import UUID

import grpc
import pytest
from wayfarer.execution.v1 import execution_pb2
from wayfarer.execution.v1 import workflow_service_pb2 as workflow_pb

from tests.integration.api.world import Client, World, refused, tagging, until, waiting

pytestmark = pytest.mark.usefixtures("worker")
STATUS = execution_pb2.ExecutionStatus


async def reached(client: Client, execution_id: str, status: int) -> execution_pb2.Execution:
    """The execution once its status is this, as Watch tells it."""
    async for change in client.watch(execution_id):
        if change.execution.status == status:
            found: execution_pb2.Execution = change.execution
            return found
    raise AssertionError("it ended otherwise")


async def test_a_run_from_start_to_history(world: World, client: Client) -> None:
    document = tagging("tags")
    document["steps"] += [
        {
            "id": "ask",
            "type": "if",
            "config": {"condition": "'seen' in contact.tags", "then": "more", "else": "end"},
        },
        {"id": "more", "type": "add_tag", "config": {"tag": "more"}},
    ]
    await client.publish(document)
    contact = await client.contact()
    execution_id = (await client.start("tags", contact.id)).execution.id
    ended, entries = await client.watched_to_end(execution_id)
    assert (ended.status, ended.reason) == (STATUS.EXECUTION_STATUS_COMPLETED, "completed")
    assert (ended.current_step_index, ended.current_step_id, ended.progress_percent) == (0, "", 100)
    assert list((await client.read_contact(contact.id)).tags) == ["more", "seen"]
    assert [(entry.seq, entry.event, entry.step_id) for entry in entries] == [
        (1, "execution_started", ""),
        (2, "action_started", "tag"),
        (3, "action_completed", "tag"),
        (4, "condition_evaluated", "ask"),
        (5, "action_started", "more"),
        (6, "action_completed", "more"),
        (7, "execution_completed", ""),
    ]
    assert entries[2].outcome == "SUCCEEDED"
    assert entries[2].HasField("duration")
    assert entries[3].detail["result"] is True
    assert await world.row(execution_id) is None
    # The same from the history, with a page that cuts the attempt's row in two.
    assert await client.get(execution_id) == ended
    seen: list[execution_pb2.LogEntry] = []
    token = ""
    while True:
        page = await client.logs(execution_id, page_size=2, page_token=token)
        seen += page.log_entries
        token = page.next_page_token
        if not token:
            break
    assert seen == entries
    assert (await client.listed()).executions[0] == ended


async def test_lists_join_what_runs_and_what_is_past(client: Client) -> None:
    await client.publish(tagging("short"))
    await client.publish(waiting("long"))
    ids = []
    for number in range(6):
        workflow = ("short", "long")[number % 2]
        execution_id = (await client.start(workflow, (await client.contact()).id)).execution.id
        ids.append(execution_id)
        wanted = (STATUS.EXECUTION_STATUS_COMPLETED, STATUS.EXECUTION_STATUS_WAITING)[number % 2]
        await reached(client, execution_id, wanted)
    listed: list[str] = []
    token = ""
    while True:
        page = await client.listed(page_size=2, page_token=token)
        listed += [execution.id for execution in page.executions]
        token = page.next_page_token
        if not token:
            break
    assert listed == ids[::-1]
    done = await client.listed(status=STATUS.EXECUTION_STATUS_COMPLETED)
    assert [execution.id for execution in done.executions] == ids[-2::-2]


async def test_a_waiting_execution_says_until_when_and_can_be_cancelled(world: World, client: Client) -> None:
    await client.publish(waiting())
    contact = await client.contact()
    execution_id = (await client.start("waiting", contact.id)).execution.id
    execution = await reached(client, execution_id, STATUS.EXECUTION_STATUS_WAITING)
    assert execution.blocked_on == execution_pb2.BLOCKED_ON_TIMER
    assert (execution.current_step_id, execution.current_step_index) == ("pause", 2)
    waits = (execution.wake_time.ToDatetime() - execution.update_time.ToDatetime()).total_seconds()
    assert waits == pytest.approx(3_600, abs=5)
    cancelled = await client.cancel(execution_id)
    assert cancelled.status == STATUS.EXECUTION_STATUS_CANCELLED

    async def settled() -> bool:
        return await world.row(execution_id) is None

    await until(settled)
    assert (await client.get(execution_id)).status == STATUS.EXECUTION_STATUS_CANCELLED
    refusal = await refused(client.cancel(execution_id))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ILLEGAL_TRANSITION")
    assert list((await client.read_contact(contact.id)).tags) == ["before"]
    assert all(count == 0 for count in (await client.verify()).values())


async def test_pausing_a_workflow_stops_it_before_the_next_step_and_resuming_goes_on(
    world: World, client: Client
) -> None:
    workflow = await client.publish(waiting())
    executions = [(await client.start("waiting", (await client.contact()).id)).execution.id for _ in range(5)]
    for execution_id in executions:
        await reached(client, execution_id, STATUS.EXECUTION_STATUS_WAITING)
    await client.call(client.workflows.PauseWorkflow, workflow_pb.PauseWorkflowRequest(workflow=workflow))
    # Their hour passes while the workflow is paused.
    await world.let_pass(timedelta(hours=1))
    query = "SELECT count(*) FROM execution WHERE account_id = $1 AND parked"

    async def parked() -> bool:
        return bool(await world.owner.fetchval(query, client.account_id) == 5)

    await until(parked)
    execution = await client.get(executions[0])
    assert execution.blocked_on == execution_pb2.BLOCKED_ON_WORKFLOW_PAUSED
    assert not execution.HasField("wake_time")
    assert (await client.verify())["I1"] == 0
    await client.call(client.workflows.ResumeWorkflow, workflow_pb.ResumeWorkflowRequest(workflow=workflow))
    for execution_id in executions:
        ended, _ = await client.watched_to_end(execution_id)
        assert ended.status == STATUS.EXECUTION_STATUS_COMPLETED
    assert all(count == 0 for count in (await client.verify()).values())


async def test_archiving_a_paused_workflow_lets_what_runs_drain(world: World, client: Client) -> None:
    workflow = await client.publish(tagging())
    await client.call(client.workflows.PauseWorkflow, workflow_pb.PauseWorkflowRequest(workflow=workflow))
    await client.call(client.workflows.ResumeWorkflow, workflow_pb.ResumeWorkflowRequest(workflow=workflow))
    execution_id = (await client.start(workflow, (await client.contact()).id)).execution.id
    await client.call(client.workflows.ArchiveWorkflow, workflow_pb.ArchiveWorkflowRequest(workflow=workflow))
    ended, _ = await client.watched_to_end(execution_id)
    assert ended.status == STATUS.EXECUTION_STATUS_COMPLETED


async def test_races_of_cancel_and_completion_end_once(world: World, client: Client) -> None:
    """G10: one terminal state for ever, a log that folds to it, and no step after an OK."""
    document = tagging("race")
    document["steps"] += [
        {"id": f"s{number}", "type": "add_tag", "config": {"tag": f"t{number}"}} for number in range(4)
    ]
    await client.publish(document)
    contacts = await asyncio.gather(*(client.contact() for _ in range(60)))

    async def race(contact_id: str) -> tuple[str, int | None]:
        execution_id = (await client.start("race", contact_id)).execution.id
        try:
            ended = await client.cancel(execution_id)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                raise
            return execution_id, STATUS.EXECUTION_STATUS_COMPLETED
        return execution_id, ended.status

    outcomes = await asyncio.gather(*(race(contact.id) for contact in contacts))

    async def settled() -> bool:
        query = "SELECT count(*) FROM execution WHERE account_id = $1"
        return bool(await world.owner.fetchval(query, client.account_id) == 0)

    await until(settled, 40)
    for execution_id, status in outcomes:
        assert (await client.get(execution_id)).status == status
        events = [entry.event for entry in (await client.logs(execution_id)).log_entries]
        ends = {"cancelled", "execution_completed"}
        assert len(ends & set(events)) == 1
        last = next(place for place, event in enumerate(events) if event in ends)
        assert set(events[last + 1 :]) <= {"outcome_after_end"}
    assert all(count == 0 for count in (await client.verify()).values())


async def test_lists_and_logs_read_while_it_runs_have_no_gap_and_no_repeat(client: Client) -> None:
    """The row and its log must be of one moment, whatever commits between two statements."""
    document = {
        "key": "many",
        "steps": [{"id": f"s{n}", "type": "add_tag", "config": {"tag": f"t{n}"}} for n in range(50)],
    }
    await client.publish(document)
    execution_id = (await client.start("many", (await client.contact()).id)).execution.id
    ended = False
    while not ended:
        page = await client.logs(execution_id, page_size=1_000)
        seqs = [entry.seq for entry in page.log_entries]
        assert seqs == list(range(1, len(seqs) + 1))
        assert page.total_size == len(seqs)
        ended = page.log_entries[-1].event == "execution_completed"
    entries = [entry async for change in client.watch(execution_id) for entry in change.log_entries]
    assert [entry.seq for entry in entries] == list(range(1, 103))


async def test_watchers_of_a_running_execution_miss_nothing(client: Client) -> None:
    document = {
        "key": "many",
        "steps": [{"id": f"s{n}", "type": "add_tag", "config": {"tag": f"t{n}"}} for n in range(50)],
    }
    await client.publish(document)
    execution_id = (await client.start("many", (await client.contact()).id)).execution.id
    told = await asyncio.gather(*(client.watched_to_end(execution_id) for _ in range(5)))
    for last, entries in told:
        assert last.status == STATUS.EXECUTION_STATUS_COMPLETED
        assert [entry.seq for entry in entries] == list(range(1, 103))
    assert UUID(execution_id).version == 7


async def test_logs_show_what_was_sent_with_addresses_and_keys_masked(world: World, client: Client) -> None:
    """A-21: nothing of either in clear outside encrypted columns."""
    hook = f"{world.stack.receiver_url}/hooks/masked"
    document = {
        "key": "masked",
        "steps": [
            {
                "id": "mail",
                "type": "send_email",
                "config": {
                    "to": "{{ contact.email }}",
                    "subject": "Hello",
                    "text": "Dear {{ contact.email }}",
                },
            },
            {
                "id": "hook",
                "type": "webhook_call",
                "config": {"url": hook, "headers": {"X-Api-Key": "canary-key-77"}, "body": {"who": "x"}},
            },
        ],
    }
    await client.publish(document)
    contact = await client.contact(email="john.canary@example.com")
    execution_id = (await client.start("masked", contact.id)).execution.id
    ended, entries = await client.watched_to_end(execution_id)
    assert ended.status == STATUS.EXECUTION_STATUS_COMPLETED, entries
    assert [entry.outcome for entry in entries if entry.event == "action_completed"] == ["SUCCEEDED"] * 2
    shown = str(entries)
    assert "j***@e***.com" in shown
    for canary in ("john.canary", "canary-key-77"):
        assert canary not in shown
        for table in ("execution_log", "execution_history", "workflow", "workflow_version", "contact"):
            dump = await world.owner.fetchval(
                f"SELECT string_agg(t::text, '') FROM {table} t WHERE account_id = $1", client.account_id
            )
            assert canary not in dump
            assert canary.encode().hex() not in dump
