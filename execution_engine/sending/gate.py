"""Decides whether one message may go out now, in the order of docs/sending.md: pure; walk.py asks.

The verdict carries its evidence: which rule, which zone, which consent. What it knows of the contact was read
before; the commit makes sure that nothing of it has changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from execution_engine.calendar.zones import wall_clock, zone_of
from execution_engine.model import BlockedOn, LogEvent
from execution_engine.sending.channels import Category, Message
from execution_engine.sending.facts import Facts
from execution_engine.sending.hours import opens_at, quiet_until, release
from execution_engine.sending.rules import Cap, Hours, Rules

Evidence = dict[str, str]


@dataclass(frozen=True, slots=True)
class Allowed:
    """It may go, but not to `dropped`, which are copies."""

    evidence: Evidence
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """It is not sent: the step is passed over."""

    event: LogEvent
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Later:
    """Not before `until`."""

    reason: BlockedOn
    until: datetime
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Unread:
    """The suppressions of an address have not been read."""


Verdict = Allowed | Refused | Later | Unread


@dataclass(frozen=True, slots=True)
class Place:
    """Where the message is sent from: by which step, and whose clocks count, the contact's first."""

    step: tuple[str, str, int]
    zones: dict[str, str] = field(default_factory=dict)
    """IANA names of "contact", "workflow" and "account", where they have one."""


def judge(message: Message, facts: Facts, rules: Rules, place: Place, now: datetime) -> Verdict:
    """The verdict of all rules, in their order."""
    told = {"channel": message.channel.name.lower(), "category": message.category.name.lower()}
    if not message.address:
        return Refused(LogEvent.SEND_SKIPPED, {"rule": "NO_ADDRESS", **told})
    if not facts.hashes.keys() >= {message.address, *message.copies}:
        return Unread()
    refused = _suppressed(message, message.address, facts, now) or _without_consent(message, facts, rules)
    if refused is not None:
        return Refused(LogEvent.OPT_OUT_BLOCKED, {**refused, **told})
    later = _out_of_hours(message, rules, place, now)
    if later is not None:
        return Later(BlockedOn.QUIET_HOURS, later[0], {**later[1], **told})
    capped = _capped(message, facts, rules, place, now)
    if capped is not None:
        return capped
    held = {copy: why for copy in message.copies if (why := _suppressed(message, copy, facts, now))}
    return Allowed({**told, **_basis(message, facts), **_dropped(held)}, tuple(held))


def _dropped(held: Mapping[str, Evidence]) -> Evidence:
    """What the log says of copies that are not sent: to how many, and why; to whom is in its config."""
    reasons = sorted({why["reason"] for why in held.values()})
    return {"copies_dropped": str(len(held)), "copies_reasons": ", ".join(reasons)} if held else {}


def _suppressed(message: Message, address: str, facts: Facts, now: datetime) -> Evidence | None:
    hashed = facts.hashes[address]
    for one in facts.suppressions:
        if (
            one.channel is message.channel
            and one.address_hash == hashed
            and one.category in (None, message.category)
            and (one.until is None or one.until > now)
        ):
            until = {"until": one.until.isoformat()} if one.until else {}
            return {"rule": "SUPPRESSED", "reason": one.reason, **until}
    return None


def _without_consent(message: Message, facts: Facts, rules: Rules) -> Evidence | None:
    if facts.opted_out:
        return {"rule": "OPTED_OUT"}
    given = facts.consents.get((message.channel, message.category))
    if given is not None and not given.granted:
        return {"rule": "CONSENT_DENIED", "source": given.source, "at": given.at.isoformat()}
    if given is None and message.category is Category.MARKETING and message.channel in rules.explicit:
        return {"rule": "NO_CONSENT"}
    return None


def _basis(message: Message, facts: Facts) -> Evidence:
    given = facts.consents.get((message.channel, message.category))
    if given is None:
        return {"consent": "implied"}
    return {"consent": "given", "source": given.source, "at": given.at.isoformat()}


def _out_of_hours(
    message: Message, rules: Rules, place: Place, now: datetime
) -> tuple[datetime, Evidence] | None:
    quiet, window = rules.quiet, rules.window
    if quiet is not None and _concerns(quiet, message):
        zone, name = _zone(quiet, place)
        until = quiet_until(quiet, now, zone)
        if until is not None:
            return _released(quiet, "QUIET_HOURS", until, place, (zone, name), now)
    if window is not None and _concerns(window, message):
        zone, name = _zone(window, place)
        until = opens_at(window, now, zone)
        if until is not None:
            return _released(window, "SEND_WINDOW", until, place, (zone, name), now)
    return None


def _released(
    hours: Hours, rule: str, until: datetime, place: Place, zone: tuple[ZoneInfo, str], now: datetime
) -> tuple[datetime, Evidence]:
    due = release(until, hours.spread, place.step[0], place.step[1])
    local = wall_clock(now, zone[0]).isoformat(timespec="seconds")
    return due, {
        "rule": rule,
        "time_zone": zone[1],
        "local_time": local,
        "hours": f"{hours.begins:%H:%M}-{hours.ends:%H:%M}",
        "until": due.isoformat(),
    }


def _concerns(rule: Hours | Cap, message: Message) -> bool:
    return message.channel in rule.channels and message.category in rule.categories


def _zone(hours: Hours, place: Place) -> tuple[ZoneInfo, str]:
    zones = place.zones
    match hours.zone:
        case "contact":
            return zone_of(zones.get("contact", ""), zones.get("workflow", ""), zones.get("account", ""))
        case "workflow":
            return zone_of(zones.get("workflow", ""), zones.get("account", ""))
        case "account":
            return zone_of(zones.get("account", ""))
        case name:
            return zone_of(name)


def _capped(message: Message, facts: Facts, rules: Rules, place: Place, now: datetime) -> Verdict | None:
    for cap in rules.caps:
        if not _concerns(cap, message):
            continue
        within = [
            one.at
            for one in facts.sent
            if one.at > now - cap.per
            and one.channel in cap.channels
            and one.category in cap.categories
            and one.step != place.step
        ]
        if len(within) < cap.most:
            continue
        evidence = {"rule": "FREQUENCY_CAP", "most": str(cap.most), "per": str(cap.per)}
        if not cap.defers:
            return Refused(LogEvent.SEND_SKIPPED, evidence)
        until = within[-cap.most] + cap.per
        return Later(BlockedOn.FREQUENCY_CAP, until, {**evidence, "until": until.isoformat()})
    return None
