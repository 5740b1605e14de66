"""The engine's time between two answers: never ahead of the database, never back, and not guessed for long."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.clock import Clock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MS = timedelta(milliseconds=1)


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
    clock.told(NOON, elapsed())
    elapsed.now += 0.015
    assert clock.now() == NOON + 15 * MS
    elapsed.now += 0.01
    assert clock.now() is None


def test_an_answer_that_took_long_tells_nothing() -> None:
    """Also where nothing else is fresh: a run that fell due since would be found not to be due."""
    elapsed = Elapsed()
    clock = Clock(elapsed)
    clock.told(NOON, elapsed() - 0.06)
    assert clock.now() is None
    clock.told(NOON + 50 * MS, elapsed() - 0.01)
    assert clock.now() == NOON + 50 * MS


def test_nothing_is_guessed_to_be_before_any_answer_however_slow() -> None:
    clock = Clock(Elapsed())
    clock.told(NOON, 1_000.0)
    clock.told(NOON + 5 * MS, 1_000.0 - 0.06)
    assert clock.now() is None


def test_a_clock_that_was_put_back_is_asked_until_it_is_there_again() -> None:
    elapsed = Elapsed()
    clock = Clock(elapsed)
    clock.told(NOON, elapsed())
    elapsed.now += 0.005
    clock.told(NOON - timedelta(seconds=1), elapsed())
    elapsed.now += 0.016
    assert clock.now() is None
    clock.told(NOON - timedelta(seconds=1), elapsed())
    assert clock.now() is None
    elapsed.now += 2.0
    clock.told(NOON + timedelta(seconds=1), elapsed())
    assert clock.now() == NOON + timedelta(seconds=1)


def test_a_clock_that_was_put_forward_is_believed_at_once() -> None:
    clock = Clock(Elapsed())
    clock.told(NOON, 1_000.0)
    clock.told(NOON + timedelta(days=400), 1_000.0)
    assert clock.now() == NOON + timedelta(days=400)


def test_one_answer_is_gone_on_from_for_a_second_at_most() -> None:
    """However often it is confirmed: this machine's clock and the database's do not run alike."""
    elapsed = Elapsed()
    clock = Clock(elapsed)
    clock.told(NOON, elapsed())
    for _ in range(101):
        elapsed.now += 0.01
        late = NOON + timedelta(seconds=elapsed.now - 1_000.0) - 2 * MS
        clock.told(late, elapsed() - 0.004)
        assert clock.now() == (late if elapsed.now > 1_001.001 else late + 2 * MS)


@given(st.lists(st.tuples(st.floats(0, 0.05), st.floats(0, 0.05)), max_size=60))
def test_it_is_never_ahead_never_back_and_late_by_no_more_than_an_answer_may_take(
    answers: list[tuple[float, float]],
) -> None:
    """Whatever each answer took to come, and in whichever order they came."""
    elapsed = Elapsed()
    clock = Clock(elapsed)
    last = NOON
    for pause, took in answers:
        elapsed.now += pause
        true = NOON + timedelta(seconds=elapsed.now)
        clock.told(true - timedelta(seconds=took), elapsed() - took)
        last = max(last, true - timedelta(seconds=took))
        guess = clock.now()
        if guess is not None:
            assert true - timedelta(seconds=0.04) <= guess <= true + timedelta(microseconds=2)
            assert guess >= last
            last = guess
