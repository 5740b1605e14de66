"""Patterns, triggers, schedules and links, by themselves: R-TRIG-7, R-WAIT-2, R-GOAL-1, R-STATE-7."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from execution_engine import schedule
from execution_engine.definition import links, patterns
from execution_engine.definition.program import END
from execution_engine.definition.triggers import (
    TriggerKind,
    check,
    kind_of,
    listened_types,
    priority_of,
    triggers_of,
    watches_of,
)
from execution_engine.model import Priority
from execution_engine.receipts import Consequence, ConsequenceKind, dump, load

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def admits(match: dict[str, Any], filter: str = "", **data: Any) -> bool:
    event = {"id": "e", "type": "opened", "time": NOW.isoformat(), "data": data}
    return patterns.admits(match, filter, event, NOW)


def test_what_a_pattern_admits() -> None:
    assert admits({})
    assert admits({"form": "signup"}, form="signup")
    assert not admits({"form": "signup"}, form="other")
    assert not admits({"form": "signup"})
    assert admits({"order.id": "7"}, order={"id": 7}), "a merge field makes text of a number"
    dotted: dict[str, Any] = {"a.b": 1}
    assert admits({"a.b": 1}, **dotted)
    assert admits({"vip": True}, vip="true")
    assert not admits({"order.id": "7"}, order=5)
    assert admits({}, "event.data.amount > 10", amount=11)
    assert not admits({}, "event.data.amount > 10", amount=9)
    assert not admits({}, "event.data.amount > 10"), "a filter that cannot be evaluated admits nothing"


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({}, "p.event"),
        ({"event": "a", "events": ["b"]}, "p.event"),
        ({"event": 5}, "p.event"),
        ({"events": []}, "p.events"),
        ({"events": ["ok", "Not Ok"]}, "p.events[1]"),
        ({"event": "custom:"}, "p.event"),
        ({"event": "a", "match": []}, "p.match"),
        ({"event": "a", "match": {"x": [1]}}, "p.match.x"),
        ({"event": "a", "match": {"x": "{{ contact.id }}"}}, "p.match"),
        ({"event": "a", "match": {"x": "{{ contact"}}, "p.match"),
        ({"event": "a", "filter": 5}, "p.filter"),
        ({"event": "a", "filter": "contact.tags"}, "p.filter"),
    ],
)
def test_bad_patterns(config: dict[str, Any], path: str) -> None:
    assert path in [fault.path for fault in patterns.check(config, "p", templates=False)]


def test_good_patterns() -> None:
    config = {"events": ["opened", "custom:Trial.ended"], "match": {"m": "{{ steps.mail.id }}"}}
    assert not patterns.check(config, "p", templates=True)
    assert patterns.build(config).types == ("opened", "custom:Trial.ended")
    assert patterns.reads(config) == {"mail"}
    assert patterns.reads({"match": 5}) == frozenset()


DOCUMENT: dict[str, Any] = {
    "settings": {
        "goal": {"event": "bought", "go_to": "c"},
        "exits": [{"event": "left", "reason": "gone"}, {"event": "moved"}],
        "triggers": [{"event": "signed_up", "priority": "low"}, {"cron": "0 9 * * *", "contacts": "true"}],
    },
    "steps": [
        {"id": "a", "type": "add_tag", "config": {}, "next": "c"},
        {"id": "b", "type": "add_tag", "config": {}, "disabled": True},
        {"id": "c", "type": "goal", "config": {"event": "booked"}},
        {"id": "d", "type": "wait_for_event", "config": {"event": "opened"}},
        {"id": "e", "type": "wait_until_date", "config": {}},
        {"id": "f", "type": "if", "config": {}},
    ],
}


def test_what_a_document_watches_and_listens_for() -> None:
    told = [(w.reason, w.is_goal, w.go_to, w.ahead_only) for w in watches_of(DOCUMENT)]
    assert told == [
        ("goal_achieved", True, "c", False),
        ("gone", False, "", False),
        ("exit_2", False, "", False),
        ("goal_achieved", True, "c", True),
    ]
    assert listened_types(DOCUMENT) == {
        "bought", "left", "moved", "signed_up", "booked", "opened", "contact_updated",
    }  # fmt: skip
    assert [kind_of(t) for t in triggers_of(DOCUMENT)] == [TriggerKind.EVENT, TriggerKind.CRON]
    assert priority_of(triggers_of(DOCUMENT)[0], Priority.HIGH) is Priority.LOW
    assert priority_of({}, Priority.HIGH) is Priority.HIGH


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"goal": 5}, "settings.goal"),
        ({"goal": {"event": "a", "colour": 1}}, "settings.goal.colour"),
        ({"goal": {"event": "a", "go_to": 5}}, "settings.goal.go_to"),
        ({"exits": 5}, "settings.exits"),
        ({"exits": [5]}, "settings.exits[0]"),
        ({"triggers": [5]}, "settings.triggers[0]"),
        ({"triggers": [{}]}, "settings.triggers[0]"),
        ({"triggers": [{"event": "a", "colour": 1}]}, "settings.triggers[0].colour"),
        ({"triggers": [{"cron": 5, "contacts": "true"}]}, "settings.triggers[0].cron"),
        ({"triggers": [{"cron": "0 9 * * *", "contacts": 5}]}, "settings.triggers[0].contacts"),
        ({"triggers": [{"at": "2026-01-01"}]}, "settings.triggers[0].contacts"),
        ({"triggers": [{"date": "birthday"}]}, "settings.triggers[0].date"),
        ({"triggers": [{"date": "contact.fields.x", "time": "noon"}]}, "settings.triggers[0].time"),
        ({"triggers": [{"date": "contact.fields.x", "yearly": "yes"}]}, "settings.triggers[0].yearly"),
        ({"triggers": [{"date": "contact.fields.x", "offset": "x"}]}, "settings.triggers[0].offset"),
    ],
)
def test_bad_triggers(settings: dict[str, Any], path: str) -> None:
    assert path in [fault.path for fault in check(settings)]


def test_next_times() -> None:
    cron = {"cron": "0 9 * * mon", "time_zone": "Europe/Berlin"}
    assert schedule.next_time(cron, TriggerKind.CRON, NOW) == datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
    once = {"at": "2026-12-01T09:00", "time_zone": "Europe/Berlin"}
    assert schedule.next_time(once, TriggerKind.ONCE, NOW) == datetime(2026, 12, 1, 8, 0, tzinfo=UTC)
    assert schedule.next_time(once, TriggerKind.ONCE, NOW + timedelta(days=30)) is None
    assert schedule.next_time({}, TriggerKind.DATE, NOW) == NOW + timedelta(hours=1)
    assert schedule.next_time({}, TriggerKind.EVENT, NOW) is None


def fires(
    trigger: dict[str, Any], value: Any, after: datetime, hours: int = 1, zone: str = ""
) -> date | None:
    contact = {"fields": {"day": value}, "time_zone": zone}
    given = {"date": "contact.fields.day", **trigger}
    return schedule.date_fires(given, contact, after, after + timedelta(hours=hours))


def test_dates_fire_in_their_hour_where_the_contact_is() -> None:
    eight = datetime(2026, 11, 20, 7, 30, tzinfo=UTC)
    assert fires({"time": "09:00"}, "2026-11-20", eight, zone="Europe/Berlin") == date(2026, 11, 20)
    assert fires({"time": "09:00"}, "2026-11-20", eight) is None
    assert fires({"time": "09:00", "yearly": True}, "1990-11-20", eight, zone="Europe/Berlin") == date(
        2026, 11, 20
    )
    assert fires({"time": "09:00"}, "1990-11-20", eight, zone="Europe/Berlin") is None
    early = datetime(2026, 11, 17, 7, 30, tzinfo=UTC)
    three = {"time": "09:00", "offset": "-3d", "yearly": True}
    assert fires(three, "1990-11-20", early, zone="Europe/Berlin") == date(2026, 11, 20)
    assert fires({"offset": "2h"}, "2026-11-20", datetime(2026, 11, 20, 1, 30, tzinfo=UTC)) == date(
        2026, 11, 20
    )
    leap = datetime(2027, 3, 1, 8, 30, tzinfo=UTC)
    assert fires({"time": "09:00", "yearly": True}, "1988-02-29", leap) == date(2027, 3, 1)
    for nothing in (None, "", "never", 5e20):
        assert fires({}, nothing, NOW) is None
    assert schedule.date_fires({"date": "contact.fields.day.x"}, {"fields": {"day": 5}}, NOW, NOW) is None


def test_every_birthday_fires_once_a_year_however_it_is_scanned() -> None:
    at, told = datetime(2026, 1, 1, tzinfo=UTC), []
    while at < datetime(2027, 1, 1, tzinfo=UTC):
        found = fires({"time": "02:30", "yearly": True}, "1990-03-29", at, zone="Europe/Berlin")
        told += [found] if found else []
        at += timedelta(hours=1)
    assert told == [date(2026, 3, 29)]


def test_links_of_stored_documents() -> None:
    assert links.place_of(DOCUMENT, "c") == 2
    assert links.place_of(DOCUMENT, "z") is None
    assert links.following(DOCUMENT, 0) == 2
    assert links.following(DOCUMENT, 5) is None
    assert links.landing(DOCUMENT, 1) == 2
    assert links.landing({"steps": [{"id": "a", "type": "add_tag", "disabled": True}]}, 0) == END
    assert links.following({"steps": [{"id": "a", "type": "add_tag", "next": "gone"}]}, 0) == END


def test_receipts_are_kept_as_they_are() -> None:
    told = [
        Consequence(ConsequenceKind.BLOCKED, "w", "", "CONTACT_OPTED_OUT"),
        Consequence(ConsequenceKind.STARTED, "w", "e"),
    ]
    assert load(dump(told)) == told
