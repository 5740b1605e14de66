"""What make_call and send_voicemail share: placing a call, and telling how it ended.

A call is PENDING once the provider has it; its last status callback ends it, or Reconcile, which asks for it.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeVar

from pydantic import Field, StringConstraints

from services.executors.action import (
    ActionConfig,
    Call,
    Certainty,
    EffectKey,
    ErrorClass,
    Failed,
    Pending,
    Result,
    Skipped,
)
from services.executors.communication.senders import HasSenders
from services.executors.phone.phone_numbers import PhoneText
from services.executors.phone.twilio import Twilio, call_result

AudioUrl = Annotated[str, StringConstraints(max_length=2048, pattern=r"^https?://\S+$")]
Word = Annotated[str, StringConstraints(max_length=60, pattern=r"^[A-Za-z0-9._-]*$")]


class CallConfig(ActionConfig):
    """What both kinds of calls are written with."""

    to: Annotated[PhoneText | None, Field(description="Whom; the contact's phone if left out.")] = None
    sender: Annotated[
        PhoneText | None, Field(alias="from", description="Shown number; the account's own if left out.")
    ] = None
    audio_url: Annotated[AudioUrl | None, Field(description="What is played, instead of text.")] = None
    voice: Annotated[Word, Field(description="Who says the text, as the provider names voices.")] = ""
    language: Annotated[Word, Field(description="Its language, e.g. en-GB.")] = ""
    ring_timeout_s: Annotated[int, Field(ge=1, le=600)] = 60
    category: Annotated[
        Literal["marketing", "transactional"], Field(description="Marketing asks consent and quiet hours.")
    ] = "marketing"


ConfigT = TypeVar("ConfigT", bound=CallConfig)


async def place(call: Call[ConfigT], twilio: Twilio, number: str, own: Sequence[tuple[str, str]]) -> Result:
    """Call the number, with the action's own fields. Raises ProviderError, AttemptStoppedError."""
    sender = call.config.sender or twilio.settings.from_number
    if not sender:
        text = "neither the action nor the account has a number to call from"
        return failed(ErrorClass.CONFIGURATION, "NO_SENDER", text)
    form = [("To", number), ("From", sender), ("Timeout", str(call.config.ring_timeout_s)), *own]
    if callback := twilio.status_callback(call):
        form.append(("StatusCallback", callback))
    placed = await twilio.place_call(form, call.gate)
    return placed if isinstance(placed, Skipped) else Pending((("call_sid", placed.sid),))


async def find(key: EffectKey, refs: Mapping[str, str], tools: HasSenders) -> Result | None:
    """Ask how a call goes; two calls to a number look alike, so one without a sid is not looked for."""
    if "call_sid" not in refs:
        return None
    async with tools.senders.acting(key.account_id, "voice") as twilio:
        return call_result((await twilio.phone_call(refs["call_sid"])).state())


def failed(error_class: ErrorClass, code: str, text: str) -> Failed:
    """Give the result of a call that was not placed."""
    return Failed(error_class, code, text, Certainty.NOT_DONE)
