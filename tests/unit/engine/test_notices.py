"""R-ERR-5: who is told of a failure, when, and in what words; one digest for a burst, not a storm."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from execution_engine.notices import (
    MOST_TRIES,
    Group,
    Target,
    Told,
    body,
    is_due,
    retry_after,
    subject,
    targets_of,
    text,
)

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
WORKFLOW = UUID(int=7)
WANTED = {"notifications": {"email": ["ops@example.org"], "slack": ["https://hooks.example/x"]}}


def group(last: datetime | None) -> Group:
    return Group(1, WORKFLOW, "call", 7, "HTTP_401", last)


def told(count: int) -> Told:
    executions = [UUID(int=n) for n in range(min(count, 1000))]
    return Told("Welcome", "call", "authentication", "HTTP_401", "refused", count, NOW, NOW, executions)


def test_who_is_told() -> None:
    """A-13: nobody where it is switched off."""
    assert targets_of(WANTED) == [
        Target("email", "ops@example.org"),
        Target("slack", "https://hooks.example/x"),
    ]
    assert targets_of({}) == []
    assert targets_of({"notifications": {"on_failure": False, "email": ["ops@example.org"]}}) == []


@given(st.lists(st.integers(0, 600), min_size=1, max_size=60), st.integers(10, 120))
def test_every_failure_is_told_once_and_soon(seconds: list[int], digest: int) -> None:
    """Swept each second: never two notices within the window, and none later than the window after it failed."""
    settings = {"notifications": {"email": ["ops@example.org"], "digest_seconds": digest}}
    failures = sorted(NOW + timedelta(seconds=s) for s in seconds)
    waiting: list[datetime] = []
    sent: list[tuple[datetime, list[datetime]]] = []
    for second in range(601 + digest):
        now = NOW + timedelta(seconds=second)
        waiting += [at for at in failures if at == now]
        if waiting and is_due(group(sent[-1][0] if sent else None), settings, now):
            sent.append((now, waiting))
            waiting = []
    assert not waiting
    assert sorted(at for _, those in sent for at in those) == failures
    assert all(b - a >= timedelta(seconds=digest) for (a, _), (b, _) in pairwise(sent))
    assert all(now - at <= timedelta(seconds=digest) for now, those in sent for at in those)
    assert sent[0][0] == failures[0]


def test_the_words_name_what_an_admin_needs() -> None:
    """A-10: execution id, workflow name, error."""
    one = text(told(1))
    for word in ("Welcome", "call", "HTTP_401", "refused", str(UUID(int=0)), "wayfarer logs"):
        assert word in one
    many = text(told(318))
    assert "318 executions" in subject(told(318))
    assert "and 298 more" in many
    assert body(told(318), UUID(int=5))["count"] == 318
    assert len(body(told(318), UUID(int=5))["execution_ids"]) == 20


def test_a_target_that_cannot_be_reached_is_given_up_in_the_end() -> None:
    waits = [retry_after(tries) for tries in range(1, MOST_TRIES + 1)]
    assert waits[-1] is None
    total = sum((wait for wait in waits if wait is not None), timedelta())
    assert timedelta(minutes=30) < total < timedelta(minutes=90)
