"""An account's rules about messages, between the wire and how they are stored; admin_servicer.py asks."""

from typing import Any

from google.protobuf.duration_pb2 import Duration
from wayfarer.admin.v1 import account_pb2

_LISTS = ("days", "channels", "categories")
_TEXTS = ("from", "to", "time_zone")


def stored(given: account_pb2.Sending) -> dict[str, Any]:
    """The rules that are given, as the engine keeps them; what is left out takes its default there."""
    rules: dict[str, Any] = {}
    for name in ("quiet_hours", "send_window"):
        if given.HasField(name):
            rules[name] = _hours(getattr(given, name))
    if given.frequency_caps:
        rules["frequency_caps"] = [_cap(cap) for cap in given.frequency_caps]
    if given.explicit_consent:
        rules["explicit_consent"] = list(given.explicit_consent)
    return rules


def shown(rules: dict[str, Any]) -> account_pb2.Sending:
    """The rules as the wire has them."""
    sending = account_pb2.Sending(explicit_consent=rules.get("explicit_consent", ()))
    for name in ("quiet_hours", "send_window"):
        if name in rules:
            told = {key: rules[name][key] for key in (*_LISTS, *_TEXTS) if key in rules[name]}
            hours = account_pb2.SendingHours(**told)
            if "spread" in rules[name]:
                hours.spread.CopyFrom(_duration(rules[name]["spread"]))
            getattr(sending, name).CopyFrom(hours)
    for cap in rules.get("frequency_caps", ()):
        told = {key: cap[key] for key in ("channels", "categories", "most", "then") if key in cap}
        added = sending.frequency_caps.add(**told)
        if "per" in cap:
            added.per.CopyFrom(_duration(cap["per"]))
    return sending


def _hours(given: account_pb2.SendingHours) -> dict[str, Any]:
    named = {name: getattr(given, name) for name in _TEXTS} | {
        name: list(getattr(given, name)) for name in _LISTS
    }
    hours = {name: value for name, value in named.items() if value}
    if given.HasField("spread"):
        hours["spread"] = given.spread.ToTimedelta().total_seconds()
    return hours


def _cap(given: account_pb2.FrequencyCap) -> dict[str, Any]:
    named = {
        "channels": list(given.channels),
        "categories": list(given.categories),
        "most": given.most,
        "then": given.then,
    }
    cap = {name: value for name, value in named.items() if value}
    if given.HasField("per"):
        cap["per"] = given.per.ToTimedelta().total_seconds()
    return cap


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(int(seconds * 1000))
    return duration
