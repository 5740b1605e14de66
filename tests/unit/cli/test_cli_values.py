"""What people type: names, times, spans, pairs; and that the names are those of the protos."""

from datetime import UTC, datetime, timedelta

import pytest
import typer
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from wayfarer.admin.v1 import account_pb2
from wayfarer.common.v1 import failure_pb2
from wayfarer.execution.v1 import bulk_service_pb2, execution_pb2, workflow_pb2

from services.cli import values

NAMES = [
    (values.EXECUTION_STATUSES, execution_pb2.ExecutionStatus, "EXECUTION_STATUS_"),
    (values.PRIORITIES, execution_pb2.Priority, "PRIORITY_"),
    (values.WORKFLOW_STATUSES, workflow_pb2.WorkflowStatus, "WORKFLOW_STATUS_"),
    (values.ERROR_CLASSES, failure_pb2.ErrorClass, "ERROR_CLASS_"),
    (values.ROLES, account_pb2.Role, "ROLE_"),
    (values.REMOVED_STEPS, bulk_service_pb2.RemovedStep, "REMOVED_STEP_"),
]


@pytest.mark.parametrize(("names", "enum", "prefix"), NAMES)
def test_the_names_are_those_of_the_protos(
    names: tuple[str, ...], enum: EnumTypeWrapper, prefix: str
) -> None:
    assert [prefix + name for name in names] == list(enum.keys())[1:]


def test_parts_and_targets_are_fields_of_the_settings() -> None:
    assert set(values.SETTINGS_PARTS) == set(account_pb2.AccountSettings.DESCRIPTOR.fields_by_name)
    others = {"off", "digest"}
    assert {*values.TARGETS, *others} == set(account_pb2.Notifications.DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize("text", ["RATE_LIMIT", "rate_limit", "rate-limit"])
def test_a_name_may_be_typed_in_either_case(text: str) -> None:
    assert values.one_of(values.ERROR_CLASSES)(text) == "RATE_LIMIT"


def test_completion_goes_on_in_the_case_it_was_begun_in() -> None:
    offered = values.completing(values.EXECUTION_STATUSES)
    assert offered("wa") == ["waiting"]
    assert offered("WA") == ["WAITING"]
    assert offered("") == list(values.EXECUTION_STATUSES)
    assert values.completing(values.REFUSAL_KINDS)("loop") == ["loop_blocked"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("90s", 90), ("1.5m", 90), ("2h", 7_200), ("7d", 604_800), ("1w", 604_800)],
)
def test_spans(text: str, seconds: float) -> None:
    assert values.span(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "2", "h", "2 h", "-1h", "1y", "99999w", "1e9s"])
def test_what_is_no_span_is_wrong_usage(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        values.span(text)


def test_a_moment_is_a_time_or_how_long_ago() -> None:
    assert values.moment("2026-03-01T12:00:00Z") == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert values.moment("2026-03-01T12:00:00+02:00") == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert values.moment("2026-03-01") == datetime(2026, 3, 1).astimezone(UTC)
    before = datetime.now(UTC)
    assert before - timedelta(hours=2) <= values.moment("2h") <= datetime.now(UTC) - timedelta(hours=2)


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "", "99999w"])
def test_what_is_no_moment_is_wrong_usage(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        values.moment(text)


@pytest.mark.parametrize("given", [["a"], ["=b"], ["a="], ["a=b", "a=c"]])
def test_what_is_no_pair_is_wrong_usage(given: list[str]) -> None:
    with pytest.raises(typer.BadParameter):
        values.pairs(given, "--map")
    assert values.pairs(["a=b", "c=d=e"], "--map") == {"a": "b", "c": "d=e"}
