"""Names an effect in a URL that goes out to the world: callbacks, links, unsubscribes; senders make it, the
families' callback service reads it back.

Signed with the account's key: nobody can speak of an effect, or of a contact, that was not told to them.
"""

import base64
import binascii
import hmac
import struct
import uuid
from hashlib import sha256
from typing import Final, NamedTuple

from services.executors.action import EffectKey
from services.runtime.keyring import Keyring

_PURPOSE: Final = "effect_token"
_FIXED: Final = struct.Struct(">Q16s16sH")
_MAC_BYTES: Final = 16


class TokenRefusedError(ValueError):
    """A text that is no token of ours."""


class Told(NamedTuple):
    """What a token names."""

    effect: EffectKey
    contact_id: uuid.UUID


class EffectTokens:
    """Makes and reads tokens; about 100 characters each, safe in a URL's path."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def make(self, effect: EffectKey, contact_id: uuid.UUID) -> str:
        """Name an effect and the contact it is done to."""
        body = _FIXED.pack(effect.account_id, effect.execution_id.bytes, contact_id.bytes, effect.visit)
        body += effect.step_id.encode()
        return base64.urlsafe_b64encode(body + self._mac(effect.account_id, body)).decode().rstrip("=")

    def read(self, token: str) -> Told:
        """Give back what a token names. Raises TokenRefusedError."""
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
            account_id, execution, contact, visit = _FIXED.unpack_from(body)
            step_id = body[_FIXED.size :].decode()
        except (binascii.Error, struct.error, UnicodeDecodeError, ValueError):
            raise TokenRefusedError("not a token") from None
        if not hmac.compare_digest(mac, self._mac(account_id, body)):
            raise TokenRefusedError("not a token of ours")
        effect = EffectKey(account_id, uuid.UUID(bytes=execution), step_id, visit)
        return Told(effect, uuid.UUID(bytes=contact))

    def _mac(self, account_id: int, body: bytes) -> bytes:
        key = self._keyring.mac_key(_PURPOSE, account_id)
        return hmac.digest(key, body, sha256)[:_MAC_BYTES]
