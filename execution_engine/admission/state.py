"""What is known of one lane of one account: pause, breaker, rate; admission.py moves it."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from execution_engine.model import BlockedOn
from execution_engine.moves import Blocked

_SECOND = timedelta(seconds=1)
_LEAST_GAP = timedelta(microseconds=10)
_MOST_DOUBLINGS = 12.0


@dataclass(frozen=True, slots=True)
class Rate:
    """What the account allows itself on a lane; 0 for no limit."""

    per_second: float = 0.0
    per_day: int = 0


@dataclass(frozen=True, slots=True)
class Settings:
    """When breakers open, for how long, and how the blocked are let go again."""

    failures_to_open: int = 20
    cool_down: timedelta = timedelta(seconds=30)
    longest_cool_down: timedelta = timedelta(minutes=10)
    probe_for: timedelta = timedelta(seconds=60)
    """A probe whose outcome never came is given up after this."""
    ask_again: timedelta = timedelta(seconds=2)
    release_gap: timedelta = timedelta(milliseconds=50)
    """How far apart those are let go that a pause or a breaker held up, at first."""
    doubling: timedelta = timedelta(seconds=2)
    """After this long, and each time again, they are let go twice as fast."""
    first_pause: timedelta = timedelta(seconds=1)
    longest_pause: timedelta = timedelta(seconds=60)
    """Without a Retry-After a pause doubles from the first to the longest."""


EXECUTOR = Settings(
    failures_to_open=5,
    cool_down=timedelta(seconds=1),
    longest_cool_down=timedelta(seconds=30),
    probe_for=timedelta(seconds=10),
    ask_again=timedelta(milliseconds=500),
    release_gap=timedelta(milliseconds=1),
)
"""The breaker of an executor family itself."""


@dataclass(slots=True)
class Lane:
    """Mutable: one worker owns it."""

    name: str
    settings: Settings
    paused_until: datetime | None = None
    pauses: int = 0
    failures: int = 0
    opened: int = 0
    open_until: datetime | None = None
    probe_until: datetime | None = None
    back_at: datetime | None = None
    """When the last pause or opening ended, or is to end: from then on it gathers speed."""
    next_release: datetime | None = None
    drained_at: datetime | None = None
    """When the tokens taken so far are used up at the rate (GCRA's theoretical arrival time)."""
    day: date | None = None
    used_today: int = 0
    changed: bool = False

    def idle(self, now: datetime) -> bool:
        """Whether forgetting it would change nothing."""
        quiet = (self.paused_until, self.open_until, self.next_release, self.drained_at)
        return not (self.failures or self.opened or self.used_today) and all(
            at is None or at <= now for at in quiet
        )

    # Blocked or not

    def held(self, now: datetime, rate: Rate, *, turn: bool, token: bool) -> Blocked | None:
        """What holds an action up now, or None; it takes nothing yet but a place in the queue.

        `turn`: its time was given out before, and has come; `token`: with what it costs.
        """
        if self.paused_until is not None and self.paused_until > now:
            return self._release_after(self.paused_until, BlockedOn.LANE)
        if self.opened and (blocked := self._behind_breaker(now)) is not None:
            return blocked
        if token:
            return None
        if not turn and self.next_release is not None and self.next_release > now:
            return self._release_after(now, BlockedOn.LANE)
        if rate.per_day:
            self._turn_day(now)
            if self.used_today >= rate.per_day:
                midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), now.tzinfo)
                return Blocked(BlockedOn.RATE_LIMIT, f"{self.name}{BY_DAY}", midnight)
        return self._beyond_rate(now, rate) if rate.per_second else None

    def _behind_breaker(self, now: datetime) -> Blocked | None:
        assert self.open_until is not None
        if self.open_until > now:
            return self._release_after(self.open_until, BlockedOn.BREAKER)
        if self.probe_until is not None and self.probe_until > now:
            return self._release_after(now + self.settings.ask_again, BlockedOn.BREAKER)
        return None

    def _release_after(self, at: datetime, reason: BlockedOn) -> Blocked:
        """A place of its own in time, so that the held up do not all come back at once."""
        start = max(at, self.next_release) if self.next_release is not None else at
        gap = self.settings.release_gap
        if self.back_at is not None and start > self.back_at:
            gap /= 2 ** min((start - self.back_at) / self.settings.doubling, _MOST_DOUBLINGS)
        self.next_release = start + max(gap, _LEAST_GAP)
        return Blocked(reason, self.name, self.next_release)

    def _beyond_rate(self, now: datetime, rate: Rate) -> Blocked | None:
        """One second's worth may go at once. Beyond it, the token is taken for later."""
        gap = timedelta(seconds=1 / rate.per_second)
        drained = max(self.drained_at or now, now) + gap
        due = drained - max(_SECOND, gap)
        if due <= now:
            return None
        self.drained_at = drained
        self._count(now)
        return Blocked(BlockedOn.RATE_LIMIT, self.name, due)

    def take(self, now: datetime, rate: Rate, *, token: bool) -> None:
        """An action goes: it is the probe, or spends a token."""
        if self.opened:
            self.probe_until = now + self.settings.probe_for
        if token:
            return
        if rate.per_second:
            gap = timedelta(seconds=1 / rate.per_second)
            self.drained_at = max(self.drained_at or now, now) + gap
        if rate.per_day:
            self._count(now)

    def _count(self, now: datetime) -> None:
        self._turn_day(now)
        self.used_today += 1
        self.changed = True

    def _turn_day(self, now: datetime) -> None:
        if self.day != now.date():
            self.day, self.used_today = now.date(), 0

    # Feedback

    def succeeded(self, now: datetime) -> None:
        """The provider did it: whatever was wrong is over."""
        if self.failures or self.opened or self.pauses:
            self.changed = True
        if self.opened:
            self.back_at = now
        self.failures, self.opened, self.pauses = 0, 0, 0
        self.open_until = self.probe_until = None

    def failed(self, now: datetime) -> None:
        """The provider failed once more; at the limit, or on a probe, the breaker opens."""
        self.failures += 1
        probing = self.opened and self.open_until is not None and self.open_until <= now
        if probing or (not self.opened and self.failures >= self.settings.failures_to_open):
            cool_down = self.settings.cool_down * 2 ** min(self.opened, 16)
            self.opened += 1
            self.open_until = now + min(cool_down, self.settings.longest_cool_down)
            self.back_at, self.probe_until = self.open_until, None
            self.changed = True

    def pause(self, retry_after_s: float | None, now: datetime) -> None:
        """The provider asked for fewer requests."""
        if retry_after_s is None:
            pause = min(self.settings.first_pause * 2 ** min(self.pauses, 16), self.settings.longest_pause)
        else:
            pause = timedelta(seconds=min(max(retry_after_s, 0.0), 3_600.0))
        self.pauses += 1
        until = now + pause
        if self.paused_until is None or until > self.paused_until:
            self.paused_until = self.back_at = until
        self.changed = True


BY_DAY = "/day"
"""What the name of a lane is followed by when its daily limit is reached: no token was taken for later."""
