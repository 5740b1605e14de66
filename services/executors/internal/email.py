"""Sends notifications by e-mail through the process's own mail server; send_notification calls it.

One message goes to all recipients in one exchange: at most once, to those the server takes.
"""

from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

from services.executors.action import Certainty, ErrorClass, Failed
from services.executors.gate import SendGate
from services.executors.internal.notification import LANE, Notification, Receipt
from services.executors.mail import email_faults
from services.executors.mail.addresses import InvalidAddressError, Sender, deliverable
from services.executors.mail.composing import POLICY
from services.executors.mail.email_faults import Fault, Stage
from services.executors.mail.mailer import Delivered, Mailer, MailError, Server
from services.executors.providers.provider import ProviderError
from services.executors.webhook_signing import webhook_id

_INVALID: Final = Failed(
    ErrorClass.VALIDATION,
    "INVALID_ADDRESS",
    "a recipient is not a valid e-mail address",
    Certainty.NOT_DONE,
    provider=email_faults.SMTP,
)


class EmailPost:
    """The way of notifications to the mail server."""

    def __init__(self, server: Server, sender: Sender) -> None:
        self._sender = sender
        self._mailer = Mailer(server)

    async def send(self, notification: Notification, gate: SendGate) -> Receipt:
        """Hand one message over. Raises ProviderError, AttemptStoppedError."""
        try:
            addresses = list(dict.fromkeys(map(deliverable, notification.recipients)))
        except InvalidAddressError:
            raise ProviderError(_INVALID) from None
        message = self._composed(notification, addresses)
        first, delivered = await self._handed_over(addresses, message.as_bytes(), gate)
        refs = {"message_id": str(message["Message-ID"]), "smtp_reply": delivered.reply[:200]}
        return Receipt(refs, len(addresses) - first - delivered.copies_refused)

    async def leave(self) -> None:
        """Take leave of the server."""
        await self._mailer.leave()

    async def _handed_over(
        self, addresses: list[str], content: bytes, gate: SendGate
    ) -> tuple[int, Delivered]:
        """Send to all the server takes; give the place of the first. Raises ProviderError, if none too."""
        for place in range(len(addresses)):
            try:
                sent = await self._mailer.send(self._sender.address, addresses[place:], content, gate)
            except MailError as error:
                refused = error.stage is Stage.RECIPIENT and error.code >= 500
                if refused and place + 1 < len(addresses):
                    continue
                fault = Fault(email_faults.SMTP, error.code, error.name, error.stage)
                raise ProviderError(email_faults.failure(fault, LANE)) from None
            return place, sent
        raise ProviderError(_INVALID)

    def _composed(self, notification: Notification, addresses: list[str]) -> EmailMessage:
        mail = EmailMessage(policy=POLICY)
        mail["From"] = Address(self._sender.name, addr_spec=self._sender.address)
        mail["To"] = [Address(addr_spec=address) for address in addresses]
        mail["Subject"] = notification.headline
        mail["Date"] = format_datetime(datetime.now(UTC))
        mail["Message-ID"] = f"<{webhook_id(notification.key)}@wayfarer.{self._sender.domain}>"
        mail["Auto-Submitted"] = "auto-generated"  # so that no absence assistant answers
        if notification.severity == "critical":
            mail["Importance"] = "high"
        mail.set_content(notification.body)
        return mail
