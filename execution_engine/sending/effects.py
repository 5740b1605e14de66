"""What an event means for the messages to come: a bounce, a complaint, STOP; store/events.py applies it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from execution_engine.sending.channels import CHANNELS, Category, Channel


@dataclass(frozen=True, slots=True)
class Suppress:
    """Nothing more to the address; `seconds` None: for good."""

    channel: Channel
    category: Category | None
    reason: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Lift:
    """The address may be written to again."""

    channel: Channel


@dataclass(frozen=True, slots=True)
class Deny:
    """The contact withdraws its consent."""

    channel: Channel
    category: Category


Effect = Suppress | Lift | Deny
TYPES = frozenset(
    {
        "email_bounced",
        "email_complained",
        "email_unsubscribed",
        "sms_opt_out",
        "sms_opt_in",
        "messenger_opt_out",
        "messenger_opt_in",
        "number_invalid",
        "address_suppressed",
        "sms_undelivered",
        "sms_failed",
    }
)
"""Event types that have one."""
_SOFT_S = 24 * 3_600.0
_LONGEST_S = 10 * 366 * 86_400.0


def effect_of(type: str, data: Mapping[str, Any]) -> Effect | None:
    """The effect of an event, if it has one."""
    match type:
        case "email_bounced":
            # A full mailbox is not a wrong address; only what bounced hard is given up.
            return Suppress(Channel.EMAIL, None, "HARD_BOUNCE") if data.get("kind") == "hard" else None
        case "email_complained":
            return Suppress(Channel.EMAIL, Category.MARKETING, "COMPLAINT")
        case "email_unsubscribed":
            transactional = data.get("category") == "transactional"
            return Deny(Channel.EMAIL, Category.TRANSACTIONAL if transactional else Category.MARKETING)
        case "sms_opt_out":
            return Suppress(Channel.SMS, None, "STOP")
        case "sms_opt_in":
            return Lift(Channel.SMS)
        case "messenger_opt_out":
            return Suppress(Channel.MESSENGER, None, "STOP")
        case "messenger_opt_in":
            return Lift(Channel.MESSENGER)
        case "number_invalid":
            seconds = _SOFT_S if data.get("temporary") else None
            return Suppress(Channel.SMS, None, "NUMBER_INVALID", seconds)
        case "address_suppressed":
            return Suppress(Channel.EMAIL, None, "PROVIDER_SUPPRESSED")
        case "sms_undelivered" | "sms_failed":
            return _as_told(data.get("suppress"))
        case _:
            return None


def _as_told(given: object) -> Effect | None:
    """What a provider's answer means for the address, as its family says; nothing if it is not that."""
    if not isinstance(given, dict):
        return None
    name, until = given.get("channel"), given.get("until")
    channel = CHANNELS.get(name) if isinstance(name, str) else None
    if channel is None:
        return None
    seconds = min(float(until), _LONGEST_S) if isinstance(until, int | float) else None
    reason = str(given.get("reason", "")).replace("\0", "")[:64]
    return Suppress(channel, None, reason, seconds)
