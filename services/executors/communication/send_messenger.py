"""Sends a Messenger message from the account's page. The registry finds ACTION.

Meta knows no keys: a message is handed over at most once. Outside the time Meta allows it after the person's
last message, nothing is asked of Meta.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints, model_validator

from services.executors.action import (
    ActionConfig,
    ActionDefinition,
    Call,
    Certainty,
    DeliveryClass,
    ErrorClass,
    Failed,
    JsonObject,
    Result,
    Skipped,
    succeeded,
)
from services.executors.communication.senders import HasSenders
from services.executors.providers.provider import ProviderError

_WINDOW: Final = timedelta(hours=24)
_TAGGED: Final = {"HUMAN_AGENT": timedelta(days=7)}
"""Other tags have no window."""
_MILLISECONDS: Final = 10**11  # as seconds, the year 5138

Text = Annotated[str, StringConstraints(max_length=2000)]


class Attachment(ActionConfig):
    """A file that Meta fetches."""

    url: Annotated[str, StringConstraints(max_length=2048, pattern=r"^https?://\S+$")]
    type: Literal["image", "audio", "video", "file"] = "file"


class Config(ActionConfig):
    """The message."""

    category: Annotated[
        Literal["marketing", "transactional"], Field(description="Marketing asks consent and quiet hours.")
    ] = "marketing"
    recipient: Annotated[
        str | None,
        StringConstraints(strip_whitespace=True, pattern=r"^[0-9]{0,32}$"),
        Field(description="Page-scoped id; the contact's messenger_id if left out."),
    ] = None
    text: Annotated[Text | None, Field(description="Needed unless there is an attachment.")] = None
    attachment: Attachment | None = None
    messaging_type: Literal["RESPONSE", "UPDATE", "MESSAGE_TAG"] = "UPDATE"
    tag: Annotated[
        Literal["HUMAN_AGENT", "ACCOUNT_UPDATE", "CONFIRMED_EVENT_UPDATE", "POST_PURCHASE_UPDATE"] | None,
        Field(description="With MESSAGE_TAG: why it may come outside the window."),
    ] = None

    @model_validator(mode="after")
    def _check(self) -> "Config":
        if bool(self.text) == (self.attachment is not None):
            raise ValueError("needs one of text and attachment")
        if (self.messaging_type == "MESSAGE_TAG") != (self.tag is not None):
            raise ValueError("MESSAGE_TAG goes with tag")
        return self


async def run(call: Call[Config], tools: HasSenders) -> Result:
    """Hand the message over."""
    config = call.config
    person = config.recipient or _known(call.contact, "messenger_id")
    if not isinstance(person, str | int) or not str(person).strip():
        text = "the contact is not known on Messenger"
        return Failed(ErrorClass.CONTACT_DATA, "NO_ADDRESS", text, Certainty.NOT_DONE)
    last = instant(_known(call.contact, "messenger_last_inbound"))
    if last is not None and not config.recipient and not in_window(config.tag, last, datetime.now(UTC)):
        return Skipped("OUTSIDE_WINDOW", "too long ago that the person wrote to the page")
    try:
        async with tools.senders.acting(call.key.account_id, "messenger") as meta:
            taken = await meta.send(_message(config, str(person).strip()), call.gate)
    except ProviderError as error:
        return error.failed
    if isinstance(taken, Skipped):
        return taken
    ids = {"message_id": taken.message_id}
    return succeeded({"recipient_id": taken.recipient_id or str(person), **ids}, refs=ids)


def in_window(tag: str | None, last_inbound: datetime, now: datetime) -> bool:
    """Whether Meta lets the page write now."""
    if tag is None:
        return now - last_inbound < _WINDOW
    return tag not in _TAGGED or now - last_inbound < _TAGGED[tag]


def instant(value: object) -> datetime | None:
    """Read a contact's instant: ISO 8601, or seconds or milliseconds since 1970; None for anything else."""
    try:
        if isinstance(value, str) and not value.strip().replace(".", "", 1).isdigit():
            when = datetime.fromisoformat(value.strip())
            return when if when.tzinfo is not None else when.replace(tzinfo=UTC)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            number = float(value)
            return datetime.fromtimestamp(number / 1000 if number > _MILLISECONDS else number, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def _known(contact: Mapping[str, object], name: str) -> object:
    """Give a field of the contact, or of the account's own fields."""
    own = contact.get("fields")
    return contact.get(name) or (own.get(name) if isinstance(own, dict) else None)


def _message(config: Config, person: str) -> JsonObject:
    if config.attachment is not None:
        payload = {"url": config.attachment.url, "is_reusable": False}
        content: JsonObject = {"attachment": {"type": config.attachment.type, "payload": payload}}
    else:
        content = {"text": config.text}
    message: JsonObject = {
        "recipient": {"id": person},
        "messaging_type": config.messaging_type,
        "message": content,
    }
    return message | ({"tag": config.tag} if config.tag else {})


def preview(call: Call[Config]) -> JsonObject:
    """Show the message as it would be sent."""
    person = call.config.recipient or _known(call.contact, "messenger_id")
    return _message(call.config, str(person or ""))


ACTION: Final = ActionDefinition(
    name="send_messenger",
    summary="Sends a Messenger message to the contact.",
    config=Config,
    sample={"text": "Your order has been shipped."},
    delivery=DeliveryClass.UNKEYED_AT_MOST_ONCE,
    run=run,
    preview=preview,
    contact_fields=("messenger_id", "messenger_last_inbound", "fields"),
    sensitive_fields=("recipient", "text", "attachment"),
    lanes=("messenger",),
    channel="messenger",
)
