"""What a grant or a revocation makes of a contact's access to a course, decided purely; providers do it.

A grant never takes away: access that lasts longer than what is asked for stays as it is. An effect that comes
again, as an uncertain one does, finds itself in the access and changes nothing, but is told what it was told.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Access:
    """A contact's standing with one course."""

    enrollment_id: str
    granted_at: datetime
    expires_at: datetime | None
    """None: it does not end by itself."""
    revoked_at: datetime | None = None
    progress: int = 0
    """Percent."""
    grant_effect: str = ""
    """The effect that granted it last; empty where effects are not kept."""
    revoke_effect: str = ""

    @property
    def ends_at(self) -> datetime | None:
        """When it ends or ended; None if it does not."""
        return self.revoked_at or self.expires_at

    def lasts(self, now: datetime) -> bool:
        """Whether there is access."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


class Decided(NamedTuple):
    """What is to be of an access."""

    access: Access
    changed: bool
    """Whether the effect changes it, now or when it first came."""
    write: bool
    """Whether it differs from what is stored."""


def granted(before: Access | None, fresh: Access, now: datetime) -> Decided:
    """Decide a grant: `fresh` is the access it makes where there is none."""
    if before is None:
        return Decided(fresh, changed=True, write=True)
    if before.grant_effect and before.grant_effect == fresh.grant_effect:
        return Decided(before, changed=True, write=False)
    if before.lasts(now):
        if not _later(fresh.expires_at, before.expires_at):
            return Decided(before, changed=False, write=False)
        longer = replace(before, expires_at=fresh.expires_at, grant_effect=fresh.grant_effect)
        return Decided(longer, changed=True, write=True)
    again = replace(
        fresh,
        enrollment_id=before.enrollment_id,
        progress=before.progress,
        revoke_effect=before.revoke_effect,
    )
    return Decided(again, changed=True, write=True)


def revoked(
    before: Access, at: datetime | None, now: datetime, *, keep_progress: bool, effect: str = ""
) -> Decided:
    """Decide a revocation, at once or at a time to come."""
    if before.revoke_effect and before.revoke_effect == effect:
        return Decided(before, changed=True, write=False)
    kept = before if keep_progress else replace(before, progress=0)
    if not before.lasts(now):
        return Decided(kept, changed=False, write=kept != before)
    if at is None or at <= now:
        return Decided(replace(kept, revoked_at=now, revoke_effect=effect), changed=True, write=True)
    if not _later(before.expires_at, at):
        return Decided(kept, changed=False, write=kept != before)
    return Decided(replace(kept, expires_at=at, revoke_effect=effect), changed=True, write=True)


def _later(one: datetime | None, other: datetime | None) -> bool:
    """Whether an end is later than another; None is never."""
    if other is None:
        return False
    return one is None or one > other
