"""Resend's `POST /emails` as its published description and its error page have it; email.py serves it."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from services.local.sandboxes.sendgrid import Reply

_ADDRESS = re.compile(r"(?:.*<)?[^@\s<>]+@[^@\s<>]+\.[^@\s<>]+>?")
_TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")
_MOST_TO = 50
_KEPT_S = 24 * 3600.0
_PER_SECOND = 5


@dataclass(slots=True)
class Key:
    """An idempotency key in use."""

    payload: str
    since: float
    answer: Reply | None = None


@dataclass(slots=True)
class Keys:
    """What each key of an API key stands for, for 24 hours."""

    used: dict[tuple[str, str], Key] = field(default_factory=dict)

    def meet(self, api_key: str, key: str, sent: Mapping[str, Any]) -> Reply | None:
        """The answer that a key met before gets; None for a new one, which is then in use."""
        payload = json.dumps(sent, sort_keys=True)
        known = self.used.get((api_key, key))
        if known is None or time.time() - known.since > _KEPT_S:
            self.used[api_key, key] = Key(payload, time.time())
            return None
        if known.payload != payload:
            text = "Same idempotency key used with a different request payload."
            return _refused(409, "invalid_idempotent_request", text)
        if known.answer is None:
            text = "Same idempotency key used while original request is still in progress."
            return _refused(409, "concurrent_idempotent_requests", text)
        return known.answer

    def settle(self, api_key: str, key: str, answer: Reply | None) -> None:
        """Keep a success under its key; anything else frees it."""
        if answer is not None and answer.status == 200:
            self.used[api_key, key].answer = answer
        else:
            self.used.pop((api_key, key), None)


def authenticated(headers: Mapping[str, str]) -> Reply | None:
    """The refusal of a request without a good key; keys begin with re_, and one with "revoked" is."""
    kind, _, key = headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not key:
        return _refused(401, "missing_api_key", "Missing API Key")
    if not key.startswith("re_") or "revoked" in key:
        return _refused(401, "validation_error", "API key is invalid")
    return None


def checked(raw: bytes, headers: Mapping[str, str]) -> tuple[dict[str, Any], Reply | None]:
    """The request, and its refusal if it breaks a rule."""
    key = headers.get("Idempotency-Key")
    if key is not None and not 1 <= len(key) <= 256:
        text = "Idempotency keys, if present, must have between 1 and 256 characters."
        return {}, _refused(400, "invalid_idempotency_key", text)
    try:
        sent = json.loads(raw)
    except ValueError:
        sent = None
    if not isinstance(sent, dict):
        return {}, _refused(400, "validation_error", "The request body is not valid JSON.")
    for name, text in _faults(sent):
        return sent, _refused(422, name, text)
    domain = str(sent["from"]).rpartition("@")[2].rstrip(">")
    if domain == "unverified.test":
        return sent, _refused(403, "validation_error", f"The {domain} domain is not verified.")
    return sent, None


def accepted() -> tuple[str, Reply]:
    """A new message's id, and the answer that tells it."""
    message_id = str(uuid4())
    return message_id, Reply(200, {"id": message_id})


def rate_headers(used: int) -> dict[str, str]:
    """What every answer says of the window of a second."""
    return {
        "ratelimit-limit": str(_PER_SECOND),
        "ratelimit-remaining": str(max(0, _PER_SECOND - used)),
        "ratelimit-reset": "1",
    }


def listed(value: Any) -> list[str]:
    """An address or several."""
    return [value] if isinstance(value, str) else list(value or ())


def _refused(status: int, name: str, text: str) -> Reply:
    return Reply(status, {"statusCode": status, "name": name, "message": text})


def _faults(sent: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("from", "to", "subject"):
        if not sent.get(name):
            yield "missing_required_field", f"Missing `{name}` field."
    if not sent.get("html") and not sent.get("text"):
        yield "missing_required_field", "Missing `html` or `text` field."
    if not _ADDRESS.fullmatch(str(sent.get("from", ""))):
        yield "invalid_from_address", "Invalid `from` field."
    for name in ("to", "cc", "bcc", "reply_to"):
        if not all(_ADDRESS.fullmatch(one) for one in listed(sent.get(name))):
            yield "validation_error", f"Invalid `{name}` field."
    if len(listed(sent.get("to"))) > _MOST_TO:
        yield "validation_error", "The `to` field must have at most 50 recipients."
    for tag in sent.get("tags", ()):
        if not _TAG.fullmatch(tag.get("name", "")) or not _TAG.fullmatch(tag.get("value", "")):
            text = "Tags should only contain ASCII letters, numbers, underscores, or dashes."
            yield "validation_error", text
