"""Signs webhooks as Standard Webhooks say; webhook_call asks for the headers of each request it sends.

An account's own secret `webhook_signing` signs its calls, else the process-wide one. While a replaced value
is in rotation there are two signatures, so that receivers may change over when they like.
"""

import base64
import binascii
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook

from services.executors.action import EffectKey
from services.executors.integrations.account_book import Standing

SIGNING_SECRET: Final = "webhook_signing"

_PREFIX: Final = "whsec_"


class Signing:
    """The signatures of one call, whatever number of requests it takes. Raises KeyringError."""

    def __init__(self, key: EffectKey, standing: Standing, process_secret: str) -> None:
        own = standing.still_signing(SIGNING_SECRET)
        self._id = webhook_id(key)
        self._signers = [Webhook(secret) for secret in own or [process_secret] if secret]

    def headers(self, body: bytes) -> dict[str, str]:
        """Give the headers that let the receiver know the effect, and us."""
        now = datetime.now(UTC)
        headers = {
            "idempotency-key": self._id,
            "webhook-id": self._id,
            "webhook-timestamp": str(int(now.timestamp())),
        }
        if self._signers:
            text = body.decode()
            headers["webhook-signature"] = " ".join(one.sign(self._id, now, text) for one in self._signers)
        return headers


def webhook_id(key: EffectKey) -> str:
    """Give the id of an effect's webhook: the same over all its attempts, of header-safe characters."""
    step = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else f"~{ord(c):x}~" for c in key.step_id)
    return f"wf_{key.execution_id.hex}_{step}_{key.visit}"


def signing_secret(raw: str) -> str:
    """Take a Standard Webhooks secret; a parser for settings."""
    try:
        key = base64.b64decode(raw.removeprefix(_PREFIX), validate=True) if raw.startswith(_PREFIX) else b""
    except binascii.Error:
        key = b""
    if not 24 <= len(key) <= 64:
        raise ValueError("must be whsec_ and the base64 of 24 to 64 bytes")
    return raw
