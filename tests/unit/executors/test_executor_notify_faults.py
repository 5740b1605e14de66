"""The table of what Slack's and receivers' refusals mean, row by row, against what practitioners do about each.

R-ERR-1: the class of every code.
"""

from datetime import timedelta

import pytest

from services.executors.action import Certainty, ErrorClass
from services.executors.internal.notify_faults import SLACK, TABLE, failure, http_codes

RETRY = {ErrorClass.SERVER_ERROR, ErrorClass.NETWORK, ErrorClass.TIMEOUT}
LATER = {ErrorClass.RATE_LIMIT}
NEVER = {ErrorClass.VALIDATION, ErrorClass.NOT_FOUND}
OURS = {ErrorClass.AUTHENTICATION, ErrorClass.AUTHORIZATION, ErrorClass.CONFIGURATION}

ROWS = [
    *(
        (code, NEVER)
        for code in (
            "CHANNEL_NOT_FOUND",
            "IS_ARCHIVED",
            "CHANNEL_IS_ARCHIVED",
            "NOT_IN_CHANNEL",
            "USER_NOT_FOUND",
            "INVALID_BLOCKS",
            "INVALID_PAYLOAD",
            "MSG_TOO_LONG",
            "NO_TEXT",
            "TOO_MANY_ATTACHMENTS",
            "OK_FALSE",
            "HTTP_404",
            "HTTP_410",
            "HTTP_3xx",
            "HTTP_4xx",
        )
    ),
    *(
        (code, OURS)
        for code in (
            "INVALID_AUTH",
            "NOT_AUTHED",
            "ACCOUNT_INACTIVE",
            "TOKEN_REVOKED",
            "TOKEN_EXPIRED",
            "INVALID_TOKEN",
            "NO_SERVICE",
            "NO_SERVICE_ID",
            "NO_TEAM",
            "TEAM_DISABLED",
            "NO_ACTIVE_HOOKS",
            "MISSING_SCOPE",
            "NO_PERMISSION",
            "RESTRICTED_ACTION",
            "ACTION_PROHIBITED",
            "POSTING_TO_GENERAL_CHANNEL_DENIED",
            "EKM_ACCESS_DENIED",
            "TEAM_ACCESS_NOT_GRANTED",
            "ORG_LOGIN_REQUIRED",
            "HTTP_401",
            "HTTP_403",
            "HTTP_407",
            "ADDRESS_REFUSED",
        )
    ),
    *(
        (code, LATER)
        for code in ("RATELIMITED", "RATE_LIMITED", "MESSAGE_LIMIT_EXCEEDED", "HTTP_425", "HTTP_429")
    ),
    *((code, RETRY) for code in ("SERVICE_UNAVAILABLE", "REQUEST_TIMEOUT", "INTERNAL_ERROR", "FATAL_ERROR")),
    *((code, RETRY) for code in ("ROLLUP_ERROR", "HTTP_408", "HTTP_503", "HTTP_5xx", "UNREADABLE")),
    *((code, RETRY) for code in ("CONNECT_FAILED", "CONNECTION_LOST", "TIMEOUT")),
]
UNCERTAIN = {"INTERNAL_ERROR", "FATAL_ERROR", "ROLLUP_ERROR", "HTTP_5xx", "UNREADABLE"}
UNCERTAIN |= {"CONNECTION_LOST", "TIMEOUT"}
REAUTHORISE = {"INVALID_AUTH", "NOT_AUTHED", "ACCOUNT_INACTIVE", "TOKEN_REVOKED", "TOKEN_EXPIRED", "HTTP_401"}
REAUTHORISE |= {"INVALID_TOKEN", "NO_SERVICE", "NO_SERVICE_ID", "NO_TEAM", "TEAM_DISABLED", "NO_ACTIVE_HOOKS"}


@pytest.mark.parametrize(("code", "classes"), ROWS, ids=[row[0] for row in ROWS])
def test_row(code: str, classes: set[ErrorClass]) -> None:
    result = failure(SLACK, (code, "HTTP_418", "HTTP_4xx"))
    assert (result.code, result.provider) == (code, SLACK)
    assert result.error_class in classes
    assert (result.certainty is Certainty.INDETERMINATE) == (code in UNCERTAIN)
    assert result.needs_reauthorisation == (code in REAUTHORISE)


def test_every_row_is_among_these_and_each_code_is_in_one_row() -> None:
    codes = [code for row in TABLE for code in row.codes]
    assert sorted(codes) == sorted(code for code, _ in ROWS)
    assert len(set(codes)) == len(codes)


def test_the_status_decides_where_slack_says_nothing_known() -> None:
    result = failure(SLACK, ("BRAND_NEW", *http_codes(403)))
    assert (result.code, result.error_class) == ("BRAND_NEW", ErrorClass.AUTHORIZATION)
    strange = failure(SLACK, http_codes(101))
    assert (strange.error_class, strange.certainty) == (ErrorClass.SERVER_ERROR, Certainty.INDETERMINATE)


def test_a_pause_names_the_lane_that_waits() -> None:
    result = failure(SLACK, http_codes(429), timedelta(seconds=3))
    assert (result.retry_after, result.lane) == (timedelta(seconds=3), "notification")
    assert not failure(SLACK, http_codes(429)).lane
