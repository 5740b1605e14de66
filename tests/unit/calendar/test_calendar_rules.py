"""Business hours, holidays, days and times of day as settings and steps write them (R-WAIT-1)."""

from datetime import date, time
from typing import Any

import pytest

from execution_engine.calendar.rules import (
    BusinessHours,
    Holidays,
    business_hours_of,
    holidays_of,
    time_of_day,
    weekdays_of,
)


def test_what_is_left_out_is_a_working_week() -> None:
    usual = BusinessHours(frozenset({0, 1, 2, 3, 4}), time(9), time(17))
    assert business_hours_of(None) == business_hours_of({}) == BusinessHours() == usual
    assert business_hours_of({"to": "18:30"}) == BusinessHours(closes=time(18, 30))


def test_business_hours_as_written() -> None:
    given = {"days": ["sat", "Sunday"], "from": "08:15", "to": "12:00:30"}
    assert business_hours_of(given) == BusinessHours(frozenset({5, 6}), time(8, 15), time(12, 0, 30))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "mapping"),
        ({"open": "09:00"}, "'open'"),
        ({"days": []}, "days: .* at least one"),
        ({"days": "mon"}, "days: .* list"),
        ({"days": ["mon", "funday"]}, "days: 'funday'"),
        ({"from": "9"}, "from: '9'"),
        ({"to": "24:00"}, "to: '24:00'"),
        ({"to": None}, "to: None"),
        ({"from": "17:00"}, "before they close"),
        ({"from": "22:00", "to": "06:00"}, "before they close"),
    ],
)
def test_bad_business_hours_say_what_is_wrong(given: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        business_hours_of(given)


@pytest.mark.parametrize("days", [frozenset(), frozenset({7}), frozenset({-1, 3})])
def test_business_hours_need_days_of_a_week(days: frozenset[int]) -> None:
    with pytest.raises(ValueError, match="need days"):
        BusinessHours(days)


def test_holidays_of_one_year_and_of_every_year() -> None:
    holidays = holidays_of(["2026-12-25", "05-01", "02-29"])
    assert holidays == Holidays(frozenset({date(2026, 12, 25)}), frozenset({(5, 1), (2, 29)}))
    assert holidays.has(date(2026, 12, 25))
    assert not holidays.has(date(2027, 12, 25))
    assert holidays.has(date(2031, 5, 1))
    assert not holidays_of([]).has(date(2026, 5, 1))


@pytest.mark.parametrize(
    "item", ["2026-02-29", "02-30", "13-01", "1-1", "25.12.2026", "", "12-25\n", 1225, None]
)
def test_a_bad_holiday_is_named(item: Any) -> None:
    with pytest.raises(ValueError, match=r"(?s)is not a (holiday|day)"):
        holidays_of(["01-01", item])


@pytest.mark.parametrize("items", ["12-25", None, 5])
def test_holidays_are_a_list(items: Any) -> None:
    with pytest.raises(ValueError, match="a list"):
        holidays_of(items)


def test_times_of_day() -> None:
    assert time_of_day("00:00") == time(0)
    assert time_of_day("23:59:59") == time(23, 59, 59)


@pytest.mark.parametrize(
    "text", ["", "9:00", "09", "24:00", "12:60", "12:00:60", "12:00 ", "09:00\n", "٠٩:٠٠", 9, None]
)
def test_a_bad_time_of_day_is_named(text: Any) -> None:
    with pytest.raises(ValueError, match="is not a time of day"):
        time_of_day(text)


def test_weekdays_by_any_name() -> None:
    assert weekdays_of(["mon", "TUESDAY", "Wed"]) == frozenset({0, 1, 2})
    assert weekdays_of(["weekdays"]) == frozenset(range(5))
    assert weekdays_of(["weekends", "sun"]) == frozenset({5, 6})


@pytest.mark.parametrize("names", [[], "mon", None, ["m"], [0], [None], ["mon", ""]])
def test_bad_weekdays_are_named(names: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a day|are a list"):
        weekdays_of(names)
