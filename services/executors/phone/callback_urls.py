"""Makes the URLs at which providers call us back, and reads them; twilio.py gives them away.

`{public}/callbacks/{provider}/{channel}/{token}`: the token names the effect. What must come back with the
call and is nobody else's to read travels sealed in the query.
"""

import base64
import binascii
import uuid
import zlib
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

from services.executors.action import EffectKey
from services.executors.providers.effect_token import EffectTokens, TokenRefusedError, Told
from services.runtime.keyring import Keyring, KeyringError

_SEALED: Final = "sealed"
_PURPOSE: Final = "callback_url"


class CallbackUrls:
    """Makes and reads the URLs of one installation."""

    def __init__(self, public_url: str, keyring: Keyring) -> None:
        """`public_url` is where the world reaches us; empty if it cannot."""
        self._public = public_url.rstrip("/")
        self._keyring = keyring
        self._tokens = EffectTokens(keyring)

    @property
    def reachable(self) -> bool:
        """Whether providers can call us."""
        return bool(self._public)

    def make(
        self, provider: str, channel: str, effect: EffectKey, contact_id: uuid.UUID, carried: bytes = b""
    ) -> str:
        """Give the URL for what happens to an effect; empty if nobody could call it."""
        if not self._public:
            return ""
        url = f"{self._public}/callbacks/{provider}/{channel}/{self._tokens.make(effect, contact_id)}"
        if not carried:
            return url
        sealed = self._keyring.seal(_PURPOSE, effect.account_id, zlib.compress(carried))
        return f"{url}?{urlencode({_SEALED: base64.urlsafe_b64encode(sealed).decode().rstrip('=')})}"

    def told(self, url: str) -> Told | None:
        """Give the effect a URL names; None for one that names none of ours."""
        try:
            return self._tokens.read(urlsplit(url).path.rpartition("/")[2])
        except TokenRefusedError:
            return None

    def carries(self, url: str) -> bool:
        """Whether a URL was made to carry something."""
        return _SEALED in parse_qs(urlsplit(url).query)

    def carried(self, url: str, account_id: int) -> bytes:
        """Give back what a URL carries; empty for nothing, or not ours."""
        sealed = parse_qs(urlsplit(url).query).get(_SEALED, [""])[0]
        try:
            raw = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
            return zlib.decompress(self._keyring.open(_PURPOSE, account_id, raw))
        except (binascii.Error, ValueError, KeyringError, zlib.error):
            return b""
