"""E-mail over SMTP: the process's own server for accounts that chose nothing, or a server of the account's.

SMTP knows no keys: a message is handed over at most once, and carries a Message-ID made of the effect key, so
that whoever finds two knows them for one. It calls nobody back.
"""

from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from functools import lru_cache
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from services.executors.action import Certainty, ErrorClass, Failed
from services.executors.address_guard import AddressRefusedError
from services.executors.communication.email import CHANNEL, Accepted, EmailSettings, OutgoingEmail
from services.executors.gate import SendGate
from services.executors.mail import email_faults
from services.executors.mail.addresses import Sender
from services.executors.mail.composing import POLICY
from services.executors.mail.email_faults import Fault
from services.executors.mail.mailer import Mailer, MailError, Server
from services.executors.providers.offering import Offered, ProviderCredentials
from services.executors.providers.provider import (
    Answered,
    Callback,
    CallbackRefusedError,
    ProviderAccount,
    ProviderError,
)
from services.runtime.config import HostPort

_SENDER_NOT_ALLOWED: Final = Failed(
    ErrorClass.CONFIGURATION,
    "SENDER_NOT_ALLOWED",
    "messages from this address need a provider of the account's own",
    Certainty.NOT_DONE,
    provider=email_faults.SMTP,
)
_LINE: Final = r"^[\x21-\x7e]*$"


class SmtpSettings(EmailSettings):
    """A mail server of the account's."""

    host: Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:_-]+$")]
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"


class SmtpCredentials(ProviderCredentials):
    """Whom the server knows us as."""

    user: Annotated[str, StringConstraints(max_length=320, pattern=_LINE)] = ""
    password: Annotated[str, StringConstraints(max_length=1000)] = ""


class SmtpProvider:
    """One mail server."""

    name = email_faults.SMTP

    def __init__(self, server: Server, sender: Sender, *, shared: bool) -> None:
        """`shared` is a server of the process's: its accounts may send from the sender's domain only."""
        self.sender = sender
        self._mailer = Mailer(server)
        self._shared = shared

    async def send(self, message: OutgoingEmail, gate: SendGate) -> Accepted:
        """Hand over one message. Raises ProviderError, AttemptStoppedError."""
        if self._shared and message.sender.domain != self.sender.domain:
            raise ProviderError(_SENDER_NOT_ALLOWED)
        recipients = (message.recipient, *message.cc, *message.bcc)
        try:
            sent = await self._mailer.send(
                message.sender.address, recipients, compose(message).as_bytes(), gate
            )
        except MailError as error:
            if isinstance(error.__cause__, AddressRefusedError):
                raise ProviderError(email_faults.unreachable(self.name, refused=True)) from None
            fault = Fault(self.name, error.code, error.name, error.stage)
            raise ProviderError(email_faults.failure(fault, CHANNEL)) from None
        refs = {"smtp_reply": sent.reply[:200]}
        if sent.copies_refused:
            refs["copies_refused"] = str(sent.copies_refused)
        return Accepted(refs)

    def callback(self, request: Callback) -> Answered:
        """Refuse: mail servers call nobody back."""
        raise CallbackRefusedError("NO_CALLBACKS")

    def close(self) -> None:
        """Drop the connections that are kept."""
        self._mailer.close()

    async def leave(self) -> None:
        """Take leave of the server."""
        await self._mailer.leave()


def compose(message: OutgoingEmail) -> EmailMessage:
    """Build the message. `email` folds and encodes headers and refuses line ends in them."""
    mail = EmailMessage(policy=POLICY)
    mail["From"] = _shown(message.sender)
    mail["To"] = message.recipient
    if message.cc:
        mail["Cc"] = ", ".join(message.cc)
    if message.reply_to:
        mail["Reply-To"] = message.reply_to
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = message.message_id
    for name, value in message.headers.items():
        mail[name] = value
    if message.text:
        mail.set_content(message.text)
        if message.html:
            mail.add_alternative(message.html, subtype="html")
    else:
        mail.set_content(message.html, subtype="html")
    return mail


@lru_cache(maxsize=1024)
def _shown(sender: Sender) -> Address:
    return Address(sender.name, addr_spec=sender.address)


def offered(allow: frozenset[HostPort]) -> Offered[SmtpProvider]:
    """What accounts may choose; `allow` are the servers that may be reached although internal."""

    def make(account: ProviderAccount) -> SmtpProvider:
        settings = SmtpSettings.model_validate(dict(account.settings))
        credentials = SmtpCredentials.model_validate(dict(account.credentials))
        server = Server(
            settings.host,
            settings.port,
            credentials.user,
            credentials.password,
            settings.security,
            guarded=HostPort(settings.host, settings.port) not in allow,
        )
        return SmtpProvider(server, settings.sender, shared=False)

    return Offered(SmtpSettings, SmtpCredentials, make)
