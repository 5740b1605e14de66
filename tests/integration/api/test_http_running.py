"""The scenarios about running executions over HTTP, through the whole stack with a worker: R-API-2, R-API-3."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.api.over_http import Answer, Http
from tests.integration.api.world import Client, World, tagging, until, waiting

pytestmark = pytest.mark.usefixtures("worker")


async def published(http: Http, document: dict[str, Any]) -> str:
    """The key of an active workflow of this document."""
    made = await http("POST", "/workflows", {"document": json.dumps(document), "publish": True})
    assert made.status == 201, made.body
    return str(made.body["workflow"]["key"])


async def contact(http: Http, **fields: Any) -> str:
    """A new contact's id."""
    made = await http("POST", "/contacts", fields)
    assert made.status == 201, made.body
    return str(made.body["id"])


async def execute(http: Http, workflow: str, contact_id: str, **more: Any) -> Answer:
    return await http("POST", f"/workflows/{workflow}/execute", {"contact_id": contact_id, **more})


async def begun(http: Http, document: dict[str, Any]) -> str:
    """The id of an execution of this document for a new contact."""
    answer = await execute(http, await published(http, document), await contact(http))
    assert answer.status == 201, answer.body
    return str(answer.body["execution"]["id"])


async def reached(http: Http, execution_id: str, *statuses: str) -> dict[str, Any]:
    """The execution once it has one of these statuses, as its stream tells."""
    async for event in http.events(f"/executions/{execution_id}/watch"):
        if event.name == "change" and event.data["execution"]["status"] in statuses:
            found: dict[str, Any] = event.data["execution"]
            return found
    raise AssertionError(f"{execution_id} ended without having been {' or '.join(statuses)}")


async def log_of(http: Http, execution_id: str) -> list[dict[str, Any]]:
    answer = await http("GET", f"/executions/{execution_id}/logs", limit=1000)
    entries: list[dict[str, Any]] = answer.body["log_entries"]
    return entries


async def failing(world: World) -> dict[str, Any]:
    """A workflow whose second of three steps fails at once."""
    url = await world.misbehave(f"refused-{uuid4()}", times=99, status=401)
    call = {"url": url, "method": "POST"}
    return {
        "key": "failing",
        "steps": [
            {"id": "before", "type": "add_tag", "config": {"tag": "before"}},
            {"id": "call", "type": "webhook_call", "config": call},
            {"id": "after", "type": "add_tag", "config": {"tag": "after"}},
        ],
    }


async def test_an_opted_out_contact_is_refused(world: World, client: Client, http: Http) -> None:
    """A-2, R-TRIG-2: 403 "Contact has opted out", no execution, recorded."""
    key = await published(http, tagging())
    who = await contact(http, opted_out=True)
    before = await world.rows(client)
    answer = await execute(http, key, who)
    assert (answer.status, answer.headers["content-type"]) == (403, "application/problem+json")
    assert (answer.body["detail"], answer.body["reason"]) == ("Contact has opted out", "CONTACT_OPTED_OUT")
    assert (await world.rows(client))["execution"] == before["execution"]
    refusals = (await http("GET", "/refusals", contact_id=who)).body["refusals"]
    assert [one["kind"] for one in refusals] == ["opt_out_blocked"]


async def test_a_start_twice_within_the_window_is_one_execution(http: Http) -> None:
    """A-3: 200, "duplicate trigger ignored", with the first one's id."""
    key, who = await published(http, waiting()), await contact(http)
    first, again = await execute(http, key, who), await execute(http, key, who)
    assert (first.status, again.status) == (201, 200)
    assert again.body["execution"]["id"] == first.body["execution"]["id"]
    assert (again.body["deduplicated"], again.body["message"]) == (True, "duplicate trigger ignored")


async def test_a_workflow_that_is_not_active_is_not_started(http: Http) -> None:
    """A-4, R-TRIG-4: draft, paused and archived: 400 "Workflow is not active"; unknown ones: 404."""
    draft = await http("POST", "/workflows", {"document": json.dumps(tagging("draft"))})
    assert draft.body["workflow"]["status"] == "DRAFT"
    who = await contact(http)
    for state in ("pause", "archive"):
        await published(http, tagging(f"to-{state}"))
        assert (await http("POST", f"/workflows/to-{state}/{state}")).status == 200
    for key in ("draft", "to-pause", "to-archive"):
        answer = await execute(http, key, who)
        assert (answer.status, answer.body["detail"]) == (400, "Workflow is not active"), key
    assert (await execute(http, "nothing", who)).status == 404
    assert (await execute(http, "to-pause", str(uuid4()))).status in (400, 404)
    assert (await http("GET", "/executions")).body["executions"] == []


async def test_progress_of_an_execution(http: Http) -> None:
    """A-22: at step 3 of 5: id, status, current_step_index 3, total_steps 5, progress_percent 60."""
    steps: list[dict[str, Any]] = [
        {"id": f"t{n}", "type": "add_tag", "config": {"tag": f"t{n}"}} for n in range(1, 6)
    ]
    steps[2] = {"id": "pause", "type": "wait_time", "config": {"amount": 1, "unit": "hours"}}
    execution_id = await begun(http, {"key": "five", "steps": steps})
    await reached(http, execution_id, "WAITING")
    answer = await http("GET", f"/executions/{execution_id}")
    assert answer.status == 200
    shown = answer.body
    assert (shown["id"], shown["status"], shown["blocked_on"]) == (execution_id, "WAITING", "TIMER")
    progress = ("current_step_index", "total_steps", "progress_percent", "retry_count")
    assert [shown[name] for name in progress] == [3, 5, 60, 0]
    wakes_in = datetime.fromisoformat(shown["wakes_at"]) - datetime.fromisoformat(shown["created_at"])
    assert timedelta(hours=1) <= wakes_in < timedelta(hours=1, minutes=1)
    assert "ended_at" not in shown
    assert (await http("GET", f"/executions/{uuid4()}")).body["reason"] == "EXECUTION_NOT_FOUND"


async def test_fifty_log_entries_by_page_and_limit(http: Http) -> None:
    """A-23, R-LOG-4: total 50, page 1, limit 10, total_pages 5; page 6 empty; limits refused by name."""
    steps = [{"id": f"t{n}", "type": "add_tag", "config": {"tag": "seen"}} for n in range(24)]
    execution_id = await begun(http, {"key": "fifty", "steps": steps})
    await reached(http, execution_id, "COMPLETED")
    path = f"/executions/{execution_id}/logs"
    seen: list[int] = []
    for page in range(1, 7):
        body = (await http("GET", path, page=page, limit=10)).body
        paging = {name: body[name] for name in ("total", "page", "limit", "total_pages")}
        assert paging == {"total": 50, "page": page, "limit": 10, "total_pages": 5}
        seen += [entry["seq"] for entry in body["log_entries"]]
        assert len(body["log_entries"]) == (10 if page < 6 else 0)
    assert seen == list(range(1, 51))
    plain = (await http("GET", path)).body
    assert (plain["page"], plain["limit"], len(plain["log_entries"])) == (1, 50, 50)
    wrongs: list[dict[str, Any]] = [{"limit": 0}, {"limit": 10_000}, {"page": 0}]
    for wrong in wrongs:
        answer = await http("GET", path, **wrong)
        assert (answer.status, list(answer.at_fault)) == (422, list(wrong)), answer.body


async def test_a_log_by_tokens(http: Http) -> None:
    """R-LOG-4: the same log by next_page_token; a token does not go with a page."""
    execution_id = await begun(http, tagging())
    await reached(http, execution_id, "COMPLETED")
    path, seen, token = f"/executions/{execution_id}/logs", list[int](), ""
    while True:
        body = (await http("GET", path, limit=3, page_token=token)).body
        seen += [entry["seq"] for entry in body["log_entries"]]
        token = body["next_page_token"]
        if not token:
            break
    assert seen == [1, 2, 3, 4]
    first = (await http("GET", path, limit=3)).body
    both = await http("GET", path, limit=3, page=2, page_token=first["next_page_token"])
    assert both.status == 422


async def test_cancel_names_the_admin_and_ends_it(http: Http) -> None:
    """A-16: CANCELLED, the log has who; cancelling again is refused, with the same key it is not."""
    execution_id = await begun(http, waiting())
    await reached(http, execution_id, "WAITING")
    path, key = f"/executions/{execution_id}/cancel", {"Idempotency-Key": str(uuid4())}
    answer = await http("POST", path, {"reason": "changed her mind"}, key)
    assert (answer.status, answer.body["status"]) == (200, "CANCELLED")
    entry = (await log_of(http, execution_id))[-1]
    assert entry["event"] == "cancelled"
    assert entry["detail"]["actor"] == "local-stack"
    assert "changed her mind" in entry["detail"].values()
    assert (await http("POST", path, {"reason": "changed her mind"}, key)).body == answer.body
    again = await http("POST", path)
    assert (again.status, again.body["reason"]) == (400, "ILLEGAL_TRANSITION")


async def test_pause_explain_resume(http: Http) -> None:
    """R-STATE-6, R-API-2: without a body; Explain says what would move it."""
    execution_id = await begun(http, waiting())
    await reached(http, execution_id, "WAITING")
    assert (await http("POST", f"/executions/{execution_id}/pause")).body["status"] == "PAUSED"
    told = (await http("GET", f"/executions/{execution_id}/explain")).body
    assert [one["kind"] for one in told["blockers"]] == ["OPERATOR", "TIMER"]
    assert told["execution"]["status"] == "PAUSED"
    assert (await http("POST", f"/executions/{execution_id}/resume")).body["status"] == "WAITING"


async def test_retry_goes_on_at_the_failed_step(world: World, http: Http) -> None:
    """A-24, R-STATE-7: QUEUED with retries counted from 0; earlier steps do not run again; `manual_retry`."""
    execution_id = await begun(http, await failing(world))
    failed = await reached(http, execution_id, "FAILED")
    assert failed["failure"]["error_class"]
    answer = await http("POST", f"/executions/{execution_id}/retry", {"skip_failed": True})
    assert (answer.status, answer.body["status"], answer.body["retry_count"]) == (200, "QUEUED", 0)
    ended = await reached(http, execution_id, "COMPLETED")
    assert ended["steps_run"] >= 2
    events = [(entry["event"], entry["step_id"]) for entry in await log_of(http, execution_id)]
    assert ("manual_retry", "call") in events
    assert events.count(("action_started", "before")) == 1


async def test_lists_by_status_and_date_newest_first(world: World, http: Http) -> None:
    """A-25: only those; newest first; stable while new ones arrive."""
    key = await published(http, await failing(world))
    failed = [(await execute(http, key, await contact(http))).body["execution"]["id"] for _ in range(5)]
    others = await begun(http, waiting())
    for one in failed:
        await reached(http, one, "FAILED")
    query: dict[str, Any] = {"status": "FAILED", "from_": "2026-01-01", "limit": 2}
    first = (await http("GET", "/executions", **query)).body
    late = (await execute(http, key, await contact(http))).body["execution"]["id"]
    await reached(http, late, "FAILED")
    second = (await http("GET", "/executions", page_token=first["next_page_token"], **query)).body
    third = (await http("GET", "/executions", page_token=second["next_page_token"], **query)).body
    assert third["next_page_token"] == ""
    pages = [[one["id"] for one in body["executions"]] for body in (first, second, third)]
    assert pages == [failed[:2:-1], failed[2:0:-1], failed[:1]]
    of_workflow = await http("GET", f"/workflows/{key}/executions", status="FAILED", to=_tomorrow())
    assert [one["id"] for one in of_workflow.body["executions"]] == [late, *failed[::-1]]
    assert others not in str(of_workflow.body)
    assert (await http("GET", "/executions", to="2026-01-01")).body["executions"] == []


async def test_ad_hoc_waits(http: Http) -> None:
    """A-37: put on an execution, read, listed, cancelled; another resumed by hand."""
    for end, verb, path in (("wait_cancelled", "DELETE", ""), ("wait_resumed", "POST", "/resume")):
        execution_id = await begun(http, waiting(end.replace("_", "-")))
        await reached(http, execution_id, "WAITING")
        until_ = (datetime.now(UTC) + timedelta(days=90)).isoformat()
        made = await http("POST", f"/executions/{execution_id}/waits", {"until": until_})
        assert (made.status, made.body["ad_hoc"]) == (201, True), made.body
        wait = made.body
        assert (await http("GET", f"/waits/{wait['id']}")).body == wait
        assert wait in (await http("GET", "/waits")).body["waits"]
        answer = await http(verb, f"/waits/{wait['id']}{path}")
        assert answer.status == 200, answer.body
        assert (await http("GET", f"/waits/{wait['id']}")).status == 404
        entry = next(e for e in reversed(await log_of(http, execution_id)) if e["event"].startswith("wait_"))
        assert entry["detail"]["actor"] == "local-stack"


async def test_an_event_by_http_starts_a_workflow(http: Http) -> None:
    """R-TRIG-7: the receipt says what it did; the same event again is a duplicate; it is found by its id."""
    document = tagging("triggered", triggers=[{"event": "form_submitted"}])
    await published(http, document)
    who = await contact(http, external_id=f"jane-{uuid4()}")
    event = {"id": str(uuid4()), "contact_id": who, "type": "form_submitted", "data": {"form": "signup"}}
    (receipt,) = (await http("POST", "/events", {"events": [event]})).body["receipts"]
    (started,) = receipt["consequences"]
    assert started["kind"] == "STARTED"
    assert (await reached(http, started["execution_id"], "COMPLETED"))["contact_id"] == who
    (again,) = (await http("POST", "/events", {"events": [event]})).body["receipts"]
    assert again["duplicate"]
    found = await http("GET", "/events/lookup", source_id=event["id"])
    assert (found.body["id"], found.body["data"]) == (receipt["event_id"], {"form": "signup"})

    async def tagged() -> bool:
        return bool((await http("GET", f"/contacts/{who}")).body["tags"] == ["seen"])

    await until(tagged)


async def test_watch_is_told_as_events_and_gone_on_with(http: Http) -> None:
    """R-API-3: every entry once and in order, ids to go on after, an end; unknown ones are 404."""
    execution_id = await begun(http, tagging())
    events = [event async for event in http.events(f"/executions/{execution_id}/watch")]
    assert [event.name for event in events[-2:]] == ["change", "end"]
    seqs = [entry["seq"] for event in events[:-1] for entry in event.data["log_entries"]]
    assert seqs == list(range(1, 5))
    for event in events[:-1]:
        entries = event.data["log_entries"]
        assert event.id == (str(entries[-1]["seq"]) if entries else "")
    assert events[-2].data["execution"]["status"] == "COMPLETED"
    again = [
        event async for event in http.events(f"/executions/{execution_id}/watch", {"Last-Event-ID": "2"})
    ]
    assert [entry["seq"] for event in again[:-1] for entry in event.data["log_entries"]] == [3, 4]
    missing = await http("GET", f"/executions/{uuid4()}/watch")
    assert (missing.status, missing.body["reason"]) == (404, "EXECUTION_NOT_FOUND")
    for last in ("", "x", "-1", "9" * 5_000):
        wrong = await http("GET", f"/executions/{execution_id}/watch", headers={"Last-Event-ID": last})
        assert (wrong.status, list(wrong.at_fault)) == (422, ["Last-Event-ID"])


def _tomorrow() -> str:
    return (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
