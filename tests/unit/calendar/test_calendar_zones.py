"""What a wall-clock time means in every zone, on every night its clocks change (R-WAIT-1, A-34)."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_engine.calendar.zones import instant, utc, wall_clock, zone_of
from tests.support.clocks import ZONES, changes, offset, wall

BERLIN = ZoneInfo("Europe/Berlin")
TICK = timedelta(microseconds=1)


@st.composite
def local_times(draw: st.DrawFn) -> tuple[ZoneInfo, datetime]:
    """A zone and a wall-clock time of it, mostly within a day of a change of its clocks."""
    key, year = draw(st.sampled_from(ZONES)), draw(st.integers(1880, 2090))
    found = changes(key, year)
    around = draw(st.sampled_from(found)).walls[0] if found else datetime(year, 6, 1)
    return ZoneInfo(key), around + draw(st.timedeltas(timedelta(hours=-26), timedelta(hours=26)))


def test_a_time_in_the_gap_is_the_first_instant_after_it() -> None:
    assert instant(datetime(2026, 3, 29, 2, 30), BERLIN) == datetime.fromisoformat("2026-03-29T03:00+02:00")
    assert instant(datetime(2026, 3, 29, 2), BERLIN) == datetime.fromisoformat("2026-03-29T03:00+02:00")
    assert instant(datetime(2026, 3, 29, 1, 59, 59), BERLIN) == datetime.fromisoformat(
        "2026-03-29T01:59:59+01:00"
    )
    assert instant(datetime(2026, 3, 29, 3), BERLIN) == datetime.fromisoformat("2026-03-29T03:00+02:00")


def test_a_repeated_time_is_the_first_of_the_two() -> None:
    assert instant(datetime(2026, 10, 25, 2, 30), BERLIN) == datetime.fromisoformat("2026-10-25T02:30+02:00")
    assert instant(datetime(2026, 10, 25, 3), BERLIN) == datetime.fromisoformat("2026-10-25T03:00+01:00")
    assert instant(datetime(2026, 10, 25, 2, 30, fold=1), BERLIN).hour == 0, "fold is not asked"


@pytest.mark.parametrize(
    ("zone", "local", "expected"),
    [
        ("Pacific/Apia", "2011-12-30T09:00", "2011-12-31T00:00+14:00"),  # a day that never was
        ("Australia/Lord_Howe", "2026-10-04T02:10", "2026-10-04T02:30+11:00"),  # half an hour
        ("America/Nuuk", "2026-03-28T23:30", "2026-03-29T00:00-01:00"),  # a gap that ends a day
        ("Africa/Cairo", "2026-04-24T00:15", "2026-04-24T01:00+03:00"),  # no midnight
        ("Asia/Kathmandu", "2026-01-01T00:00", "2026-01-01T00:00+05:45"),
    ],
)
def test_odd_clocks(zone: str, local: str, expected: str) -> None:
    assert instant(datetime.fromisoformat(local), ZoneInfo(zone)) == datetime.fromisoformat(expected)


@pytest.mark.parametrize("year", [2025, 2026, 2027])
def test_every_change_of_every_zone(year: int) -> None:
    seen = set()
    for key in ZONES:
        zone = ZoneInfo(key)
        for change in changes(key, year):
            last, first = change.walls
            low, high = sorted((last, first))
            assert instant(low - TICK, zone) == utc((low - TICK - change.before).replace(tzinfo=UTC))
            assert instant(high, zone) == utc((high - change.after).replace(tzinfo=UTC))
            for inside in (low, low + (high - low) / 3, high - TICK):
                expected = change.at if first > last else (inside - change.before).replace(tzinfo=UTC)
                assert instant(inside, zone) == expected, (key, inside)
            seen.add(first > last)
    assert seen == {True, False}, "years with neither gaps nor repeats prove nothing"


@given(local_times())
def test_it_is_the_first_instant_whose_clocks_have_reached_it(given: tuple[ZoneInfo, datetime]) -> None:
    zone, local = given
    found = instant(local, zone)
    assert found.tzinfo is UTC
    assert wall(found, zone) >= local
    for before in (TICK, *(timedelta(minutes=15 * quarter) for quarter in range(1, 106))):
        assert wall(found - before, zone) < local, f"clocks had reached it {before} earlier"
    if wall(found, zone) != local:
        assert offset(found - TICK, zone) < offset(found, zone), "only a gap may move a wall clock"


@given(local_times(), st.timedeltas(timedelta(0), timedelta(hours=30)))
def test_a_later_wall_clock_is_never_an_earlier_instant(
    given: tuple[ZoneInfo, datetime], later: timedelta
) -> None:
    zone, local = given
    assert instant(local, zone) <= instant(local + later, zone)


@given(local_times())
def test_wall_clocks_are_those_of_zoneinfo(given: tuple[ZoneInfo, datetime]) -> None:
    zone, local = given
    moment = local.replace(tzinfo=UTC)
    assert wall_clock(moment, zone) == moment.astimezone(zone).replace(tzinfo=None)


def test_instants_need_an_offset_and_wall_clocks_have_none() -> None:
    with pytest.raises(ValueError, match="needs an offset"):
        wall_clock(datetime(2026, 1, 1), BERLIN)
    with pytest.raises(ValueError, match="has no offset"):
        instant(datetime(2026, 1, 1, tzinfo=UTC), BERLIN)


@pytest.mark.parametrize("local", [datetime.min, datetime.max, datetime(9981, 1, 1)])
def test_the_ends_of_time_are_refused(local: datetime) -> None:
    with pytest.raises(ValueError, match="out of range"):
        instant(local, BERLIN)


def test_every_zone_is_found_by_its_name() -> None:
    for key in ZONES:
        zone, name = zone_of("", key, "UTC")
        assert (zone.key, name) == (key, key)


@pytest.mark.parametrize(
    "name",
    ["", "Mars/Olympus", "Europe", "../etc/passwd", "/etc/localtime", "a\0b", "x" * 5_000, "é", "\ud800", ".",
     "zone.tab", "localtime", "posixrules", "right/Europe/Berlin", "posix/Europe/Berlin", "Factory", "+02"],
)  # fmt: skip
def test_a_name_that_is_no_zone_is_passed_over(name: str) -> None:
    assert zone_of(name, "Europe/Berlin") == (BERLIN, "Europe/Berlin")
    assert zone_of(name)[1] == "UTC"


def test_the_first_valid_zone_wins() -> None:
    assert zone_of("Asia/Tokyo", "Europe/Berlin")[1] == "Asia/Tokyo"
    assert zone_of()[0] == ZoneInfo("UTC")
