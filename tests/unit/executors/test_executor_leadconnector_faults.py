"""The table of LeadConnector's failures, row by row, and how long its answers say to wait.

R-ERR-1: the class of every failure, whether it leaves doubt, and what is done about it at once.
"""

from datetime import UTC, datetime, timedelta

import pytest

from services.executors.action import Certainty, ErrorClass
from services.executors.crm.leadconnector_api import pause_of
from services.executors.crm.leadconnector_faults import TABLE, Step, Then, failure, http_codes, row_of

E = ErrorClass
ROWS = [
    (None, "CONTACT_GONE", E.NOT_FOUND, False, Then.FORGET),
    (Step.NEW_CONTACT, "HTTP_400", E.CONTACT_DATA, True, Then.SEARCH),
    (Step.NEW_CONTACT, "HTTP_409", E.CONTACT_DATA, True, Then.SEARCH),
    (Step.NEW_CONTACT, "HTTP_422", E.CONTACT_DATA, True, Then.SEARCH),
    (Step.CONTACT, "HTTP_400", E.CONTACT_DATA, False, Then.NOTHING),
    (Step.CONTACT, "HTTP_422", E.CONTACT_DATA, False, Then.NOTHING),
    (Step.CAMPAIGN, "HTTP_400", E.NOT_FOUND, False, Then.NOTHING),
    (Step.CAMPAIGN, "HTTP_404", E.NOT_FOUND, False, Then.NOTHING),
    (Step.OPPORTUNITY, "HTTP_404", E.NOT_FOUND, False, Then.NOTHING),
    (None, "HTTP_401", E.AUTHENTICATION, False, Then.HOLD),
    (None, "HTTP_403", E.AUTHORIZATION, False, Then.NOTHING),
    (None, "HTTP_404", E.NOT_FOUND, False, Then.NOTHING),
    (None, "HTTP_410", E.NOT_FOUND, False, Then.NOTHING),
    (None, "HTTP_408", E.TIMEOUT, False, Then.NOTHING),
    (None, "HTTP_425", E.RATE_LIMIT, False, Then.PAUSE),
    (None, "HTTP_429", E.RATE_LIMIT, False, Then.PAUSE),
    (None, "HTTP_3xx", E.VALIDATION, False, Then.NOTHING),
    (None, "HTTP_4xx", E.VALIDATION, False, Then.NOTHING),
    (None, "HTTP_503", E.SERVER_ERROR, False, Then.NOTHING),
    (None, "HTTP_5xx", E.SERVER_ERROR, True, Then.NOTHING),
    (None, "STRANGE_ANSWER", E.SERVER_ERROR, True, Then.NOTHING),
    (None, "ADDRESS_REFUSED", E.CONFIGURATION, False, Then.NOTHING),
    (None, "CONNECT_FAILED", E.NETWORK, False, Then.NOTHING),
    (None, "CONNECTION_LOST", E.NETWORK, True, Then.NOTHING),
    (None, "TIMEOUT", E.TIMEOUT, True, Then.NOTHING),
]
NOW = datetime(2026, 3, 1, 23, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("step", "code", "error_class", "doubt", "then"), ROWS, ids=[f"{row[0]} {row[1]}" for row in ROWS]
)
def test_row(step: Step | None, code: str, error_class: ErrorClass, doubt: bool, then: Then) -> None:
    for one in [step] if step is not None else [Step.ITEM]:
        failed = failure(one, (code, "HTTP_418"))
        assert failed.error_class is error_class
        assert (failed.certainty is Certainty.INDETERMINATE) == doubt
        assert (failed.code, failed.provider) == (code, "leadconnector")
        assert row_of(one, (code,)).then is then
        assert failed.needs_reauthorisation == (then is Then.HOLD)
    assert failure(Step.READ, (code,)).certainty is Certainty.NOT_DONE


def test_every_row_is_among_these() -> None:
    assert {(row.step, code) for row in TABLE for code in row.codes} == {row[:2] for row in ROWS}
    assert all(row.meaning for row in TABLE)


@pytest.mark.parametrize(
    ("status", "error_class", "certainty"),
    [
        (302, E.VALIDATION, Certainty.NOT_DONE),
        (400, E.VALIDATION, Certainty.NOT_DONE),
        (502, E.SERVER_ERROR, Certainty.INDETERMINATE),
        (700, E.SERVER_ERROR, Certainty.INDETERMINATE),
    ],
)
def test_a_status_without_a_row_goes_by_its_hundred(
    status: int, error_class: ErrorClass, certainty: Certainty
) -> None:
    row = row_of(Step.ITEM, http_codes(status))
    assert (row.error_class, row.certainty) == (error_class, certainty)


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({}, None),
        ({"Retry-After": "3", "X-RateLimit-Interval-Milliseconds": "10000"}, timedelta(seconds=3)),
        ({"X-RateLimit-Interval-Milliseconds": "10000"}, timedelta(seconds=10)),
        ({"X-RateLimit-Interval-Milliseconds": "soon"}, None),
        (
            {"X-RateLimit-Daily-Remaining": "0", "X-RateLimit-Interval-Milliseconds": "10000"},
            timedelta(hours=1),
        ),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], pause: timedelta | None) -> None:
    """R-ERR-3: as others say it; else until the day's requests are there again; else the interval."""
    assert pause_of(429, headers, NOW) == pause


def test_the_limit_s_headers_pause_only_what_was_too_much() -> None:
    """R-ERR-3: every answer has them; Retry-After counts with any."""
    told = {"X-RateLimit-Interval-Milliseconds": "10000", "X-RateLimit-Daily-Remaining": "0"}
    assert pause_of(503, told, NOW) is None
    assert pause_of(503, told | {"Retry-After": "3"}, NOW) == timedelta(seconds=3)
    assert failure(Step.CONTACT, ("HTTP_503",)).lane == ""
    paused = failure(Step.READ, ("HTTP_429",), timedelta(seconds=3))
    assert (paused.lane, paused.retry_after) == ("crm", timedelta(seconds=3))
