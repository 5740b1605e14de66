"""Names and secrets as Standard Webhooks have them; whatever calls a receiver of an account's asks here."""

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook

from services.executors.action import EffectKey

_PREFIX: Final = "whsec_"


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


def signed_headers(name: str, signers: Sequence[Webhook], body: bytes) -> dict[str, str]:
    """Give the headers that let a receiver know the effect, and us; `name` is its webhook_id."""
    now = datetime.now(UTC)
    headers = {
        "idempotency-key": name,
        "webhook-id": name,
        "webhook-timestamp": str(int(now.timestamp())),
    }
    if signers:
        text = body.decode()
        headers["webhook-signature"] = " ".join(one.sign(name, now, text) for one in signers)
    return headers
