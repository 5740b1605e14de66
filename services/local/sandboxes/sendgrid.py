"""SendGrid's `POST /v3/mail/send` as its description and its error pages have it; email.py serves it."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_MOST_BYTES = 30 * 1024 * 1024
_MOST_RECIPIENTS = 1000
_MOST_CATEGORIES = 10
_MOST_ARGUMENT_BYTES = 10_000
_PER_WINDOW = 600
_RESERVED = {"x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding"}
_RESERVED |= {"to", "from", "subject", "reply-to", "cc", "bcc"}


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: Any = None
    headers: Mapping[str, str] | None = None


def authenticated(headers: Mapping[str, str]) -> Reply | None:
    """The refusal of a request without a good key; keys begin with SG., and one with "revoked" is."""
    kind, _, key = headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not key:
        return _refused(401, "authorization required")
    if not key.startswith("SG.") or "revoked" in key:
        return _refused(401, "The provided authorization grant is invalid, expired, or revoked")
    return None


def checked(raw: bytes) -> tuple[dict[str, Any], Reply | None]:
    """The request, and its refusal if it breaks a rule."""
    if len(raw) > _MOST_BYTES:
        return {}, _refused(413, "Payload too large")
    try:
        sent = json.loads(raw)
    except ValueError:
        sent = None
    if not isinstance(sent, dict):
        return {}, _refused(400, "Bad Request")
    faults = [{"message": text, "field": field, "help": None} for field, text in _faults(sent)]
    if faults:
        return sent, Reply(400, {"errors": faults})
    if sent["from"]["email"].endswith("@unverified.test"):
        text = (
            "The from address does not match a verified Sender Identity. Mail cannot be sent until this error"
        )
        return sent, _refused(403, f"{text} is resolved.", "from")
    return sent, None


def accepted() -> tuple[str, Reply]:
    """A new message's id, and the answer that tells it."""
    message_id = uuid4().hex[:22]
    return message_id, Reply(202, None, {"X-Message-Id": message_id})


def rate_headers(used: int) -> dict[str, str]:
    """What every answer says of the window of a minute."""
    return {
        "X-RateLimit-Limit": str(_PER_WINDOW),
        "X-RateLimit-Remaining": str(max(0, _PER_WINDOW - used)),
        "X-RateLimit-Reset": str(int(time.time() // 60 + 1) * 60),
    }


def recipients(sent: Mapping[str, Any]) -> dict[str, list[str]]:
    """to, cc and bcc of the first personalization."""
    first = sent["personalizations"][0]
    return {field: [one["email"] for one in first.get(field, ())] for field in ("to", "cc", "bcc")}


def _refused(status: int, text: str, field: str | None = None) -> Reply:
    return Reply(status, {"errors": [{"message": text, "field": field, "help": None}]})


def _faults(sent: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    blocks = sent.get("personalizations")
    if not isinstance(blocks, list) or not blocks:
        yield (
            "personalizations",
            "The personalizations field is required and must have at least one personalization.",
        )
        return
    for number, block in enumerate(blocks):
        yield from _block_faults(f"personalizations.{number}", block)
    sender = sent.get("from")
    if not isinstance(sender, dict) or not _ADDRESS.fullmatch(str(sender.get("email", ""))):
        yield "from.email", "The from object must be provided for every email send."
    if not sent.get("subject"):
        yield "subject", "The subject is required."
    yield from _content_faults(sent.get("content"))
    if len(sent.get("categories", ())) > _MOST_CATEGORIES:
        yield "categories", f"Max {_MOST_CATEGORIES} categories."
    for name in sent.get("headers", {}):
        if name.lower() in _RESERVED:
            yield "headers", f"The header {name} is reserved."


def _block_faults(place: str, block: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not block.get("to"):
        yield f"{place}.to", "The to array is required for all personalization objects."
    seen: set[str] = set()
    for field in ("to", "cc", "bcc"):
        for number, one in enumerate(block.get(field, ())):
            address = str(one.get("email", "")).lower()
            if not _ADDRESS.fullmatch(address) or address.startswith("undeliverable"):
                yield f"{place}.{field}.{number}.email", "Does not contain a valid address."
            if address in seen:
                yield place, "Each email address in the personalization block should be unique."
            seen.add(address)
    if len(seen) > _MOST_RECIPIENTS:
        yield place, "There is a limit of 1000 total recipients (to + cc + bcc) per request."
    if len(json.dumps(block.get("custom_args", {}))) > _MOST_ARGUMENT_BYTES:
        yield f"{place}.custom_args", "The custom arguments must be at most 10000 bytes."


def _content_faults(content: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(content, list) or not content:
        yield "content", "Unless a valid template_id is provided, the content parameter is required."
        return
    for number, part in enumerate(content):
        if not part.get("value"):
            yield (
                f"content.{number}.value",
                "The content value must be a string at least one character in length.",
            )
    kinds = [part.get("type") for part in content]
    if "text/plain" in kinds[1:]:
        yield "content", "If present, text/plain must be first, followed by text/html."
