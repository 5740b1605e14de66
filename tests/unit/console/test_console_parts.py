"""The console's pure parts: sessions, charts, what needs attention, the story of a log, how things are written."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from starlette.requests import Request
from starlette.responses import Response
from wayfarer.admin.v1 import admin_service_pb2 as admin_pb
from wayfarer.common.v1 import failure_pb2
from wayfarer.crm.v1.contact_pb2 import Contact
from wayfarer.execution.v1 import bulk_service_pb2 as bulk_pb
from wayfarer.execution.v1 import execution_pb2, overview_service_pb2, workflow_pb2

from services.gateway.console import words
from services.gateway.console.attention import concerns
from services.gateway.console.charts import bars, nice_top, spark
from services.gateway.console.rendering import ago, count, link, percent, person, span, when
from services.gateway.console.sessions import COOKIE, Session, Sessions
from services.gateway.console.timeline import chapters
from services.runtime.keyring import Keyring

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def stamp(at: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(at)
    return made


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring.generate(tmp_path / "keyring.json")


def cookie_of(sessions: Sessions, session: Session) -> str:
    response = Response()
    sessions.keep(response, session)
    return response.headers["set-cookie"]


def request_with(cookie: str) -> Request:
    return Request({"type": "http", "headers": [(b"cookie", f"{COOKIE}={cookie}".encode())]})


def value_of(set_cookie: str) -> str:
    return set_cookie.split(";")[0].removeprefix(f"{COOKIE}=").strip('"')


def test_a_session_comes_back_from_its_cookie(keyring: Keyring) -> None:
    sessions = Sessions(keyring, secure=True)
    session = Session.begin("wf_key", "Northwind")
    told = cookie_of(sessions, session)
    for word in ("HttpOnly", "SameSite=strict", "Secure", "Path=/console", "Max-Age=43200"):
        assert word in told
    assert "wf_key" not in told
    assert sessions.of(request_with(value_of(told))) == session


def test_a_session_that_is_altered_foreign_or_over_is_none(keyring: Keyring, tmp_path: Path) -> None:
    sessions = Sessions(keyring, secure=False)
    value = value_of(cookie_of(sessions, Session.begin("wf_key", "")))
    middle = len(value) // 2
    altered = value[:middle] + ("A" if value[middle] != "A" else "B") + value[middle + 1 :]
    assert sessions.of(request_with(altered)) is None
    assert sessions.of(request_with("not base64!")) is None
    assert sessions.of(request_with("")) is None
    other = Sessions(Keyring.generate(tmp_path / "other.json"), secure=False)
    assert other.of(request_with(value)) is None
    over = Session("wf_key", "token", datetime.now(UTC) - timedelta(seconds=1))
    assert sessions.of(request_with(value_of(cookie_of(sessions, over)))) is None


def test_a_form_proves_itself_by_the_sessions_token() -> None:
    session = Session.begin("wf_key", "")
    assert session.proves(session.csrf)
    assert not session.proves("")
    assert not session.proves("é")


def test_a_spark_reaches_from_the_bottom_to_the_top() -> None:
    drawn = spark([0, 5, 10], 100, 32)
    assert drawn.line == "M0.0 31.0 L50.0 16.0 L100.0 1.0"
    assert drawn.top == 10
    assert spark([]).line == ""


def test_bars_are_in_proportion_and_none_vanishes() -> None:
    made = bars([0, 1, 500, 1000], 1000, 100, 200)
    assert [bar.height for bar in made] == [0, 1.5, 100, 200]
    assert [nice_top(n) for n in (0, 1, 3, 7, 11, 198)] == [1, 1, 5, 10, 20, 200]


def overview(**counts: int) -> overview_service_pb2.GetOverviewResponse:
    numbers = {name: number for name, number in counts.items() if name not in ("due", "late_s", "limit")}
    answer = overview_service_pb2.GetOverviewResponse(
        statuses=[
            overview_service_pb2.StatusCount(
                status=f"EXECUTION_STATUS_{name.upper()}",  # type: ignore[arg-type]
                executions=number,
            )
            for name, number in numbers.items()
        ],
        due=counts.get("due", 0),
        active_limit=counts.get("limit", 100),
    )
    answer.lateness.FromSeconds(counts.get("late_s", 0))
    return answer


def test_nothing_needs_attention_when_all_moves() -> None:
    assert concerns(overview(active=3, due=2, late_s=1), [], [], at=NOW) == []


def test_what_is_late_comes_before_what_is_paused() -> None:
    paused = workflow_pb2.Workflow(key="w", name="Welcome", status=workflow_pb2.WORKFLOW_STATUS_PAUSED)
    running = bulk_pb.BulkOperation(
        id="b", kind=bulk_pb.BULK_KIND_RETRY, state=bulk_pb.BULK_STATE_RUNNING, total=10, finished=4
    )
    found = concerns(overview(active=1, due=12, late_s=95), [running], [paused], at=NOW)
    assert [concern.tone for concern in found] == ["bad", "warn", "info"]
    assert found[0].title == "12 executions are late"
    assert "1 min 35 s" in found[0].text
    assert "No worker" in found[0].text
    assert found[1].href == "/console/workflows/w"


def test_a_full_account_is_told_apart_from_a_missing_worker() -> None:
    late = concerns(overview(active=5, limit=5, due=2, late_s=60), [], [], at=NOW)
    assert "All slots" in late[0].text
    assert [c.tone for c in concerns(overview(active=5, limit=5), [], [], at=NOW)] == ["warn"]


def test_an_open_breaker_and_a_slow_lane_are_told_until_they_are_over() -> None:
    now = overview()
    now.lanes.add(lane="email", failures=7, open_until=stamp(NOW + timedelta(minutes=1)))
    now.lanes.add(lane="sms", paused_until=stamp(NOW + timedelta(seconds=30)))
    now.lanes.add(lane="voice", paused_until=stamp(NOW - timedelta(seconds=1)))
    assert [concern.title for concern in concerns(now, [], [], at=NOW)] == [
        "The breaker of email is open",
        "sms is slowed down",
    ]


def test_refused_credentials_are_told() -> None:
    refusal = admin_pb.ProviderRefusal(code="20003", message="Authenticate")
    bad = admin_pb.ProviderState.PROVIDER_STATE_NEEDS_REAUTHORISATION
    good = admin_pb.ProviderState.PROVIDER_STATE_READY
    providers = [
        admin_pb.Provider(channel="sms", provider="twilio", state=bad, refusal=refusal),
        admin_pb.Provider(channel="email", provider="resend", state=good),
    ]
    (concern,) = concerns(overview(), [], [], providers, NOW)
    assert concern.title == "twilio refuses the credentials for sms"
    assert "Authenticate" in concern.text


def test_failures_lead_to_their_executions() -> None:
    now = overview(failed=3)
    failure = failure_pb2.Failure(
        error_class=failure_pb2.ERROR_CLASS_RATE_LIMIT, code="HTTP_429", message="slow down"
    )
    now.failures.add(workflow_key="welcome", step_id="mail", executions=3, failure=failure)
    (concern,) = concerns(now, [], [], at=NOW)
    assert concern.title == "3 executions of welcome failed at mail"
    assert concern.href == "/console/executions?status=failed&workflow=welcome&step=mail&error=rate_limit"


def entry(seq: int, event: str, step: str = "", **more: object) -> execution_pb2.LogEntry:
    return execution_pb2.LogEntry(
        seq=seq, event=event, step_id=step, step_type="send_email" if step else "", visit=1 if step else 0,
        time=stamp(NOW + timedelta(seconds=seq)), **more,  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_log_becomes_one_chapter_per_visit() -> None:
    failure = failure_pb2.Failure(code="HTTP_503", message="away")
    story = chapters(
        [
            entry(1, "execution_started"),
            entry(2, "action_started", "mail", attempt=1),
            entry(3, "action_failed", "mail", attempt=1, failure=failure),
            entry(4, "retry_scheduled", "mail", attempt=1, failure=failure),
            entry(5, "action_started", "mail", attempt=2),
            entry(6, "action_completed", "mail", attempt=2),
            entry(7, "execution_completed"),
        ]
    )
    assert [(chapter.step_id, chapter.state, chapter.tone) for chapter in story] == [
        ("", "Execution started", "info"),
        ("mail", "Done", "good"),
        ("", "Execution completed", "good"),
    ]
    assert story[1].attempts == 2
    assert story[1].failures == [(1, "HTTP_503 · away")]
    assert story[1].ended - story[1].began == timedelta(seconds=4)


def test_how_things_are_written() -> None:
    assert [span(s) for s in (0, 0.033, 2.24, 59, 95, 3600, 90_000)] == [
        "0 s", "33 ms", "2.2 s", "59 s", "1 min 35 s", "1 h", "1 d 1 h",
    ]  # fmt: skip
    assert count(1_234_567) == "1\u202f234\u202f567"
    assert [percent(1, 0), percent(1, 3), percent(1, 30), percent(0, 5)] == ["–", "33 %", "3.3 %", "0 %"]
    assert [words.words(n) for n in ("send_sms", "retry_scheduled", "custom:cart_updated")] == [
        "Send SMS", "Retry scheduled", "Cart updated",
    ]  # fmt: skip
    assert link("/x", a="", b="1&2", c=None) == "/x?b=1%262"
    assert person(Contact(email="jane@example.com")) == "jane@example.com"
    assert person(None, "01890a5d-ac96-774b-bcce-b302099a8057") == "…099a8057"


def test_a_moment_carries_its_exact_instant() -> None:
    assert 'datetime="2026-11-26T12:00:00.000Z"' in when(stamp(NOW))
    assert 'title="2026-11-26T12:00:00.000Z"' in ago(NOW)
    assert "<time" not in when(Timestamp())


def test_every_status_has_a_name() -> None:
    """A status that is added has to be named here, too."""
    assert set(words.STATUSES) == set(execution_pb2.ExecutionStatus.values()) - {0}
    assert set(words.BLOCKED) == set(execution_pb2.BlockedOn.values()) - {0}
    assert set(words.ERROR_CLASSES) == set(failure_pb2.ErrorClass.values()) - {0}
    assert set(words.WORKFLOW_STATUSES) == set(workflow_pb2.WorkflowStatus.values()) - {0}
    assert set(words.BULK_STATES) == set(bulk_pb.BulkState.values()) - {0}
