"""Calls the contact and plays a message, or connects a colleague with the contact. The registry finds ACTION.

Twilio knows no keys: a call is placed at most once.
"""

from typing import Annotated, Final, Literal

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
from services.executors.phone.phone_numbers import PhoneText, recipient
from services.executors.phone.twiml import TwimlTooLongError
from services.executors.providers.provider import ProviderError

_DETECTION: Final = {"detect": "Enable", "message_end": "DetectMessageEnd"}


class Config(CallConfig):
    """The call."""

    mode: Literal["play_message", "connect"] = "play_message"
    text: Annotated[
        str, StringConstraints(max_length=3000), Field(description="Said; to the colleague when connecting.")
    ] = ""
    connect_to: Annotated[
        PhoneText | None,
        Field(description="The colleague's number, rung first; then the contact's is dialled."),
    ] = None
    machine_detection: Annotated[
        Literal["off", "detect", "message_end"],
        Field(description="message_end: speak after the greeting of an answering machine."),
    ] = "off"
    record: bool = False

    @model_validator(mode="after")
    def _check(self) -> "Config":
        if self.mode == "connect":
            if not self.connect_to:
                raise ValueError("connect needs connect_to")
            if self.audio_url:
                raise ValueError("connect has no audio_url")
        elif bool(self.text) == bool(self.audio_url):
            raise ValueError("needs one of text and audio_url")
        elif self.connect_to:
            raise ValueError("play_message has no connect_to")
        return self


async def run(call: Call[Config], tools: HasSenders) -> Result:
    """Place the call."""
    config = call.config
    number = recipient(config.to, call.contact.get("phone"))
    if isinstance(number, Failed):
        return number
    first = number if config.mode == "play_message" else recipient(config.connect_to, None)
    if isinstance(first, Failed):
        return phone_calls.failed(ErrorClass.CONFIGURATION, "INVALID_CONNECT_TO", "connect_to is no number")
    try:
        async with tools.senders.acting(call.key.account_id, "voice") as twilio:
            return await phone_calls.place(call, twilio, first, _fields(config, number))
    except ProviderError as error:
        return error.failed
    except TwimlTooLongError as error:
        return phone_calls.failed(ErrorClass.VALIDATION, "TWIML_TOO_LONG", str(error))


def _fields(config: Config, number: str) -> list[tuple[str, str]]:
    if config.mode == "connect":
        said = twiml.connection(
            config.text, config.voice, config.language, number, config.ring_timeout_s, config.record
        )
        fields = [("Twiml", said)]
    else:
        said = twiml.message(config.text, config.audio_url or "", config.voice, config.language)
        fields = [("Twiml", said), *([("Record", "true")] if config.record else [])]
    if config.machine_detection != "off":
        fields.append(("MachineDetection", _DETECTION[config.machine_detection]))
    return fields


def preview(call: Call[Config]) -> JsonObject:
    """Show the call as it would be placed."""
    shown: JsonObject = {
        **call.config.model_dump(mode="json", by_alias=True, exclude_defaults=True),
        "mode": call.config.mode,
        "to": call.config.to or call.contact.get("phone"),
    }
    return {name: value for name, value in shown.items() if value}


ACTION: Final = ActionDefinition(
    name="make_call",
    summary="Calls the contact to play a message, or connects a colleague with the contact.",
    config=Config,
    sample={"text": "Hello, your order is ready to be picked up."},
    delivery=DeliveryClass.UNKEYED_AT_MOST_ONCE,
    run=run,
    find=phone_calls.find,
    preview=preview,
    contact_fields=("phone",),
    sensitive_fields=("to", "text", "audio_url", "connect_to"),
    lanes=("voice",),
    channel="voice",
)
