"""Sends an e-mail over SMTP. The registry finds ACTION.

SMTP knows no keys: a message is handed over at most once, and carries a Message-ID made of the effect key, so
that whoever finds two knows them for one.
"""

from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Annotated, Final, Protocol
from urllib.parse import quote

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, model_validator

from services.executors.action import (
    ActionConfig,
    ActionDefinition,
    Call,
    Certainty,
    DeliveryClass,
    EffectKey,
    ErrorClass,
    Failed,
    JsonObject,
    Result,
    succeeded,
)
from services.executors.communication import smtp_faults
from services.executors.communication.mailer import (
    InvalidAddressError,
    Mailer,
    MailError,
    Sender,
    deliverable,
)
from services.executors.config_faults import is_publishing

_NO_CONTROL: Final = r"^[^\x00-\x1f\x7f\x85\u2028\u2029]*$"
_BODY_MAX: Final = 200_000


def _address(text: str, info: ValidationInfo) -> str:
    # Only where a person wrote it: of a rendered one the contact is at fault, which is not CONFIGURATION.
    if text and is_publishing(info):
        deliverable(text)
    return text


Line = Annotated[str, StringConstraints(max_length=998, pattern=_NO_CONTROL)]
AddressText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=320, pattern=_NO_CONTROL),
    AfterValidator(_address),
]
Body = Annotated[str, StringConstraints(max_length=_BODY_MAX)]


class Config(ActionConfig):
    """The message."""

    to: Annotated[AddressText | None, Field(description="Recipient; the contact's email if left out.")] = None
    subject: Annotated[Line, StringConstraints(min_length=1)]
    text: Annotated[Body | None, Field(description="Plain text; needed unless there is html.")] = None
    html: Annotated[Body | None, Field(description="HTML; needed unless there is text.")] = None
    from_name: Annotated[Line | None, Field(description="Shown sender; the address is configured.")] = None
    reply_to: AddressText | None = None

    @model_validator(mode="after")
    def _check_body(self) -> "Config":
        if not self.text and not self.html:
            raise ValueError("needs text, html or both")
        return self


class HasMailer(Protocol):
    """What this action needs of its tools."""

    @property
    def mailer(self) -> Mailer:
        """Who hands messages over."""
        ...


async def run(call: Call[Config], tools: HasMailer) -> Result:
    """Hand the message to the SMTP server."""
    mailer = tools.mailer
    raw = call.config.to or call.contact.get("email")
    if not isinstance(raw, str) or not raw.strip():
        return _no_address("NO_ADDRESS", "the contact has no e-mail address")
    try:
        recipient = deliverable(raw.strip())
        reply_to = deliverable(call.config.reply_to) if call.config.reply_to else ""
    except InvalidAddressError:
        return _no_address("INVALID_ADDRESS", "an address of this message is not a valid e-mail address")
    message = compose(call.config, call.key, recipient, reply_to, mailer.mail_from)
    try:
        reply = await mailer.send(recipient, message.as_bytes(), call.gate)
    except MailError as error:
        return smtp_faults.failure(error)
    message_id = str(message["Message-ID"])
    return succeeded({"message_id": message_id}, refs={"message_id": message_id, "smtp_reply": reply[:200]})


def compose(config: Config, key: EffectKey, recipient: str, reply_to: str, mail_from: Sender) -> EmailMessage:
    """Build the message. `email` folds and encodes headers and refuses line ends in them."""
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(config.from_name or mail_from.name, addr_spec=mail_from.address)
    message["To"] = Address(addr_spec=recipient)
    if reply_to:
        message["Reply-To"] = Address(addr_spec=reply_to)
    message["Subject"] = config.subject
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = message_id(key, mail_from)
    if config.text:
        message.set_content(config.text)
        if config.html:
            message.add_alternative(config.html, subtype="html")
    else:
        message.set_content(config.html or "", subtype="html")
    return message


def message_id(key: EffectKey, mail_from: Sender) -> str:
    """Give the Message-ID of an effect: the same over all its attempts."""
    step = quote(key.step_id, safe="").replace("~", "%7E").replace(".", "%2E")
    return f"<{key.execution_id}.{step}.{key.visit}@wayfarer.{mail_from.address.rpartition('@')[2]}>"


def preview(call: Call[Config]) -> JsonObject:
    """Show the message as it would be sent, without the headers made at sending."""
    config = call.config
    shown = {
        "to": config.to or call.contact.get("email") or None,
        "from_name": config.from_name,
        "reply_to": config.reply_to,
        "subject": config.subject,
        "text": config.text,
        "html": config.html,
    }
    return {name: value for name, value in shown.items() if value}


def _no_address(code: str, text: str) -> Failed:
    return Failed(ErrorClass.CONTACT_DATA, code, text, Certainty.NOT_DONE, provider=smtp_faults.PROVIDER)


ACTION: Final = ActionDefinition(
    name="send_email",
    summary="Sends an e-mail to the contact, or to a given address.",
    config=Config,
    sample={"subject": "Welcome", "text": "Hello, and welcome."},
    delivery=DeliveryClass.UNKEYED_AT_MOST_ONCE,
    run=run,
    preview=preview,
    contact_fields=("email",),
    sensitive_fields=("to", "subject", "text", "html", "reply_to"),
    lanes=("email",),
)
