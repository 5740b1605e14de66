"""When a failed attempt is tried again; pure, called by advance. Jitter comes in as a number.

Classes and delays are R-ERR 1 and 2: 60, 120, 240 s … capped at 3,600 s, ± 10 %.
"""

from enum import Enum

from execution_engine.model import ErrorClass


class Disposition(Enum):
    """What a failure of some class leads to unless the step says otherwise."""

    RETRY = "retry"
    SKIP = "skip"
    FAIL = "fail"


_DISPOSITIONS = {
    ErrorClass.UNSPECIFIED: Disposition.RETRY,
    ErrorClass.TIMEOUT: Disposition.RETRY,
    ErrorClass.RATE_LIMIT: Disposition.RETRY,
    ErrorClass.SERVER_ERROR: Disposition.RETRY,
    ErrorClass.NETWORK: Disposition.RETRY,
    ErrorClass.DATABASE: Disposition.RETRY,
    ErrorClass.INDETERMINATE: Disposition.RETRY,
    ErrorClass.VALIDATION: Disposition.SKIP,
    ErrorClass.NOT_FOUND: Disposition.SKIP,
    ErrorClass.CONTACT_DATA: Disposition.SKIP,
    ErrorClass.AUTHENTICATION: Disposition.FAIL,
    ErrorClass.AUTHORIZATION: Disposition.FAIL,
    ErrorClass.CONFIGURATION: Disposition.FAIL,
}


def disposition(error_class: ErrorClass) -> Disposition:
    """The default for a class of failure."""
    return _DISPOSITIONS[error_class]


def delay_s(
    retry: int, base_s: float, cap_s: float, jitter: float, draw: float, retry_after_s: float | None = None
) -> float:
    """Seconds before retry number `retry` (from 1). `draw` in [0, 1) picks within ± jitter.

    A provider's own Retry-After wins over the schedule, but not over the cap.
    """
    if retry_after_s is not None:
        return min(max(retry_after_s, 0.0), cap_s)
    delay = min(base_s * 2.0 ** min(retry - 1, 32), cap_s)
    return float(delay * (1.0 + jitter * (2.0 * draw - 1.0)))
