"""LeadConnector's API 2.0 as calls, one account's location; the leadconnector_* modules decide with it.

At most ten requests are under way at a time. Of its limits, 100 in ten seconds and 200,000 a day, a 429
tells.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Any, Final

import orjson
from pydantic import Field, StringConstraints

from services.executors.action import JsonObject
from services.executors.crm.fields import FIELD_NAME, Key, TheirId
from services.executors.crm.leadconnector_faults import Step, failure, http_codes
from services.executors.crm.provider import CONTACT_GONE
from services.executors.gate import SendGate
from services.executors.providers.http_exchange import (
    Answer,
    HttpRequest,
    NoAnswerError,
    ProviderHttp,
    pause_asked,
)
from services.executors.providers.offering import BaseUrl, ProviderCredentials, ProviderSettings, Secret
from services.executors.providers.provider import ProviderError

VERSION: Final = "2021-07-28"
"""What the header Version says: the only one there is."""

_AT_A_TIME: Final = 10
_MOST_MS_DIGITS: Final = 8
_TOO_MANY: Final = (425, 429)
_NO_CONTACT: Final = (
    "contact not found",
    "contact with id",
    "contact does not exist",
    "contact id not found",
)

FieldName = Annotated[str, StringConstraints(pattern=rf"^{FIELD_NAME}$")]


class PipelineIds(ProviderSettings):
    """Their ids of a pipeline and its stages; a stage that is left out is its own id."""

    id: TheirId
    stages: Annotated[dict[Key, TheirId], Field(max_length=100)] = Field(default_factory=dict)


class LeadConnectorSettings(ProviderSettings):
    """What may be shown of an account's standing with LeadConnector.

    The maps are their ids by what workflows name things by. What a map leaves out is taken for an id itself,
    but for own fields and workflows, which must be named.
    """

    location_id: TheirId
    base_url: BaseUrl = "https://services.leadconnectorhq.com"
    users: Annotated[dict[Key, TheirId], Field(max_length=1000)] = Field(default_factory=dict)
    pipelines: Annotated[dict[Key, PipelineIds], Field(max_length=100)] = Field(default_factory=dict)
    campaigns: Annotated[dict[Key, TheirId], Field(max_length=1000)] = Field(default_factory=dict)
    workflows: Annotated[dict[Key, TheirId], Field(max_length=1000)] = Field(default_factory=dict)
    """What a campaign is there, if it is a workflow there; before `campaigns`."""
    fields: Annotated[dict[FieldName, TheirId], Field(max_length=1000)] = Field(default_factory=dict)
    opportunity_effect_field: TheirId | None = None
    """A custom field of opportunities, of one line, for the mark of the effect that opened each."""


class LeadConnectorCredentials(ProviderCredentials):
    """A private integration's token, or an access token of the location."""

    access_token: Secret


class LeadConnectorApi:
    """One account's location. All of it raises ProviderError; AttemptStoppedError what takes a gate."""

    def __init__(
        self, settings: LeadConnectorSettings, credentials: LeadConnectorCredentials, http: ProviderHttp
    ) -> None:
        self.settings = settings
        self._headers = {
            "Authorization": f"Bearer {credentials.access_token}",
            "Version": VERSION,
            "Content-Type": "application/json",
        }
        self._http = http
        self._places = asyncio.Semaphore(_AT_A_TIME)

    async def read(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """GET a resource."""
        return await self._exchange("GET", path, query, None, Step.READ, None)

    async def change(
        self, method: str, path: str, body: JsonObject | None, step: Step, gate: SendGate
    ) -> dict[str, Any]:
        """Make a request that changes something."""
        return await self._exchange(method, path, None, body, step, gate)

    async def _exchange(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: JsonObject | None,
        step: Step,
        gate: SendGate | None,
    ) -> dict[str, Any]:
        sent = orjson.dumps(body) if body is not None else b""
        request = HttpRequest(method, f"{self.settings.base_url}/{path}", self._headers, query, sent)
        try:
            async with self._places:
                answer = await self._http.exchange(request, gate)
        except NoAnswerError as error:
            raise ProviderError(failure(step, (error.code,))) from None
        if not 200 <= answer.status < 300:
            gone = (CONTACT_GONE,) if _is_gone(answer) else ()
            codes = gone + http_codes(answer.status)
            raise ProviderError(
                failure(step, codes, pause_of(answer.status, answer.headers, datetime.now(UTC)))
            )
        told = answer.json()
        if not isinstance(told, dict):
            raise ProviderError(failure(step, ("STRANGE_ANSWER",)))
        return told


def strange(step: Step) -> ProviderError:
    """Make the error of an answer that lacks what it must hold."""
    return ProviderError(failure(step, ("STRANGE_ANSWER",)))


def id_of(told: Mapping[str, Any], name: str, step: Step) -> str:
    """Read the id of what an answer holds under this name. Raises ProviderError."""
    inner = told.get(name)
    found = inner.get("id") if isinstance(inner, dict) else None
    if not isinstance(found, str) or not found:
        raise strange(step)
    return found


def objects_of(told: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Read a list of objects. Raises ProviderError if there is none."""
    found = told.get(name)
    if not isinstance(found, list):
        raise strange(Step.READ)
    return [one for one in found if isinstance(one, dict)]


def pause_of(status: int, headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Read how long to wait: as others say it; else, of too many requests, until midnight UTC if the day's
    are spent, or for the interval the limit counts by.
    """
    asked = pause_asked(status, headers, now)
    if asked is not None or status not in _TOO_MANY:
        return asked
    low = {name.lower(): value.strip() for name, value in headers.items()}
    if low.get("x-ratelimit-daily-remaining") == "0":
        midnight = datetime.combine(now.date() + timedelta(days=1), time.min, UTC)
        return midnight - now
    interval = low.get("x-ratelimit-interval-milliseconds", "")
    readable = interval.isascii() and interval.isdigit() and len(interval) <= _MOST_MS_DIGITS
    return timedelta(milliseconds=int(interval)) if readable else None


def _is_gone(answer: Answer) -> bool:
    """Whether it is the contact that is missing: 400 or 404, and the text says so."""
    if answer.status not in (400, 404):
        return False
    told = answer.json()
    message = str(told.get("message", "")).lower() if isinstance(told, dict) else ""
    return any(text in message for text in _NO_CONTACT)
