"""What the API's tests drive: the stack's real processes, fresh accounts, a client that reads errors."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.struct_pb2 import Struct
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from wayfarer.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from wayfarer.crm.v1 import contact_pb2
from wayfarer.crm.v1 import contact_service_pb2 as contact_pb
from wayfarer.crm.v1.consent_service_pb2_grpc import ConsentServiceStub
from wayfarer.crm.v1.contact_service_pb2_grpc import ContactServiceStub
from wayfarer.event.v1 import event_pb2
from wayfarer.event.v1 import event_service_pb2 as event_pb
from wayfarer.event.v1.event_service_pb2_grpc import EventServiceStub
from wayfarer.execution.v1 import execution_pb2
from wayfarer.execution.v1 import execution_service_pb2 as pb
from wayfarer.execution.v1 import workflow_service_pb2 as workflow_pb
from wayfarer.execution.v1.bulk_service_pb2_grpc import BulkServiceStub
from wayfarer.execution.v1.editing_service_pb2_grpc import EditingServiceStub
from wayfarer.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub
from wayfarer.execution.v1.template_service_pb2_grpc import TemplateServiceStub
from wayfarer.execution.v1.wait_service_pb2_grpc import WaitServiceStub
from wayfarer.execution.v1.workflow_service_pb2_grpc import WorkflowServiceStub

from services.local.bootstrap import add_account, new_api_key
from services.local.stack import Stack

T = TypeVar("T")
TIMEOUT_S = 90.0
"""A busy machine's; and longer than the minute after which what is pending is looked at again."""
NOWHERE = "01890a5d-ac96-774b-bcce-b302099a8057"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as a caller's program reads it."""

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: dict[str, str] = field(default_factory=dict)
    rules: dict[str, str] = field(default_factory=dict)
    """Rule by the path of the field at fault."""
    texts: dict[str, str] = field(default_factory=dict)
    """Description by path."""


def refusal_of(error: grpc.aio.AioRpcError) -> Refusal:
    """The details in an error's trailers."""
    raw = next((v for k, v in error.trailing_metadata() if k == "grpc-status-details-bin"), b"")
    info, bad = ErrorInfo(), BadRequest()
    for detail in Status.FromString(raw).details:
        detail.Unpack(info)
        detail.Unpack(bad)
    return Refusal(
        error.code(),
        error.details() or "",
        info.reason,
        dict(info.metadata),
        {v.field: v.reason for v in bad.field_violations},
        {v.field: v.description for v in bad.field_violations},
    )


async def refused(call: Awaitable[object]) -> Refusal:
    """The error of a call that must not succeed."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return refusal_of(error)
    raise AssertionError(f"not refused: {answer}")


async def until(look: Callable[[], Awaitable[T | None]], timeout_s: float = TIMEOUT_S) -> T:
    """What `look` gives once it gives something; for states no stream tells of."""
    async with asyncio.timeout(timeout_s):
        while True:
            found = await look()
            if found:
                return found
            # Each look is a round trip to another process: time passes there, not here.
            await asyncio.sleep(0)


class Client:
    """One account's caller; every call has a deadline and its key."""

    def __init__(self, account_id: int, key: str, channel: grpc.aio.Channel) -> None:
        self.account_id = account_id
        self.key = key
        self._channel = channel
        self.executions = ExecutionServiceStub(channel)
        self.workflows = WorkflowServiceStub(channel)
        self.templates = TemplateServiceStub(channel)
        self.contacts = ContactServiceStub(channel)
        self.consents = ConsentServiceStub(channel)
        self.waits = WaitServiceStub(channel)
        self.events = EventServiceStub(channel)
        self.bulk = BulkServiceStub(channel)
        self.editing = EditingServiceStub(channel)
        self.admin = AdminServiceStub(channel)

    def with_key(self, key: str) -> "Client":
        """The same account's caller, with another key."""
        return Client(self.account_id, key, self._channel)

    async def call(self, method: Any, request: Any) -> Any:
        """One unary call."""
        return await method(request, timeout=TIMEOUT_S, metadata=(("authorization", f"Bearer {self.key}"),))

    def watch(self, execution_id: str, after_seq: int = 0) -> Any:
        """A stream of an execution's changes."""
        return self.executions.WatchExecution(
            pb.WatchExecutionRequest(id=execution_id, after_seq=after_seq),
            timeout=TIMEOUT_S,
            metadata=(("authorization", f"Bearer {self.key}"),),
        )

    async def apply(self, document: str | dict[str, Any], **more: Any) -> workflow_pb.ApplyWorkflowResponse:
        text = document if isinstance(document, str) else json.dumps(document)
        request = workflow_pb.ApplyWorkflowRequest(document=text, **more)
        answer: workflow_pb.ApplyWorkflowResponse = await self.call(self.workflows.ApplyWorkflow, request)
        return answer

    async def publish(self, document: dict[str, Any]) -> str:
        """An active workflow of this document; its id."""
        return (await self.apply(document, publish=True)).workflow.id

    async def contact(self, **fields: Any) -> contact_pb2.Contact:
        """A new contact."""
        request = contact_pb.CreateContactRequest(contact=contact_pb2.Contact(**fields))
        answer: contact_pb.CreateContactResponse = await self.call(self.contacts.CreateContact, request)
        return answer.contact

    async def read_contact(self, contact_id: str) -> contact_pb2.Contact:
        answer: contact_pb.GetContactResponse = await self.call(
            self.contacts.GetContact, contact_pb.GetContactRequest(id=contact_id)
        )
        return answer.contact

    async def update_contact(self, contact_id: str, *paths: str, **fields: Any) -> contact_pb2.Contact:
        request = contact_pb.UpdateContactRequest(
            contact=contact_pb2.Contact(id=contact_id, **fields), update_mask=FieldMask(paths=paths)
        )
        answer: contact_pb.UpdateContactResponse = await self.call(self.contacts.UpdateContact, request)
        return answer.contact

    async def start(self, workflow: str, contact_id: str, **more: Any) -> pb.StartExecutionResponse:
        request = pb.StartExecutionRequest(workflow=workflow, contact_id=contact_id, **more)
        answer: pb.StartExecutionResponse = await self.call(self.executions.StartExecution, request)
        return answer

    async def get(self, execution_id: str) -> execution_pb2.Execution:
        answer: pb.GetExecutionResponse = await self.call(
            self.executions.GetExecution, pb.GetExecutionRequest(id=execution_id)
        )
        return answer.execution

    async def listed(self, **filters: Any) -> pb.ListExecutionsResponse:
        answer: pb.ListExecutionsResponse = await self.call(
            self.executions.ListExecutions, pb.ListExecutionsRequest(**filters)
        )
        return answer

    async def logs(self, execution_id: str, **paging: Any) -> pb.ListExecutionLogsResponse:
        answer: pb.ListExecutionLogsResponse = await self.call(
            self.executions.ListExecutionLogs,
            pb.ListExecutionLogsRequest(execution_id=execution_id, **paging),
        )
        return answer

    async def publish_event(
        self, contact_id: str, type: str, data: dict[str, Any] | None = None, **more: Any
    ) -> event_pb.Receipt:
        """The receipt of one event."""
        event = event_pb.NewEvent(
            id=more.pop("id", str(uuid4())), contact_id=contact_id, type=type, data=struct(data or {}), **more
        )
        answer: event_pb.PublishEventsResponse = await self.call(
            self.events.PublishEvents, event_pb.PublishEventsRequest(events=[event])
        )
        return answer.receipts[0]

    async def reaches(self, execution_id: str, *statuses: str) -> execution_pb2.Execution:
        """The execution once it has one of these statuses."""
        wanted = {execution_pb2.ExecutionStatus.Value(f"EXECUTION_STATUS_{status}") for status in statuses}
        async for change in self.watch(execution_id):
            if change.execution.status in wanted:
                execution: execution_pb2.Execution = change.execution
                return execution
        raise AssertionError(f"{execution_id} ended without having been {' or '.join(statuses)}")

    async def log_of(self, execution_id: str) -> list[str]:
        """The names of its log entries."""
        return [entry.event for entry in (await self.logs(execution_id, page_size=1000)).log_entries]

    async def cancel(self, execution_id: str, **more: Any) -> execution_pb2.Execution:
        answer: pb.CancelExecutionResponse = await self.call(
            self.executions.CancelExecution, pb.CancelExecutionRequest(id=execution_id, **more)
        )
        return answer.execution

    async def verify(self) -> dict[str, int]:
        """Violations by invariant."""
        answer: pb.VerifyExecutionsResponse = await self.call(
            self.executions.VerifyExecutions, pb.VerifyExecutionsRequest()
        )
        return {check.id: check.violations for check in answer.checks}

    async def watched_to_end(self, execution_id: str) -> tuple[execution_pb2.Execution, list[Any]]:
        """The execution as it ended, and every log entry, as Watch told them."""
        last, entries = None, []
        async for change in self.watch(execution_id):
            last = change.execution
            entries += change.log_entries
        assert last is not None
        return last, entries


@dataclass(slots=True)
class World:
    """The running stack, its API's channel, and the engine's database as its owner sees it."""

    stack: Stack
    channel: grpc.aio.Channel
    owner: asyncpg.Pool

    async def client(self, active_limit: int = 100) -> Client:
        """A caller of an account of its own."""
        key = new_api_key()
        owner_dsn = self.stack.prepared.dsns["wayfarer_owner"]
        account_id = await add_account(owner_dsn, f"test {uuid4()}", key, active_limit)
        return Client(account_id, key, self.channel)

    async def rows(self, client: Client) -> dict[str, int]:
        """How many rows the account has in each of its tables."""
        tables = (
            "contact",
            "workflow",
            "workflow_version",
            "enrollment",
            "request",
            "execution",
            "execution_history",
            "execution_log",
        )
        counts = {}
        for table in tables:
            counts[table] = await self.owner.fetchval(
                f"SELECT count(*) FROM {table} WHERE account_id = $1", client.account_id
            )
        return counts

    async def misbehave(self, path: str, **rule: Any) -> str:
        """Makes the receiver misbehave at a path of its own; the URL."""
        async with aiohttp.ClientSession() as session:
            answer = await session.post(
                f"{self.stack.receiver_url}/rules", json={"match": f"/hooks/{path}", **rule}
            )
            assert answer.status < 300, await answer.text()
        return f"{self.stack.receiver_url}/hooks/{path}"

    async def requests_at(self, path: str) -> list[dict[str, Any]]:
        """What the receiver got at a path."""
        async with aiohttp.ClientSession() as session:
            answer = await session.get(f"{self.stack.receiver_url}/requests")
            found: list[dict[str, Any]] = await answer.json()
        return [request for request in found if request["path"] == f"/hooks/{path}"]

    async def mails_to(self, address: str) -> list[dict[str, Any]]:
        """What the mailbox got for an address, in upper or lower case."""
        async with aiohttp.ClientSession() as session:
            answer = await session.get(f"{self.stack.mailbox_url}/messages")
            found: list[dict[str, Any]] = await answer.json()
        return [mail for mail in found if address.lower() in [to.lower() for to in mail["to"]]]

    async def let_pass(self, time: timedelta) -> None:
        """Moves the engine's clock on, once nothing is leased (a lease's end is a time too)."""

        async def idle() -> bool:
            return not await self.owner.fetchval(
                "SELECT count(*) FROM execution WHERE status = 2 AND wake_at > wf_now()"
            )

        await until(idle)
        async with self.owner.acquire() as connection, connection.transaction():
            await connection.execute("UPDATE clock_offset SET shift = shift + $1", time)
            # What was claimed in between: its lease moves along.
            await connection.execute("UPDATE execution SET wake_at = wake_at + $1 WHERE status = 2", time)
        await self.owner.execute("NOTIFY wayfarer_due, '*'")

    async def own_time(self) -> None:
        """Ends what was let pass: added up, what happens outside would be too long ago to be taken in."""
        async with self.owner.acquire() as connection, connection.transaction():
            await connection.execute("UPDATE clock_offset SET shift = '0'")
            # What is still leased would be so for all the time that was let pass.
            await connection.execute("UPDATE execution SET wake_at = wf_now() WHERE status = 2")

    async def row(self, execution_id: str) -> asyncpg.Record | None:
        """An execution's hot row."""
        return await self.owner.fetchrow(
            "SELECT * FROM execution WHERE execution_id = $1", UUID(execution_id)
        )


def struct(data: dict[str, Any]) -> Struct:
    """A JSON object as a Struct."""
    result = Struct()
    result.update(data)
    return result


def key_hash(key: str) -> bytes:
    """How a key is stored."""
    return hashlib.sha256(key.encode()).digest()


def tagging(key: str = "tagging", **settings: Any) -> dict[str, Any]:
    """A workflow that adds a tag."""
    steps = [{"id": "tag", "type": "add_tag", "config": {"tag": "seen"}}]
    return {"key": key, "steps": steps, **({"settings": settings} if settings else {})}


def waiting(key: str = "waiting", **settings: Any) -> dict[str, Any]:
    """A workflow that adds a tag, waits an hour, and adds another."""
    steps = [
        {"id": "before", "type": "add_tag", "config": {"tag": "before"}},
        {"id": "pause", "type": "wait_time", "config": {"amount": 1, "unit": "hours"}},
        {"id": "after", "type": "add_tag", "config": {"tag": "after"}},
    ]
    return {"key": key, "steps": steps, **({"settings": settings} if settings else {})}


def kinds(receipt: event_pb.Receipt) -> list[str]:
    """What an event did, in short."""
    assert not receipt.error.reason, receipt.error
    names = (event_pb2.ConsequenceKind.Name(one.kind) for one in receipt.consequences)
    return [name.removeprefix("CONSEQUENCE_KIND_") for name in names]
