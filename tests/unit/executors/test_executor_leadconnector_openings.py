"""Which opportunity an errand opened. G5."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.executors.crm.leadconnector_openings import noted, opened
from services.executors.crm.provider import Sight

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SENT = noted([{"id": "old"}], None, NOW)
MARKED = noted([{"id": "old"}], "field", NOW)
WANTED = {"name": "Pro", "monetaryValue": 5.0}


def one(name: str = "new", *, minutes: float = 0, **changes: Any) -> dict[str, Any]:
    opened_at = (NOW + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")
    return {"id": name, "name": "Pro", "monetaryValue": 5, "createdAt": opened_at, **changes}


def held(value: object, key: str = "fieldValue") -> dict[str, Any]:
    return {"customFields": [{"id": "other", key: "[wf:ours]"}, {"id": "field", key: value}]}


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        ([], Sight.NOT_THERE),
        ([one("old")], Sight.NOT_THERE),
        ([one("old"), one()], "new"),
        ([one() | {"name": "Basic"}], Sight.NOT_THERE),
        ([one(minutes=-6)], Sight.NOT_THERE),
        ([one(minutes=6)], Sight.NOT_THERE),
        ([one(minutes=-4), one("later", minutes=6)], "new"),
        ([one(), one("alike")], Sight.CANNOT_TELL),
        ([one(monetaryValue=6)], Sight.CANNOT_TELL),
        ([one(createdAt=None)], Sight.CANNOT_TELL),
        ([one(createdAt="yesterday")], Sight.CANNOT_TELL),
    ],
)
def test_without_a_mark(theirs: list[dict[str, Any]], expected: str | Sight) -> None:
    """G5: the only one that can be ours, else none."""
    found = opened(theirs, SENT, "[wf:ours]", WANTED)
    assert (found["id"] if isinstance(found, dict) else found) == expected


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        ([one(**held("[wf:ours]")), one("alike")], "new"),
        ([one("alike"), one(minutes=99, **held("[wf:ours]", "fieldValueString"))], "new"),
        ([one(**held("[wf:ours]")) | {"name": "Renamed", "monetaryValue": 9}], "new"),
        ([one(**held("[wf:another]"))], Sight.NOT_THERE),
        ([one(**held(None))], Sight.CANNOT_TELL),
        ([one(customFields="?")], Sight.CANNOT_TELL),
        ([one(minutes=9)], Sight.NOT_THERE),
    ],
)
def test_with_a_mark(theirs: list[dict[str, Any]], expected: str | Sight) -> None:
    """G5: the one that holds it; one of another effect is not ours; one without may have lost it."""
    found = opened(theirs, MARKED, "[wf:ours]", WANTED)
    assert (found["id"] if isinstance(found, dict) else found) == expected


def test_what_was_noted_before_there_were_marks_and_times() -> None:
    """G5: an errand that was under way when this came."""
    found = opened([one(minutes=99)], {"before": ["old"]}, "[wf:ours]", WANTED)
    assert isinstance(found, dict)
