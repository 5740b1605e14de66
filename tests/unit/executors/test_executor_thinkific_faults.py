"""The table of Thinkific's failures, row by row.

R-ERR-1: the class of every failure, and whether it leaves doubt.
"""

from datetime import timedelta

import pytest

from services.executors.action import Certainty, ErrorClass
from services.executors.membership.thinkific_faults import TABLE, Step, failure, http_codes, row_of

E = ErrorClass
ROWS = [
    (Step.USER, "HTTP_422", E.CONTACT_DATA, False),
    (Step.USER, "HTTP_400", E.CONTACT_DATA, False),
    (Step.ENROLLMENT, "HTTP_404", E.NOT_FOUND, False),
    (Step.ENROLLMENT, "HTTP_422", E.VALIDATION, False),
    (None, "HTTP_401", E.AUTHENTICATION, False),
    (None, "HTTP_403", E.AUTHORIZATION, False),
    (None, "HTTP_404", E.NOT_FOUND, False),
    (None, "HTTP_410", E.NOT_FOUND, False),
    (None, "HTTP_408", E.TIMEOUT, False),
    (None, "HTTP_425", E.RATE_LIMIT, False),
    (None, "HTTP_429", E.RATE_LIMIT, False),
    (None, "HTTP_3xx", E.VALIDATION, False),
    (None, "HTTP_4xx", E.VALIDATION, False),
    (None, "HTTP_503", E.SERVER_ERROR, False),
    (None, "HTTP_5xx", E.SERVER_ERROR, True),
    (None, "STRANGE_ANSWER", E.SERVER_ERROR, True),
    (None, "ADDRESS_REFUSED", E.CONFIGURATION, False),
    (None, "CONNECT_FAILED", E.NETWORK, False),
    (None, "CONNECTION_LOST", E.NETWORK, True),
    (None, "TIMEOUT", E.TIMEOUT, True),
]


@pytest.mark.parametrize(("step", "code", "error_class", "doubt"), ROWS, ids=[f"{r[0]} {r[1]}" for r in ROWS])
def test_row(step: Step | None, code: str, error_class: ErrorClass, doubt: bool) -> None:
    changing = [step] if step is not None else [Step.USER, Step.ENROLLMENT]
    for one in changing:
        failed = failure(one, (code, "HTTP_418"))
        assert failed.error_class is error_class
        assert (failed.certainty is Certainty.INDETERMINATE) == doubt
        assert (failed.code, failed.provider) == (code, "thinkific")
        assert failed.needs_reauthorisation == (code == "HTTP_401")
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
    row = row_of(Step.ENROLLMENT, http_codes(status))
    assert (row.error_class, row.certainty) == (error_class, certainty)


def test_a_pause_is_the_lane_s() -> None:
    assert failure(Step.READ, ("HTTP_429",)).lane == ""
    paused = failure(Step.READ, ("HTTP_429",), timedelta(seconds=3))
    assert (paused.lane, paused.retry_after) == ("courses", timedelta(seconds=3))
