"""When a wait for a time is over (R-WAIT-1, R-WAIT-4, A-32, A-33, A-34): worked examples and bounds."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from execution_engine.calendar.rules import BusinessHours, Holidays, holidays_of, weekdays_of
from execution_engine.calendar.waits import UNITS, after, moment_of, next_time, shifted

BERLIN = ZoneInfo("Europe/Berlin")
WEEK, NONE = BusinessHours(), Holidays()
EVERY_DAY = frozenset(range(7))
ALWAYS = Holidays(yearly=frozenset((month, day) for month in range(1, 13) for day in range(1, 32)))
FRIDAY = datetime(2026, 5, 22, 10, tzinfo=BERLIN)  # the Monday after is Whit Monday
WHIT_MONDAY = holidays_of(["2026-05-25"])


def berlin(text: str) -> datetime:
    """An instant by what clocks in Berlin show."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("amount", "unit", "expected"),
    [
        (90, "seconds", "2026-05-22T10:01:30"),
        (90, "minutes", "2026-05-22T11:30"),
        (36, "hours", "2026-05-23T22:00"),
        (2, "days", "2026-05-24T10:00"),
        (1, "weeks", "2026-05-29T10:00"),
        (3, "calendar_days", "2026-05-25T10:00"),
        (7, "business_hours", "2026-05-22T17:00"),
        (8, "business_hours", "2026-05-26T10:00"),
        (1, "business_days", "2026-05-26T10:00"),
        (5, "business_days", "2026-06-01T10:00"),
    ],
)
def test_after_an_amount_of_time(amount: int, unit: str, expected: str) -> None:
    found = after(FRIDAY, amount, unit, BERLIN, WEEK, WHIT_MONDAY)
    assert found == berlin(expected)
    assert found.tzinfo is UTC


def test_a_day_is_24_hours_and_a_calendar_day_is_a_wall_clock() -> None:
    eve = berlin("2026-03-28T10:00")
    assert after(eve, 1, "days", BERLIN, WEEK, NONE) == berlin("2026-03-29T11:00")
    assert after(eve, 1, "calendar_days", BERLIN, WEEK, NONE) == berlin("2026-03-29T10:00")
    late = berlin("2026-03-28T02:30")
    assert after(late, 1, "calendar_days", BERLIN, WEEK, NONE) == berlin("2026-03-29T03:00")


@pytest.mark.parametrize(
    ("now", "amount", "unit", "expected"),
    [
        ("2026-06-05T16:30", 1, "business_hours", "2026-06-08T09:30"),  # over the weekend
        ("2026-06-06T12:00", 1, "business_hours", "2026-06-08T10:00"),  # from a closed day
        ("2026-06-05T08:00", 1, "business_hours", "2026-06-05T10:00"),  # before opening
        ("2026-06-05T17:00", 1, "business_hours", "2026-06-08T10:00"),  # at closing
        ("2026-06-05T09:00", 40, "business_hours", "2026-06-11T17:00"),  # a week of them
        ("2026-06-06T12:00", 1, "business_days", "2026-06-09T12:00"),  # Saturday counts from Monday
        ("2026-06-05T22:00", 1, "business_days", "2026-06-08T22:00"),  # an open day, though closed by now
    ],
)
def test_business_time(now: str, amount: int, unit: str, expected: str) -> None:
    assert after(berlin(now), amount, unit, BERLIN, WEEK, NONE) == berlin(expected)


def test_business_hours_are_real_hours_when_clocks_change_within_them() -> None:
    nights = BusinessHours(EVERY_DAY, time(1), time(4))
    spring, autumn = berlin("2026-03-29T00:30"), berlin("2026-10-25T00:30")
    assert after(spring, 2, "business_hours", BERLIN, nights, NONE) == berlin("2026-03-29T04:00")
    assert after(autumn, 4, "business_hours", BERLIN, nights, NONE) == berlin("2026-10-25T04:00")


@pytest.mark.parametrize("unit", UNITS)
def test_nothing_of_anything_is_now(unit: str) -> None:
    assert after(FRIDAY, 0, unit, BERLIN, WEEK, ALWAYS) == FRIDAY


@pytest.mark.parametrize(
    ("amount", "unit", "hours", "holidays", "said"),
    [
        (1, "fortnights", WEEK, NONE, "'fortnights' is not a unit"),
        (-1, "hours", WEEK, NONE, "not negative"),
        (10**30, "seconds", WEEK, NONE, "ten years"),
        (3_654, "calendar_days", WEEK, NONE, "ten years"),
        (401, "business_days", WEEK, NONE, "400 business days"),
        (10**30, "business_hours", WEEK, NONE, "400 business days"),
        (1, "business_days", WEEK, ALWAYS, "no 1 business days"),
        (1, "business_hours", WEEK, ALWAYS, "no 1 business hours"),
        (7, "business_hours", BusinessHours(closes=time(9, 1)), NONE, "no 7 business hours"),
    ],
)
def test_a_wait_that_cannot_be_says_so(
    amount: int, unit: str, hours: BusinessHours, holidays: Holidays, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        after(FRIDAY, amount, unit, BERLIN, hours, holidays)


def test_the_longest_waits_there_are() -> None:
    assert after(FRIDAY, 400, "business_days", BERLIN, WEEK, NONE) == berlin("2027-12-03T10:00")
    short = BusinessHours(closes=time(9, 1))
    assert after(FRIDAY, 6, "business_hours", BERLIN, short, NONE) > berlin("2027-09-01T00:00")


def test_nine_o_clock_on_weekdays_passes_a_weekend_and_a_holiday() -> None:
    """A-33, to the letter."""
    found = next_time(FRIDAY, time(9), weekdays_of(["weekdays"]), BERLIN, WHIT_MONDAY)
    assert found == datetime.fromisoformat("2026-05-26T09:00+02:00")
    assert found.tzinfo is UTC
    careless = next_time(FRIDAY, time(9), weekdays_of(["weekdays"]), BERLIN, None)
    assert careless == datetime.fromisoformat("2026-05-25T09:00+02:00"), "holidays matter only when given"


def test_the_night_clocks_change() -> None:
    """A-34, to the letter."""
    spring = next_time(berlin("2026-03-28T12:00"), time(2, 30), EVERY_DAY, BERLIN, None)
    assert spring == datetime.fromisoformat("2026-03-29T03:00+02:00")
    autumn = next_time(berlin("2026-10-24T12:00"), time(2, 30), EVERY_DAY, BERLIN, None)
    assert autumn == datetime.fromisoformat("2026-10-25T02:30+02:00")
    assert next_time(autumn, time(2, 30), EVERY_DAY, BERLIN, None) == berlin("2026-10-26T02:30"), "once"


def test_it_is_the_contacts_day_and_offset_that_count() -> None:
    sunday_in_utc = datetime(2026, 6, 7, 22, 30, tzinfo=UTC)  # Monday 00:30 in Berlin
    assert next_time(sunday_in_utc, time(9), frozenset({0}), BERLIN, None) == berlin("2026-06-08T09:00")
    new_york = ZoneInfo("America/New_York")
    evening = datetime(2026, 6, 7, 20, 30, tzinfo=new_york)  # Monday already in UTC
    assert next_time(evening, time(21), frozenset({6}), new_york, None) == evening + timedelta(minutes=30)
    winter = berlin("2026-03-28T23:00")
    assert next_time(winter, time(9), EVERY_DAY, BERLIN, None) == datetime(2026, 3, 29, 7, tzinfo=UTC)


def test_now_itself_is_not_next() -> None:
    nine = berlin("2026-06-08T09:00")
    assert next_time(nine, time(9), frozenset({0}), BERLIN, None) == berlin("2026-06-15T09:00")
    a_tick_before = nine - timedelta(microseconds=1)
    assert next_time(a_tick_before, time(9), frozenset({0}), BERLIN, None) == nine


@pytest.mark.parametrize(("days", "holidays"), [(frozenset[int](), None), (EVERY_DAY, ALWAYS)])
def test_a_time_that_never_comes(days: frozenset[int], holidays: Holidays | None) -> None:
    with pytest.raises(ValueError, match="ten years"):
        next_time(FRIDAY, time(9), days, BERLIN, holidays)


@pytest.mark.parametrize(
    ("value", "at", "expected"),
    [
        ("2026-06-01", None, "2026-06-01T00:00+02:00"),
        ("2026-06-01", time(9, 30), "2026-06-01T09:30+02:00"),
        ("20260601", None, "2026-06-01T00:00+02:00"),
        ("2026-W23-1", None, "2026-06-01T00:00+02:00"),
        ("2026-06-01T12:00", None, "2026-06-01T12:00+02:00"),
        (" 2026-06-01 12:00:05.25 ", None, "2026-06-01T12:00:05.250+02:00"),
        ("2026-06-01T12:00Z", None, "2026-06-01T12:00+00:00"),
        ("2026-06-01t12:00z", None, "2026-06-01T12:00+00:00"),
        ("2026-06-01T12:00-05:00", None, "2026-06-01T12:00-05:00"),
        ("2026-06-01 12:00:00+00", None, "2026-06-01T12:00+00:00"),
        ("2026-06-01T23:00Z", time(9), "2026-06-02T09:00+02:00"),  # the 2nd in Berlin by then
        ("2026-03-29T02:30", None, "2026-03-29T03:00+02:00"),
        ("2026-10-25T02:30", None, "2026-10-25T02:30+02:00"),
        (1_780_300_800, None, "2026-06-01T10:00+02:00"),
        (1_780_300_800.5, None, "2026-06-01T10:00:00.5+02:00"),
        (1_780_300_800_000, None, "2026-06-01T10:00+02:00"),
        ("1780300800", None, "2026-06-01T10:00+02:00"),
        ("1780300800000", time(9), "2026-06-01T09:00+02:00"),
        (0, None, "1970-01-01T01:00+01:00"),
        (-3600, None, "1970-01-01T00:00+01:00"),
        ("1912-02-29", None, "1912-02-29T00:00+01:00"),
    ],
)
def test_what_a_date_field_may_hold(value: object, at: time | None, expected: str) -> None:
    found = moment_of(value, BERLIN, at)
    assert found == datetime.fromisoformat(expected)
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    ["", "soon", "tomorrow", "01.06.2026", "2026-13-01", "2026-02-29", "2026-06-01T25:00", "2026-06-01T24:00",
     "2026-06-01X12:00", "2026-06-01T", "2026-06-01T12:00+99:00", "2026-06-01T12:00 CEST", "1" * 5_000,
     "9" * 15, "9999-12-31", "0001-01-01T00:00+14:00", "٢٠٢٦-٠٦-٠١", None, True, [], {}, date(2026, 6, 1),
     float("nan"), float("inf"), 10**400, -(10**15), 1e300],
)  # fmt: skip
@pytest.mark.parametrize("at", [None, time(9)])
def test_what_is_no_date_says_so(value: Any, at: time | None) -> None:
    with pytest.raises(ValueError, match=r"ISO 8601|not a time|out of range|text or a number"):
        moment_of(value, BERLIN, at)


@pytest.mark.parametrize(
    ("seconds", "days", "expected"),
    [
        (None, 0, "2026-03-28T10:00"),
        (None, 1, "2026-03-29T10:00"),  # 23 hours
        (86_400.0, 0, "2026-03-29T11:00"),
        (None, -28, "2026-02-28T10:00"),
        (-1.5, 0, "2026-03-28T09:59:58.5"),
        (3_600.0, 1, "2026-03-29T11:00"),
    ],
)
def test_an_offset_moves_days_by_the_wall_clock(seconds: float | None, days: int, expected: str) -> None:
    assert shifted(berlin("2026-03-28T10:00"), seconds, days, BERLIN) == berlin(expected)


def test_no_offset_keeps_the_second_of_two() -> None:
    second = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)  # 02:30 for the second time
    assert shifted(second, None, 0, BERLIN) == second


@pytest.mark.parametrize(("seconds", "days"), [(1e300, 0), (None, 10**9), (None, 10**12), (float("nan"), 0)])
def test_an_offset_beyond_time_says_so(seconds: float | None, days: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        shifted(FRIDAY, seconds, days, BERLIN)


@pytest.mark.parametrize("moment", [datetime(2026, 1, 1), datetime.max.replace(tzinfo=UTC)])
def test_now_is_an_instant_within_reach(moment: datetime) -> None:
    for unit in UNITS:
        with pytest.raises(ValueError, match=r"needs an offset|out of range"):
            after(moment, 1, unit, BERLIN, WEEK, NONE)
    with pytest.raises(ValueError, match=r"needs an offset|out of range"):
        next_time(moment, time(9), EVERY_DAY, BERLIN, None)


def test_the_last_day_within_reach_ends_in_words() -> None:
    last = datetime(9980, 12, 31, tzinfo=UTC)
    for unit in UNITS[4:]:
        with pytest.raises(ValueError, match=r"."):
            after(last, 400, unit, BERLIN, WEEK, NONE)
    with pytest.raises(ValueError, match="ten years"):
        next_time(last, time(9), EVERY_DAY, BERLIN, ALWAYS)
