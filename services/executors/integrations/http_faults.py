"""What an HTTP status means for a webhook, as a table; webhook_call reads it, the first match counts.

500, 502 and 504 may come after the receiver has done its work; 4xx and 503 say that it has not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from services.executors.action import Certainty, ErrorClass, Failed

PROVIDER: Final = "webhook"

_MAX_PAUSE: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Row:
    """Statuses `low`..`high` are of this class."""

    low: int
    high: int
    error_class: ErrorClass
    certainty: Certainty


TABLE: Final = (
    Row(200, 299, ErrorClass.VALIDATION, Certainty.INDETERMINATE),  # taken, but not among success_codes
    Row(300, 399, ErrorClass.VALIDATION, Certainty.NOT_DONE),  # redirects that are not followed
    Row(401, 401, ErrorClass.AUTHENTICATION, Certainty.NOT_DONE),
    Row(403, 403, ErrorClass.AUTHORIZATION, Certainty.NOT_DONE),
    Row(404, 404, ErrorClass.NOT_FOUND, Certainty.NOT_DONE),
    Row(407, 407, ErrorClass.AUTHENTICATION, Certainty.NOT_DONE),
    Row(408, 408, ErrorClass.TIMEOUT, Certainty.NOT_DONE),
    Row(410, 410, ErrorClass.NOT_FOUND, Certainty.NOT_DONE),
    Row(425, 425, ErrorClass.RATE_LIMIT, Certainty.NOT_DONE),
    Row(429, 429, ErrorClass.RATE_LIMIT, Certainty.NOT_DONE),
    Row(400, 499, ErrorClass.VALIDATION, Certainty.NOT_DONE),
    Row(503, 503, ErrorClass.SERVER_ERROR, Certainty.NOT_DONE),
    Row(500, 599, ErrorClass.SERVER_ERROR, Certainty.INDETERMINATE),
)

_STRANGE: Final = Row(0, 999, ErrorClass.SERVER_ERROR, Certainty.INDETERMINATE)
_MAY_SAY_WHEN: Final = (408, 425, 429, 503)
_NAME_A_LANE: Final = (429, 503)


def failure(status: int, retry_after: str, host: str) -> Failed:
    """Give the result of a call answered with a status that is no success."""
    row = next((row for row in TABLE if row.low <= status <= row.high), _STRANGE)
    pause = pause_asked(retry_after) if status in _MAY_SAY_WHEN else None
    return Failed(
        row.error_class,
        f"HTTP_{status}",
        f"the receiver answered {status}",
        row.certainty,
        pause,
        PROVIDER,
        lane=f"webhook:{host}" if pause is not None and status in _NAME_A_LANE else "",
    )


def pause_asked(
    retry_after: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> timedelta | None:
    """Read Retry-After, seconds or an HTTP date; None if it says nothing sensible, at most 7 days."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=int(text[:9])), _MAX_PAUSE)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return min(max(when - now(), timedelta(0)), _MAX_PAUSE)
