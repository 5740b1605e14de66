"""What a provider of courses does, as builtin.py and thinkific.py; actions ask the one an account chose."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from services.executors.action import Certainty, EffectKey, ErrorClass, Failed, Succeeded, succeeded
from services.executors.gate import SendGate
from services.executors.membership.access import Access
from services.executors.providers.provider import ProviderError

CHANNEL: Final = "courses"
"""What accounts choose a provider for."""


@dataclass(frozen=True, slots=True)
class Asker:
    """On whose behalf, and for whom, something is asked."""

    effect: EffectKey
    contact_id: uuid.UUID
    contact: Mapping[str, object]
    """Its email, first_name and last_name, where known."""
    gate: SendGate


class Grant(NamedTuple):
    """Access that is asked for."""

    course: str
    expires_at: datetime | None = None
    duration: timedelta | None = None
    """From now; at most one of this and expires_at."""
    send_credentials: bool = False

    def until(self, now: datetime) -> datetime | None:
        """Give when it ends, None for never. Raises ProviderError if that is over."""
        if self.duration is not None:
            return (now + self.duration).replace(microsecond=0)
        if self.expires_at is not None and self.expires_at <= now:
            text = "the access would have ended already"
            raise refused(ErrorClass.VALIDATION, "EXPIRES_IN_PAST", text)
        return self.expires_at


class Revocation(NamedTuple):
    """Access that is to end."""

    course: str
    at: datetime | None = None
    """None: at once."""
    keep_progress: bool = True


class Standing(NamedTuple):
    """How a contact stands with a course now."""

    access: Access | None
    """None: there never was any."""
    changed: bool
    credentials_sent: bool = False


class CourseProvider(Protocol):
    """Gives and takes access to courses. Both may be done twice."""

    async def grant(self, asker: Asker, grant: Grant) -> Standing:
        """Let a contact into a course. Raises ProviderError, AttemptStoppedError."""
        ...

    async def revoke(self, asker: Asker, revocation: Revocation) -> Standing:
        """End a contact's access, if there is any. Raises ProviderError, AttemptStoppedError."""
        ...


def refused(error_class: ErrorClass, code: str, message: str) -> ProviderError:
    """Make the error of something that was not done."""
    return ProviderError(Failed(error_class, code, message, Certainty.NOT_DONE))


def told(course: str, standing: Standing, outcomes: tuple[str, str]) -> Succeeded:
    """Make the result of a standing; `outcomes` name a change, and none."""
    access = standing.access
    ends_at = access.ends_at if access is not None else None
    enrollment_id = access.enrollment_id if access is not None else ""
    output: dict[str, object] = {
        "course": course,
        "enrollment_id": enrollment_id,
        "changed": standing.changed,
        "outcome": outcomes[0] if standing.changed else outcomes[1],
        "expires_at": ends_at.isoformat().replace("+00:00", "Z") if ends_at is not None else None,
        "credentials_sent": standing.credentials_sent,
    }
    return succeeded(output, refs={"enrollment_id": enrollment_id} if enrollment_id else None)
