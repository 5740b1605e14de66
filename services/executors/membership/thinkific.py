"""Thinkific as a provider of courses; `offered` is what accounts may choose.

A contact is the user of its e-mail address, made if there is none. What was done stays if a later request
fails: a user without an enrollment is found by the next attempt, and such a failure is still NOT_DONE, as the
access is the effect. What refusals mean is in thinkific_faults.py.
"""

from datetime import UTC, datetime
from typing import Final

from services.executors.action import ErrorClass, JsonObject
from services.executors.membership.access import Access, Decided, granted, revoked
from services.executors.membership.provider import Asker, Grant, Revocation, Standing, refused
from services.executors.membership.thinkific_api import (
    Enrollment,
    ThinkificApi,
    ThinkificCredentials,
    ThinkificSettings,
    User,
)
from services.executors.providers.http_exchange import ProviderHttp
from services.executors.providers.offering import Offered
from services.executors.providers.provider import (
    Answered,
    Callback,
    CallbackRefusedError,
    ProviderAccount,
    ProviderError,
)

_MOST_DIGITS: Final = 18
_TAKEN: Final = "HTTP_422"
"""What is answered if somebody else made the user or the enrollment meanwhile, and for faulty ones."""


class Thinkific:
    """One account at Thinkific."""

    def __init__(
        self, settings: ThinkificSettings, credentials: ThinkificCredentials, http: ProviderHttp
    ) -> None:
        self._course_ids = settings.course_ids
        self._api = ThinkificApi(settings, credentials, http)

    async def grant(self, asker: Asker, grant: Grant) -> Standing:
        """Let a contact into a course. Raises ProviderError, AttemptStoppedError."""
        course_id, email = self._course_id(grant.course), _email(asker)
        fresh = Access("", now := _now(), grant.until(now))
        user = await self._api.user(email)
        made = user is None
        if user is None:
            user = await self._made(asker, email, send_credentials=grant.send_credentials)
        enrollment = await self._api.enrollment(user.id, course_id)
        if enrollment is None:
            body = {"user_id": user.id, "course_id": course_id, **_times(fresh)}
            try:
                enrollment = await self._api.enroll(body, asker.gate)
            except ProviderError as error:
                enrollment = await self._after_all(error, user.id, course_id)
            else:
                standing = Access(str(enrollment.id), now, fresh.expires_at)
                return Standing(standing, True, made and grant.send_credentials)
        decided = granted(_access(enrollment), fresh, now)
        if decided.write:
            await self._api.change_enrollment(enrollment.id, _times(decided.access), asker.gate)
        return _standing(decided)

    async def revoke(self, asker: Asker, revocation: Revocation) -> Standing:
        """End a contact's access, if there is any. Raises ProviderError, AttemptStoppedError."""
        course_id, email = self._course_id(revocation.course), _email(asker)
        if not revocation.keep_progress:
            text = "Thinkific keeps the progress of whoever it lets out"
            raise refused(ErrorClass.CONFIGURATION, "PROGRESS_STAYS", text)
        user = await self._api.user(email)
        enrollment = await self._api.enrollment(user.id, course_id) if user is not None else None
        if enrollment is None:
            return Standing(None, changed=False)
        decided = revoked(_access(enrollment), revocation.at, _now(), keep_progress=True)
        if decided.write:
            body: JsonObject = {"expiry_date": _text(decided.access.ends_at)}
            await self._api.change_enrollment(enrollment.id, body, asker.gate)
        return _standing(decided)

    def callback(self, request: Callback) -> Answered:
        """Refuse: nothing is asked of Thinkific that it would call back for."""
        raise CallbackRefusedError("NOT_EXPECTED")

    async def _made(self, asker: Asker, email: str, *, send_credentials: bool) -> User:
        body: JsonObject = {**_name(asker, email), "email": email, "send_welcome_email": send_credentials}
        try:
            return await self._api.add_user(body, asker.gate)
        except ProviderError as error:
            if error.failed.code != _TAKEN:
                raise
            user = await self._api.user(email)
            if user is None:
                raise error from None
            return user

    async def _after_all(self, error: ProviderError, user_id: int, course_id: int) -> Enrollment:
        """Give the enrollment that somebody else made meanwhile. Raises the error if nobody did."""
        if error.failed.code != _TAKEN:
            raise error
        enrollment = await self._api.enrollment(user_id, course_id)
        if enrollment is None:
            raise error
        return enrollment

    def _course_id(self, course: str) -> int:
        known = self._course_ids.get(course)
        if known is not None:
            return known
        if course.isascii() and course.isdigit() and len(course) <= _MOST_DIGITS:
            return int(course)
        text = "the settings name no number of this course"
        raise refused(ErrorClass.CONFIGURATION, "COURSE_UNKNOWN", text)


def _email(asker: Asker) -> str:
    email = asker.contact.get("email")
    if not isinstance(email, str) or "@" not in email:
        raise refused(ErrorClass.CONTACT_DATA, "NO_ADDRESS", "the contact has no e-mail address")
    return email.strip()


def _name(asker: Asker, email: str) -> JsonObject:
    """Give the names a user must have; what stands before the @ for a contact without."""
    first, last = (asker.contact.get(name) for name in ("first_name", "last_name"))
    return {"first_name": first or email.partition("@")[0], "last_name": last or "-"}


def _access(enrollment: Enrollment) -> Access:
    began = enrollment.activated_at or datetime.min.replace(tzinfo=UTC)
    return Access(str(enrollment.id), began, enrollment.expiry_date)


def _times(access: Access) -> JsonObject:
    return {"activated_at": _text(access.granted_at), "expiry_date": _text(access.expires_at)}


def _standing(decided: Decided) -> Standing:
    return Standing(decided.access, decided.changed)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _text(when: datetime | None) -> str | None:
    return when.isoformat().replace("+00:00", "Z") if when is not None else None


def offered(http: ProviderHttp) -> Offered[Thinkific]:
    """What accounts may choose."""

    def make(account: ProviderAccount) -> Thinkific:
        settings = ThinkificSettings.model_validate(dict(account.settings))
        credentials = ThinkificCredentials.model_validate(dict(account.credentials))
        return Thinkific(settings, credentials, http)

    return Offered(ThinkificSettings, ThinkificCredentials, make)
