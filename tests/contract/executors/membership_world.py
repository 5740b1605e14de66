"""What the membership tests set up and look at: courses, accounts that chose Thinkific, its sandbox on loopback."""

import itertools
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from wayfarer.action.v1 import action_pb2
from wayfarer.action.v1 import provider_service_pb2 as providers
from wayfarer.action.v1.provider_service_pb2_grpc import ProviderServiceStub
from wayfarer.membership.v1 import membership_service_pb2 as wire
from wayfarer.membership.v1.membership_service_pb2_grpc import MembershipServiceStub
from yarl import URL

from services.local.sandboxes.thinkific import API_KEY, SUBDOMAIN, thinkific_app
from tests.contract.executors.phone_world import serve
from tests.contract.executors.world import ACCOUNT, TIMEOUT_S, Client, make_action, uuid7

THINKIFIC_ANSWER_S = 1.0
"""How long an answer of Thinkific is waited for."""
ACCOUNTS = itertools.count(4000)


@dataclass(frozen=True, slots=True)
class Site:
    """Thinkific's sandbox, by its HTTP side."""

    url: str
    http: aiohttp.ClientSession

    @property
    def port(self) -> int:
        return URL(self.url).port or 0

    async def misbehave(self, match: str, **rule: Any) -> None:
        async with self.http.post(f"{self.url}/_control/next", json={"match": match, **rule}) as response:
            assert response.status == 200, await response.text()

    async def behave(self) -> None:
        async with self.http.delete(f"{self.url}/_control/next") as response:
            assert response.status == 200

    async def users(self, email: str) -> list[dict[str, Any]]:
        async with self.http.get(f"{self.url}/users") as response:
            return [one for one in await response.json() if one["email"] == email]

    async def enrollments(self, email: str) -> list[dict[str, Any]]:
        async with self.http.get(f"{self.url}/enrollments") as response:
            return [one for one in await response.json() if one["user_email"] == email]


@asynccontextmanager
async def serve_thinkific() -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        # Of the limits, the tests of the sandbox itself are.
        url = await serve(stack, thinkific_app(per_minute=10_000))
        yield Site(url, await stack.enter_async_context(aiohttp.ClientSession()))


@dataclass(frozen=True, slots=True)
class MembershipWorld:
    """The family as the orchestrator and those who keep courses see it."""

    client: Client
    door: MembershipServiceStub
    providers: ProviderServiceStub
    site: Site

    async def add_course(self, key: str, *, active: bool = True, account_id: int = ACCOUNT) -> None:
        course = wire.Course(key=key, name=key.title(), active=active)
        await self.door.PutCourse(
            wire.PutCourseRequest(account_id=account_id, course=course), timeout=TIMEOUT_S
        )

    async def access(self, contact_id: uuid.UUID, account_id: int = ACCOUNT) -> list[wire.Access]:
        request = wire.ListAccessRequest(account_id=account_id, contact_id=contact_id.bytes)
        return list((await self.door.ListAccess(request, timeout=TIMEOUT_S)).access)

    async def account_at_thinkific(
        self, *, api_key: str = API_KEY, base_url: str = "", **settings: Any
    ) -> int:
        """An account that chose Thinkific; its masterclass is course 101."""
        account = next(ACCOUNTS)
        chosen = {
            "subdomain": SUBDOMAIN,
            "base_url": base_url or self.site.url,
            "course_ids": {"masterclass": 101},
        }
        request = providers.PutProviderRequest(
            account_id=account,
            channel="courses",
            provider="thinkific",
            settings=json.dumps(chosen | settings).encode(),
            credentials=json.dumps({"api_key": api_key}).encode(),
        )
        await self.providers.PutProvider(request, timeout=TIMEOUT_S)
        return account

    async def grant(self, account: int = ACCOUNT, **more: Any) -> action_pb2.ActionResult:
        return await self.client.execute(action("grant_course_access", account, **more))

    async def revoke(self, account: int = ACCOUNT, **more: Any) -> action_pb2.ActionResult:
        return await self.client.execute(action("revoke_course_access", account, **more))


def action(
    name: str,
    account: int = ACCOUNT,
    *,
    contact_id: uuid.UUID | None = None,
    contact: Mapping[str, Any] | None = None,
    execution_id: uuid.UUID | None = None,
    attempt: int = 1,
    fence: int = 1,
    course: str = "masterclass",
    **config: Any,
) -> action_pb2.Action:
    """One attempt at a grant or a revocation."""
    made = make_action(
        name,
        {"course": course, **config},
        contact_id=contact_id or uuid7(),
        contact=dict(contact) if contact is not None else None,
        execution_id=execution_id,
        attempt=attempt,
        fence=fence,
    )
    made.account_id = account
    return made


def somebody() -> dict[str, str]:
    return {"email": f"{uuid.uuid4().hex}@example.test", "first_name": "Ada", "last_name": "Lovelace"}


def output(result: action_pb2.ActionResult) -> dict[str, Any]:
    assert result.outcome == action_pb2.OUTCOME_SUCCEEDED, result
    told: dict[str, Any] = json.loads(result.output)
    return told
