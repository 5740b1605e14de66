"""Serves EditingService: a draft changed step by step; services/execution_api/__main__ adds it."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import asyncpg
import orjson
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from wayfarer.execution.v1 import editing_service_pb2 as pb
from wayfarer.execution.v1 import editing_service_pb2_grpc

from execution_engine.definition import editing, message_templates
from execution_engine.definition.compile import load_document
from execution_engine.definition.document import Document
from execution_engine.definition.editing import Edited
from execution_engine.definition.faults import Fault
from execution_engine.definition.validate import validate, validate_step
from execution_engine.errors import DraftChanged, WorkflowArchived, WorkflowInvalid, WorkflowNotEditable
from execution_engine.model import WorkflowStatus
from execution_engine.store import templates, workflows
from execution_engine.store.accounts import account_transaction
from execution_engine.store.workflows import WorkflowView
from services.execution_api import convert
from services.execution_api.answers import answered, key_of
from services.execution_api.auth import caller
from services.execution_api.showing import Engine
from services.runtime.interceptors import Context

M = TypeVar("M", bound=Message)
Edit = Callable[[dict[str, Any]], Edited]

Known = Mapping[message_templates.Name, message_templates.MessageTemplate]


class EditingServicer(editing_service_pb2_grpc.EditingServiceServicer):
    """The rpcs of EditingService; the proto says what each does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def AddStep(self, request: pb.AddStepRequest, context: Context) -> pb.AddStepResponse:
        step = convert.plain(request.step, "step")
        await self._check(step)

        def edit(document: dict[str, Any]) -> Edited:
            return editing.add(document, step, request.position)

        def show(edited: Edited, draft: pb.Draft) -> pb.AddStepResponse:
            return pb.AddStepResponse(step_id=edited.step_id, draft=draft)

        return await self._edited("AddStep", request, pb.AddStepResponse, edit, show)

    async def UpdateStep(self, request: pb.UpdateStepRequest, context: Context) -> pb.UpdateStepResponse:
        changes = convert.plain(request.step, "step")
        paths = list(request.update_mask.paths)
        if "config" in paths or "type" in paths:
            await self._check(await self._as_updated(request, changes, paths))

        def edit(document: dict[str, Any]) -> Edited:
            return editing.update(document, request.step_id, changes, paths)

        def show(edited: Edited, draft: pb.Draft) -> pb.UpdateStepResponse:
            return pb.UpdateStepResponse(draft=draft)

        return await self._edited("UpdateStep", request, pb.UpdateStepResponse, edit, show)

    async def RemoveStep(self, request: pb.RemoveStepRequest, context: Context) -> pb.RemoveStepResponse:
        def edit(document: dict[str, Any]) -> Edited:
            return editing.remove(document, request.step_id)

        def show(edited: Edited, draft: pb.Draft) -> pb.RemoveStepResponse:
            return pb.RemoveStepResponse(draft=draft)

        return await self._edited("RemoveStep", request, pb.RemoveStepResponse, edit, show)

    async def ReorderSteps(
        self, request: pb.ReorderStepsRequest, context: Context
    ) -> pb.ReorderStepsResponse:
        def edit(document: dict[str, Any]) -> Edited:
            return editing.reorder(document, list(request.step_ids))

        def show(edited: Edited, draft: pb.Draft) -> pb.ReorderStepsResponse:
            return pb.ReorderStepsResponse(draft=draft)

        return await self._edited("ReorderSteps", request, pb.ReorderStepsResponse, edit, show)

    async def GetStep(self, request: pb.GetStepRequest, context: Context) -> pb.GetStepResponse:
        document = orjson.loads((await self._read(request.workflow)).draft)
        place = editing.place_of(document, request.step_id)
        return pb.GetStepResponse(step=_step(document["steps"][place], place))

    async def ListSteps(self, request: pb.ListStepsRequest, context: Context) -> pb.ListStepsResponse:
        view = await self._read(request.workflow)
        async with account_transaction(self._engine.pool, caller().account_id) as connection:
            known = await self._templates_of(connection, view)
        return pb.ListStepsResponse(draft=self._draft(view, {}, known))

    async def _read(self, name: str) -> WorkflowView:
        account_id = caller().account_id
        async with account_transaction(self._engine.pool, account_id) as connection:
            return await workflows.find(connection, self._engine.vault, account_id, name)

    async def _as_updated(
        self, request: pb.UpdateStepRequest, changes: Mapping[str, Any], paths: list[str]
    ) -> dict[str, Any]:
        """The step as it will be, for its executor to check before the draft is locked."""
        document = orjson.loads((await self._read(request.workflow)).draft)
        edited = editing.update(document, request.step_id, changes, paths)
        step: dict[str, Any] = edited.document["steps"][editing.place_of(edited.document, request.step_id)]
        return step

    async def _check(self, step: Mapping[str, Any]) -> None:
        """Raises WorkflowInvalid with every fault of the step itself, its executor's findings included."""
        catalogue = self._engine.routing.catalogue
        step, wrong = await self._with_template(step)
        faults = ([wrong] if wrong is not None else []) + validate_step(step, catalogue)
        info = catalogue.types.get(str(step.get("type")))
        config = step.get("config", {})
        if info is not None and isinstance(config, dict):
            client = self._engine.routing.clients[info.family]
            for told in await client.validate(info.name, config):
                path = f"config.{told.path}" if told.path else "config"
                faults.append(Fault(path, told.rule, told.message))
        if faults:
            raise WorkflowInvalid(sorted(faults, key=lambda fault: fault.path))

    async def _with_template(self, step: Mapping[str, Any]) -> tuple[Mapping[str, Any], Fault | None]:
        if "template" not in step:
            return step, None
        account_id, engine = caller().account_id, self._engine
        names = message_templates.named(Document({"steps": [step]}, {}))
        async with account_transaction(engine.pool, account_id) as connection:
            known = await templates.known(connection, engine.vault, account_id, names)
        return message_templates.expanded_step(step, known)

    async def _edited(
        self,
        method: str,
        request: Any,
        kind: type[M],
        edit: Edit,
        show: Callable[[Edited, pb.Draft], M],
    ) -> M:
        account_id, engine = caller().account_id, self._engine

        async def work(connection: asyncpg.Connection) -> M:
            view = await workflows.find(connection, engine.vault, account_id, request.workflow, lock=True)
            _require_editable(view, request)
            edited = edit(orjson.loads(view.draft))
            view = await workflows.replace_draft(connection, engine.vault, account_id, view, edited.document)
            known = await self._templates_of(connection, view)
            return show(edited, self._draft(view, edited.relinked, known))

        key = key_of(method, request)
        return await answered(engine.pool, engine.vault, account_id, key, kind, work)

    async def _templates_of(self, connection: asyncpg.Connection, view: WorkflowView) -> Known:
        names = message_templates.named(load_document(view.draft))
        return await templates.known(connection, self._engine.vault, caller().account_id, names)

    def _draft(
        self,
        view: WorkflowView,
        relinked: Mapping[str, str],
        known: Known,
    ) -> pb.Draft:
        document: Document = load_document(view.draft)
        whole, faults = message_templates.expanded(document, known)
        faults += validate(whole, self._engine.routing.catalogue)
        return pb.Draft(
            workflow=convert.workflow(view),
            steps=[_step(step, place) for place, step in enumerate(document.data["steps"])],
            faults=[pb.DraftFault(path=f.path, rule=f.rule, message=f.message) for f in faults],
            relinked=dict(relinked),
        )


def _require_editable(view: WorkflowView, request: Any) -> None:
    if view.status is WorkflowStatus.ARCHIVED:
        raise WorkflowArchived(view.key)
    if view.status is WorkflowStatus.ACTIVE:
        raise WorkflowNotEditable(view.key)
    expected: Timestamp = request.expected_update_time
    if request.HasField("expected_update_time"):
        read_at = convert.moment(expected, "expected_update_time")
        if read_at != view.updated_at:
            raise DraftChanged(view.key)


def _step(step: Mapping[str, Any], place: int) -> pb.DraftStep:
    return pb.DraftStep(
        id=step["id"],
        type=step["type"],
        position=place + 1,
        disabled=bool(step.get("disabled")),
        definition=convert.struct(dict(step)),
    )
