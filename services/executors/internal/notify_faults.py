"""What a refusal of Slack, or of a webhook's receiver, means, as one table; slack.py and webhook.py read it.

Slack names its errors, also with HTTP 200; where the table has none, the HTTP status decides, and without an
answer how far the request came. 500, 502 and 504 may come after the message was taken, and so may Slack's
internal errors, as its reference says; 4xx and 503 say that it was not.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from services.executors.action import Certainty, ErrorClass, Failed
from services.executors.internal.notification import LANE


@dataclass(frozen=True, slots=True)
class Row:
    """These codes are of this class; Slack's own are in upper case."""

    codes: tuple[str, ...]
    error_class: ErrorClass
    certainty: Certainty
    meaning: str
    needs_reauthorisation: bool = False
    """Side effect: the account's choice of provider is marked."""


SLACK: Final = "slack"
WEBHOOK: Final = "webhook"
REFUSED: Final = "OK_FALSE"
"""Slack's error is none of those known."""

_E: Final = ErrorClass
_NOT_DONE: Final = Certainty.NOT_DONE
_UNKNOWN: Final = Certainty.INDETERMINATE

TABLE: Final = (
    Row(
        ("CHANNEL_NOT_FOUND", "IS_ARCHIVED", "CHANNEL_IS_ARCHIVED", "NOT_IN_CHANNEL", "USER_NOT_FOUND"),
        _E.NOT_FOUND,
        _NOT_DONE,
        "the channel is not there, or not to be written to",
    ),
    Row(
        ("INVALID_BLOCKS", "INVALID_PAYLOAD", "MSG_TOO_LONG", "NO_TEXT", "TOO_MANY_ATTACHMENTS"),
        _E.VALIDATION,
        _NOT_DONE,
        "the message is refused",
    ),
    Row(
        ("INVALID_AUTH", "NOT_AUTHED", "ACCOUNT_INACTIVE", "TOKEN_REVOKED", "TOKEN_EXPIRED", "INVALID_TOKEN"),
        _E.AUTHENTICATION,
        _NOT_DONE,
        "the login is refused",
        needs_reauthorisation=True,
    ),
    Row(
        ("NO_SERVICE", "NO_SERVICE_ID", "NO_TEAM", "TEAM_DISABLED", "NO_ACTIVE_HOOKS"),
        _E.CONFIGURATION,
        _NOT_DONE,
        "the incoming webhook is not there any more",
        needs_reauthorisation=True,
    ),
    Row(
        (
            "MISSING_SCOPE",
            "NO_PERMISSION",
            "RESTRICTED_ACTION",
            "ACTION_PROHIBITED",
            "POSTING_TO_GENERAL_CHANNEL_DENIED",
            "EKM_ACCESS_DENIED",
            "TEAM_ACCESS_NOT_GRANTED",
            "ORG_LOGIN_REQUIRED",
        ),
        _E.AUTHORIZATION,
        _NOT_DONE,
        "it is not allowed to write there",
    ),
    Row(
        ("RATELIMITED", "RATE_LIMITED", "MESSAGE_LIMIT_EXCEEDED"),
        _E.RATE_LIMIT,
        _NOT_DONE,
        "too many at a time",
    ),
    Row(("SERVICE_UNAVAILABLE",), _E.SERVER_ERROR, _NOT_DONE, "the service is not available for a moment"),
    Row(("REQUEST_TIMEOUT",), _E.TIMEOUT, _NOT_DONE, "the request came too slowly"),
    Row(("INTERNAL_ERROR", "FATAL_ERROR", "ROLLUP_ERROR"), _E.SERVER_ERROR, _UNKNOWN, "the service failed"),
    Row((REFUSED,), _E.VALIDATION, _NOT_DONE, "the message is refused"),
    Row(("HTTP_401",), _E.AUTHENTICATION, _NOT_DONE, "the login is refused", needs_reauthorisation=True),
    Row(("HTTP_407",), _E.AUTHENTICATION, _NOT_DONE, "a proxy refuses the login"),
    Row(("HTTP_403",), _E.AUTHORIZATION, _NOT_DONE, "it is not allowed"),
    Row(("HTTP_404", "HTTP_410"), _E.NOT_FOUND, _NOT_DONE, "there is no such thing"),
    Row(("HTTP_408",), _E.TIMEOUT, _NOT_DONE, "the request came too slowly"),
    Row(("HTTP_425", "HTTP_429"), _E.RATE_LIMIT, _NOT_DONE, "too many at a time"),
    Row(("HTTP_3xx", "HTTP_4xx"), _E.VALIDATION, _NOT_DONE, "the request is refused"),
    Row(("HTTP_503",), _E.SERVER_ERROR, _NOT_DONE, "the service is not available for a moment"),
    Row(("HTTP_5xx",), _E.SERVER_ERROR, _UNKNOWN, "the service failed"),
    Row(("UNREADABLE",), _E.SERVER_ERROR, _UNKNOWN, "the answer could not be read"),
    Row(("ADDRESS_REFUSED",), _E.CONFIGURATION, _NOT_DONE, "the service is at an internal address"),
    Row(("CONNECT_FAILED",), _E.NETWORK, _NOT_DONE, "the service could not be reached"),
    Row(("CONNECTION_LOST",), _E.NETWORK, _UNKNOWN, "the connection was lost before the answer"),
    Row(("TIMEOUT",), _E.TIMEOUT, _UNKNOWN, "the service did not answer in time"),
)

_STRANGE: Final = Row((), _E.SERVER_ERROR, _UNKNOWN, "an answer that says nothing")
_ROWS: Final = {code: row for row in TABLE for code in row.codes}


def known(code: str) -> bool:
    """Whether the table has a code."""
    return code in _ROWS


def http_codes(status: int) -> tuple[str, str]:
    """Give the codes of an HTTP status."""
    return f"HTTP_{status}", f"HTTP_{status // 100}xx"


def failure(provider: str, codes: tuple[str, ...], pause: timedelta | None = None) -> Failed:
    """Give the result of a notification that was not taken; `codes`, the most telling first."""
    row = next((_ROWS[code] for code in codes if code in _ROWS), _STRANGE)
    lane = LANE if pause is not None else ""
    return Failed(
        row.error_class,
        codes[0],
        row.meaning,
        row.certainty,
        pause,
        provider,
        lane=lane,
        needs_reauthorisation=row.needs_reauthorisation,
    )
