"""Lets the contact into a course. The registry finds ACTION.

A type has one delivery class, and accounts may have their courses outside, where no key is known: so it is
announced and sent at least once. That it may come twice harms nobody, as a grant is an upsert on contact and
course. The built-in courses also keep which effect granted, so that one that comes again changes nothing and
answers as before: exactly once, with the event and the end of access of the first time. At a provider, the
repeat of a grant whose answer was lost finds it there and says that nothing changed.
"""

from datetime import timedelta
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from services.executors.action import (
    ActionConfig,
    ActionDefinition,
    Call,
    DeliveryClass,
    JsonObject,
    Result,
)
from services.executors.membership.course_config import Course, Instant
from services.executors.membership.provider import Asker, CourseProvider, Grant, told
from services.executors.providers.offering import Chosen
from services.executors.providers.provider import ProviderError

_MOST_DAYS: Final = 36_500


class Config(ActionConfig):
    """The access; without an end it lasts until it is revoked."""

    course: Course
    expires_at: Annotated[Instant | None, Field(description="When it ends.")] = None
    duration_days: Annotated[
        int | None, Field(ge=1, le=_MOST_DAYS, description="How long it lasts from now.")
    ] = None
    send_credentials: Annotated[
        bool,
        Field(
            description="Let the provider write to a user it makes for this; built-in courses have no logins."
        ),
    ] = False

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.expires_at is not None and self.duration_days is not None:
            raise ValueError("must have at most one of expires_at and duration_days")
        return self


async def run(call: Call[Config], courses: Chosen[CourseProvider]) -> Result:
    """Grant it where the account has its courses."""
    config = call.config
    duration = timedelta(days=config.duration_days) if config.duration_days is not None else None
    grant = Grant(config.course, config.expires_at, duration, config.send_credentials)
    try:
        async with courses.acting(call.key.account_id) as provider:
            standing = await provider.grant(Asker(call.key, call.contact_id, call.contact, call.gate), grant)
    except ProviderError as error:
        return error.failed
    return told(config.course, standing, ("granted", "already"))


def preview(call: Call[Config]) -> JsonObject:
    """Show what would be granted."""
    return {"grant": call.config.model_dump(mode="json", exclude_none=True)}


ACTION: Final = ActionDefinition(
    name="grant_course_access",
    summary="Gives the contact access to a course.",
    config=Config,
    sample={"course": "masterclass", "duration_days": 365},
    delivery=DeliveryClass.UNKEYED_AT_LEAST_ONCE,
    run=run,
    preview=preview,
    contact_fields=("email", "first_name", "last_name"),
    lanes=("courses",),
    emits={"course_granted": "course"},
)
