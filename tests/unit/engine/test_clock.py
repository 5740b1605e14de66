"""The engine's time between two answers: never ahead of the database, and nothing is guessed for long."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.clock import Clock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Elapsed:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_the_time_goes_on_from_what_was_told_but_not_for_long() -> None:
    elapsed = Elapsed()
    clock = Clock(elapsed)
    assert clock.now() is None
    clock.told(NOON)
    elapsed.now += 0.015
    assert clock.now() == NOON + timedelta(milliseconds=15)
    elapsed.now += 0.01
    assert clock.now() is None


def test_a_clock_that_was_put_back_is_believed_when_nothing_else_is_fresh() -> None:
    elapsed = Elapsed()
    clock = Clock(elapsed)
    clock.told(NOON)
    clock.told(NOON - timedelta(hours=1))
    assert clock.now() == NOON
    elapsed.now += 0.03
    clock.told(NOON - timedelta(hours=1))
    assert clock.now() == NOON - timedelta(hours=1)


def test_a_clock_that_was_put_forward_is_believed_at_once() -> None:
    clock = Clock(Elapsed())
    clock.told(NOON)
    clock.told(NOON + timedelta(days=400))
    assert clock.now() == NOON + timedelta(days=400)


@given(st.lists(st.tuples(st.floats(0, 0.05), st.floats(0, 0.05)), max_size=40))
def test_it_is_never_ahead_of_the_database_and_late_by_no_more_than_an_answer(
    answers: list[tuple[float, float]],
) -> None:
    """Whatever each answer took to come, and in whichever order they came."""
    elapsed = Elapsed()
    clock = Clock(elapsed)
    for pause, delay in answers:
        elapsed.now += pause
        true = NOON + timedelta(seconds=elapsed.now)
        told = true - timedelta(seconds=delay)
        clock.told(told)
        guess = clock.now()
        assert guess is not None
        assert told <= guess <= true + timedelta(microseconds=1)
