"""A real gRPC server that answers with fixed rows, and the command line run against it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc.status_pb2 import Status
from typer.testing import CliRunner, Result
from wayfarer.action.v1 import action_pb2
from wayfarer.common.v1 import failure_pb2
from wayfarer.crm.v1 import contact_pb2, contact_service_pb2
from wayfarer.crm.v1.contact_service_pb2_grpc import ContactServiceServicer
from wayfarer.execution.v1 import execution_pb2, workflow_pb2, workflow_service_pb2
from wayfarer.execution.v1 import execution_service_pb2 as pb
from wayfarer.execution.v1.execution_service_pb2_grpc import ExecutionServiceServicer
from wayfarer.execution.v1.workflow_service_pb2_grpc import WorkflowServiceServicer

from services.cli.__main__ import app
from services.runtime.errors import Violation, abort, bad_request, status

EXECUTION = "01890a5d-ac96-774b-bcce-b302099a8057"
CONTACT = "01890a5d-ac96-774b-bcce-b302099a8058"
KEY = "wf_test_key"


def execution(name: str = "ACTIVE") -> execution_pb2.Execution:
    """An execution in the middle of its way, or ended by a failure whose text looks like markup."""
    row = execution_pb2.Execution(
        id=EXECUTION,
        workflow_key="welcome",
        workflow_version=3,
        contact_id=CONTACT,
        status=execution_pb2.ExecutionStatus.Value(f"EXECUTION_STATUS_{name}"),
        current_step_id="settle_in",
        current_step_index=3,
        total_steps=8,
        progress_percent=37,
        steps_run=2,
        log_entries=2,
    )
    row.create_time.FromJsonString("2026-03-01T12:00:00.25Z")
    if name == "WAITING":
        row.blocked_on = execution_pb2.BLOCKED_ON_TIMER
    if name == "FAILED":
        row.reason = "max_retries_exhausted"
        row.failure.CopyFrom(
            failure_pb2.Failure(
                error_class=failure_pb2.ERROR_CLASS_NETWORK,
                provider="smtp",
                code="NET",
                message="no answer [/red] from [bold]host",
            )
        )
    return row


def entries() -> list[execution_pb2.LogEntry]:
    """A log of two: a start, and an action that took 41 ms."""
    done = execution_pb2.LogEntry(
        seq=2,
        event="action_completed",
        step_id="welcome_mail",
        step_type="send_email",
        attempt=1,
        outcome="SUCCEEDED",
    )
    done.duration.FromMilliseconds(41)
    done.detail.update({"output": {"status": 200}, "config": {"subject": "[redacted]"}})
    return [execution_pb2.LogEntry(seq=1, event="execution_started"), done]


@dataclass
class Executions(ExecutionServiceServicer):
    """Answers by the row it holds; remembers what it was asked and with which credential."""

    row: execution_pb2.Execution = field(default_factory=execution)
    violations: int = 0
    pages: int = 1
    asked: list[Any] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def _note(self, request: Any, context: Any) -> None:
        self.asked.append(request)
        self.keys += [value for name, value in context.invocation_metadata() if name == "authorization"]

    async def StartExecution(
        self, request: pb.StartExecutionRequest, context: Any
    ) -> pb.StartExecutionResponse:
        self._note(request, context)
        if request.workflow == "paused":
            await abort(context, _refusal("WORKFLOW_NOT_ACTIVE", "workflow 'paused' is PAUSED"))
        return pb.StartExecutionResponse(execution=self.row)

    async def GetExecution(self, request: pb.GetExecutionRequest, context: Any) -> pb.GetExecutionResponse:
        self._note(request, context)
        return pb.GetExecutionResponse(execution=self.row)

    async def ListExecutions(
        self, request: pb.ListExecutionsRequest, context: Any
    ) -> pb.ListExecutionsResponse:
        self._note(request, context)
        number = int(request.page_token or "1")
        more = str(number + 1) if number < self.pages else ""
        return pb.ListExecutionsResponse(executions=[self.row], next_page_token=more)

    async def WatchExecution(
        self, request: pb.WatchExecutionRequest, context: Any
    ) -> AsyncIterator[pb.WatchExecutionResponse]:
        self._note(request, context)
        yield pb.WatchExecutionResponse(execution=execution("ACTIVE"), log_entries=entries()[:1])
        yield pb.WatchExecutionResponse(execution=execution("COMPLETED"), log_entries=entries()[1:])

    async def ListExecutionLogs(
        self, request: pb.ListExecutionLogsRequest, context: Any
    ) -> pb.ListExecutionLogsResponse:
        self._note(request, context)
        return pb.ListExecutionLogsResponse(log_entries=entries())

    async def CancelExecution(
        self, request: pb.CancelExecutionRequest, context: Any
    ) -> pb.CancelExecutionResponse:
        self._note(request, context)
        return pb.CancelExecutionResponse(execution=execution("CANCELLED"))

    async def VerifyExecutions(
        self, request: pb.VerifyExecutionsRequest, context: Any
    ) -> pb.VerifyExecutionsResponse:
        self._note(request, context)
        check = pb.InvariantCheck(
            id="I3", description="logs have no gaps", violations=self.violations, examples=[EXECUTION]
        )
        return pb.VerifyExecutionsResponse(checks=[check], executions_checked=7)


@dataclass
class Workflows(WorkflowServiceServicer):
    """Refuses documents that say `bad`, with two faults."""

    asked: list[Any] = field(default_factory=list)

    async def ApplyWorkflow(
        self, request: workflow_service_pb2.ApplyWorkflowRequest, context: Any
    ) -> workflow_service_pb2.ApplyWorkflowResponse:
        self.asked.append(request)
        if "bad" in request.document:
            faults = [
                Violation("steps[0].config.tag", "'tag' is required (line 4, column 5)", "missing"),
                Violation("steps[2].type", "no such type 'sned_email' (line 9, column 5)", "choice"),
            ]
            await abort(context, bad_request("WORKFLOW_INVALID", "the workflow has 2 faults", faults))
        row = workflow_pb2.Workflow(key="welcome", total_steps=8, published_version=int(request.publish))
        return workflow_service_pb2.ApplyWorkflowResponse(workflow=row)

    async def PauseWorkflow(
        self, request: workflow_service_pb2.PauseWorkflowRequest, context: Any
    ) -> workflow_service_pb2.PauseWorkflowResponse:
        row = workflow_pb2.Workflow(key=request.workflow, status=workflow_pb2.WORKFLOW_STATUS_PAUSED)
        return workflow_service_pb2.PauseWorkflowResponse(workflow=row)

    async def ListActionTypes(
        self, request: workflow_service_pb2.ListActionTypesRequest, context: Any
    ) -> workflow_service_pb2.ListActionTypesResponse:
        kind = action_pb2.ActionType(name="add_tag", family="crm", summary="Adds a tag to the contact.")
        return workflow_service_pb2.ListActionTypesResponse(action_types=[kind])


class Contacts(ContactServiceServicer):
    """Knows one contact, `jane`."""

    async def GetContact(
        self, request: contact_service_pb2.GetContactRequest, context: Any
    ) -> contact_service_pb2.GetContactResponse:
        if request.external_id not in ("", "jane"):
            await abort(context, status(grpc.StatusCode.NOT_FOUND, "CONTACT_NOT_FOUND", "no such contact"))
        row = contact_pb2.Contact(id=CONTACT, external_id="jane", first_name="Jane")
        row.fields.update({"visits": 3})
        return contact_service_pb2.GetContactResponse(contact=row)

    async def ListContacts(
        self, request: contact_service_pb2.ListContactsRequest, context: Any
    ) -> contact_service_pb2.ListContactsResponse:
        row = contact_pb2.Contact(id=CONTACT, external_id="jane", first_name="[bold]Jane[/x]")
        return contact_service_pb2.ListContactsResponse(contacts=[row])


def _refusal(reason: str, message: str) -> Status:
    return status(grpc.StatusCode.FAILED_PRECONDITION, reason, message)


@dataclass(frozen=True, slots=True)
class World:
    """The server's parts, and the address to reach it."""

    executions: Executions
    workflows: Workflows
    address: str

    async def run(
        self,
        *arguments: str,
        text: str | None = None,
        columns: int = 160,
        address: str | None = None,
        key: str = KEY,
    ) -> Result:
        """Runs `wayfarer …` in a thread of its own, so that the server can answer."""
        environment = {
            "WAYFARER_ADDRESS": self.address if address is None else address,
            "WAYFARER_API_KEY": key,
            "COLUMNS": str(columns),
        }
        return await asyncio.to_thread(
            lambda: CliRunner().invoke(app, arguments, input=text, env=environment)
        )
