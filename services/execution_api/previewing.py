"""How a workflow would go for one contact, with nothing done: WorkflowServicer's previews ask it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import grpc
import orjson
from wayfarer.execution.v1 import execution_pb2
from wayfarer.execution.v1 import workflow_service_pb2 as pb

from dispatcher import wire
from dispatcher.contacts import Contacts
from dispatcher.executor_client import PreviewRefused
from execution_engine import chain, ports
from execution_engine.definition.compile import compile_program
from execution_engine.definition.document import Document
from execution_engine.definition.program import END
from execution_engine.ids import new_id
from execution_engine.model import BlockedOn, ErrorClass, Failure, Priority, Status
from execution_engine.rehearsal import Next, Pace, Rehearsal, Told
from execution_engine.run import Run
from execution_engine.store import contacts
from execution_engine.store.accounts import account_transaction
from execution_engine.store.workflows import WorkflowView
from services.execution_api import convert
from services.execution_api.showing import Engine
from services.runtime.grpc_options import PUBLIC_MAX_MESSAGE_BYTES

PREVIEWED = "action_previewed"
_MOST_BYTES = PUBLIC_MAX_MESSAGE_BYTES * 3 // 4
_ACCOUNT = "SELECT name, settings FROM account WHERE account_id = $1"


@dataclass(frozen=True, slots=True)
class Asked:
    """For whom a workflow is rehearsed, and how. `now`: when it would begin; None for now."""

    contact_id: UUID
    trigger: Mapping[str, Any]
    pace: Pace
    now: datetime | None


class Previews:
    """Rehearses workflows. At `crm` is what templates and conditions may read of contacts."""

    def __init__(self, engine: Engine, crm: grpc.aio.Channel) -> None:
        self._engine = engine
        self._crm = crm

    async def of(
        self, account_id: int, view: WorkflowView, document: Document, version: int, asked: Asked
    ) -> pb.PreviewWorkflowResponse:
        """How it would go. Raises NotFound, WorkflowInvalid, ExecutorUnavailable."""
        engine = self._engine
        program = compile_program(document, engine.routing.catalogue)
        async with account_transaction(engine.pool, account_id) as connection:
            await contacts.find(connection, engine.vault, account_id, asked.contact_id)
            account = await connection.fetchrow(_ACCOUNT, account_id)
            now: datetime = asked.now or await connection.fetchval("SELECT wf_now()")
        run = _fresh(account_id, view.workflow_id, asked, version, now, engine.vault)
        run.program = program
        run.names = {
            "workflow": {"key": view.key, "name": view.name, "version": version},
            "account": {"id": str(account_id), "name": account["name"]},
        }
        run.settings = orjson.loads(account["settings"])
        await self._read_contact(run)
        rehearsal = Rehearsal(run, now, asked.pace)
        await self._walk(rehearsal)
        ended = run.status in (Status.COMPLETED, Status.FAILED)
        entries = _fitting(rehearsal.told)
        return pb.PreviewWorkflowResponse(
            entries=entries,
            truncated=rehearsal.stopped or len(entries) < len(rehearsal.told),
            status=execution_pb2.ExecutionStatus.Name(int(run.status)),  # type: ignore[arg-type]
            reason=run.reason if ended else "",
            step_id=program.steps[run.step].id if run.step != END else "",
            time=convert.timestamp(rehearsal.now),
        )

    async def _read_contact(self, run: Run) -> None:
        engine = self._engine
        async with account_transaction(engine.pool, run.account_id) as connection:
            await Contacts(connection, engine.vault, self._crm).attach([run], [run])

    async def _walk(self, rehearsal: Rehearsal) -> None:
        run, following = rehearsal.run, rehearsal.begin()
        while following is not Next.NOTHING:
            if following is Next.FACTS:
                await self._read_contact(run)
                following = rehearsal.again()
                continue
            step = rehearsal.action
            assert step is not None
            fields = {name: (run.contact or {}).get(name) for name in step.contact_fields}
            action = wire.action(run, step, orjson.dumps(fields) if fields else b"", "")
            try:
                preview = await self._engine.routing.clients[step.family].preview(action)
            except PreviewRefused as error:
                failure = Failure(ErrorClass.CONFIGURATION, "wayfarer", "CONFIG_INVALID", str(error)[:500])
                following = rehearsal.refused(failure)
            else:
                following = rehearsal.went(preview)


def _fresh(
    account_id: int, workflow_id: UUID, asked: Asked, version: int, now: datetime, vault: ports.Vault
) -> Run:
    """A run at its beginning, of an execution that is not there."""
    return Run(
        account_id=account_id,
        execution_id=new_id(now),
        workflow_id=workflow_id,
        contact_id=asked.contact_id,
        version=version,
        priority=Priority.NORMAL,
        fence=0,
        rev=0,
        status=Status.ACTIVE,
        blocked_on=BlockedOn.NOTHING,
        step=0,
        visit=0,
        attempt=0,
        failures=0,
        crashes=0,
        attempt_open=False,
        open_seq=0,
        open_at=None,
        steps_run=0,
        log_seq=1,
        log_hash=chain.GENESIS,
        chain_key=vault.mac_key(ports.CHAIN, account_id),
        trigger=dict(asked.trigger),
    )


def _fitting(told: Sequence[Told]) -> list[pb.PreviewedEntry]:
    """The first entries, as many as an answer may hold: numbers are larger in it than they were as JSON."""
    entries: list[pb.PreviewedEntry] = []
    room = _MOST_BYTES
    for one in told:
        entry = _entry(one)
        room -= entry.ByteSize()
        if room < 0:
            break
        entries.append(entry)
    return entries


def _entry(told: Told) -> pb.PreviewedEntry:
    row = told.row
    detail: dict[str, Any] = orjson.loads(row.detail) if row.detail else {}
    failure = detail.pop("failure", None)
    shown = orjson.loads(told.preview) if told.preview else None
    return pb.PreviewedEntry(
        event=PREVIEWED if shown is not None else row.event.name.lower(),
        step_id=row.step_id,
        step_type=row.step_type,
        visit=row.visit,
        time=convert.timestamp(row.at),
        detail=convert.struct(detail) if detail else None,
        failure=convert.failure(failure) if failure else None,
        preview=convert.struct(shown) if shown is not None else None,
    )
