"""Posts notifications to a URL of the account's, signed as Standard Webhooks say; Chosen makes it.

The receiver may know a repeat by its webhook-id; it is posted at most once all the same.
"""

from datetime import UTC, datetime
from typing import Annotated, Final

import orjson
from pydantic import AfterValidator, StringConstraints
from standardwebhooks import Webhook
from yarl import URL

from services.executors.gate import SendGate
from services.executors.internal import notify_faults
from services.executors.internal.notification import Notification, Receipt
from services.executors.internal.receiver_url import receiver_url
from services.executors.providers.http_exchange import NoAnswerError, ProviderHttp, pause_asked
from services.executors.providers.offering import Offered, ProviderCredentials, ProviderSettings
from services.executors.providers.provider import (
    Answered,
    Callback,
    CallbackRefusedError,
    ProviderAccount,
    ProviderError,
)
from services.executors.webhook_signing import signed_headers, signing_secret, webhook_id

CHANNEL: Final = "notify_webhook"

_JSON: Final = {"Content-Type": "application/json"}


def _secret(text: str) -> str:
    return signing_secret(text) if text else text


class WebhookSettings(ProviderSettings):
    """What may be shown."""

    url: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=2048),
        AfterValidator(receiver_url),
    ]


class WebhookCredentials(ProviderCredentials):
    """What posts are signed with."""

    signing_secret: Annotated[str, AfterValidator(_secret)] = ""
    """whsec_…; empty: they are not signed."""


class NotifyWebhook:
    """One account's receiver."""

    def __init__(self, account: ProviderAccount, http: ProviderHttp) -> None:
        """Raises ValidationError for a choice that cannot work."""
        self._url = URL(WebhookSettings.model_validate(dict(account.settings)).url)
        secret = WebhookCredentials.model_validate(dict(account.credentials)).signing_secret
        self._signers = [Webhook(secret)] if secret else []
        self._http = http

    async def send(self, notification: Notification, gate: SendGate) -> Receipt:
        """Post one notification. Raises ProviderError, AttemptStoppedError."""
        name = webhook_id(notification.key)
        body = orjson.dumps(
            {
                "type": "notification",
                "timestamp": datetime.now(UTC),
                "data": {
                    "title": notification.title,
                    "body": notification.body,
                    "severity": notification.severity,
                },
            }
        )
        headers = _JSON | signed_headers(name, self._signers, body)
        try:
            answer = await self._http.post(self._url, headers, body, gate)
        except NoAnswerError as error:
            raise ProviderError(notify_faults.failure(notify_faults.WEBHOOK, (error.code,))) from None
        if 200 <= answer.status < 300:
            return Receipt({"webhook_id": name})
        pause = pause_asked(answer.status, answer.headers, datetime.now(UTC))
        codes = notify_faults.http_codes(answer.status)
        raise ProviderError(notify_faults.failure(notify_faults.WEBHOOK, codes, pause))

    def callback(self, request: Callback) -> Answered:
        """Refuse: it calls nobody back."""
        raise CallbackRefusedError("NO_CALLBACKS")


def offered(http: ProviderHttp) -> Offered[NotifyWebhook]:
    """What accounts may choose."""
    return Offered(WebhookSettings, WebhookCredentials, lambda account: NotifyWebhook(account, http))
