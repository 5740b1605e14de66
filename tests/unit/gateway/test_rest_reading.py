"""JSON and texts to messages and back: what is taken, what is refused and how it is named (R-API-2)."""

from typing import Any

import orjson
import pytest
from google.protobuf.message import Message
from hypothesis import example, given
from hypothesis import strategies as st
from wayfarer.admin.v1 import account_pb2
from wayfarer.crm.v1 import contact_pb2
from wayfarer.crm.v1 import contact_service_pb2 as contact_pb
from wayfarer.execution.v1 import bulk_service_pb2 as bulk_pb
from wayfarer.execution.v1 import execution_pb2
from wayfarer.execution.v1 import execution_service_pb2 as pb
from wayfarer.execution.v1 import wait_service_pb2 as wait_pb

from services.gateway.rest import naming
from services.gateway.rest.reading import Reader
from services.gateway.rest.writing import Writer
from services.runtime.errors import Violation


def rules(message: Message, data: dict[str, Any]) -> dict[str, str]:
    faults: list[Violation] = []
    Reader().fill(message, data, faults)
    return {fault.field: fault.rule for fault in faults}


def texts(message: Message, **query: list[str]) -> dict[str, str]:
    faults: list[Violation] = []
    fields = {naming.shown(field): field for field in naming.kind(message).fields}
    for name, values in query.items():
        Reader().fill_text(message, fields[name.rstrip("_")], values, faults)
    return {fault.field: fault.rule for fault in faults}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"settings": 5}, {"settings": "type"}),
        ({"settings": {"holidays": "x"}}, {"settings.holidays": "type"}),
        ({"settings": {"holidays": ["x", 5]}}, {"settings.holidays[1]": "type"}),
        ({"settings": {"rates": {"sms": {"per_second": "1"}}}}, {'settings.rates["sms"].per_second': "type"}),
        ({"settings": {"rates": {"sms": None}}}, {'settings.rates["sms"]': "type"}),
        (
            {"settings": {"rates": {"sms": {"per_second": 1e400}}}},
            {'settings.rates["sms"].per_second': "type"},
        ),
        ({"settings": {"notifications": {"off": "true"}}}, {"settings.notifications.off": "type"}),
        ({"settings": {"notifications": {"digest": "5 m"}}}, {"settings.notifications.digest": "duration"}),
        ({"active_limit": 2**31}, {"active_limit": "range"}),
        ({"active_limit": 1.5}, {"active_limit": "type"}),
        ({"active_limit": True}, {"active_limit": "type"}),
        ({"id": -9223372036854775808.0}, {"id": "type"}),
        ({"created_at": "2026-13-01"}, {"created_at": "timestamp"}),
        ({"created_at": "2026-01-01T00:00:00"}, {"created_at": "timestamp"}),
        ({"create_time": "2026-01-01"}, {"create_time": "unknown"}),
        ({"name": None, "settings": None}, {}),
        ({"active_limit": 5.0, "created_at": "2026-01-01t09:30:00.5+02:00"}, {}),
    ],
)
def test_each_fault_has_its_path_and_its_rule(data: dict[str, Any], expected: dict[str, str]) -> None:
    assert rules(account_pb2.Account(), data) == expected


def test_one_of_several() -> None:
    assert rules(bulk_pb.BulkTask(), {"retry": {}, "cancel": {}}) == {"cancel": "oneof"}
    assert rules(bulk_pb.BulkTask(), {"retry": None}) == {"retry": "type"}
    assert rules(bulk_pb.BulkTask(), {"retry": {"filter": {"statuses": ["FAILED", "GONE"]}}}) == {
        "retry.filter.statuses[1]": "enum"
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"limit": ["0"]}, {"limit": "int32.gte"}),
        ({"limit": ["x"]}, {"limit": "type"}),
        ({"limit": ["9" * 30]}, {"limit": "type"}),
        ({"limit": ["1", "2"]}, {"limit": "repeated"}),
        ({"status": [""]}, {"status": "enum"}),
        ({"status": ["EXECUTION_STATUS_FAILED"]}, {"status": "enum"}),
        ({"contact_id": [""]}, {"contact_id": "empty"}),
        ({"from_": ["yesterday"]}, {"from": "timestamp"}),
        ({"page_token": [""], "status": ["FAILED"], "from_": ["2026-01-01"]}, {}),
    ],
)
def test_texts_of_a_query(query: dict[str, list[str]], expected: dict[str, str]) -> None:
    assert texts(pb.ListExecutionsRequest(), **query) == expected


def test_a_date_is_its_first_moment_in_utc() -> None:
    request = pb.ListExecutionsRequest()
    assert texts(request, from_=["2026-01-01"], to=["2026-01-01T01:00:00+01:00"]) == {}
    assert request.create_time_from == request.create_time_to


def test_what_nests_deeper_than_the_api_takes_is_refused_here() -> None:
    """Deeper still, the API could not even read it, and would say nothing helpful."""
    deep: Any = {}
    for _ in range(200):
        deep = {"x": deep}
    assert rules(contact_pb2.Contact(), {"fields": deep}) == {"fields": "struct.too_deep"}


def test_answers_always_have_the_same_shape() -> None:
    """R-API-2: zeros and empty lists are there; what has not come, and unspecified enums, are not."""
    plain = Writer().plain(execution_pb2.Execution(id="x"))
    assert (plain["retry_count"], plain["reason"], plain["pause_requested"]) == (0, "", False)
    assert not {"ended_at", "failure", "status", "blocked_on"} & plain.keys()
    assert Writer().plain(wait_pb.Wait())["event_types"] == []
    newer = Writer().plain(execution_pb2.Execution(status=99))  # type: ignore[arg-type]
    assert newer["status"] == 99


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@example({"far": 1e300, "near": -(2.0**53)}, [], "")
@given(st.dictionaries(st.text(), _JSON, max_size=5), st.lists(st.text(), max_size=3), st.text())
def test_what_is_read_is_written_again(fields: dict[str, Any], tags: list[str], name: str) -> None:
    contact, faults = contact_pb2.Contact(), list[Violation]()
    given = {"first_name": name, "tags": tags, "fields": fields}
    Reader().fill(contact, given, faults)
    assert not faults
    written = orjson.loads(orjson.dumps(Writer().plain(contact)))
    assert {key: written[key] for key in given} == given


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("request_id", "contact", "Idempotency-Key"),
        ("contact", "contact", "body"),
        ("contact.email", "contact", "email"),
        ("contact.tags[3]", "contact", "tags[3]"),
        ("contact.fields.create_time[0].x", "contact", "fields.create_time[0].x"),
        ("contact.update_time", "*", "contact.updated_at"),
        ("update_mask", "contact", "update_mask"),
        ("by", "*", "by"),
        ("document", "*", "document"),
    ],
)
def test_where_a_field_stands_in_the_request(path: str, body: str, expected: str) -> None:
    assert naming.place(path, contact_pb.UpdateContactRequest.DESCRIPTOR, body) == expected
