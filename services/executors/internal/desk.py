"""Everything the family's action uses to send a notification; `__main__.py` makes it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from services.executors.gate import SendGate
from services.executors.internal.email import EmailPost
from services.executors.internal.inbox import Inbox
from services.executors.internal.notification import Notification, Receipt
from services.executors.internal.people import People
from services.executors.internal.repeats import Repeats
from services.executors.internal.slack import Slack
from services.executors.internal.sms import TextPost
from services.executors.internal.webhook import NotifyWebhook
from services.executors.phone.twilio import Twilio
from services.executors.providers.offering import Chosen

Channel: TypeAlias = Literal["in_app", "email", "sms", "slack", "webhook"]


class Way(Protocol):
    """One way out for notifications."""

    async def send(self, notification: Notification, gate: SendGate) -> Receipt:
        """Hand one over. Raises ProviderError, AttemptStoppedError."""
        ...


@dataclass(frozen=True, slots=True)
class Desk:
    """The ways out, whom they reach, and what was sent lately."""

    repeats: Repeats
    people: People
    inbox: Inbox
    email: EmailPost
    sms: Chosen[Twilio]
    slack: Chosen[Slack]
    webhook: Chosen[NotifyWebhook]

    @asynccontextmanager
    async def way(self, account_id: int, channel: Channel) -> AsyncIterator[Way]:
        """Act as an account by its way out. Raises ProviderError and CredentialsRefusedError."""
        match channel:
            case "in_app":
                yield self.inbox
            case "email":
                yield self.email
            case "sms":
                async with self.sms.acting(account_id) as texts:
                    yield TextPost(texts)
            case "slack":
                async with self.slack.acting(account_id) as slack:
                    yield slack
            case "webhook":
                async with self.webhook.acting(account_id) as webhook:
                    yield webhook
