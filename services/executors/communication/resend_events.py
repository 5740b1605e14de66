"""Reads Resend's webhooks, which are Svix's: one event each, signed; resend.py calls it."""

import base64
import binascii
import hmac
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Final

import orjson

from services.executors.action import JsonObject
from services.executors.providers.effect_token import EffectTokens
from services.executors.providers.provider import Answered, Callback, CallbackRefusedError, Happening
from services.executors.providers.signed import require_fresh, told_by

TOKEN: Final = "wayfarer_effect"
"""The tag that carries our token out and back."""
RECIPIENT: Final = "wayfarer_recipient"
"""And the one that tells the contact from those who get copies."""

_PREFIX: Final = "whsec_"
_TYPES: Final[Mapping[str, str]] = {
    "email.sent": "email_processed",
    "email.delivered": "email_delivered",
    "email.delivery_delayed": "email_deferred",
    "email.bounced": "email_bounced",
    "email.failed": "email_dropped",
    "email.suppressed": "email_dropped",
    "email.opened": "email_opened",
    "email.clicked": "email_clicked",
    "email.complained": "email_complained",
}
"""What is not here (schedules, contacts, domains, mail received) is no event of a contact's e-mail."""


class EventReader:
    """Verifies and reads the webhooks of one account."""

    def __init__(self, account_id: int, secret: str, tokens: EffectTokens) -> None:
        self._account_id = account_id
        self._secret = base64.b64decode(secret.removeprefix(_PREFIX)) if secret else b""
        self._tokens = tokens

    def read(self, request: Callback) -> Answered:
        """Give what a webhook tells of. Raises CallbackRefusedError."""
        self._verify(request)
        try:
            event = orjson.loads(request.body)
            if event["type"] not in _TYPES:
                return Answered(())
            return Answered((self._happening(request.headers["svix-id"], event, event["data"]),))
        except (ValueError, KeyError, TypeError):
            raise CallbackRefusedError("MALFORMED") from None

    def _verify(self, request: Callback) -> None:
        if not self._secret:
            raise CallbackRefusedError("NOT_CONFIGURED")
        headers = request.headers
        stamp = headers.get("svix-timestamp", "")
        signed = f"{headers.get('svix-id', '')}.{stamp}.".encode() + request.body
        wanted = "v1," + base64.b64encode(hmac.digest(self._secret, signed, sha256)).decode()
        # Several while the secret is being changed.
        given = headers.get("svix-signature", "").split(" ")
        if not any(hmac.compare_digest(wanted.encode(), one.encode()) for one in given):
            raise CallbackRefusedError("SIGNATURE")
        require_fresh(stamp, request.received_at)

    def _happening(self, event_id: str, event: JsonObject, data: Mapping[str, object]) -> Happening:
        to, tags = data.get("to"), data.get("tags")
        address = str(to[0]) if isinstance(to, list) and to else ""
        told = told_by(self._tokens, _tag(tags, TOKEN), self._account_id, _tag(tags, RECIPIENT), address)
        occurred_at = datetime.fromisoformat(str(event["created_at"]))
        if occurred_at.tzinfo is None:
            raise ValueError("a time without a zone")
        return Happening(
            id=event_id,
            type=_TYPES[str(event["type"])],
            occurred_at=occurred_at,
            effect=told.effect if told else None,
            contact_id=told.contact_id if told else None,
            address=address,
            attributes=_attributes(str(event["type"]), data),
        )


def _tag(tags: object, name: str) -> object:
    """One of the tags, which come as an object or as a list of names and values."""
    if isinstance(tags, Mapping):
        return tags.get(name)
    if isinstance(tags, list):
        found = [one.get("value") for one in tags if isinstance(one, Mapping) and one.get("name") == name]
        return found[0] if found else None
    return None


def _attributes(kind: str, data: Mapping[str, object]) -> JsonObject:
    match kind:
        case "email.bounced":
            bounce = _part(data, "bounce")
            hard = bounce.get("type") in (None, "Permanent")
            return {"kind": "hard" if hard else "soft", "reason": str(bounce.get("message", ""))[:500]}
        case "email.failed":
            return {"reason": str(_part(data, "failed").get("reason", ""))[:500]}
        case "email.suppressed":
            return {"reason": str(_part(data, "suppressed").get("message", ""))[:500]}
        case "email.clicked":
            return {"url": str(_part(data, "click").get("link", ""))[:2000]}
        case _:
            return {}


def _part(data: Mapping[str, object], name: str) -> Mapping[str, object]:
    part = data.get(name)
    return part if isinstance(part, Mapping) else {}


def svix_secret(text: str) -> str:
    """Take the webhook's secret as Resend shows it. Raises ValueError."""
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if text and (not text.startswith(_PREFIX) or not key):
        raise ValueError("must be whsec_ and base64")
    return text
