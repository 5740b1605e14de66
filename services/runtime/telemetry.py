"""Traces: set-up, and the few calls the rest of the code makes; `configure` is called once by each process.

Spans start in two places only: at a server that starts traces (the public API; sampled by ratio) and wherever
`start_span` is given a traceparent or runs inside a span. Everything else costs one context lookup, because
the decision to sample is made once per execution and stored with it as its traceparent ("" = not traced).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Final

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)

Attributes = Mapping[str, str | int | float | bool]

_QUEUE_SIZE: Final = 16384  # past it the exporter drops spans; its default of 2,048 is one busy second
_EXPORT_TIMEOUT_S: Final = 2  # also how long a collector that is away holds up the end of a process
_current: ContextVar[Span | None] = ContextVar("wayfarer_span", default=None)
_NOT_TRACED: Final = nullcontext()


def default_ratio(profile: str) -> float:
    """Give the share of traces kept unless configured: all in the local profile, else 1 in 100."""
    return 1.0 if profile == "local" else 0.01


def configure(service: str, *, endpoint: str = "", ratio: float = 0.01) -> TracerProvider | None:
    """Export this process's spans to the OTLP/gRPC collector at `endpoint`; without one, do nothing.

    `ratio` (0..1) of the traces that start here are kept; those that started elsewhere follow their parent.
    What is queued is flushed when the process exits, or by `shutdown()` on the provider given back.
    """
    if not endpoint:
        return None
    # Imported here: the exporter takes 100 ms to import, and most processes of a laptop export nothing.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(ratio)),
        resource=Resource.create({"service.name": f"wayfarer-{service}", "service.namespace": "wayfarer"}),
    )
    exporter = OTLPSpanExporter(
        endpoint=endpoint, insecure=not endpoint.startswith("https://"), timeout=_EXPORT_TIMEOUT_S
    )
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=_QUEUE_SIZE))
    trace.set_tracer_provider(provider)
    return provider


def current_traceparent() -> str:
    """Give the W3C traceparent of the span we are in, to be stored or sent on; "" unless it is sampled."""
    span = _current.get()
    if span is None:
        return ""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def current_ids() -> tuple[str, str] | None:
    """Give the (trace id, span id) of the span we are in as hex text; None unless it is sampled."""
    span = _current.get()
    if span is None:
        return None
    context = span.get_span_context()
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def start_span(
    name: str, traceparent: str = "", links: Sequence[str] = (), attributes: Attributes | None = None
) -> AbstractContextManager[Span | None]:
    """Run the block in a span: child of `traceparent`, else of the span we are in, else of nothing and not
    traced.

    `links` are traceparents of other traces this work belongs to, e.g. what enqueued it days ago. Gives the
    span, or None when not traced (then it costs a fraction of a microsecond). An exception marks the span
    as failed.
    """
    if not traceparent and _current.get() is None:
        return _NOT_TRACED
    return open_span(name, SpanKind.INTERNAL, traceparent, links=links, attributes=attributes)


@contextmanager
def open_span(
    name: str,
    kind: SpanKind,
    traceparent: str = "",
    *,
    links: Sequence[str] = (),
    attributes: Attributes | None = None,
    mark_errors: bool = True,
) -> Iterator[Span | None]:
    """Like `start_span`, but starts a trace of its own when there is no parent; for the ends of gRPC.

    Without `mark_errors` the caller says itself what failed: a refused rpc raises too, and is none of our
    failures.
    """
    parent = parse_traceparent(traceparent) if traceparent else _current_context()
    context = trace.set_span_in_context(NonRecordingSpan(parent)) if parent else None
    linked = [Link(found) for found in map(parse_traceparent, links) if found]
    tracer = trace.get_tracer("wayfarer")
    span = tracer.start_span(
        name, context, kind, attributes, linked, record_exception=False, set_status_on_exception=False
    )
    if not span.is_recording():
        yield None
        return
    token = _current.set(span)
    try:
        yield span
    except Exception as error:
        if mark_errors:
            # The type only: messages of database and provider errors may quote personal data.
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
        raise
    finally:
        _current.reset(token)
        span.end()


def parse_traceparent(traceparent: str) -> SpanContext | None:
    """Read a W3C traceparent of any version; None if it is not one (then it is as if it were absent)."""
    parts = traceparent.split("-")
    if len(parts) < 4 or [len(part) for part in parts[:4]] != [2, 32, 16, 2] or parts[0] == "ff":
        return None
    try:
        trace_id, span_id, flags = (int(part, 16) for part in parts[1:4])
    except ValueError:
        return None
    context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return context if context.is_valid else None


def _current_context() -> SpanContext | None:
    span = _current.get()
    return span.get_span_context() if span is not None else None


def rpc_attributes(method: str) -> dict[str, str | int | float | bool]:
    """Give the semantic-convention attributes of "/package.Service/Method"."""
    service, _, name = method[1:].partition("/")
    return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}
