"""Time rules: R-WAIT-1, A-33, A-34, G8. Properties over every zone and both of its clock changes."""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_engine.calendar.cron import Cron
from execution_engine.calendar.rules import (
    BusinessHours,
    Holidays,
    business_hours_of,
    holidays_of,
    time_of_day,
    weekdays_of,
)
from execution_engine.calendar.waits import after, moment_of, next_time, shifted
from execution_engine.calendar.zones import instant, zone_of

BERLIN = ZoneInfo("Europe/Berlin")
UTC_ZONE = ZoneInfo("UTC")
NONE = Holidays()
HOURS = BusinessHours()
ZONES = sorted(available_timezones())
EVERY = frozenset(range(7))


def berlin(text: str) -> datetime:
    """An instant by Berlin's wall clock, outside of clock changes."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(UTC)


@cache
def changes(name: str) -> tuple[datetime, ...]:
    """The clock changes of a zone in 2026 and 2027, to the minute, found by looking."""
    zone, found = ZoneInfo(name), []
    at = datetime(2026, 1, 1, tzinfo=UTC)
    while at < datetime(2028, 1, 1, tzinfo=UTC):
        step = timedelta(days=1)
        if at.astimezone(zone).utcoffset() != (at + step).astimezone(zone).utcoffset():
            low, high = at, at + step
            while high - low > timedelta(minutes=1):
                middle = low + (high - low) / 2
                same = middle.astimezone(zone).utcoffset() == at.astimezone(zone).utcoffset()
                low, high = (middle, high) if same else (low, middle)
            found.append(high.replace(second=0, microsecond=0))
        at += step
    return tuple(found)


def test_a_time_in_the_gap_is_the_first_instant_after_it() -> None:
    """A-34, clocks forward."""
    assert instant(datetime(2026, 3, 29, 2, 30), BERLIN) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    now = berlin("2026-03-28T12:00")
    assert next_time(now, time(2, 30), EVERY, BERLIN, None) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)


def test_a_time_that_comes_twice_is_the_first() -> None:
    """A-34, clocks back."""
    assert instant(datetime(2026, 10, 25, 2, 30), BERLIN) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    now = datetime(2026, 10, 25, 0, 31, tzinfo=UTC)  # past the first 02:30, before the second
    assert next_time(now, time(2, 30), EVERY, BERLIN, None) == berlin("2026-10-26T02:30")


def test_nine_on_a_weekday_that_is_no_holiday() -> None:
    """A-33: Friday 10:00, Monday a holiday to skip: Tuesday 09:00 Berlin."""
    friday = berlin("2026-11-20T10:00")
    holidays = holidays_of(["2026-11-23"])
    days = weekdays_of(["weekdays"])
    assert next_time(friday, time(9), days, BERLIN, holidays) == berlin("2026-11-24T09:00")
    assert next_time(friday, time(9), days, BERLIN, None) == berlin("2026-11-23T09:00")
    assert next_time(friday, time(10), days, BERLIN, None) == berlin("2026-11-23T10:00")


@pytest.mark.parametrize(
    ("amount", "unit", "expected"),
    [
        (90, "seconds", "2026-11-20T10:01:30"),
        (2, "hours", "2026-11-20T12:00"),
        (1, "weeks", "2026-11-27T10:00"),
        (3, "calendar_days", "2026-11-23T10:00"),
        (1, "business_days", "2026-11-23T10:00"),
        (6, "business_days", "2026-11-30T10:00"),
        (7, "business_hours", "2026-11-20T17:00"),
        (8, "business_hours", "2026-11-23T10:00"),
        (16, "business_hours", "2026-11-24T10:00"),
    ],
)
def test_amounts_from_a_friday_at_ten(amount: int, unit: str, expected: str) -> None:
    assert after(berlin("2026-11-20T10:00"), amount, unit, BERLIN, HOURS, NONE) == berlin(expected)


def test_days_of_24_hours_and_calendar_days_differ_over_a_clock_change() -> None:
    now = berlin("2026-03-28T12:00")
    assert after(now, 1, "days", BERLIN, HOURS, NONE) == berlin("2026-03-29T13:00")
    assert after(now, 1, "calendar_days", BERLIN, HOURS, NONE) == berlin("2026-03-29T12:00")


def test_what_never_comes_is_refused() -> None:
    yearly = Holidays(
        yearly=frozenset((d.month, d.day) for d in (date(2024, 1, 1) + timedelta(n) for n in range(366)))
    )
    now = berlin("2026-03-28T12:00")
    with pytest.raises(ValueError, match="ten years"):
        next_time(now, time(9), EVERY, BERLIN, yearly)
    for unit in ("business_days", "business_hours"):
        with pytest.raises(ValueError, match="ten years"):
            after(now, 1, unit, BERLIN, HOURS, yearly)


@given(st.sampled_from(ZONES), st.integers(0, 3), st.integers(-26 * 60, 26 * 60))
def test_wall_clocks_agree_with_zoneinfo_around_every_change(name: str, which: int, minutes: int) -> None:
    zone = ZoneInfo(name)
    found = changes(name)
    base = found[which % len(found)] if found else datetime(2026, 6, 1, tzinfo=UTC)
    local = (base + timedelta(minutes=minutes)).astimezone(zone).replace(tzinfo=None, fold=0)
    for wall in (local, local + timedelta(minutes=30)):
        at = instant(wall, zone)
        shown = at.astimezone(zone).replace(tzinfo=None)
        if shown == wall:
            earlier = at - timedelta(minutes=1)
            # No earlier instant shows the same time: of two, the first.
            assert all(
                (at - timedelta(minutes=m)).astimezone(zone).replace(tzinfo=None) != wall
                for m in range(1, 181)
            )
            assert earlier < at
        else:
            assert shown > wall  # a gap: past it, and right past it
            before = (at - timedelta(seconds=1)).astimezone(zone).replace(tzinfo=None)
            assert before < wall


@given(
    st.sampled_from(ZONES),
    st.integers(0, 2 * 366 * 1440),
    st.times(),
    st.frozensets(st.integers(0, 6), min_size=1),
)
def test_the_next_time_is_the_next(name: str, minute: int, at: time, days: frozenset[int]) -> None:
    zone = ZoneInfo(name)
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    at = at.replace(microsecond=0, tzinfo=None)
    found = next_time(now, at, days, zone, None)
    assert now < found <= now + timedelta(days=9)
    local = found.astimezone(zone)
    if local.time() == at:
        assert local.weekday() in days
    else:
        assert local.time() > at or at.hour == 23  # a gap moved it on
    # Nothing was passed over: each whole day in between has no such day.
    day = now.astimezone(zone).date() + timedelta(days=1)
    while day < local.date():
        passed = day.weekday() not in days or instant(datetime.combine(day, at), zone) in (found, now)
        assert passed or instant(datetime.combine(day, at), zone) <= now
        day += timedelta(days=1)


@given(
    st.integers(0, 14 * 1440),
    st.integers(1, 30),
    st.frozensets(st.integers(0, 6), min_size=1),
    st.integers(0, 20),
    st.integers(1, 3),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
)
def test_business_hours_add_up(
    minute: int, amount: int, days: frozenset[int], opens: int, length: int, name: str
) -> None:
    """Against a model that counts open minutes one by one."""
    zone = ZoneInfo(name)
    hours = BusinessHours(days, time(opens), time(opens + length))
    now = datetime(2026, 3, 20, tzinfo=UTC) + timedelta(minutes=minute)
    found = after(now, amount, "business_hours", zone, hours, NONE)
    left, at = amount * 60, now
    while left:
        local = at.astimezone(zone)
        if local.weekday() in days and time(opens) <= local.time().replace(tzinfo=None) < time(
            opens + length
        ):
            left -= 1
        at += timedelta(minutes=1)
    assert abs(found - at) <= timedelta(hours=1)  # the model counts a repeated hour as it is shown
    if not any(now <= change <= found for change in changes(name)):
        assert found == at


def test_moments() -> None:
    assert moment_of("2026-12-24", BERLIN, None) == berlin("2026-12-24T00:00")
    assert moment_of("2026-12-24", BERLIN, time(9)) == berlin("2026-12-24T09:00")
    assert moment_of("2026-12-24T18:30", BERLIN, None) == berlin("2026-12-24T18:30")
    assert moment_of("2026-12-24T18:30Z", BERLIN, None) == datetime(2026, 12, 24, 18, 30, tzinfo=UTC)
    assert moment_of(1_800_000_000, BERLIN, None) == moment_of(1_800_000_000_000, BERLIN, None)
    assert moment_of("1800000000", BERLIN, None) == moment_of(1_800_000_000, BERLIN, None)
    wrong: object
    for wrong in ("", "tomorrow", None, True, "2026-13-01", float("inf"), ()):
        with pytest.raises(ValueError, match=r"must be|is no"):
            moment_of(wrong, BERLIN, None)


def test_offsets_of_days_move_the_wall_clock() -> None:
    birthday = berlin("2026-03-30T09:00")
    assert shifted(birthday, 0, -3, BERLIN) == berlin("2026-03-27T09:00")
    assert shifted(birthday, -3600.0, 0, BERLIN) == berlin("2026-03-30T08:00")


def test_zones_fall_back() -> None:
    assert zone_of("Mars/Base", "", "Europe/Berlin") == (BERLIN, "Europe/Berlin")
    assert zone_of("", "nowhere") == (UTC_ZONE, "UTC")


@pytest.mark.parametrize("text", ["25:00", "9:00", "09:60", "", "noon", None, 9])
def test_times_of_day_are_checked(text: object) -> None:
    with pytest.raises(ValueError, match="time of day"):
        time_of_day(text)  # type: ignore[arg-type]


def test_settings_are_read_and_checked() -> None:
    hours = business_hours_of({"days": ["mon", "Saturday"], "from": "08:00", "to": "12:30"})
    assert hours == BusinessHours(frozenset({0, 5}), time(8), time(12, 30))
    assert business_hours_of(None) == HOURS
    wrong_hours: tuple[dict[str, object], ...] = (
        {"from": "18:00", "to": "09:00"},
        {"day": ["mon"]},
        {"days": []},
        {"days": ["noday"]},
    )
    for given_hours in wrong_hours:
        with pytest.raises(ValueError, match=r"must be|is no|there is no"):
            business_hours_of(given_hours)
    holidays = holidays_of(["2026-05-01", "12-25", "02-29"])
    assert holidays.has(date(2030, 12, 25))
    assert holidays.has(date(2026, 5, 1))
    assert not holidays.has(date(2027, 5, 1))
    for bad in (["2026-02-30"], ["25-12"], [5], "12-25"):
        with pytest.raises(ValueError, match=r"is no date|must be"):
            holidays_of(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 9 * * mon", "2026-11-23T09:00"),
        ("*/15 * * * *", "2026-11-20T10:15"),
        ("30 8 1 * *", "2026-12-01T08:30"),
        ("0 0 29 2 *", "2028-02-29T00:00"),
        ("0 9 13 * fri", "2026-11-27T09:00"),
        ("0 9-17/4 * * 1-5", "2026-11-20T13:00"),
        ("0 12 * dec sun", "2026-12-06T12:00"),
        ("0 12 * * 7", "2026-11-22T12:00"),
    ],
)
def test_cron(text: str, expected: str) -> None:
    assert Cron.parse(text).next_after(berlin("2026-11-20T10:00"), BERLIN) == berlin(expected)


def test_cron_over_clock_changes() -> None:
    daily = Cron.parse("30 2 * * *")
    gap = daily.next_after(berlin("2026-03-28T12:00"), BERLIN)
    assert gap == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    assert daily.next_after(gap, BERLIN) == berlin("2026-03-30T02:30")
    first = daily.next_after(berlin("2026-10-24T12:00"), BERLIN)
    assert first == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert daily.next_after(first, BERLIN) == berlin("2026-10-26T02:30")
    assert Cron.parse("0 0 31 2 *").next_after(first, BERLIN) is None


@pytest.mark.parametrize(
    "text",
    [
        "* * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "5-1 * * * *",
        "*/0 * * * *",
        "a * * * *",
        "",
        "1,,2 * * * *",
    ],
)
def test_cron_is_checked(text: str) -> None:
    with pytest.raises(ValueError, match=r"five fields|not within|no step|backwards"):
        Cron.parse(text)
