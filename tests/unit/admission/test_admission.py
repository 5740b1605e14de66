"""Lanes, breakers and rates: R-ERR-3, R-ERR-6, R-LIMIT-4, A-19, A-42; against a small model, too."""

import heapq
from datetime import UTC, datetime, timedelta

import orjson
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from execution_engine.admission.admission import Admission, turn
from execution_engine.admission.lanes import lane_keys
from execution_engine.admission.state import Lane, Settings
from execution_engine.model import BlockedOn, ErrorClass
from execution_engine.moves import Blocked

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
A, B = 1, 2
EMAIL = ("email",)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def again(admission: Admission, blocked: Blocked, lanes: tuple[str, ...] = EMAIL) -> Blocked | None:
    """Asks at the time that was given."""
    return admission.ask(A, "communication", lanes, blocked.until, blocked.reason, turn(blocked.lane))


def fail(admission: Admission, times: int, now: datetime = NOW) -> None:
    for _ in range(times):
        admission.failed(A, "communication", EMAIL, ErrorClass.SERVER_ERROR, None, now)


def test_nothing_known_lets_everything_go() -> None:
    admission = Admission()
    assert all(admission.ask(A, "communication", EMAIL, NOW) is None for _ in range(1_000))
    assert not admission.take_changed(NOW)


def test_a_429_makes_the_others_of_the_account_wait_too() -> None:
    """A-19: until the provider's own time, each its own moment; another account and another API go on."""
    admission = Admission()
    admission.failed(A, "communication", EMAIL, ErrorClass.RATE_LIMIT, 30.0, NOW)
    held = [admission.ask(A, "communication", EMAIL, NOW + seconds(n)) for n in range(3)]
    untils = [one.until for one in held if one is not None]
    assert [one.reason for one in held if one] == [BlockedOn.LANE] * 3
    assert min(untils) > NOW + seconds(30)
    assert len(set(untils)) == 3
    assert admission.ask(B, "communication", EMAIL, NOW) is None
    assert admission.ask(A, "integrations", ("webhook:x:1",), NOW) is None
    assert held[0] is not None
    assert again(admission, held[0]) is None


def test_a_breaker_opens_probes_once_and_closes() -> None:
    """A-42."""
    admission = Admission()
    fail(admission, 19)
    assert admission.ask(A, "communication", EMAIL, NOW) is None
    fail(admission, 1)
    blocked = admission.ask(A, "communication", EMAIL, NOW)
    assert blocked is not None
    assert blocked.reason is BlockedOn.BREAKER
    later = NOW + seconds(31)
    assert admission.ask(A, "communication", EMAIL, later) is None  # the probe
    second = admission.ask(A, "communication", EMAIL, later)
    assert second is not None
    assert second.reason is BlockedOn.BREAKER
    admission.succeeded(A, "communication", EMAIL, later)
    assert again(admission, second) is None


def test_a_failed_probe_opens_it_for_twice_as_long() -> None:
    admission = Admission()
    fail(admission, 20)
    at = NOW + seconds(31)
    assert admission.ask(A, "communication", EMAIL, at) is None
    fail(admission, 1, at)
    assert admission.ask(A, "communication", EMAIL, at + seconds(59)) is not None
    assert admission.ask(A, "communication", EMAIL, at + seconds(61)) is None


def test_a_probe_whose_outcome_never_comes_is_given_up() -> None:
    admission = Admission()
    fail(admission, 20)
    at = NOW + seconds(31)
    assert admission.ask(A, "communication", EMAIL, at) is None
    assert admission.ask(A, "communication", EMAIL, at + seconds(59)) is not None
    assert admission.ask(A, "communication", EMAIL, at + seconds(63)) is None


def test_an_answer_about_the_contact_proves_the_provider_well() -> None:
    admission = Admission()
    fail(admission, 19)
    admission.failed(A, "communication", EMAIL, ErrorClass.VALIDATION, None, NOW)
    fail(admission, 19)
    assert admission.ask(A, "communication", EMAIL, NOW) is None


def test_an_executor_that_is_away_holds_up_its_family_only() -> None:
    admission = Admission()
    for _ in range(5):
        admission.unreachable("communication", NOW)
    blocked = admission.ask(A, "communication", (), NOW)
    assert blocked is not None
    assert (blocked.reason, blocked.lane) == (BlockedOn.EXECUTOR, "communication")
    assert admission.ask(A, "crm", (), NOW) is None
    assert admission.ask(A, "communication", (), NOW + seconds(1.1)) is None
    admission.succeeded(A, "communication", (), NOW + seconds(1.2))
    assert admission.ask(B, "communication", (), NOW + seconds(1.2)) is None


def test_rates_fall_back_to_the_lanes_name() -> None:
    admission = Admission()
    admission.set_rates(A, {"webhook": {"per_second": 1.0}, "webhook:slow:443": {"per_second": 0.1}})
    assert admission.ask(A, "i", ("webhook:any:443",), NOW) is None
    blocked = admission.ask(A, "i", ("webhook:any:443",), NOW)
    assert blocked is not None
    assert blocked.until == NOW + seconds(1)
    assert admission.ask(A, "i", ("webhook:slow:443",), NOW) is None
    slow = admission.ask(A, "i", ("webhook:slow:443",), NOW)
    assert slow is not None
    assert slow.until == NOW + seconds(10)
    admission.set_rates(A, {})
    assert admission.ask(A, "i", ("webhook:any:443",), NOW + seconds(60)) is None


def test_a_daily_limit_holds_until_midnight_and_survives_a_takeover() -> None:
    admission = Admission()
    admission.set_rates(A, {"email": {"per_day": 3}})
    assert [admission.ask(A, "c", EMAIL, NOW) for _ in range(3)] == [None] * 3
    kept = [(account, _copy(lane)) for account, lane in admission.take_changed(NOW)]
    other = Admission()
    other.restore(kept)
    other.set_rates(A, {"email": {"per_day": 3}})
    blocked = other.ask(A, "c", EMAIL, NOW)
    assert blocked is not None
    assert blocked.until == datetime(2026, 11, 22, tzinfo=UTC)
    assert other.ask(A, "c", EMAIL, blocked.until, blocked.reason, turn(blocked.lane)) is None


def _copy(lane: Lane) -> Lane:
    return Lane(lane.name, Settings(), failures=lane.failures, day=lane.day, used_today=lane.used_today)


def test_lanes_of_actions() -> None:
    """A lane may depend on where the action goes."""
    config = orjson.dumps({"url": "https://API.example.org/x?y=1"})
    assert lane_keys(("email",), b"") == ("email",)
    assert lane_keys(("webhook:{url}",), config) == ("webhook:api.example.org:443",)
    assert lane_keys(("webhook:{url}",), b'{"url":"http://h:8080/"}') == ("webhook:h:8080",)
    for unreadable in (b'{"url":5}', b"{}", b'{"url":"http://h:99999/"}', b"[]", b"nonsense"):
        assert lane_keys(("webhook:{url}",), unreadable) == ("webhook",)


class Crowd(RuleBasedStateMachine):
    """Actions of one account come, are held up, come back at their time; the provider fails and pauses.

    The model knows only what went when, and what the provider said.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rate = 5.0
        self.admission = Admission(Settings(failures_to_open=3, cool_down=seconds(5)))
        self.admission.set_rates(A, {"email": {"per_second": self.rate}})
        self.now = NOW
        self.went: list[datetime] = []
        self.held: list[Blocked] = []
        self.paused_until = NOW
        self.failures = 0
        self.open_until: datetime | None = None
        self.opened = 0
        self.probing_since: datetime | None = None

    def _ask(self, was: BlockedOn, by: str) -> None:
        blocked = self.admission.ask(A, "c", EMAIL, self.now, was, by)
        if blocked is not None:
            assert blocked.until > self.now
            self.held.append(blocked)
            return
        assert self.now >= self.paused_until, "went while paused"
        if self.open_until is not None:
            assert self.now >= self.open_until, "went while open"
            if self.probing_since is not None:
                assert self.now - self.probing_since >= seconds(60), "two probes"
            self.probing_since = self.now
        self.went.append(self.now)

    @rule(number=st.integers(1, 20))
    def come(self, number: int) -> None:
        for _ in range(number):
            self._ask(BlockedOn.NOTHING, "")

    @rule(by=st.floats(0.001, 8.0))
    def time_passes(self, by: float) -> None:
        self.now += seconds(by)
        due = sorted((b for b in self.held if b.until <= self.now), key=lambda b: b.until)
        self.held = [b for b in self.held if b.until > self.now]
        end = self.now
        for blocked in due:
            self.now = blocked.until
            self._ask(blocked.reason, turn(blocked.lane))
        self.now = end

    @rule(after=st.one_of(st.none(), st.floats(0, 20)))
    def too_many_requests(self, after: float | None) -> None:
        self.admission.failed(A, "c", EMAIL, ErrorClass.RATE_LIMIT, after, self.now)
        if after is not None:
            self.paused_until = max(self.paused_until, self.now + seconds(after))

    @rule()
    def provider_fails(self) -> None:
        self.admission.failed(A, "c", EMAIL, ErrorClass.SERVER_ERROR, None, self.now)
        self.failures += 1
        probing = self.open_until is not None and self.now >= self.open_until
        if probing or (self.open_until is None and self.failures >= 3):
            self.open_until = self.now + seconds(5 * 2 ** min(self.opened, 6))
            self.opened += 1
            self.probing_since = None

    @rule()
    def provider_answers(self) -> None:
        self.admission.succeeded(A, "c", EMAIL, self.now)
        self.failures, self.opened, self.open_until, self.probing_since = 0, 0, None, None

    @invariant()
    def never_more_than_the_rate(self) -> None:
        """In any second: a second's worth that was saved up, and a second's worth that came due."""
        window = [at for at in self.went if at > self.now - seconds(1)]
        assert len(window) <= 2 * self.rate + 1

    @invariant()
    def turns_are_distinct(self) -> None:
        turns = [(b.reason, b.until) for b in self.held if b.reason is not BlockedOn.BREAKER]
        assert len(set(turns)) == len(turns)

    @precondition(lambda self: self.held)
    @rule()
    def everybody_goes_in_the_end(self) -> None:
        self.provider_answers()
        waiting = len(self.held)
        before = len(self.went)
        for _ in range(400):
            self.time_passes(2.0)
            if not self.held:
                break
        assert not self.held
        assert len(self.went) - before >= waiting


TestCrowd = Crowd.TestCase
TestCrowd.settings = hypothesis_settings(stateful_step_count=40)


def drain(admission: Admission, crowd: list[tuple[str, ...]], now: datetime, *, last: float) -> datetime:
    """When the last of a crowd has gone, each asking when it was told to; every action succeeds at once."""
    queue = [(now, place, BlockedOn.NOTHING, "") for place in range(len(crowd))]
    heapq.heapify(queue)
    while queue:
        now, place, was, by = heapq.heappop(queue)
        assert now <= NOW + seconds(last), f"{len(queue) + 1} of {len(crowd)} still held up, by {by}"
        blocked = admission.ask(A, "c", crowd[place], now, was, turn(by))
        if blocked is None:
            admission.succeeded(A, "c", crowd[place], now)
        else:
            heapq.heappush(queue, (blocked.until, place, blocked.reason, blocked.lane))
    return now


@given(
    crowd=st.lists(st.sampled_from([(), ("x",), ("y",), ("x", "y"), ("y", "x")]), min_size=1, max_size=400),
    executor=st.booleans(),
    paused=st.sets(st.sampled_from("xy")),
)
def test_nobody_waits_for_ever_behind_those_let_go_before(
    crowd: list[tuple[str, ...]], executor: bool, paused: set[str]
) -> None:
    """An executor and two lanes were away at once: each of the crowd asks again when told, and all go."""
    admission = Admission()
    if executor:
        for _ in range(5):
            admission.unreachable("c", NOW)
    for lane in paused:
        admission.failed(A, "c", (lane,), ErrorClass.RATE_LIMIT, 1.0, NOW)
    drain(admission, crowd, NOW, last=60)


def test_an_executor_that_comes_back_finds_its_crowd_gone_at_once() -> None:
    """G2: 400 executions asked twice a second, and each answer put the next one off."""
    admission = Admission()
    for _ in range(5):
        admission.unreachable("c", NOW)
    assert drain(admission, [()] * 400, NOW, last=60) < NOW + seconds(5)


def test_after_a_pause_a_lane_gathers_speed() -> None:
    """R-ERR-3: carefully at first, twice as fast every two seconds; a long queue is gone in seconds."""
    admission = Admission()
    admission.failed(A, "c", EMAIL, ErrorClass.RATE_LIMIT, 1.0, NOW)
    untils = sorted(
        blocked.until for _ in range(10_000) if (blocked := admission.ask(A, "c", EMAIL, NOW)) is not None
    )
    back = NOW + seconds(1)
    in_the_first_second = sum(until <= back + seconds(1) for until in untils)
    assert 20 <= in_the_first_second <= 30
    assert untils[-1] < back + seconds(25)
    admission.failed(A, "c", EMAIL, ErrorClass.RATE_LIMIT, 30.0, back + seconds(10))
    first = admission.ask(A, "c", EMAIL, back + seconds(10))
    second = admission.ask(A, "c", EMAIL, back + seconds(10))
    assert first is not None
    assert second is not None
    assert second.until - first.until > seconds(0.04)  # the next pause starts slowly again
