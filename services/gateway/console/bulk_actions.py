"""Operations on many: counted first, then started at a pace; paused, resumed, cancelled while they run."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import grpc
from google.protobuf.duration_pb2 import Duration
from starlette.requests import Request
from wayfarer.common.v1.failure_pb2 import ErrorClass
from wayfarer.execution.v1 import bulk_service_pb2 as pb
from wayfarer.execution.v1.execution_pb2 import ExecutionStatus

from services.gateway.console.api import Api, Trouble
from services.gateway.console.execution_pages import ERRORS, SINCE, unknown_words
from services.gateway.console.forms import Done, Field, Form, Option, Question, ask
from services.gateway.console.rendering import Page, count, link, query_of
from services.gateway.console.words import BULK_KINDS, STATUS_NAMES, words

_CHOICES: Final = ("workflow", "status", "step", "error", "reason", "since")
PACES: Final = {
    "": ("1,000 a second", 0, 0),
    "100": ("100 a second", 100, 1),
    "10": ("10 a second", 10, 1),
    "minute": ("100 a minute", 100, 60),
    "hour": ("500 an hour", 500, 3_600),
}
"""How fast: what it is called, so many items, every so many seconds."""
PACE: Final = Field(
    "pace", "Pace", "select", options=[Option(key, label) for key, (label, _, _) in PACES.items()]
)
REASON: Final = Field("reason", "Why", hint="For the log of each execution.")


def _pace(form: Form) -> tuple[int, Duration | None]:
    _, number, seconds = PACES.get(form.get("pace"), PACES[""])
    return number, Duration(seconds=seconds) if number else None


async def start(api: Api, form: Form, task: pb.BulkTask, names: Sequence[str] = ()) -> Done | None:
    """Starts it; None if the API refuses."""
    number, tick = _pace(form)
    call = pb.StartBulkOperationRequest(
        task=task, per_tick=number, tick=tick, reason=form.get("reason"), request_id=form.get("request_id")
    )
    answer = await form.attempt(api.call(api.stubs.bulk.StartBulkOperation, call), ["reason", *names])
    if answer is None:
        return None
    return Done(
        f"/console/bulk/{answer.operation.id}", "Begun: its progress is below, and it goes on by itself."
    )


def filter_of(query: Mapping[str, str], until: datetime) -> pb.ExecutionFilter:
    """The executions that a list's filter means, of those accepted before `until`."""
    chosen = pb.ExecutionFilter(
        workflow=query.get("workflow", ""), reason=query.get("reason", ""), step_id=query.get("step", "")
    )
    if query.get("status") in STATUS_NAMES:
        chosen.statuses.append(ExecutionStatus.Name(STATUS_NAMES[query["status"]]))  # type: ignore[arg-type]
    chosen.error_class = ERRORS.get(query.get("error", ""), ErrorClass.ERROR_CLASS_UNSPECIFIED)  # type: ignore[assignment]
    chosen.create_time_to.FromDatetime(until)
    if query.get("since", "") in SINCE:
        chosen.create_time_from.FromDatetime(until - timedelta(hours=SINCE[query["since"]][1]))
    return chosen


async def retry_many(request: Request, api: Api, form: Form) -> Page | Done:
    """Retries all failed ones that the filter of the executions' list means."""
    form.begin(how="again")
    filters, chosen = _chosen(request, form)
    retry = pb.RetryMany(filter=chosen, skip_failed=form.get("how") == "skip")
    how = [
        Option("again", "Try the failed step again", "Its retries count from 0."),
        Option("skip", "Skip the failed step", "It goes on with what follows."),
    ]
    fields = [Field("how", "Where they go on", "radio", options=how), PACE, REASON]
    return await _many(api, form, filters, pb.BulkTask(retry=retry), "Retry", fields)


async def cancel_many(request: Request, api: Api, form: Form) -> Page | Done:
    """Cancels all that the filter of the executions' list means."""
    filters, chosen = _chosen(request, form)
    task = pb.BulkTask(cancel=pb.CancelMany(filter=chosen))
    return await _many(api, form, filters, task, "Cancel", [PACE, REASON])


def _chosen(request: Request, form: Form) -> tuple[dict[str, str], pb.ExecutionFilter]:
    """The list's filter, and what it means; as it was when it was first counted.

    A filter that cannot be is told in the form: what it left out would be done to more than was meant.
    """
    form.begin(until=datetime.now(UTC).isoformat())
    query = query_of(request.query_params.items())
    filters = {name: value for name, value in query.items() if name != "page"}
    strange = [
        (name, "an operation on many cannot be chosen by this") for name in filters if name not in _CHOICES
    ]
    form.trouble = unknown_words(filters)
    if strange:
        form.trouble = Trouble(grpc.StatusCode.INVALID_ARGUMENT, "This filter cannot be.", "", tuple(strange))
    return filters, filter_of(filters, _until(form.get("until")))


async def _many(
    api: Api, form: Form, filters: Mapping[str, str], task: pb.BulkTask, verb: str, fields: list[Field]
) -> Page | Done:
    if form.sound:
        started = await start(api, form, task)
        if started is not None:
            return started
    call = pb.PreviewBulkOperationRequest(task=task)
    preview = None
    if form.trouble is None:
        preview = await form.attempt(api.call(api.stubs.bulk.PreviewBulkOperation, call))
    total = preview.total if preview is not None else 0
    there = link("/console/executions", **filters)
    counts = sorted(preview.counts.items()) if preview is not None else []
    question = Question(
        title=f"{verb} {count(total)} executions" if total else f"Nothing to {verb.lower()}",
        button=f"{verb} {count(total)} executions" if total else "",
        back=there,
        crumbs=(("Executions", there),),
        lines=_consequences(verb, total) if form.trouble is None else [],
        facts=[(words(name.lower()), count(number)) for name, number in counts],
        fields=fields if total else [],
        hidden={"until": form.get("until")},
        danger=verb == "Cancel",
    )
    return ask(form, question)


def _consequences(verb: str, total: int) -> list[str]:
    match verb, bool(total):
        case "Retry", True:
            return [
                "Each failed execution that fits the filter now is queued again; its log says who did it."
            ]
        case "Retry", False:
            return ["No failed execution fits the filter."]
        case _, True:
            return [
                "Each that fits the filter now ends for good, before its next step. What was sent stays sent."
            ]
        case _:
            return ["Nothing that fits the filter is under way."]


def _until(text: str) -> datetime:
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        return datetime.now(UTC)
    return given.replace(tzinfo=given.tzinfo or UTC)


async def _operation(request: Request, api: Api) -> pb.BulkOperation:
    asked = pb.GetBulkOperationRequest(id=request.path_params["operation"])
    return (await api.call(api.stubs.bulk.GetBulkOperation, asked)).operation


def _steering(operation: pb.BulkOperation, button: str, line: str, *, danger: bool = False) -> Question:
    name, there = f"{BULK_KINDS.get(operation.kind, '?')} of {count(operation.total)}", _page_of(operation)
    return Question(
        title=f"{button}: {name}",
        button=button,
        back=there,
        lines=[line],
        danger=danger,
        crumbs=(("Bulk operations", "/console/bulk"), (name, there)),
    )


def _page_of(operation: pb.BulkOperation) -> str:
    return f"/console/bulk/{operation.id}"


def _left(operation: pb.BulkOperation) -> str:
    return count(operation.total - operation.finished)


async def pause(request: Request, api: Api, form: Form) -> Page | Done:
    """Stops an operation between two portions."""
    operation = await _operation(request, api)
    call = pb.PauseBulkOperationRequest(id=operation.id)
    if form.sound and await form.attempt(api.call(api.stubs.bulk.PauseBulkOperation, call)) is not None:
        return Done(_page_of(operation), "Paused.")
    line = f"It stops after the portion under way; {_left(operation)} are left."
    return ask(form, _steering(operation, "Pause", line))


async def resume(request: Request, api: Api, form: Form) -> Page | Done:
    """Lets a paused operation go on."""
    operation = await _operation(request, api)
    call = pb.ResumeBulkOperationRequest(id=operation.id)
    if form.sound and await form.attempt(api.call(api.stubs.bulk.ResumeBulkOperation, call)) is not None:
        return Done(_page_of(operation), "It goes on.")
    line = f"It goes on at its pace with the {_left(operation)} that are left."
    return ask(form, _steering(operation, "Resume", line))


async def cancel(request: Request, api: Api, form: Form) -> Page | Done:
    """Ends an operation; what was done stays done."""
    operation = await _operation(request, api)
    call = pb.CancelBulkOperationRequest(id=operation.id)
    if form.sound and await form.attempt(api.call(api.stubs.bulk.CancelBulkOperation, call)) is not None:
        return Done(_page_of(operation), "Ended.")
    line = f"What was done stays done; {_left(operation)} are left as they are."
    return ask(form, _steering(operation, "End", line, danger=True))
