"""Translates between the engine's values and the public messages; the servicers call it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from wayfarer.common.v1 import failure_pb2
from wayfarer.crm.v1.contact_record_service_pb2 import ContactRecord
from wayfarer.execution.v1 import execution_pb2 as pb
from wayfarer.execution.v1 import execution_service_pb2 as service_pb
from wayfarer.execution.v1 import workflow_pb2, workflow_service_pb2

from execution_engine.errors import InvalidValue
from execution_engine.masking import mask_config
from execution_engine.model import ExecutionView, LogRow, OutcomeCode, Status
from execution_engine.store.contacts import ContactRow
from execution_engine.store.counts import StepCount
from execution_engine.store.explain import Blocker
from execution_engine.store.verify import Check
from execution_engine.store.workflows import WorkflowView

Outline = Sequence[tuple[str, str]]


def timestamp(at: datetime | None) -> Timestamp | None:
    """A moment, or None where there is none."""
    if at is None:
        return None
    result = Timestamp()
    result.FromDatetime(at)
    return result


def moment(at: Timestamp, field: str) -> datetime:
    """A moment as the engine has it. Raises InvalidValue naming `field` outside the years 1 to 9999."""
    try:
        return at.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidValue(field, "timestamp", "must be a time of the years 1 to 9999") from error


def struct(data: dict[str, Any]) -> Struct:
    """A JSON object as a Struct."""
    result = Struct()
    json_format.ParseDict(data, result)
    return result


def plain(value: Struct, field: str) -> dict[str, Any]:
    """A Struct as a JSON object; numbers without a fraction become whole.

    Raises InvalidValue naming `field` for NaN and infinity, which JSON has not.
    """
    try:
        return {name: _whole(item) for name, item in json_format.MessageToDict(value).items()}
    except (ValueError, json_format.Error) as error:
        raise InvalidValue(field, "number", "numbers must be finite") from error


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {name: _whole(item) for name, item in value.items()}
    return value


def failure(data: Mapping[str, Any]) -> failure_pb2.Failure:
    """An error as the engine stores it."""
    return failure_pb2.Failure(
        error_class=data["class"], provider=data["provider"], code=data["code"], message=data["message"]
    )


def execution(view: ExecutionView, outline: Outline, workflow_key: str) -> pb.Execution:
    """An execution as callers see it."""
    total = len(outline)
    completed = view.status is Status.COMPLETED
    index = 0 if completed or view.step < 0 else view.step + 1
    return pb.Execution(
        id=str(view.execution_id),
        workflow_id=str(view.workflow_id),
        workflow_key=workflow_key,
        workflow_version=view.version,
        contact_id=str(view.contact_id),
        status=int(view.status),  # type: ignore[arg-type]
        priority=int(view.priority),  # type: ignore[arg-type]
        current_step_id=outline[view.step][0] if index else "",
        current_step_index=index,
        total_steps=total,
        progress_percent=100 if completed else 100 * index // max(total, 1),
        attempt=view.attempt,
        retry_count=view.failures,
        blocked_on=int(view.blocked_on),  # type: ignore[arg-type]
        wake_time=timestamp(view.wake_at),
        reason=view.reason,
        failure=failure(orjson.loads(view.failure)) if view.failure else None,
        steps_run=view.steps_run,
        log_entries=view.log_seq,
        create_time=timestamp(view.created_at),
        update_time=timestamp(view.updated_at),
        end_time=timestamp(view.ended_at),
        pause_requested=view.pause_asked,
    )


def log_entry(row: LogRow, sensitive: Mapping[str, Sequence[str]]) -> pb.LogEntry:
    """An entry as callers see it; what was sent and answered is masked. `sensitive` is by action type."""
    detail: dict[str, Any] = orjson.loads(row.detail) if row.detail else {}
    told = detail.pop("failure", None)
    if row.private:
        private = orjson.loads(row.private)
        masked = mask_config(private.get("config") or {}, tuple(sensitive.get(row.step_type, ())))
        detail = {
            "config": masked,
            **({"output": mask_config(private["output"])} if private.get("output") else {}),
            **detail,
        }
    took = Duration()
    if row.started_at is not None:
        took.FromTimedelta(row.at - row.started_at)
    return pb.LogEntry(
        seq=row.seq_end,
        event=row.event.name.lower(),
        step_id=row.step_id,
        step_type=row.step_type,
        visit=row.visit,
        attempt=row.attempt,
        time=timestamp(row.at),
        duration=took if row.started_at is not None else None,
        outcome=row.outcome.name if row.outcome is not OutcomeCode.NONE else "",
        detail=struct(detail) if detail else None,
        failure=failure(told) if told else None,
    )


def workflow(view: WorkflowView, document: bytes = b"") -> workflow_pb2.Workflow:
    """A workflow as callers see it."""
    return workflow_pb2.Workflow(
        id=str(view.workflow_id),
        key=view.key,
        name=view.name,
        status=int(view.status),  # type: ignore[arg-type]
        published_version=view.published_version,
        document=document.decode(),
        total_steps=view.draft_steps,
        create_time=timestamp(view.created_at),
        update_time=timestamp(view.updated_at),
    )


def check(made: Check) -> service_pb.InvariantCheck:
    """One invariant's result."""
    return service_pb.InvariantCheck(
        id=made.id, description=made.description, violations=made.violations, examples=made.broken
    )


def step_count(count: StepCount) -> workflow_service_pb2.StepCount:
    """The counters of one step."""
    return workflow_service_pb2.StepCount(
        version=count.version,
        step_id=count.step_id,
        entered=count.entered,
        done=count.done,
        failed=count.failed,
        waiting=count.waiting,
    )


def blocker(one: Blocker) -> service_pb.Blocker:
    """One thing that keeps an execution from moving."""
    return service_pb.Blocker(
        kind=int(one.kind),  # type: ignore[arg-type]
        description=one.description,
        remedy=one.remedy,
        since=timestamp(one.since),
        until=timestamp(one.until),
        position=one.position,
        detail=dict(one.detail),
    )


def contact_scope(row: ContactRow, record: ContactRecord | None) -> dict[str, Any]:
    """A contact as conditions read it, like the worker's (dispatcher/contacts.py)."""
    data = orjson.loads(record.data) if record is not None and record.data else {}
    return {
        "first_name": "",
        "last_name": "",
        "time_zone": "",
        "fields": {},
        **data,
        "id": str(row.contact_id),
        "external_id": row.external_id,
        "email": row.email,
        "phone": row.phone,
        "opted_out": row.opted_out,
        "tags": list(record.tags) if record is not None else [],
    }
