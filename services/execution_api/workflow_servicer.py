"""Serves WorkflowService: converts, calls the engine, converts; services/execution_api/__main__ adds it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import asyncpg
from google.protobuf.message import Message
from wayfarer.action.v1.action_executor_pb2 import ConfigFault
from wayfarer.execution.v1 import workflow_pb2, workflow_service_pb2_grpc
from wayfarer.execution.v1 import workflow_service_pb2 as pb

from execution_engine.bulk import BRISK, BulkKind, Chosen, Params
from execution_engine.definition import message_templates
from execution_engine.definition.compile import canonical_json, load_document
from execution_engine.definition.document import Document, parse
from execution_engine.definition.faults import Fault
from execution_engine.definition.validate import action_configs, placed, validate
from execution_engine.errors import DraftChanged, InvalidValue, WayfarerError, WorkflowInvalid
from execution_engine.model import LIVE, WorkflowStatus
from execution_engine.rehearsal import Pace
from execution_engine.store import bulk, counts, templates, workflows
from execution_engine.store.accounts import account_transaction
from execution_engine.store.hints import HintSender
from execution_engine.store.workflows import WorkflowView
from services.execution_api import convert, paging
from services.execution_api.answers import answered, key_of
from services.execution_api.auth import caller
from services.execution_api.previewing import Asked, Previews
from services.execution_api.showing import Engine
from services.runtime.interceptors import Context

M = TypeVar("M", bound=Message)
_YEARS = range(2000, 2101)


class WorkflowServicer(workflow_service_pb2_grpc.WorkflowServiceServicer):
    """The rpcs of WorkflowService; the proto says what each does."""

    def __init__(self, engine: Engine, due: HintSender, previews: Previews) -> None:
        self._engine = engine
        self._due = due
        self._previews = previews

    async def ApplyWorkflow(
        self, request: pb.ApplyWorkflowRequest, context: Context
    ) -> pb.ApplyWorkflowResponse:
        account_id, vault = caller().account_id, self._engine.vault
        expected = (
            convert.moment(request.expected_update_time, "expected_update_time")
            if request.HasField("expected_update_time")
            else None
        )
        document = parse(request.document)
        whole = await self._with_templates(account_id, document)
        await self._check(whole)
        stored = canonical_json(document)
        if request.validate_only:
            data = document.data
            shown = workflow_pb2.Workflow(
                key=data["key"],
                name=data.get("name") or data["key"],
                document=stored.decode(),
                total_steps=len(data["steps"]),
            )
            return pb.ApplyWorkflowResponse(workflow=shown)

        async def work(connection: asyncpg.Connection) -> pb.ApplyWorkflowResponse:
            view, created = await workflows.put_draft(connection, vault, account_id, stored, expected)
            if request.publish:
                view = await workflows.find(connection, vault, account_id, view.key, lock=True)
                view = await workflows.publish(connection, vault, account_id, view, canonical_json(whole))
            return pb.ApplyWorkflowResponse(workflow=convert.workflow(view, view.draft), created=created)

        key = key_of("ApplyWorkflow", request)
        return await answered(self._engine.pool, vault, account_id, key, pb.ApplyWorkflowResponse, work)

    async def GetWorkflow(self, request: pb.GetWorkflowRequest, context: Context) -> pb.GetWorkflowResponse:
        account_id, vault = caller().account_id, self._engine.vault
        async with account_transaction(self._engine.pool, account_id) as connection:
            view = await workflows.find(connection, vault, account_id, request.workflow)
            document = view.draft
            if request.version:
                document = await workflows.version_document(
                    connection, vault, account_id, view.workflow_id, request.version
                )
        return pb.GetWorkflowResponse(workflow=convert.workflow(view, document))

    async def ListWorkflows(
        self, request: pb.ListWorkflowsRequest, context: Context
    ) -> pb.ListWorkflowsResponse:
        account_id, size = caller().account_id, paging.size_of(request.page_size)
        mark = paging.filter_mark(request)
        before = paging.decode_id(request.page_token, mark)
        status = WorkflowStatus(request.status) if request.status else None
        async with account_transaction(self._engine.pool, account_id) as connection:
            views = await workflows.page(connection, self._engine.vault, account_id, status, before, size + 1)
        more = paging.encode(views[size - 1].workflow_id.bytes, mark) if len(views) > size else ""
        shown = [convert.workflow(view) for view in views[:size]]
        return pb.ListWorkflowsResponse(workflows=shown, next_page_token=more)

    async def PublishWorkflow(
        self, request: pb.PublishWorkflowRequest, context: Context
    ) -> pb.PublishWorkflowResponse:
        account_id, vault = caller().account_id, self._engine.vault
        checked = await self._checked(account_id, request.workflow)

        async def work(connection: asyncpg.Connection) -> pb.PublishWorkflowResponse:
            if isinstance(checked, WayfarerError):
                raise checked
            view = await workflows.find(connection, vault, account_id, request.workflow, lock=True)
            draft = load_document(view.draft)
            known = await templates.known(connection, vault, account_id, message_templates.named(draft))
            document = canonical_json(message_templates.expanded(draft, known)[0])
            if document != checked:
                raise DraftChanged(view.key)
            view = await workflows.publish(connection, vault, account_id, view, document)
            return pb.PublishWorkflowResponse(workflow=convert.workflow(view, view.draft))

        key = key_of("PublishWorkflow", request)
        return await answered(self._engine.pool, vault, account_id, key, pb.PublishWorkflowResponse, work)

    async def PauseWorkflow(
        self, request: pb.PauseWorkflowRequest, context: Context
    ) -> pb.PauseWorkflowResponse:
        work = self._move(
            request.workflow,
            WorkflowStatus.PAUSED,
            lambda view: pb.PauseWorkflowResponse(workflow=convert.workflow(view)),
        )
        key, engine = key_of("PauseWorkflow", request), self._engine
        return await answered(
            engine.pool, engine.vault, caller().account_id, key, pb.PauseWorkflowResponse, work
        )

    async def ResumeWorkflow(
        self, request: pb.ResumeWorkflowRequest, context: Context
    ) -> pb.ResumeWorkflowResponse:
        work = self._move(
            request.workflow,
            WorkflowStatus.ACTIVE,
            lambda view: pb.ResumeWorkflowResponse(workflow=convert.workflow(view)),
        )
        key, engine, account_id = key_of("ResumeWorkflow", request), self._engine, caller().account_id
        answer = await answered(engine.pool, engine.vault, account_id, key, pb.ResumeWorkflowResponse, work)
        await self._unpark(account_id, UUID(answer.workflow.id))
        return answer

    async def ArchiveWorkflow(
        self, request: pb.ArchiveWorkflowRequest, context: Context
    ) -> pb.ArchiveWorkflowResponse:
        engine, account_id, actor = self._engine, caller().account_id, caller().actor

        async def work(connection: asyncpg.Connection) -> pb.ArchiveWorkflowResponse:
            view = await workflows.set_status(
                connection, engine.vault, account_id, request.workflow, WorkflowStatus.ARCHIVED
            )
            answer = pb.ArchiveWorkflowResponse(workflow=convert.workflow(view))
            if request.on_running == pb.ON_RUNNING_CANCEL:
                chosen = Chosen(workflow_id=view.workflow_id, statuses=LIVE)
                params = Params(BulkKind.CANCEL, "workflow archived", chosen)
                operation = await bulk.create(connection, engine.vault, account_id, params, actor, BRISK)
                answer.bulk_operation_id = str(operation)
            return answer

        key = key_of("ArchiveWorkflow", request)
        answer = await answered(engine.pool, engine.vault, account_id, key, pb.ArchiveWorkflowResponse, work)
        # What a pause froze drains like the rest.
        await self._unpark(account_id, UUID(answer.workflow.id))
        return answer

    async def GetWorkflowCounts(
        self, request: pb.GetWorkflowCountsRequest, context: Context
    ) -> pb.GetWorkflowCountsResponse:
        account_id, vault = caller().account_id, self._engine.vault
        async with account_transaction(self._engine.pool, account_id) as connection:
            view = await workflows.find(connection, vault, account_id, request.workflow)
            found = await counts.read(connection, account_id, view.workflow_id, request.version)
        return pb.GetWorkflowCountsResponse(counts=[convert.step_count(count) for count in found])

    async def PreviewWorkflow(
        self, request: pb.PreviewWorkflowRequest, context: Context
    ) -> pb.PreviewWorkflowResponse:
        account_id, vault = caller().account_id, self._engine.vault
        asked = Asked(
            UUID(request.contact_id),
            convert.plain(request.trigger, "trigger"),
            Pace(request.skip_waits, request.events_come),
            _begins(request) if request.HasField("start_time") else None,
        )
        async with account_transaction(self._engine.pool, account_id) as connection:
            view = await workflows.find(connection, vault, account_id, request.workflow)
            if request.version:
                stored = await workflows.version_document(
                    connection, vault, account_id, view.workflow_id, request.version
                )
        if request.version:
            document = load_document(stored)
        else:
            document = await self._with_templates(account_id, load_document(view.draft))
        return await self._previews.of(account_id, view, document, request.version, asked)

    async def ListActionTypes(
        self, request: pb.ListActionTypesRequest, context: Context
    ) -> pb.ListActionTypesResponse:
        return pb.ListActionTypesResponse(action_types=self._engine.routing.described())

    def _move(
        self, name: str, status: WorkflowStatus, show: Callable[[WorkflowView], M]
    ) -> Callable[[asyncpg.Connection], Awaitable[M]]:
        account_id, vault = caller().account_id, self._engine.vault

        async def work(connection: asyncpg.Connection) -> M:
            return show(await workflows.set_status(connection, vault, account_id, name, status))

        return work

    async def _unpark(self, account_id: int, workflow_id: UUID) -> None:
        """Wakes what the pause parked, a thousand at a time so that no transaction is long."""
        while True:
            async with account_transaction(self._engine.pool, account_id) as connection:
                woken = await workflows.unpark(connection, account_id, workflow_id)
            self._due.tell(account_id)
            if woken < 1_000:
                return

    async def _checked(self, account_id: int, workflow: str) -> bytes | WayfarerError:
        """The draft with its templates as it may be published now, or why it may not.

        Executors are asked before the workflow is locked, and told of in the answer's transaction: a request
        that was answered before is answered the same.
        """
        try:
            async with account_transaction(self._engine.pool, account_id) as connection:
                view = await workflows.find(connection, self._engine.vault, account_id, workflow)
            document = await self._with_templates(account_id, load_document(view.draft))
            await self._check(document)
        except WayfarerError as error:
            return error
        return canonical_json(document)

    async def _with_templates(self, account_id: int, document: Document) -> Document:
        """The document with the templates it names. Raises WorkflowInvalid."""
        names = message_templates.named(document)
        known: dict[message_templates.Name, message_templates.MessageTemplate] = {}
        if names:
            async with account_transaction(self._engine.pool, account_id) as connection:
                known = await templates.known(connection, self._engine.vault, account_id, names)
        whole, faults = message_templates.expanded(document, known)
        if faults:
            raise WorkflowInvalid(placed(faults, document))
        return whole

    async def _check(self, document: Document) -> None:
        """Raises WorkflowInvalid with every fault, those that only an executor can tell included."""
        catalogue = self._engine.routing.catalogue
        faults = validate(document, catalogue)
        asked = action_configs(document, catalogue)
        told = await asyncio.gather(
            *(
                self._engine.routing.clients[catalogue.types[kind].family].validate(kind, config)
                for _, kind, config in asked
            )
        )
        for (path, _, _), found in zip(asked, told, strict=True):
            faults += placed([_fault(path, fault) for fault in found], document)
        if faults:
            raise WorkflowInvalid(sorted(faults, key=lambda f: (f.line or 0, f.path)))


def _fault(path: str, found: ConfigFault) -> Fault:
    return Fault(f"{path}.{found.path}" if found.path else path, found.rule, found.message)


def _begins(request: pb.PreviewWorkflowRequest) -> datetime:
    """When the preview is to begin. Waits are added to it, and ids are made of it: no other centuries."""
    begins = convert.moment(request.start_time, "start_time")
    if begins.year not in _YEARS:
        raise InvalidValue(
            "start_time", "range", f"must lie in the years {_YEARS.start} to {_YEARS.stop - 1}"
        )
    return begins
