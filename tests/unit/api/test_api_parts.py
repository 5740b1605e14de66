"""The API's pure parts: what is owed to the crm service, page tokens, conversions, the table of errors."""

from datetime import UTC, datetime
from typing import Any

import asyncpg
import grpc
import orjson
import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from hypothesis import given
from hypothesis import strategies as st
from wayfarer.execution.v1 import execution_service_pb2 as pb

from execution_engine import errors
from execution_engine.definition.faults import Fault
from execution_engine.ids import first_id, new_id, past_id
from services.execution_api import convert, crm_records, paging
from services.execution_api.errors import translate
from services.executors.crm.records import merged

# What is owed to the crm service

names = st.sampled_from(["a", "b", "c"])
values = st.one_of(st.none(), st.integers(0, 3))
patches = st.builds(
    lambda data, fields, tags, replace, addresses: crm_records.patch(
        {**data, **({"fields": fields} if fields is not None else {})},
        tags,
        replace and fields is not None,
        addresses,
    ),
    st.dictionaries(st.sampled_from(["first_name", "last_name"]), st.sampled_from(["", "x", "y"])),
    st.none() | st.dictionaries(names, values),
    st.none() | st.lists(names, unique=True),
    st.booleans(),
    st.dictionaries(st.sampled_from(["email", "phone"]), st.sampled_from(["", "x", "y"])),
)
puts = st.builds(
    lambda fields, tags: crm_records.put(
        {"first_name": "p", "last_name": "p", "fields": fields}, tags, {"email": "p", "phone": ""}
    ),
    st.dictionaries(names, st.integers(0, 3)),
    st.lists(names, unique=True),
)


def carried_over(record: dict[str, Any], owed: bytes) -> dict[str, Any]:
    """What the crm service makes of it."""
    write = orjson.loads(owed)
    if write["do"] == "put":
        return {"data": write["data"], "tags": write["tags"], "addresses": write["addresses"]}
    data = merged(record["data"], write["data"], replace_fields=write["replace"])
    return {
        "data": data,
        "tags": write["tags"] if write["tags"] is not None else record["tags"],
        "addresses": {**record["addresses"], **write["addresses"]},
    }


@given(puts | patches, patches, st.dictionaries(names, st.integers(0, 3)))
def test_two_owed_writes_as_one_do_the_same(first: bytes, then: bytes, fields: dict[str, int]) -> None:
    record = {
        "data": {"first_name": "old", "last_name": "old", "fields": fields},
        "tags": ["old"],
        "addresses": {},
    }
    both = crm_records.both(first, then)
    assert carried_over(record, both) == carried_over(carried_over(record, first), then)
    # Repeating it changes nothing more: it may be carried over twice.
    assert carried_over(carried_over(record, both), both) == carried_over(record, both)


# Page tokens


def test_tokens_come_back_as_they_were() -> None:
    mark = paging.filter_mark(pb.ListExecutionsRequest(workflow="w", page_size=5))
    at = datetime(2026, 1, 2, tzinfo=UTC)
    last = new_id(at)
    token = paging.encode(last.bytes, mark)
    assert paging.decode_id(token, mark) == last
    assert paging.decode_id("", mark) is None
    assert paging.decode_seq(paging.encode((17).to_bytes(4, "big"), mark), mark) == 17
    # Sizes may change on the way, filters not.
    assert mark == paging.filter_mark(pb.ListExecutionsRequest(workflow="w", page_size=9, page_token="x"))
    assert mark != paging.filter_mark(pb.ListExecutionsRequest(workflow="v"))
    assert mark != paging.filter_mark(pb.ListExecutionLogsRequest())


@given(st.text(max_size=60))
def test_no_text_is_a_token_by_chance(text: str) -> None:
    mark = paging.filter_mark(pb.ListExecutionsRequest())
    for decode in (paging.decode_id, paging.decode_seq):
        if text:
            with pytest.raises(errors.PageTokenInvalid):
                decode(text, mark)


# Ids and times


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)))
def test_ids_lie_between_the_bounds_of_their_moment(at: datetime) -> None:
    made = new_id(at)
    assert made.version == 7
    assert first_id(at) <= made < past_id(at)
    assert past_id(at).int - first_id(at).int == 1 << 80


def test_a_moment_before_ids_began_bounds_nothing() -> None:
    assert first_id(datetime(1, 1, 1, tzinfo=UTC)).int == 0
    assert past_id(datetime.max.replace(tzinfo=UTC)).int < 1 << 128


@pytest.mark.parametrize(
    "wrong",
    [Timestamp(seconds=10**15), Timestamp(seconds=-(10**15)), Timestamp(nanos=-1), Timestamp(nanos=10**9)],
)
def test_times_that_are_none_are_refused(wrong: Timestamp) -> None:
    with pytest.raises(errors.InvalidValue, match="from"):
        convert.moment(wrong, "from")


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json, max_size=4))
def test_json_comes_back_as_it_was(data: dict[str, Any]) -> None:
    assert convert.plain(convert.struct(data), "fields") == data
    assert orjson.dumps(convert.plain(convert.struct({"n": 3.0}), "fields")) == b'{"n":3}'


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_has_not_are_refused(number: float) -> None:
    given_ = Struct()
    given_.update({"a": [{"b": number}]})
    with pytest.raises(errors.InvalidValue, match="fields"):
        convert.plain(given_, "fields")


# The table of errors


def every(kind: type[errors.WayfarerError]) -> list[type[errors.WayfarerError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in every(child))]


INSTANCES: list[tuple[errors.WayfarerError, grpc.StatusCode, str]] = [
    (errors.NotFound("workflow", "w"), grpc.StatusCode.NOT_FOUND, "WORKFLOW_NOT_FOUND"),
    (errors.WorkflowNotActive("w"), grpc.StatusCode.FAILED_PRECONDITION, "WORKFLOW_NOT_ACTIVE"),
    (errors.WorkflowArchived("w"), grpc.StatusCode.FAILED_PRECONDITION, "WORKFLOW_ARCHIVED"),
    (errors.WorkflowNotEditable("w"), grpc.StatusCode.FAILED_PRECONDITION, "WORKFLOW_NOT_EDITABLE"),
    (errors.StepLimit(50), grpc.StatusCode.FAILED_PRECONDITION, "STEP_LIMIT"),
    (errors.LastAdminKey(), grpc.StatusCode.FAILED_PRECONDITION, "LAST_ADMIN_KEY"),
    (errors.DraftChanged("w"), grpc.StatusCode.ALREADY_EXISTS, "DRAFT_CHANGED"),
    (errors.WaitExists("w"), grpc.StatusCode.ALREADY_EXISTS, "WAIT_EXISTS"),
    (errors.EventIdReused("e"), grpc.StatusCode.ALREADY_EXISTS, "EVENT_ID_REUSED"),
    (errors.NothingToReplay("e"), grpc.StatusCode.FAILED_PRECONDITION, "NOTHING_TO_REPLAY"),
    (errors.EventUnreadable("e"), grpc.StatusCode.FAILED_PRECONDITION, "EVENT_UNREADABLE"),
    (errors.InvalidValues([Fault("a", "b", "c")]), grpc.StatusCode.INVALID_ARGUMENT, "VALUES_INVALID"),
    (errors.RoleRequired("ADMIN"), grpc.StatusCode.PERMISSION_DENIED, "ROLE_REQUIRED"),
    (errors.IllegalTransition("A", "B"), grpc.StatusCode.FAILED_PRECONDITION, "ILLEGAL_TRANSITION"),
    (errors.ContactOptedOut("c"), grpc.StatusCode.PERMISSION_DENIED, "CONTACT_OPTED_OUT"),
    (errors.ReentryRefused("e"), grpc.StatusCode.ALREADY_EXISTS, "REENTRY_REFUSED"),
    (errors.RequestIdReused("r"), grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"),
    (errors.ExternalIdTaken("x"), grpc.StatusCode.ALREADY_EXISTS, "EXTERNAL_ID_TAKEN"),
    (errors.DocumentMalformed("p", 3, 4), grpc.StatusCode.INVALID_ARGUMENT, "DOCUMENT_MALFORMED"),
    (errors.WorkflowInvalid([Fault("a", "b", "c")]), grpc.StatusCode.INVALID_ARGUMENT, "WORKFLOW_INVALID"),
    (errors.PageTokenInvalid(), grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"),
    (errors.InvalidValue("f", "r", "m"), grpc.StatusCode.INVALID_ARGUMENT, "VALUE_INVALID"),
    (errors.Unauthenticated("m"), grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
    (errors.Overloaded("m", 2.5), grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"),
    (errors.ExecutorUnavailable("crm"), grpc.StatusCode.UNAVAILABLE, "EXECUTOR_UNAVAILABLE"),
]


@pytest.mark.parametrize(("error", "code", "reason"), INSTANCES, ids=[reason for _, _, reason in INSTANCES])
def test_each_error_has_its_code_and_reason(
    error: errors.WayfarerError, code: grpc.StatusCode, reason: str
) -> None:
    status = translate(error)
    assert status is not None
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (status.code, status.message) == (code.value[0], error.message)
    assert (info.reason, info.domain, dict(info.metadata)) == (reason, "wayfarer", error.metadata)


def test_no_error_is_forgotten() -> None:
    leaves = {kind for kind in every(errors.WayfarerError) if not kind.__subclasses__()}
    assert leaves == {type(error) for error, _, _ in INSTANCES}


def test_fields_at_fault_and_times_to_retry_are_told() -> None:
    faults = [
        Fault("steps[0].type", "unknown_type", "no such type", 4, 7),
        Fault("", "type", "not a mapping"),
    ]
    status = translate(errors.WorkflowInvalid(faults))
    assert status is not None
    bad = BadRequest()
    assert status.details[1].Unpack(bad)
    assert [(v.field, v.reason, v.description) for v in bad.field_violations] == [
        ("steps[0].type", "unknown_type", "no such type (line 4, column 7)"),
        ("document", "type", "not a mapping"),
    ]
    status = translate(errors.Overloaded("too much", 2.5))
    assert status is not None
    retry = RetryInfo()
    assert status.details[1].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 2_500


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectionRefusedError(), grpc.StatusCode.UNAVAILABLE),
        (TimeoutError(), grpc.StatusCode.UNAVAILABLE),
        (asyncpg.CannotConnectNowError(), grpc.StatusCode.UNAVAILABLE),
        (asyncpg.ConnectionDoesNotExistError(), grpc.StatusCode.UNAVAILABLE),
        (asyncpg.InterfaceError("closed"), grpc.StatusCode.UNAVAILABLE),
        (asyncpg.DeadlockDetectedError(), grpc.StatusCode.ABORTED),
        (asyncpg.LockNotAvailableError(), grpc.StatusCode.ABORTED),
        (asyncpg.QueryCanceledError(), grpc.StatusCode.ABORTED),
        (asyncpg.DiskFullError(), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
def test_the_databases_troubles_say_that_trying_again_may_help(
    error: Exception, code: grpc.StatusCode
) -> None:
    status = translate(error)
    assert status is not None
    assert status.code == code.value[0]
    assert any(detail.Is(RetryInfo.DESCRIPTOR) for detail in status.details)


def test_faults_of_ours_are_nobodys_business() -> None:
    assert translate(KeyError("x")) is None
    assert translate(asyncpg.UndefinedColumnError("x")) is None
