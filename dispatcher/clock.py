"""The engine's time between two answers of PostgreSQL's; commit.py asks it before it asks the database.

A commit needs the time before it can hash its log entries. Asking for it is a round trip of its own, which
is much where commits are small; but there one follows closely on another, and the last answer is still fresh.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

_FRESH_S = 0.02
"""Longer than that nothing is guessed: a clock that was set is believed after it."""


class Clock:
    """Never ahead of the database's clock, and never behind what it has told."""

    def __init__(self, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._elapsed = elapsed
        self._told: datetime | None = None
        self._told_at = 0.0

    def told(self, now: datetime) -> None:
        """PostgreSQL said so, now or a moment ago. What took long to come tells nothing new."""
        guess = self.now()
        if guess is None or now > guess:
            self._told, self._told_at = now, self._elapsed()

    def now(self) -> datetime | None:
        """The time, late by as long as the answer took; None if nothing was told lately."""
        if self._told is None:
            return None
        since = self._elapsed() - self._told_at
        return self._told + timedelta(seconds=since) if since <= _FRESH_S else None
