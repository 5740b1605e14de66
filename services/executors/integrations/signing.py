"""Signs webhooks as Standard Webhooks say; webhook_call asks for the headers of each request it sends.

An account's own secret `webhook_signing` signs its calls, else the process-wide one. While a replaced value
is in rotation there are two signatures, so that receivers may change over when they like.
"""

from typing import Final

from standardwebhooks import Webhook

from services.executors.action import EffectKey
from services.executors.integrations.account_book import Standing
from services.executors.webhook_signing import signed_headers, webhook_id

SIGNING_SECRET: Final = "webhook_signing"


class Signing:
    """The signatures of one call, whatever number of requests it takes. Raises KeyringError."""

    def __init__(self, key: EffectKey, standing: Standing, process_secret: str) -> None:
        own = standing.still_signing(SIGNING_SECRET)
        self._id = webhook_id(key)
        self._signers = [Webhook(secret) for secret in own or [process_secret] if secret]

    def headers(self, body: bytes) -> dict[str, str]:
        """Give the headers that let the receiver know the effect, and us."""
        return signed_headers(self._id, self._signers, body)
