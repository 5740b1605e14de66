"""The engine's time between two answers of PostgreSQL's; commit.py tells it and asks it.

A commit needs the time before it can hash its log entries. Asking for it is a round trip of its own, which
is much where commits are small; but there one follows closely on another, and the last answer is still fresh.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

_FRESH_S = 0.02
"""An answer that took longer tells too little; and longer after one nothing is guessed: clocks are set."""
_DRIFT_S = 1.0
"""How long one answer may be gone on from, confirmed by others: two clocks do not run alike."""


class Clock:
    """Never ahead of the database's clock, never back, and late by no more than an answer may take."""

    def __init__(self, elapsed: Callable[[], float] = time.monotonic) -> None:
        self.elapsed = elapsed
        """Seconds of a clock that nobody sets."""
        self._latest = datetime.min.replace(tzinfo=UTC)
        self._base = self._latest
        self._base_at = self._confirmed_at = float("-inf")

    def told(self, now: datetime, asked_at: float) -> None:
        """PostgreSQL was asked at `asked_at` of `elapsed`, and its answer has just come."""
        came_at = self.elapsed()
        if came_at - asked_at > _FRESH_S:
            self._latest = max(self._latest, now)
            return
        guess = self._guess(came_at)
        if now >= self._latest and (guess is None or now >= guess):
            self._base, self._base_at, self._confirmed_at = now, came_at, came_at
            self._latest = now
        elif guess is not None and guess - now <= timedelta(seconds=_FRESH_S):
            self._confirmed_at = came_at  # only its way took longer than that of the answer gone on from

    def now(self) -> datetime | None:
        """The time, or None if it must be asked for."""
        guess = self._guess(self.elapsed())
        if guess is None or guess < self._latest:
            return None
        self._latest = guess
        return guess

    def _guess(self, at: float) -> datetime | None:
        if at - self._confirmed_at > _FRESH_S or at - self._base_at > _DRIFT_S:
            return None
        return self._base + timedelta(seconds=at - self._base_at)
