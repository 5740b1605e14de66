"""What grants and revocations make of access, for any order of them.

R-ACT: grant_course_access, revoke_course_access.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.executors.membership.access import Access, granted, revoked
from services.executors.membership.thinkific_api import pause_of

NOW = datetime(2026, 11, 26, tzinfo=UTC)
ENDS = st.none() | st.integers(1, 1000).map(lambda hours: NOW + timedelta(hours=hours))
MOMENTS = st.integers(-1000, 1000).map(lambda hours: NOW + timedelta(hours=hours))


def fresh(until: datetime | None, effect: str = "new") -> Access:
    return Access("fresh", NOW, until, grant_effect=effect)


@st.composite
def accesses(draw: st.DrawFn) -> Access:
    return Access(
        "known",
        NOW - timedelta(days=100),
        draw(st.none() | MOMENTS),
        draw(st.none() | MOMENTS.filter(lambda when: when <= NOW)),
        draw(st.integers(0, 100)),
        "old",
        draw(st.sampled_from(["", "old revocation"])),
    )


def reach(access: Access) -> datetime:
    """Until when there is access, as of now."""
    return (access.ends_at or datetime.max.replace(tzinfo=UTC)) if access.lasts(NOW) else NOW


@given(st.none() | accesses(), ENDS)
def test_after_a_grant_there_is_access_and_no_less_than_before(
    before: Access | None, until: datetime | None
) -> None:
    decided = granted(before, fresh(until), NOW)
    assert decided.access.lasts(NOW)
    assert reach(decided.access) >= reach(fresh(until))
    assert decided.changed == (before is None or reach(decided.access) > reach(before))
    if before is not None:
        assert reach(decided.access) >= reach(before)
        assert (decided.access.enrollment_id, decided.access.progress) == ("known", before.progress)


@given(accesses(), st.none() | MOMENTS, st.booleans())
def test_after_a_revocation_there_is_no_more_than_before_and_none_beyond_its_time(
    before: Access, at: datetime | None, keep_progress: bool
) -> None:
    decided = revoked(before, at, NOW, keep_progress=keep_progress, effect="new")
    assert reach(decided.access) == min(reach(before), max(at or NOW, NOW))
    assert decided.changed == (reach(decided.access) < reach(before))
    assert decided.write == (decided.access != before)
    assert decided.access.progress == (before.progress if keep_progress else 0)


@given(st.none() | accesses(), ENDS, st.none() | MOMENTS)
def test_an_effect_that_comes_again_changes_nothing_and_is_told_the_same(
    before: Access | None, until: datetime | None, at: datetime | None
) -> None:
    later = NOW + timedelta(minutes=5)
    once = granted(before, fresh(until), NOW)
    again = granted(once.access, replace(fresh(until), granted_at=later), later)
    assert (again.access, again.changed, again.write) == (once.access, once.changed, False)
    gone = revoked(once.access, at, NOW, keep_progress=True, effect="bye")
    twice = revoked(gone.access, at, later, keep_progress=True, effect="bye")
    assert (twice.access, twice.changed, twice.write) == (gone.access, gone.changed, False)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"RateLimit-Reset": str(int(NOW.timestamp()) + 40)}, 40),
        ({"ratelimit-reset": str(int(NOW.timestamp()) - 40)}, 0),
        ({"RateLimit-Reset": "12"}, 12),
        ({"RateLimit-Reset": str(int(NOW.timestamp()) + 5), "Retry-After": "9"}, 9),
        ({"RateLimit-Reset": "soon"}, None),
        ({}, None),
    ],
)
def test_the_pause_thinkific_asks_for(headers: dict[str, str], seconds: int | None) -> None:
    """R-ERR-3."""
    assert pause_of(429, headers, NOW) == (timedelta(seconds=seconds) if seconds is not None else None)
