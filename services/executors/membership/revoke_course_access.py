"""Ends the contact's access to a course, at once or at a time. The registry finds ACTION.

As grant_course_access it is sent at least once, for the same reasons: setting an end again changes nothing.
"""

from typing import Annotated, Final, Literal, Self

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
from services.executors.membership.provider import Asker, CourseProvider, Revocation, told
from services.executors.providers.offering import Chosen
from services.executors.providers.provider import ProviderError


class Config(ActionConfig):
    """Which access ends, and when."""

    course: Course
    mode: Annotated[Literal["immediate", "at"], Field(description="When it ends.")] = "immediate"
    at: Annotated[Instant | None, Field(description="With mode at: when; never later than it would.")] = None
    keep_progress: Annotated[
        bool, Field(description="Whether the contact goes on from there if let in again.")
    ] = True

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.mode == "at") != (self.at is not None):
            raise ValueError("mode at goes with at")
        if self.at is not None and not self.keep_progress:
            raise ValueError("progress can only be dropped with mode immediate")
        return self


async def run(call: Call[Config], courses: Chosen[CourseProvider]) -> Result:
    """Revoke it where the account has its courses."""
    config = call.config
    revocation = Revocation(config.course, config.at, config.keep_progress)
    try:
        async with courses.acting(call.key.account_id) as provider:
            asker = Asker(call.key, call.contact_id, call.contact, call.gate)
            standing = await provider.revoke(asker, revocation)
    except ProviderError as error:
        return error.failed
    return told(config.course, standing, ("revoked", "already"))


def preview(call: Call[Config]) -> JsonObject:
    """Show what would be revoked."""
    return {"revoke": call.config.model_dump(mode="json", exclude_none=True)}


ACTION: Final = ActionDefinition(
    name="revoke_course_access",
    summary="Ends the contact's access to a course.",
    config=Config,
    sample={"course": "masterclass"},
    delivery=DeliveryClass.UNKEYED_AT_LEAST_ONCE,
    run=run,
    preview=preview,
    contact_fields=("email",),
    lanes=("courses",),
    emits={"course_revoked": "course"},
)
