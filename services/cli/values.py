"""Reads what people type: short names of statuses and classes, times, spans, JSON; the options use it.

The names are spelled here, not taken from the protos, so that help and completion need not load them;
tests/unit/cli holds them against the protos.
"""

import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import typer

EXECUTION_STATUSES: Final = ("QUEUED", "ACTIVE", "PAUSED", "WAITING", "COMPLETED", "FAILED", "CANCELLED")
WORKFLOW_STATUSES: Final = ("DRAFT", "ACTIVE", "PAUSED", "ARCHIVED")
PRIORITIES: Final = ("HIGH", "NORMAL", "LOW")
ERROR_CLASSES: Final = (
    "TIMEOUT",
    "RATE_LIMIT",
    "SERVER_ERROR",
    "NETWORK",
    "VALIDATION",
    "NOT_FOUND",
    "AUTHENTICATION",
    "AUTHORIZATION",
    "CONFIGURATION",
    "CONTACT_DATA",
    "DATABASE",
    "INDETERMINATE",
)
REMOVED_STEPS: Final = ("ADVANCE", "EXIT")
REFUSAL_KINDS: Final = (
    "opt_out_blocked",
    "deduplication_blocked",
    "reentry_blocked",
    "workflow_not_active",
    "loop_blocked",
)
ROLES: Final = ("MEMBER", "ADMIN", "PLATFORM")
SETTINGS_PARTS: Final = (
    "time_zone",
    "business_hours",
    "holidays",
    "rates",
    "notifications",
    "retention",
    "sending",
)
TARGETS: Final = ("email", "webhook", "slack")
"""Ways in which an account's people are told of failures."""
CHANNELS: Final = ("email", "sms", "voice", "messenger", "courses", "crm", "slack", "notify_webhook")
_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_LONGEST_S: Final = 10 * 365 * 86_400
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")


def one_of(names: tuple[str, ...]) -> Callable[[str], str]:
    """A reader of one of these names, in either case."""
    known = {name.upper(): name for name in names}

    def read(text: str) -> str:
        name = known.get(text.upper().replace("-", "_"))
        if name is None:
            raise typer.BadParameter(f"{text!r} is none of {', '.join(names)}")
        return name

    return read


def completing(names: Iterable[str]) -> Callable[[str], list[str]]:
    """What the shell offers for the beginning of one of these names."""

    def begun(incomplete: str) -> list[str]:
        found = [name for name in names if name.upper().startswith(incomplete.upper())]
        # A shell takes only what goes on as it was begun.
        return [name.lower() for name in found] if incomplete.islower() else found

    return begun


def span(text: str) -> timedelta:
    """A length of time such as 90s, 15m, 2h, 7d."""
    found = _SPAN.fullmatch(text)
    if not found:
        raise typer.BadParameter(f"{text!r} is no span: a number and ms, s, m, h, d or w, e.g. 90s")
    seconds = float(found[1]) * _UNITS[found[2]]
    if seconds > _LONGEST_S:
        raise typer.BadParameter(f"{text!r} is longer than ten years")
    return timedelta(seconds=seconds)


def moment(text: str) -> datetime:
    """A time: RFC 3339, a date (midnight in the reader's zone), or a span ago, e.g. 2h."""
    try:
        if _SPAN.fullmatch(text):
            return datetime.now(UTC) - span(text)
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is no time: 2026-03-01T12:00:00Z, 2026-03-01, or how long ago, e.g. 2h"
        ) from None


def json_object(text: str, option: str) -> dict[str, Any]:
    """A JSON object; wrong usage of `option` if it is none."""
    try:
        data = json.loads(text or "{}")
    except ValueError as error:
        raise typer.BadParameter(f"is no JSON: {error}", param_hint=option) from None
    if not isinstance(data, dict):
        raise typer.BadParameter("must be a JSON object", param_hint=option)
    return data


def pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """OLD=NEW pairs; wrong usage of `option` if one is none, or says a name twice."""
    found: dict[str, str] = {}
    for text in texts:
        old, equals, new = text.partition("=")
        if not (old and equals and new) or old in found:
            raise typer.BadParameter(f"{text!r}: must be OLD=NEW, each OLD once", param_hint=option)
        found[old] = new
    return found
