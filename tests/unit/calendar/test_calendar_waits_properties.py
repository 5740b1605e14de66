"""Waits in all zones around all changes of clocks; business hours against a slow model (R-WAIT-1)."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from execution_engine.calendar.rules import BusinessHours, Holidays
from execution_engine.calendar.waits import UNITS, after, moment_of, next_time, shifted
from execution_engine.calendar.zones import instant
from tests.support.clocks import ZONES, changes, offset, wall

TICK = timedelta(microseconds=1)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
days_of_week = st.frozensets(st.integers(0, 6), min_size=1)
minutes_of_day = st.integers(0, 1_439).map(lambda minute: time(*divmod(minute, 60)))


@st.composite
def nows(draw: st.DrawFn, first_year: int = 1900) -> tuple[ZoneInfo, datetime]:
    """A zone and an instant, mostly within days of a change of its clocks."""
    key, year = draw(st.sampled_from(ZONES)), draw(st.integers(first_year, 2090))
    found = changes(key, year)
    around = draw(st.sampled_from(found)).at if found else datetime(year, 6, 1, tzinfo=UTC)
    seconds = draw(st.integers(-3 * 86_400, 86_400))
    return ZoneInfo(key), around + timedelta(seconds=seconds)


@st.composite
def openings(draw: st.DrawFn) -> BusinessHours:
    first, second = sorted(draw(st.sets(minutes_of_day, min_size=2, max_size=2)))
    return BusinessHours(draw(days_of_week), first, second)


def days_off(first: date, which: list[int]) -> Holidays:
    return Holidays(frozenset(first + ahead * DAY for ahead in which))


some_days_off = st.lists(st.integers(0, 8), max_size=4)


def in_a_gap(moment: datetime, zone: ZoneInfo) -> bool:
    """Whether clocks jump forward at this very instant, so that it stands for what they jumped over."""
    return offset(moment - TICK, zone) < offset(moment, zone)


@given(nows(), minutes_of_day, days_of_week, some_days_off)
def test_the_next_time_is_as_asked_and_the_first(
    given: tuple[ZoneInfo, datetime], at: time, days: frozenset[int], off: list[int]
) -> None:
    zone, now = given
    today = wall(now, zone).date()
    holidays = days_off(today, off)
    found = next_time(now, at, days, zone, holidays)
    assert found > now
    shown = wall(found, zone)
    if not in_a_gap(found, zone):
        assert shown.time() == at
        assert shown.weekday() in days
        assert not holidays.has(shown.date())
    asked = [
        datetime.combine(today + ahead * DAY, at)
        for ahead in range(-1, 30)
        if (today + ahead * DAY).weekday() in days and not holidays.has(today + ahead * DAY)
    ]
    assert found == min(moment for moment in (instant(each, zone) for each in asked) if moment > now)


@given(nows(), st.integers(0, 400), st.sampled_from(UNITS), openings(), some_days_off)
def test_a_wait_is_never_over_before_it_began(
    given: tuple[ZoneInfo, datetime], amount: int, unit: str, hours: BusinessHours, off: list[int]
) -> None:
    zone, now = given
    try:
        found = after(now, amount, unit, zone, hours, days_off(wall(now, zone).date(), off))
    except ValueError:
        assert unit == "business_hours" or unit == "business_days"
        return
    assert found > now if amount else found == now
    assert found.tzinfo is UTC


@given(nows(), st.integers(1, 20), openings(), some_days_off, st.booleans())
def test_days_on_show_the_same_wall_clock(
    given: tuple[ZoneInfo, datetime], amount: int, hours: BusinessHours, off: list[int], business: bool
) -> None:
    zone, now = given
    here = wall(now, zone)
    holidays = days_off(here.date(), off)
    found = after(now, amount, "business_days" if business else "calendar_days", zone, hours, holidays)

    def counts(day: date) -> bool:
        return not business or (day.weekday() in hours.days and not holidays.has(day))

    day = here.date()
    while not counts(day):
        day += DAY
    for _ in range(amount):
        day += DAY
        while not counts(day):
            day += DAY
    assert found == instant(datetime.combine(day, here.time()), zone)
    if not in_a_gap(found, zone):
        assert wall(found, zone) == datetime.combine(day, here.time())


@settings(max_examples=60)
@given(nows(first_year=1975), openings(), some_days_off, st.integers(1, 24))
def test_business_hours_add_up_minute_by_minute(
    given: tuple[ZoneInfo, datetime], hours: BusinessHours, off: list[int], amount: int
) -> None:
    zone, now = given
    now = now.replace(second=0)
    holidays = days_off(wall(now, zone).date(), off)
    horizon = now + 12 * DAY
    expected = slowly(now, amount, zone, hours, holidays, horizon)
    if expected is None:
        assert passed(lambda: after(now, amount, "business_hours", zone, hours, holidays), horizon)
    else:
        assert after(now, amount, "business_hours", zone, hours, holidays) == expected


def passed(ask: Callable[[], datetime], horizon: datetime) -> bool:
    """Whether the answer is after the horizon, or none within 400 business days."""
    try:
        return ask() > horizon
    except ValueError:
        return True


def slowly(
    now: datetime, amount: int, zone: ZoneInfo, hours: BusinessHours, holidays: Holidays, horizon: datetime
) -> datetime | None:
    """The end of `amount` open hours, counted minute by minute; a place is open by the latest that
    its clocks have ever shown, so that a repeated hour neither opens nor closes it again.
    """
    minute, latest, left = now - 2 * DAY, datetime.min, amount * 60
    while minute < horizon:
        latest = max(latest, wall(minute, zone))
        is_open = (
            latest.weekday() in hours.days
            and not holidays.has(latest.date())
            and hours.opens <= latest.time() < hours.closes
        )
        minute += MINUTE
        left -= is_open and minute > now
        if left == 0:
            return minute
    return None


@given(nows(), minutes_of_day)
def test_a_date_field_and_its_offset_agree_with_zoneinfo(given: tuple[ZoneInfo, datetime], at: time) -> None:
    zone, now = given
    assert moment_of(now.isoformat(), zone, None) == now
    local = wall(now, zone)
    assert moment_of(local.isoformat(), zone, None) <= now, "the first time clocks show it"
    assert moment_of(now.isoformat(), zone, at) == instant(datetime.combine(local.date(), at), zone)
    back_and_forth = shifted(shifted(now, 90.0, 0, zone), -90.0, 0, zone)
    assert back_and_forth == now


@given(nows(), st.integers(-400, 400).filter(bool))
def test_an_offset_of_days_is_the_same_wall_clock(given: tuple[ZoneInfo, datetime], days: int) -> None:
    zone, now = given
    assert shifted(now, None, days, zone) == instant(wall(now, zone) + days * DAY, zone)


@given(st.text() | st.floats() | st.integers() | st.datetimes().map(str) | st.dates().map(str))
def test_whatever_a_field_holds_it_is_an_instant_or_a_sentence(value: object) -> None:
    zone = ZoneInfo("America/St_Johns")
    try:
        found = moment_of(value, zone, None)
    except ValueError:  # any other error is the end of this test
        return
    assert found.tzinfo is UTC
