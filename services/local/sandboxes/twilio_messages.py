"""The Twilio sandbox's messages: what is refused, how the others fare, and how they are listed; twilio.py."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from services.local.sandboxes.twilio_callbacks import Courier
from services.local.sandboxes.twilio_numbers import REFUSED_FROM, REFUSED_TO, UNDELIVERED

_LONGEST_BODY = 1600
_MOST_MEDIA = 10
_GSM = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)


def message_fault(form: Mapping[str, str], media: Sequence[str], to: str) -> tuple[int, str] | None:
    """Give what Twilio has against the form of a new message."""
    if not form.get("From") and not form.get("MessagingServiceSid"):
        return 21603, "A 'From' phone number is required"
    if not form.get("Body") and not media:
        return 21602, "Message body is required"
    if len(form.get("Body", "")) > _LONGEST_BODY:
        return 21617, "The concatenated message body exceeds the 1600 character limit"
    if len(media) > _MOST_MEDIA:
        return 21623, "Number of media files exceeds allowed limit"
    validity = form.get("ValidityPeriod", "36000")
    if not validity.isdecimal() or not 1 <= int(validity) <= 36_000:
        return 21623, "ValidityPeriod must be between 1 and 36000"
    return REFUSED_TO.get(to) or REFUSED_FROM.get(form.get("From", ""))


def segments(body: str) -> int:
    """Count the parts a text is sent in: of 160 characters of GSM-7, or 70 others, fewer if several."""
    one, several = (160, 153) if set(body) <= _GSM else (70, 67)
    return 1 if len(body) <= one else -(-len(body) // several)


async def go_on(
    message: dict[str, Any], callback: str, courier: Courier, pace_s: float, now: Callable[[], str]
) -> None:
    """Let a message take its course: queued, sent, delivered or not."""
    told: list[Mapping[str, str]] = []
    fails = message["to"].startswith(UNDELIVERED)
    for status in ("sent", "undelivered" if fails else "delivered"):
        await asyncio.sleep(pace_s)
        message["status"], message["date_updated"] = status, now()
        message["date_sent"] = message["date_sent"] or now()
        if status == "undelivered":
            message["error_code"] = int("300" + message["to"][-2:])
        told.append(message_fields(message))
    await courier.post_all(callback, told)


def message_fields(message: Mapping[str, Any]) -> dict[str, str]:
    """Give what Twilio tells of a message."""
    fields = {
        "ApiVersion": "2010-04-01",
        "AccountSid": message["account_sid"],
        "From": message["from"] or "",
        "To": message["to"],
        "MessageSid": message["sid"],
        "MessageStatus": message["status"],
        "SmsSid": message["sid"],
        "SmsStatus": message["status"],
    }
    if message["error_code"]:
        fields["ErrorCode"] = str(message["error_code"])
    return fields


def listed(messages: Iterable[Mapping[str, Any]], query: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """Give the messages a query asks for, newest first; those not sent yet have no date to be found by."""
    return [
        one
        for one in reversed(list(messages))
        if query.get("To", one["to"]) == one["to"]
        and query.get("From", one["from"]) == one["from"]
        and all(
            one["date_sent"] is not None
            and fits(_day(one["date_sent"]), date.fromisoformat(query[name][:10]))
            for name, fits in _DATES.items()
            if name in query
        )
    ]


_DATES: dict[str, Callable[[date, date], bool]] = {
    "DateSent": lambda sent, asked: sent == asked,
    "DateSent>": lambda sent, asked: sent >= asked,
    "DateSent<": lambda sent, asked: sent <= asked,
}


def _day(text: str) -> date:
    return datetime.date(parsedate_to_datetime(text))
