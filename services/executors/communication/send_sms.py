"""Sends a text message over the account's provider. The registry finds ACTION.

Twilio knows no keys: a message is handed over at most once. One whose answer was lost is looked for by its
recipient, text and time.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints, model_validator

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
    Skipped,
    Succeeded,
    succeeded,
)
from services.executors.communication.senders import HasSenders
from services.executors.phone.phone_numbers import PhoneText, recipient
from services.executors.phone.twilio import Message, Twilio
from services.executors.phone.twilio_account import SenderText, ServiceSid
from services.executors.providers.provider import ProviderError

MediaUrl = Annotated[str, StringConstraints(max_length=2048, pattern=r"^https?://\S+$")]


class Config(ActionConfig):
    """The message."""

    to: Annotated[PhoneText | None, Field(description="Recipient; the contact's phone if left out.")] = None
    body: Annotated[str, StringConstraints(max_length=1600), Field(description="Needed without media.")] = ""
    sender: Annotated[
        SenderText | None, Field(alias="from", description="The account's own sender if left out.")
    ] = None
    messaging_service_sid: Annotated[ServiceSid | None, Field(description="Instead of from.")] = None
    media_url: Annotated[tuple[MediaUrl, ...], Field(max_length=10)] = ()
    validity_period: Annotated[
        int | None, Field(ge=1, le=36_000, description="Seconds after which it is not sent any more.")
    ] = None
    category: Annotated[
        Literal["marketing", "transactional"], Field(description="Marketing asks consent and quiet hours.")
    ] = "marketing"

    @model_validator(mode="after")
    def _check(self) -> "Config":
        if not self.body and not self.media_url:
            raise ValueError("needs body, media_url or both")
        if self.sender and self.messaging_service_sid:
            raise ValueError("has one of from and messaging_service_sid")
        return self


async def run(call: Call[Config], tools: HasSenders) -> Result:
    """Hand the message over."""
    number = recipient(call.config.to, call.contact.get("phone"))
    if isinstance(number, Failed):
        return number
    try:
        async with tools.senders.acting(call.key.account_id, "sms") as twilio:
            sender = _sender(call.config, twilio)
            if sender is None:
                text = "neither the action nor the account has a sender"
                return Failed(ErrorClass.CONFIGURATION, "NO_SENDER", text, Certainty.NOT_DONE)
            message = await twilio.send_message(_form(call, twilio, number, sender), call.gate)
    except ProviderError as error:
        return error.failed
    return message if isinstance(message, Skipped) else _sent(message)


async def find(key: EffectKey, refs: Mapping[str, str], tools: HasSenders) -> Result | None:
    """Look for a message whose answer was lost."""
    if "begun_at" not in refs:
        return None
    async with tools.senders.acting(key.account_id, "sms") as twilio:
        message = await twilio.find_message(refs)
    return _sent(message) if message is not None else None


def _sent(message: Message) -> Succeeded:
    output = {"sid": message.sid, "status": message.status, "segments": message.num_segments or 1}
    return succeeded(output, refs={"message_sid": message.sid})


def _sender(config: Config, twilio: Twilio) -> tuple[str, str] | None:
    if config.sender:
        return "From", config.sender
    if config.messaging_service_sid:
        return "MessagingServiceSid", config.messaging_service_sid
    return twilio.settings.sender


def _form(call: Call[Config], twilio: Twilio, number: str, sender: tuple[str, str]) -> list[tuple[str, str]]:
    config = call.config
    form = [("To", number), sender]
    if config.body:
        form.append(("Body", config.body))
    form += [("MediaUrl", url) for url in config.media_url]
    if config.validity_period is not None:
        form.append(("ValidityPeriod", str(config.validity_period)))
    if callback := twilio.status_callback(call):
        form.append(("StatusCallback", callback))
    return form


def preview(call: Call[Config]) -> JsonObject:
    """Show the message as it would be sent."""
    shown: JsonObject = {
        "to": call.config.to or call.contact.get("phone"),
        **call.config.model_dump(mode="json", by_alias=True, exclude={"to"}, exclude_defaults=True),
        "category": call.config.category,
    }
    return {name: value for name, value in shown.items() if value}


ACTION: Final = ActionDefinition(
    name="send_sms",
    summary="Sends a text message to the contact, or to a given number.",
    config=Config,
    sample={"body": "Your appointment is tomorrow at 10. Reply STOP to opt out."},
    delivery=DeliveryClass.UNKEYED_AT_MOST_ONCE,
    run=run,
    find=find,
    preview=preview,
    contact_fields=("phone",),
    sensitive_fields=("to", "body", "media_url"),
    lanes=("sms",),
    channel="sms",
)
