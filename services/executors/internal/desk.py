"""Everything the family's action uses to send a notification; `__main__.py` makes it."""

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

    async def way(self, account_id: int, channel: Channel) -> Way:
        """Give an account's way out. Raises ProviderError if it has none that works."""
        match channel:
            case "in_app":
                return self.inbox
            case "email":
                return self.email
            case "sms":
                return TextPost(await self.sms.of(account_id))
            case "slack":
                return await self.slack.of(account_id)
            case "webhook":
                return await self.webhook.of(account_id)
