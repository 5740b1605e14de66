"""Reads SendGrid's Event Webhook: signed posts of many events, often repeated; sendgrid.py calls it."""

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from services.executors.action import JsonObject
from services.executors.providers.effect_token import EffectTokens
from services.executors.providers.provider import Answered, Callback, CallbackRefusedError, Happening
from services.executors.providers.signed import require_fresh, told_by

TOKEN: Final = "wayfarer_effect"
"""The custom argument that carries our token out and back."""
RECIPIENT: Final = "wayfarer_recipient"
"""And the one that tells the contact from those who get copies."""

_SIGNATURE: Final = "x-twilio-email-event-webhook-signature"
_TIMESTAMP: Final = "x-twilio-email-event-webhook-timestamp"
_TYPES: Final[Mapping[str, str]] = {
    "processed": "email_processed",
    "delivered": "email_delivered",
    "deferred": "email_deferred",
    "bounce": "email_bounced",
    "dropped": "email_dropped",
    "open": "email_opened",
    "click": "email_clicked",
    "spamreport": "email_complained",
    "unsubscribe": "email_unsubscribed",
    "group_unsubscribe": "email_unsubscribed",
}
"""What is not here (a group's resubscription, a changed account) is no event of a contact."""


class EventReader:
    """Verifies and reads the posts for one account."""

    def __init__(self, account_id: int, public_key: str, tokens: EffectTokens) -> None:
        self._account_id = account_id
        self._key = _loaded(public_key) if public_key else None
        self._tokens = tokens

    def read(self, request: Callback) -> Answered:
        """Give what a post tells of. Raises CallbackRefusedError."""
        self._verify(request)
        try:
            events = orjson.loads(request.body)
        except ValueError:
            raise CallbackRefusedError("MALFORMED") from None
        if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
            raise CallbackRefusedError("MALFORMED")
        return Answered([self._happening(event) for event in events if event.get("event") in _TYPES])

    def _verify(self, request: Callback) -> None:
        if self._key is None:
            raise CallbackRefusedError("NOT_CONFIGURED")
        stamp = request.headers.get(_TIMESTAMP, "")
        try:
            signature = base64.b64decode(request.headers.get(_SIGNATURE, ""), validate=True)
            self._key.verify(signature, stamp.encode() + request.body, ECDSA(SHA256()))
        except (binascii.Error, ValueError, InvalidSignature):
            raise CallbackRefusedError("SIGNATURE") from None
        require_fresh(stamp, request.received_at)

    def _happening(self, event: JsonObject) -> Happening:
        stamp, address = event.get("timestamp"), str(event.get("email", ""))
        told = told_by(self._tokens, event.get(TOKEN), self._account_id, event.get(RECIPIENT), address)
        if not isinstance(stamp, int) or not isinstance(event.get("sg_event_id"), str):
            raise CallbackRefusedError("MALFORMED")
        try:
            occurred_at = datetime.fromtimestamp(stamp, UTC)
        except (ValueError, OverflowError, OSError):
            raise CallbackRefusedError("MALFORMED") from None
        return Happening(
            id=str(event["sg_event_id"]),
            type=_TYPES[str(event["event"])],
            occurred_at=occurred_at,
            effect=told.effect if told else None,
            contact_id=told.contact_id if told else None,
            address=address,
            attributes=_attributes(event),
        )


def _attributes(event: JsonObject) -> JsonObject:
    match event["event"]:
        case "bounce":
            # "blocked" is a refusal of this message, by a rule or a full mailbox; the address stands.
            kind = "soft" if event.get("type") == "blocked" else "hard"
            return {"kind": kind, "reason": str(event.get("reason", ""))[:500]}
        case "dropped":
            return {"reason": str(event.get("reason", ""))[:500]}
        case "deferred":
            return {"reason": str(event.get("response", ""))[:500]}
        case "open":
            return {"machine_open": event.get("sg_machine_open") is True}
        case "click":
            return {"url": str(event.get("url", ""))[:2000]}
        case "group_unsubscribe":
            return {"group": str(event.get("asm_group_id", ""))}
        case _:
            return {}


def verification_key(text: str) -> str:
    """Take the verification key as SendGrid shows it. Raises ValueError."""
    if text:
        _loaded(text)
    return text


def _loaded(text: str) -> EllipticCurvePublicKey:
    try:
        key = load_der_public_key(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        raise ValueError("must be the base64 of a public key") from None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise ValueError("must be a P-256 public key")
    return key
