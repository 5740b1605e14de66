"""R-ERR-3: how long a provider asks us to wait."""

from datetime import UTC, datetime, timedelta

import pytest

from services.executors.providers.http_exchange import pause_asked

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7),
        ({"retry-after": "Fri, 20 Nov 2026 12:01:00 GMT"}, 60),
        ({"Retry-After": "Fri, 20 Nov 2026 11:01:00 GMT"}, 0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "99999999"}, 86_400),
        ({"X-RateLimit-Reset": str(int(NOW.timestamp()) + 30)}, 30),
        ({"X-RateLimit-Reset": str(int(NOW.timestamp()) - 30)}, 0),
        ({"ratelimit-reset": "1", "retry-after": "4"}, 4),
        ({"ratelimit-reset": "9", "retry-after": "4"}, 9),
        ({"ratelimit-reset": "٣"}, None),
    ],
)
def test_the_longest_wait_that_is_asked_counts(headers: dict[str, str], seconds: int | None) -> None:
    wanted = None if seconds is None else timedelta(seconds=seconds)
    assert pause_asked(429, headers, NOW) == wanted


@pytest.mark.parametrize("status", [400, 401, 500, 503])
def test_a_window_is_no_word_on_when_a_failure_is_over(status: int) -> None:
    window = {"ratelimit-reset": "1", "X-RateLimit-Reset": str(int(NOW.timestamp()) + 30)}
    assert pause_asked(status, window, NOW) is None
    assert pause_asked(status, {**window, "Retry-After": "7"}, NOW) == timedelta(seconds=7)
