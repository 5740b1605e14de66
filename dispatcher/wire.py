"""Translates between the engine's values and the executor protocol's messages; dispatch.py calls it."""

from google.protobuf.duration_pb2 import Duration
from wayfarer.action.v1 import action_executor_pb2 as executor_pb
from wayfarer.action.v1 import action_pb2 as pb

from execution_engine.definition.program import ActionStep, ActionTypeInfo, DeliveryClass
from execution_engine.model import ErrorClass, Failure
from execution_engine.outcome import (
    Certainty,
    Deferred,
    Failed,
    InFlight,
    NotDone,
    Outcome,
    Pending,
    Skipped,
    Succeeded,
    Unknown,
    Unreachable,
)
from execution_engine.run import Run

_PENDING_ASK_AGAIN_S = 60.0
_DEFER_S = 60.0


def action(run: Run, step: ActionStep, contact: bytes, traceparent: str) -> pb.Action:
    """The attempt that `run` has open, as its executor gets it."""
    return pb.Action(
        effect_key=pb.EffectKey(execution_id=run.execution_id.bytes, step_id=step.id, visit=run.visit),
        account_id=run.account_id,
        contact_id=run.contact_id.bytes,
        action_type=step.type,
        config=run.config,
        contact=contact,
        attempt=run.attempt,
        fence=run.fence,
        budget_ms=step.timeout_ms,
        traceparent=traceparent,
    )


def reconcile_item(run: Run, step: ActionStep) -> executor_pb.ReconcileItem:
    """The question what became of the attempt that `run` has open."""
    return executor_pb.ReconcileItem(
        effect_key=pb.EffectKey(execution_id=run.execution_id.bytes, step_id=step.id, visit=run.visit),
        account_id=run.account_id,
        action_type=step.type,
        fence=run.fence,
    )


_PLAIN_SUCCESS = Succeeded()


def outcome(result: pb.ActionResult) -> Outcome:
    """What a result means to the engine; rubbish becomes an indeterminate failure."""
    match result.outcome:
        case pb.OUTCOME_SUCCEEDED:
            if not result.output and not result.contact_changes:
                return _PLAIN_SUCCESS
            return Succeeded(result.output, result.contact_changes)
        case pb.OUTCOME_SKIPPED:
            failure = _failure(result) if result.HasField("failure") else None
            return Skipped(failure, result.contact_changes)
        case pb.OUTCOME_DEFERRED:
            after = _seconds(result.retry_after) if result.HasField("retry_after") else _DEFER_S
            return Deferred(after, _failure(result) if result.HasField("failure") else None)
        case pb.OUTCOME_PENDING:
            after = _seconds(result.retry_after) if result.HasField("retry_after") else _PENDING_ASK_AGAIN_S
            return Pending(after)
        case pb.OUTCOME_FAILED:
            certainty = Certainty(result.certainty or pb.CERTAINTY_INDETERMINATE)
            retry_after = _seconds(result.retry_after) if result.HasField("retry_after") else None
            if result.failure.code == "IN_FLIGHT":
                return InFlight(retry_after or 1.0)
            return Failed(_failure(result), certainty, retry_after, result.contact_changes, result.final)
        case _:
            failure = Failure(
                ErrorClass.INDETERMINATE, "wayfarer", "RUBBISH_RESULT", "the executor's result has no outcome"
            )
            return Failed(failure, Certainty.INDETERMINATE)


def finding(found: executor_pb.ReconcileFinding) -> Outcome:
    """What a reconciliation means to the engine."""
    match found.finding:
        case executor_pb.FINDING_DONE:
            return outcome(found.result)
        case executor_pb.FINDING_NOT_DONE:
            return NotDone()
        case executor_pb.FINDING_IN_FLIGHT:
            return InFlight(_seconds(found.in_flight_for))
        case executor_pb.FINDING_UNKNOWN:
            return Unknown()
        case _:
            return Unreachable("the executor's finding is empty")


def action_type_info(described: pb.ActionType) -> ActionTypeInfo:
    """One entry of the catalogue."""
    return ActionTypeInfo(
        name=described.name,
        family=described.family,
        version=described.version,
        delivery_class=DeliveryClass(described.delivery_class),
        config_schema=described.config_schema,
        sample=described.sample_config,
        contact_fields=tuple(described.contact_fields),
        sensitive_fields=tuple(described.sensitive_fields),
        channel=described.channel,
        timeout_ms=int(_seconds(described.default_timeout) * 1000) or 30_000,
        max_retries=described.default_max_retries,
        max_batch=described.max_batch or 1,
        key_window_s=_seconds(described.key_window),
        emits=tuple(sorted(described.emits.items())),
        lanes=tuple(described.lanes),
    )


def _failure(result: pb.ActionResult) -> Failure:
    failure = result.failure
    return Failure(
        ErrorClass(failure.error_class) if failure.error_class in _CLASSES else ErrorClass.SERVER_ERROR,
        failure.provider[:100],
        failure.code[:100],
        failure.message[:1000],
    )


_CLASSES = frozenset(int(c) for c in ErrorClass)


def _seconds(duration: Duration) -> float:
    return float(duration.seconds) + duration.nanos / 1e9
