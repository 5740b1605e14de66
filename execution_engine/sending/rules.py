"""What an account or a workflow rules about sending: quiet hours, windows, caps, consent; gate.py keeps them.

Read from the settings as they are stored; `faults` names everything wrong with them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import time, timedelta
from functools import lru_cache
from typing import Any, TypeVar
from zoneinfo import available_timezones

import orjson

from execution_engine.calendar.rules import time_of_day, weekdays_of
from execution_engine.definition import durations
from execution_engine.definition.faults import Fault
from execution_engine.sending.channels import CATEGORIES, CHANNELS, Category, Channel

EVERY_DAY = frozenset(range(7))
ZONES = ("contact", "workflow", "account")
_MOST_CAPS = 20
_LONGEST = timedelta(days=90)
_SPREAD = "10m"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Hours:
    """From a time of day to another, past midnight if that is not later, on the days it begins on."""

    begins: time
    ends: time
    days: frozenset[int]
    zone: str
    channels: frozenset[Channel]
    categories: frozenset[Category]
    spread: timedelta
    """What is held up by it is let go over this long."""


@dataclass(frozen=True, slots=True)
class Cap:
    """At most so many messages to one contact in a sliding window."""

    channels: frozenset[Channel]
    categories: frozenset[Category]
    most: int
    per: timedelta
    defers: bool


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything that holds for one send."""

    quiet: Hours | None = None
    window: Hours | None = None
    caps: tuple[Cap, ...] = ()
    explicit: frozenset[Channel] = frozenset()
    """Channels by which marketing needs a consent that was given."""


def rules_of(account: Mapping[str, Any], workflow: Mapping[str, Any]) -> Rules:
    """From the `sending` part of an account's settings and a workflow's settings; both must be valid."""
    if not account and not workflow:
        return _NONE
    return _cached(orjson.dumps(account), orjson.dumps(workflow))


def of_workflow(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a workflow's settings that rules about sending."""
    return {name: settings[name] for name in ("quiet_hours", "send_window") if name in settings}


def longest_cap(account: Mapping[str, Any]) -> timedelta:
    """How far back caps look."""
    caps = rules_of(account, {}).caps
    return max((cap.per for cap in caps), default=timedelta(0))


def faults(given: Mapping[str, Any], path: str) -> list[Fault]:
    """Everything wrong with the `sending` part of settings, or with a workflow's part of it."""
    found: list[Fault] = []
    for name, read in (
        ("quiet_hours", _quiet),
        ("send_window", _window),
        ("frequency_caps", _caps),
        ("explicit_consent", _channels),
    ):
        if name in given:
            try:
                read(given[name])
            except ValueError as error:
                found.append(Fault(f"{path}.{name}", name, str(error)))
    return found


_NONE = Rules()


@lru_cache(maxsize=4096)
def _cached(account: bytes, workflow: bytes) -> Rules:
    own, given = orjson.loads(account), orjson.loads(workflow)
    both = {**own, **given}
    return Rules(
        quiet=_quiet(both["quiet_hours"]) if "quiet_hours" in both else None,
        window=_window(both["send_window"]) if "send_window" in both else None,
        caps=_caps(own.get("frequency_caps") or []),
        explicit=_channels(own["explicit_consent"]) if own.get("explicit_consent") else frozenset(),
    )


def _quiet(given: Any) -> Hours | None:
    return None if _is_off(given) else _hours(given, "quiet hours", ["marketing"])


def _window(given: Any) -> Hours | None:
    return None if _is_off(given) else _hours(given, "a send window", ["marketing"])


def _is_off(given: Any) -> bool:
    return given is False or given == "off"  # YAML reads a bare `off` as false


def _hours(given: Any, name: str, categories: list[str]) -> Hours:
    _keys(given, ("from", "to", "days", "time_zone", "channels", "categories", "spread"), name)
    if "from" not in given or "to" not in given:
        raise ValueError(f"{name} need from and to")
    begins, ends = time_of_day(given["from"]), time_of_day(given["to"])
    if begins == ends:
        raise ValueError(f"{name} that begin when they end are none; leave them out")
    zone = given.get("time_zone", "contact")
    if not isinstance(zone, str) or (zone not in ZONES and zone not in available_timezones()):
        raise ValueError(f"time_zone: must be {', '.join(ZONES)} or an IANA time zone")
    return Hours(
        begins,
        ends,
        weekdays_of(given["days"]) if given.get("days") else EVERY_DAY,
        zone,
        _channels(given.get("channels") or list(CHANNELS)),
        _named(given.get("categories") or categories, CATEGORIES, "categories"),
        _long(given.get("spread", _SPREAD), "spread", timedelta(hours=12)),
    )


def _caps(given: Any) -> tuple[Cap, ...]:
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) > _MOST_CAPS:
        raise ValueError(f"must be a list of at most {_MOST_CAPS}")
    return tuple(_cap(one) for one in given)


def _cap(given: Any) -> Cap:
    _keys(given, ("channels", "categories", "most", "per", "then"), "a cap")
    most, then = given.get("most"), given.get("then", "skip")
    if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= 100:
        raise ValueError("most: must be from 1 to 100")
    if then not in ("skip", "defer"):
        raise ValueError("then: must be skip or defer")
    return Cap(
        _channels(given.get("channels") or list(CHANNELS)),
        _named(given.get("categories") or ["marketing"], CATEGORIES, "categories"),
        most,
        _long(given.get("per", "1d"), "per", _LONGEST),
        then == "defer",
    )


def _channels(given: Any) -> frozenset[Channel]:
    return _named(given, CHANNELS, "channels")


def _named(given: Any, known: Mapping[str, T], name: str) -> frozenset[T]:
    if (
        not isinstance(given, Sequence)
        or isinstance(given, str)
        or any(not isinstance(one, str) or one not in known for one in given)
    ):
        raise ValueError(f"{name}: must be a list of {', '.join(known)}")
    return frozenset(known[one] for one in given)


def _long(given: Any, name: str, most: timedelta) -> timedelta:
    try:
        found = timedelta(seconds=durations.seconds(given))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name}: {error}") from None
    if found > most:
        raise ValueError(f"{name}: must be at most {most}")
    return found


def _keys(given: Any, known: Sequence[str], name: str) -> None:
    if not isinstance(given, Mapping):
        raise ValueError(f"{name}: must be a mapping")
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(f"{name} have no {unknown[0]!r} (there are {', '.join(known)})")
