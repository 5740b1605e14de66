"""Thinkific's public API v1 as calls: users and enrollments; thinkific.py decides with it.

At most ten requests are under way at a time, which is what Thinkific allows; of the 120 a minute it tells by
429.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, TypeVar

import orjson
from pydantic import BaseModel, Field, StringConstraints, ValidationError

from services.executors.action import JsonObject
from services.executors.gate import SendGate
from services.executors.membership.thinkific_faults import Step, failure, http_codes
from services.executors.providers.http_exchange import (
    Answer,
    HttpRequest,
    NoAnswerError,
    ProviderHttp,
    pause_asked,
)
from services.executors.providers.offering import BaseUrl, ProviderCredentials, ProviderSettings, Secret
from services.executors.providers.provider import ProviderError

_AT_A_TIME: Final = 10
_EPOCH_DIGITS: Final = 9  # seconds from now never have so many

Subdomain = Annotated[
    str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,62}$")
]
CourseId = Annotated[int, Field(ge=1, lt=10**18)]
CourseKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$")]


class ThinkificSettings(ProviderSettings):
    """What may be shown of an account's standing with Thinkific."""

    subdomain: Subdomain
    base_url: BaseUrl = "https://api.thinkific.com"
    course_ids: Annotated[dict[CourseKey, CourseId], Field(max_length=1000)] = Field(default_factory=dict)
    """Thinkific's numbers of courses, by the keys workflows name them by; a number needs none."""


class ThinkificCredentials(ProviderCredentials):
    """The account's key."""

    api_key: Secret


class User(BaseModel):
    """What is needed of a user."""

    id: int
    email: str


class Enrollment(BaseModel):
    """What is needed of an enrollment."""

    id: int
    user_id: int
    course_id: int
    activated_at: datetime | None = None
    expiry_date: datetime | None = None


class _Users(BaseModel):
    items: list[User]


class _Enrollments(BaseModel):
    items: list[Enrollment]


ModelT = TypeVar("ModelT", bound=BaseModel)


class ThinkificApi:
    """One account's site. Everything raises ProviderError, and AttemptStoppedError where it takes a gate."""

    def __init__(
        self, settings: ThinkificSettings, credentials: ThinkificCredentials, http: ProviderHttp
    ) -> None:
        self._root = f"{settings.base_url}/api/public/v1"
        self._headers = {
            "X-Auth-API-Key": credentials.api_key,
            "X-Auth-Subdomain": settings.subdomain,
            "Content-Type": "application/json",
        }
        self._http = http
        self._places = asyncio.Semaphore(_AT_A_TIME)

    async def user(self, email: str) -> User | None:
        """Find the user of an address."""
        answer = await self._read("users", {"query[email]": email})
        found = _read(_Users, answer, Step.READ).items
        return next((one for one in found if one.email.lower() == email.lower()), None)

    async def add_user(self, body: JsonObject, gate: SendGate) -> User:
        """Make a user."""
        return _read(User, await self._change("POST", "users", body, Step.USER, gate), Step.USER)

    async def enrollment(self, user_id: int, course_id: int) -> Enrollment | None:
        """Find the enrollment of a user in a course, the newest."""
        query = {"query[user_id]": str(user_id), "query[course_id]": str(course_id)}
        found = _read(_Enrollments, await self._read("enrollments", query), Step.READ).items
        theirs = [one for one in found if (one.user_id, one.course_id) == (user_id, course_id)]
        return max(theirs, key=lambda one: one.id, default=None)

    async def enroll(self, body: JsonObject, gate: SendGate) -> Enrollment:
        """Make an enrollment."""
        answer = await self._change("POST", "enrollments", body, Step.ENROLLMENT, gate)
        return _read(Enrollment, answer, Step.ENROLLMENT)

    async def change_enrollment(self, enrollment_id: int, body: JsonObject, gate: SendGate) -> None:
        """Set an enrollment's times; it is answered with nothing."""
        await self._change("PUT", f"enrollments/{enrollment_id}", body, Step.ENROLLMENT, gate)

    async def _read(self, path: str, query: Mapping[str, str]) -> Answer:
        return await self._exchange(
            HttpRequest("GET", f"{self._root}/{path}", self._headers, query), Step.READ, None
        )

    async def _change(self, method: str, path: str, body: JsonObject, step: Step, gate: SendGate) -> Answer:
        request = HttpRequest(method, f"{self._root}/{path}", self._headers, None, orjson.dumps(body))
        return await self._exchange(request, step, gate)

    async def _exchange(self, request: HttpRequest, step: Step, gate: SendGate | None) -> Answer:
        try:
            async with self._places:
                answer = await self._http.exchange(request, gate)
        except NoAnswerError as error:
            raise ProviderError(failure(step, (error.code,))) from None
        if not 200 <= answer.status < 300:
            pause = pause_of(answer.status, answer.headers, datetime.now(UTC))
            raise ProviderError(failure(step, http_codes(answer.status), pause))
        return answer


def pause_of(status: int, headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Read how long to wait. Thinkific's RateLimit-Reset is a Unix time, elsewhere it is seconds."""
    known: dict[str, str] = {}
    for name, value in headers.items():
        low = name.lower()
        epoch = low == "ratelimit-reset" and len(value.strip()) >= _EPOCH_DIGITS
        known["x-ratelimit-reset" if epoch else low] = value
    return pause_asked(status, known, now)


def _read(model: type[ModelT], answer: Answer, step: Step) -> ModelT:
    try:
        return model.model_validate_json(answer.body)
    except ValidationError:
        raise ProviderError(failure(step, ("STRANGE_ANSWER",))) from None
