"""Cron schedules as vixie cron means them, in every zone (A-34's rules for clocks that change; R-WAIT-1)."""

from datetime import UTC, datetime, time, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution_engine.calendar.cron import Cron
from execution_engine.calendar.zones import instant
from tests.support.clocks import ZONES, changes, wall

BERLIN, ZULU = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")
DAY = timedelta(days=1)


def run(text: str, start: str, count: int, zone: ZoneInfo = BERLIN) -> list[str]:
    """The next instants of a schedule, as clocks in the zone show them with their offset."""

    def instants() -> Any:
        now = datetime.fromisoformat(start).replace(tzinfo=zone)
        while (found := Cron.parse(text).next_after(now, zone)) is not None:
            assert found.tzinfo is UTC
            assert found > now
            yield found.astimezone(zone).isoformat(timespec="minutes")
            now = found

    return list(islice(instants(), count))


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        ("0 9 * * *", "2026-06-01T09:00", "2026-06-02T09:00+02:00"),
        ("0 9 * * *", "2026-06-01T08:59:59", "2026-06-01T09:00+02:00"),
        ("*/15 * * * *", "2026-06-01T10:07:30", "2026-06-01T10:15+02:00"),
        ("30 8-17/3 * * mon-fri", "2026-06-05T17:31", "2026-06-08T08:30+02:00"),
        ("0 0 1 jan,JUL *", "2026-02-01T00:00", "2026-07-01T00:00+02:00"),
        ("0 12 * * 0", "2026-06-03T00:00", "2026-06-07T12:00+02:00"),
        ("0 12 * * 7", "2026-06-03T00:00", "2026-06-07T12:00+02:00"),
        ("0 12 * * Sun", "2026-06-03T00:00", "2026-06-07T12:00+02:00"),
        ("0 12 * * sat-sun", "2026-06-06T13:00", "2026-06-07T12:00+02:00"),
        ("0 12 * * sun-mon", "2026-06-07T13:00", "2026-06-08T12:00+02:00"),
        ("0 12 * * 1-7", "2026-06-06T13:00", "2026-06-07T12:00+02:00"),
        ("0 0 29 2 *", "2096-02-29T00:00", "2104-02-29T00:00+01:00"),
        ("0 0 13 * 5", "2026-06-01T00:00", "2026-06-05T00:00+02:00"),  # either: a Friday
        ("0 0 13 * 5", "2026-06-12T00:00", "2026-06-13T00:00+02:00"),  # or: a 13th
        ("0 0 13 * */5", "2026-06-01T00:00", "2026-09-13T00:00+02:00"),  # a star restricts nothing: both
        ("0 0 */31 * 5", "2026-06-02T00:00", "2027-01-01T00:00+01:00"),  # likewise
        (" 5,10-12\t4  31 * * ", "2026-06-01T00:00", "2026-07-31T04:05+02:00"),
    ],
)
def test_worked_examples(text: str, start: str, expected: str) -> None:
    assert run(text, start, 1) == [expected]


def test_a_gap_is_one_instant_and_repeats_are_none() -> None:
    spring = run("*/30 * * * *", "2026-03-29T01:00", 3)
    assert spring == ["2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00", "2026-03-29T03:30+02:00"]
    assert run("30 2 * * *", "2026-03-28T12:00", 2) == ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]
    assert run("30 2 * * *", "2026-10-24T12:00", 2) == ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]
    autumn = run("*/30 * * * *", "2026-10-25T01:45", 3)
    assert autumn == ["2026-10-25T02:00+02:00", "2026-10-25T02:30+02:00", "2026-10-25T03:00+01:00"]


@pytest.mark.parametrize("text", ["0 0 31 2 *", "0 0 30 feb */7", "0 0 31 4,6,9,11 *"])
def test_never_within_eight_years(text: str) -> None:
    assert Cron.parse(text).next_after(datetime(2026, 1, 1, tzinfo=UTC), BERLIN) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "five fields"),
        ("@daily", "five fields"),
        ("* * * *", "five fields"),
        ("* * * * * *", "five fields"),
        ("* " * 100_000, "five fields"),
        ("60 * * * *", "minute: '60' is not from 0 to 59"),
        ("* 24 * * *", "hour: '24' is not from 0 to 23"),
        ("* * 0 * *", "day-of-month: '0' is not from 1 to 31"),
        ("* * * 13 *", "month: '13' is not from 1 to 12"),
        ("* * * * 8", "day-of-week: '8' is not from 0 to 7"),
        ("* * * jane *", "month: 'jane' is none of jan, feb"),
        ("mon * * * *", "minute: 'mon' is no number"),
        ("* * * * monday", "day-of-week: 'monday' is none of sun, mon"),
        ("30-10 * * * *", "minute: '30-10' is a range that ends before it starts"),
        ("* * * * 5-2", "day-of-week: '5-2' is a range that ends"),
        ("*/0 * * * *", "minute: .* step from 1 to 60"),
        ("*/61 * * * *", "minute: .* step from 1 to 60"),
        ("*/ * * * *", "minute: .* step"),
        ("0/15 * * * *", "minute: '0/15' steps from a single value; write 0-59/15"),
        ("1,,2 * * * *", "minute: '' is no value"),
        ("-5 * * * *", "minute: '-5' is no value"),
        ("5-*/2 * * * *", "minute: .* is no value"),
        ("٥ * * * *", "minute: '٥' is no value"),
        ("9" * 900 + " * * * *", "minute: .* is not from"),
        ("0 0 L * *", "day-of-month: 'l' is no number"),
        ("0 0 ? * *", r"day-of-month: '\?' is no value"),
        ("0 0 * * 5#2", "day-of-week: '5#2' is no value"),
    ],
)
def test_a_bad_schedule_names_field_and_rule(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Cron.parse(text)


def field(low: int, high: int) -> st.SearchStrategy[str]:
    """One field: a star, a step, a value, a range or a list, all in bounds."""
    values = st.integers(low, high).map(str)
    spans = st.tuples(st.integers(low, high), st.integers(low, high)).map(lambda two: sorted(two))
    ranges = spans.map(lambda two: f"{two[0]}-{two[1]}")
    steps = st.tuples(ranges | st.just("*"), st.integers(1, high - low)).map(lambda two: f"{two[0]}/{two[1]}")
    lists = st.lists(values | ranges | steps, min_size=1, max_size=3).map(",".join)
    return st.just("*") | lists


def allowed(text: str, low: int, high: int) -> set[int]:
    """The same field read another way, for comparison."""
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        found |= {
            n for n in range(int(first), int(last or first) + 1) if (n - int(first)) % int(step or 1) == 0
        }
    return found


schedules = st.tuples(field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7)).map(" ".join)


def matches(text: str, local: datetime) -> bool:
    """Whether a wall-clock minute is one of the schedule."""
    minute, hour, by_month, month, by_week = text.split()
    in_month = local.day in allowed(by_month, 1, 31)
    in_week = local.isoweekday() % 7 in {day % 7 for day in allowed(by_week, 0, 7)}
    star = by_month.startswith("*") or by_week.startswith("*")
    return (
        local.minute in allowed(minute, 0, 59)
        and local.hour in allowed(hour, 0, 23)
        and local.month in allowed(month, 1, 12)
        and (in_month and in_week if star else in_month or in_week)
    )


@settings(max_examples=60)
@given(schedules, st.sampled_from(ZONES), st.integers(1975, 2090), st.integers(-100_000, 50_000), st.data())
def test_the_next_is_the_first_that_matches(
    text: str, key: str, year: int, seconds: int, data: st.DataObject
) -> None:
    """Against a walk over every wall-clock minute of three days, in every zone, around every change."""
    zone = ZoneInfo(key)
    found = changes(key, year)
    around = data.draw(st.sampled_from(found)).at if found else datetime(year, 2, 27, tzinfo=UTC)
    now = around + timedelta(seconds=seconds)
    start = datetime.combine(wall(now, zone).date(), time()) - DAY
    minutes = (start + timedelta(minutes=ahead) for ahead in range(4 * 1_440))
    asked = (instant(local, zone) for local in minutes if matches(text, local))
    expected = next((moment for moment in asked if moment > now), None)
    answer = Cron.parse(text).next_after(now, zone)
    if expected is None:
        assert answer is None or answer >= instant(start + 4 * DAY, zone)
    else:
        assert answer == expected


@given(st.text(alphabet="0123456789*/-, abcdefjmnorstuwy", max_size=40) | st.text(max_size=40))
def test_any_text_is_a_schedule_or_a_sentence(text: str) -> None:
    try:
        schedule = Cron.parse(text)
    except ValueError:  # any other error is the end of this test
        return
    found = schedule.next_after(datetime(2026, 1, 1, tzinfo=UTC), ZULU)
    assert found is None or found.second == 0
