"""Spans of traced actions, from dispatch to outcome; dispatch.py opens and closes them.

Whether an execution is traced was decided once, when it was started: its traceparent came along with it.
One that is not traced costs a look at an empty text.
"""

from uuid import UUID

from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from execution_engine.definition.program import ActionStep
from execution_engine.outcome import Failed, Outcome, Unreachable
from execution_engine.run import Run

_W3C = TraceContextTextMapPropagator()


class ActionSpans:
    """The spans of attempts under way, by execution; bounded by the runs a worker holds."""

    def __init__(self) -> None:
        self._open: dict[UUID, Span] = {}

    def begin(self, run: Run, step: ActionStep) -> str:
        """Opens the span of an attempt if its execution is traced; the traceparent to send along, or ""."""
        if not run.traceparent:
            return ""
        parent = _W3C.extract({"traceparent": run.traceparent})
        span = trace.get_tracer("wayfarer").start_span(
            f"attempt {step.type}",
            parent,
            attributes={
                "wayfarer.execution": str(run.execution_id),
                "wayfarer.step": step.id,
                "wayfarer.attempt": run.attempt,
            },
        )
        self._open[run.execution_id] = span
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, trace.set_span_in_context(span))
        return carrier.get("traceparent", "")

    def end(self, run: Run, outcome: Outcome) -> None:
        """Closes the attempt's span with what it came to."""
        span = self._open.pop(run.execution_id, None) if self._open else None
        if span is None:
            return
        span.set_attribute("wayfarer.outcome", type(outcome).__name__)
        if isinstance(outcome, Failed):
            span.set_status(Status(StatusCode.ERROR, outcome.failure.code))
        elif isinstance(outcome, Unreachable):
            span.set_status(Status(StatusCode.ERROR, "UNREACHABLE"))
        span.end()
