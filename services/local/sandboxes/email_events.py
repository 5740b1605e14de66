"""What the e-mail providers would tell of a message, signed as they sign it; email.py posts it on request."""

import base64
import json
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from standardwebhooks import Webhook

_SENDGRID: Mapping[str, Mapping[str, Any]] = {
    "deferred": {"response": "451 4.7.1 try again later", "attempt": "1"},
    "delivered": {"response": "250 OK"},
    "bounce": {"type": "bounce", "status": "5.1.1", "reason": "550 5.1.1 no such user"},
    "dropped": {"reason": "Bounced Address", "status": "5.0.0"},
    "open": {"useragent": "Mozilla/5.0 (X11)", "ip": "192.0.2.1", "sg_machine_open": False},
    "click": {"useragent": "Mozilla/5.0 (X11)", "ip": "192.0.2.1", "url": "https://example.com/"},
    "group_unsubscribe": {"asm_group_id": 17},
}
_RESEND: Mapping[str, Mapping[str, Any]] = {
    "email.bounced": {
        "bounce": {"type": "Permanent", "subType": "General", "message": "550 5.1.1 no such user"}
    },
    "email.clicked": {"click": {"link": "https://example.com/", "userAgent": "Mozilla/5.0 (X11)"}},
    "email.failed": {"failed": {"reason": "reached_daily_quota"}},
    "email.suppressed": {"suppressed": {"type": "OnAccountSuppressionList", "message": "bounced before"}},
}


class Signer:
    """The keys of one sandbox; what is forged is signed with other keys."""

    def __init__(self) -> None:
        self._private = generate_private_key(SECP256R1())
        self.resend_secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()

    @property
    def sendgrid_key(self) -> str:
        """The verification key, as SendGrid shows it."""
        shown = self._private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(shown).decode()

    def sendgrid(self, body: bytes, age_s: float = 0) -> dict[str, str]:
        """The headers of a post that was signed `age_s` ago."""
        stamp = str(int(time.time() - age_s))
        signature = self._private.sign(stamp.encode() + body, ECDSA(SHA256()))
        return {
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
            "Content-Type": "application/json",
        }

    def resend(self, event_id: str, body: bytes, age_s: float = 0) -> dict[str, str]:
        """The headers of a webhook that was signed `age_s` ago."""
        signed_at = datetime.now(UTC) - timedelta(seconds=age_s)
        return {
            "svix-id": event_id,
            "svix-timestamp": str(int(signed_at.timestamp())),
            "svix-signature": Webhook(self.resend_secret).sign(event_id, signed_at, body.decode()),
            "Content-Type": "application/json",
        }


def sendgrid_event(message: Mapping[str, Any], event: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """One event of a message, with what it was sent with."""
    return {
        "email": message["to"][0],
        "timestamp": int(time.time()),
        "smtp-id": f"<{message['message_id']}@geopod-ismtpd-1>",
        "event": event,
        "category": message["categories"],
        "sg_event_id": secrets.token_urlsafe(24),
        "sg_message_id": f"{message['message_id']}.recvd-1",
        **message["tags"],
        **_SENDGRID.get(event, {}),
        **more,
    }


def resend_event(message: Mapping[str, Any], event: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """One webhook about a message."""
    return {
        "type": event,
        "created_at": datetime.now(UTC).isoformat(),
        "data": {
            "created_at": message["received_at"],
            "email_id": message["message_id"],
            "from": message["from"],
            "to": message["to"],
            "subject": message["subject"],
            "tags": message["tags"],
            **_RESEND.get(event, {}),
            **more,
        },
    }


def posts(
    message: Mapping[str, Any], asked: Mapping[str, Any], signer: Signer
) -> list[tuple[bytes, dict[str, str]]]:
    """The posts that tell what is asked: SendGrid puts all events into one, Resend each into its own."""
    wanted = asked["event"]
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    repeat, age_s = int(asked.get("repeat", 1)), float(asked.get("age_s", 0))
    more = asked.get("data", {})
    if message["provider"] == "sendgrid":
        events = [sendgrid_event(message, name, more) for name in names]
        events = events[::-1] if asked.get("reorder") else events
        body = json.dumps(events).encode()
        return [(body, signer.sendgrid(body, age_s))] * repeat
    made = []
    for name in names[::-1] if asked.get("reorder") else names:
        body = json.dumps(resend_event(message, name, more)).encode()
        made += [(body, signer.resend(f"msg_{uuid4().hex}", body, age_s))] * repeat
    return made
