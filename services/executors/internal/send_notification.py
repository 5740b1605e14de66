"""Tells the account's own people something: in the application, by e-mail, by a text message, on Slack, or by
a webhook. The registry finds ACTION.

It is beside the journey, and must not end it: what the channel refuses for good, and what fails still at the
last of the type's own retries, is a SUCCEEDED whose output says `sent: false` and which `problem`. A failure
that a retry may mend is a failure, and so is one that leaves it unknown whether it was sent. What a contact's
data makes of the text is cut to size rather than refused.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Final

import asyncpg
import structlog
from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from services.executors.action import (
    ActionConfig,
    ActionDefinition,
    Call,
    Certainty,
    DeliveryClass,
    EffectKey,
    ErrorClass,
    Failed,
    Result,
    Skipped,
    succeeded,
)
from services.executors.config_faults import is_publishing, is_to_be_rendered
from services.executors.internal.desk import Channel, Desk
from services.executors.internal.inbox import IN_APP
from services.executors.internal.notification import LANE, Notification, Severity
from services.executors.internal.people import MOST, Reached, TooManyError
from services.executors.internal.recipients import Addressed, check, read
from services.executors.internal.repeats import LONGEST_S
from services.executors.providers.provider import CredentialsRefusedError, ProviderError
from services.runtime.database import DatabaseUnavailableError

log = structlog.get_logger(__name__)

_TITLE_MAX: Final = 200
_BODY_MAX: Final = 5_000
_RECIPIENTS_MAX: Final = 50
_MAX_RETRIES: Final = 3
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
_LOST: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, DatabaseUnavailableError, OSError)
_MENDABLE: Final = (
    ErrorClass.TIMEOUT,
    ErrorClass.RATE_LIMIT,
    ErrorClass.SERVER_ERROR,
    ErrorClass.NETWORK,
    ErrorClass.DATABASE,
)


def _title(text: str, info: ValidationInfo) -> str:
    if not is_publishing(info):
        return _CONTROL.sub(" ", text).strip()[:_TITLE_MAX] or "Notification"
    if not text.strip() or len(text) > _TITLE_MAX or _CONTROL.search(text):
        raise ValueError(f"must be one line of 1 to {_TITLE_MAX} characters")
    return text


def _body(text: str, info: ValidationInfo) -> str:
    if not is_publishing(info):
        return text.replace("\x00", "")[:_BODY_MAX]
    if len(text) > _BODY_MAX:
        raise ValueError(f"must be at most {_BODY_MAX} characters")
    return text


class Config(ActionConfig):
    """The notification."""

    channel: Annotated[Channel, Field(description="Where it is shown or sent.")]
    recipients: Annotated[
        tuple[str, ...],
        Field(
            max_length=_RECIPIENTS_MAX,
            description="Ids of users, owner (the contact's), role:NAME; email: addresses too; sms: numbers "
            "too. For slack and webhook the account's settings say where.",
        ),
    ] = ()
    title: Annotated[str, AfterValidator(_title), Field(json_schema_extra={"maxLength": _TITLE_MAX})]
    body: Annotated[str, AfterValidator(_body), Field(json_schema_extra={"maxLength": _BODY_MAX})]
    severity: Severity = "info"
    dedup_window_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=LONGEST_S,
            description="Skipped if one of this channel, title and recipients, with a window as well, was "
            "sent so shortly before.",
        ),
    ] = 0

    @field_validator("recipients")
    @classmethod
    def _well_formed(cls, recipients: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not is_publishing(info):  # of rendered ones, those that are empty are nobody
            return tuple(filter(None, map(str.strip, recipients)))
        channel = _addressed(info.data.get("channel"))
        for one in recipients:
            if channel is not None and not is_to_be_rendered(one):
                check(channel, one)
        return recipients

    @model_validator(mode="after")
    def _has_recipients(self, info: ValidationInfo) -> "Config":
        if is_publishing(info) and _addressed(self.channel) and not self.recipients:
            raise ValueError(f"{self.channel} needs recipients")
        return self


def _addressed(channel: Channel | None) -> Addressed | None:
    """The channel, if its notifications go to recipients."""
    match channel:
        case "in_app" | "email" | "sms":
            return channel
        case _:
            return None


async def run(call: Call[Config], desk: Desk) -> Result:
    """Send it, unless one like it was sent a moment ago."""
    reached = await _reached(call, desk)
    if isinstance(reached, Failed):
        return _beside_the_journey(reached, call)
    config = call.config
    notification = Notification(call.key, config.title, config.body, config.severity, reached.recipients)
    if not config.dedup_window_seconds:
        return _beside_the_journey(await _sent(call, notification, reached.unreached, desk), call)
    likeness = desk.repeats.likeness(config.channel, notification)
    try:
        if not await desk.repeats.mark(call.key, likeness, config.dedup_window_seconds):
            return Skipped("DEDUPLICATED", "the same was sent within the window")
    except _LOST:
        text = "what was sent lately cannot be read now"
        failed = Failed(ErrorClass.DATABASE, "MARKS_UNAVAILABLE", text, Certainty.NOT_DONE)
        return _beside_the_journey(failed, call)
    result: Result | None = None
    try:
        result = await _sent(call, notification, reached.unreached, desk)
    finally:
        unsent = isinstance(result, Failed) and result.certainty is Certainty.NOT_DONE
        if unsent or (result is None and not call.gate.begun):
            await _unmark(desk, call.key, likeness)
    return _beside_the_journey(result, call)


async def find(key: EffectKey, refs: Mapping[str, str], desk: Desk) -> Result | None:
    """Look whether a notification in the application was written; of the other channels nobody can tell."""
    count = await desk.inbox.written(key)
    if count:
        return succeeded({"channel": IN_APP, "sent": True, "recipients": count})
    if refs.get("channel") == IN_APP:
        text = "the notification was not written"
        return Failed(ErrorClass.DATABASE, "NOT_WRITTEN", text, Certainty.NOT_DONE)
    return None


async def _reached(call: Call[Config], desk: Desk) -> Reached | Failed:
    """Tell whom the recipients mean, or why nobody can be told."""
    channel = _addressed(call.config.channel)
    if channel is None:
        return Reached((), 0)
    owner = call.contact.get("owner")
    try:
        named = read(channel, call.config.recipients, owner if isinstance(owner, str) else "")
    except ValueError as error:
        return _refused("INVALID_RECIPIENT", str(error))
    try:
        reached = await desk.people.reached(call.key.account_id, channel, named)
    except TooManyError:
        return _refused("TOO_MANY_RECIPIENTS", f"more than {MOST} users are meant")
    except _LOST:
        text = "the account's users cannot be read now"
        return Failed(ErrorClass.DATABASE, "USERS_UNAVAILABLE", text, Certainty.NOT_DONE)
    return reached if reached.recipients else _refused("NO_RECIPIENT", "there is nobody to tell")


async def _sent(call: Call[Config], notification: Notification, unreached: int, desk: Desk) -> Result:
    channel = call.config.channel
    try:
        async with desk.way(call.key.account_id, channel) as way:
            receipt = await way.send(notification, call.gate)
    except ProviderError as error:
        return error.failed
    except CredentialsRefusedError as refused:
        return refused.failed()
    unreached += max(len(notification.recipients), 1) - receipt.recipients - receipt.uncertain
    lacking = {"unreached": unreached, "uncertain": receipt.uncertain}
    output = {"channel": channel, "sent": True, "recipients": receipt.recipients}
    return succeeded(output | {name: count for name, count in lacking.items() if count}, refs=receipt.refs)


def _beside_the_journey(result: Result, call: Call[Config]) -> Result:
    """Turn a failure that no retry mends into a SUCCEEDED that says so."""
    if not isinstance(result, Failed) or result.certainty is Certainty.INDETERMINATE:
        return result
    if result.error_class in _MENDABLE and call.attempt <= _MAX_RETRIES:
        return result
    told = {"problem": result.code, "message": result.message, "provider": result.provider}
    log.info("notification_not_sent", account_id=call.key.account_id, effect=str(call.key), code=result.code)
    return succeeded({"channel": call.config.channel, "sent": False, **told})


async def _unmark(desk: Desk, key: EffectKey, likeness: bytes) -> None:
    try:
        await desk.repeats.unmark(key, likeness)
    except _LOST as error:
        # Others like it are held back until the window ends; this effect itself is not.
        log.warning("mark_not_taken_back", account_id=key.account_id, error=type(error).__name__)


def _refused(code: str, text: str) -> Failed:
    return Failed(ErrorClass.VALIDATION, code, text, Certainty.NOT_DONE)


ACTION: Final = ActionDefinition(
    name="send_notification",
    summary="Tells the account's own people: in the application, by e-mail or text, Slack, or a webhook.",
    config=Config,
    sample={
        "channel": "in_app",
        "recipients": ["u1", "owner"],
        "title": "A lead has replied",
        "body": "Call back today.",
    },
    delivery=DeliveryClass.UNKEYED_AT_MOST_ONCE,
    run=run,
    find=find,
    contact_fields=("owner",),
    sensitive_fields=("recipients", "title", "body"),
    max_retries=_MAX_RETRIES,
    lanes=(LANE,),
)
