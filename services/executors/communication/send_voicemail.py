"""Leaves a message on the contact's voicemail, and hangs up on people. The registry finds ACTION.

Twilio asks us what to say once it knows who answered, so it must be able to reach us; the message travels
sealed in the URL it asks at. Twilio knows no keys: a call is placed at most once.
"""

from typing import Annotated, Final

from pydantic import Field, StringConstraints, model_validator

from services.executors.action import (
    ActionDefinition,
    Call,
    DeliveryClass,
    ErrorClass,
    Failed,
    JsonObject,
    Result,
)
from services.executors.communication import phone_calls
from services.executors.communication.phone_calls import CallConfig
from services.executors.communication.senders import HasSenders
from services.executors.phone import twiml
from services.executors.phone.phone_numbers import recipient
from services.executors.phone.twiml import TwimlTooLongError
from services.executors.providers.provider import ProviderError


class Config(CallConfig):
    """The message."""

    text: Annotated[str, StringConstraints(max_length=1500), Field(description="Said to the machine.")] = ""
    machine_timeout_s: Annotated[
        int, Field(ge=3, le=59, description="How long to listen for who answered.")
    ] = 30

    @model_validator(mode="after")
    def _check(self) -> "Config":
        if bool(self.text) == bool(self.audio_url):
            raise ValueError("needs one of text and audio_url")
        return self


async def run(call: Call[Config], tools: HasSenders) -> Result:
    """Place the call."""
    config = call.config
    number = recipient(config.to, call.contact.get("phone"))
    if isinstance(number, Failed):
        return number
    try:
        said = twiml.message(config.text, config.audio_url or "", config.voice, config.language)
        async with tools.senders.acting(call.key.account_id, "voice") as twilio:
            asked_at = twilio.status_callback(call, said.encode())
            if not asked_at:
                text = "the provider cannot reach us to ask what to say: there is no public URL"
                return phone_calls.failed(ErrorClass.CONFIGURATION, "NO_PUBLIC_URL", text)
            fields = [
                ("Url", asked_at),
                ("MachineDetection", "DetectMessageEnd"),
                ("MachineDetectionTimeout", str(config.machine_timeout_s)),
            ]
            return await phone_calls.place(call, twilio, number, fields)
    except ProviderError as error:
        return error.failed
    except TwimlTooLongError as error:
        return phone_calls.failed(ErrorClass.VALIDATION, "TWIML_TOO_LONG", str(error))


def preview(call: Call[Config]) -> JsonObject:
    """Show the message as it would be left."""
    shown: JsonObject = {
        **call.config.model_dump(mode="json", by_alias=True, exclude_defaults=True),
        "to": call.config.to or call.contact.get("phone"),
    }
    return {name: value for name, value in shown.items() if value}


ACTION: Final = ActionDefinition(
    name="send_voicemail",
    summary="Leaves a message on the contact's voicemail; hangs up if a person answers.",
    config=Config,
    sample={"text": "Hello, please call us back about your order."},
    delivery=DeliveryClass.UNKEYED_AT_MOST_ONCE,
    run=run,
    find=phone_calls.find,
    preview=preview,
    contact_fields=("phone",),
    sensitive_fields=("to", "text", "audio_url"),
    lanes=("voice",),
    channel="voice",
)
