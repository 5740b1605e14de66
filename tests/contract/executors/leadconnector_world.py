"""What tests of crms elsewhere set up and look at: accounts that chose LeadConnector, its sandbox on loopback."""

import asyncio
import itertools
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from wayfarer.action.v1 import action_pb2
from wayfarer.action.v1 import provider_service_pb2 as providers
from wayfarer.action.v1.provider_service_pb2_grpc import ProviderServiceStub
from wayfarer.crm.v1 import contact_record_service_pb2 as records
from yarl import URL

from services.local.sandboxes.leadconnector import leadconnector_app
from services.local.sandboxes.leadconnector_records import LOCATION, TOKEN
from tests.contract.executors.crm_world import CrmWorld
from tests.contract.executors.phone_world import serve
from tests.contract.executors.world import TIMEOUT_S, make_action, uuid7

LEADCONNECTOR_ANSWER_S = 1.0
"""How long an answer of LeadConnector is waited for."""
ACCOUNTS = itertools.count(7000)
SETTINGS: dict[str, Any] = {
    "location_id": LOCATION,
    "users": {"ada": "sandboxUserAda000001", "bob": "sandboxUserBob000001"},
    "pipelines": {
        "sales": {
            "id": "sandboxPipeline00001",
            "stages": {"new": "stage-new", "offer": "stage-offer", "closing": "stage-closing"},
        }
    },
    "campaigns": {"summer": "sandboxCampaign00001"},
    "workflows": {"spring": "sandboxWorkflow00001"},
    "fields": {"plan": "sandboxFieldPlan0001"},
}


@dataclass(frozen=True, slots=True)
class Location:
    """LeadConnector's sandbox, by its HTTP side."""

    url: str
    http: aiohttp.ClientSession

    @property
    def port(self) -> int:
        return URL(self.url).port or 0

    async def misbehave(self, match: str, **rule: Any) -> None:
        async with self.http.post(f"{self.url}/_control/next", json={"match": match, **rule}) as response:
            assert response.status == 200, await response.text()

    async def misbehaved(self) -> None:
        """Wait until every rule has been used up."""
        left = 1
        async with asyncio.timeout(TIMEOUT_S):
            while left:
                async with self.http.get(f"{self.url}/_control/next") as response:
                    left = (await response.json())["left"]

    async def behave(self) -> None:
        async with self.http.delete(f"{self.url}/_control/next") as response:
            assert response.status == 200

    async def state(self) -> dict[str, Any]:
        async with self.http.get(f"{self.url}/_control/state") as response:
            shown: dict[str, Any] = await response.json()
            return shown

    async def contacts(self, email: str) -> list[dict[str, Any]]:
        return [one for one in (await self.state())["contacts"] if one.get("email") == email]

    async def contact(self, email: str) -> dict[str, Any]:
        (found,) = await self.contacts(email)
        return found

    async def opportunities(self, email: str) -> list[dict[str, Any]]:
        ids = {one["id"] for one in await self.contacts(email)}
        return [one for one in (await self.state())["opportunities"] if one["contactId"] in ids]

    async def entries(self, email: str) -> list[tuple[str, str]]:
        """What a contact entered (POST) and left (DELETE), in order."""
        ids = {one["id"] for one in await self.contacts(email)}
        return [
            (one["method"], one["id"]) for one in (await self.state())["entries"] if one["contactId"] in ids
        ]

    async def ask(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """As somebody at LeadConnector does it."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Version": "2021-07-28"}
        async with self.http.request(
            method, f"{self.url}{path}", headers=headers, json=body or None
        ) as response:
            assert response.status < 300, await response.text()
            told: dict[str, Any] = await response.json()
            return told


@asynccontextmanager
async def serve_leadconnector() -> AsyncIterator[Location]:
    async with AsyncExitStack() as stack:
        # Of the limits, the tests of the sandbox itself are.
        url = await serve(stack, leadconnector_app(per_interval=100_000))
        yield Location(url, await stack.enter_async_context(aiohttp.ClientSession()))


@dataclass(frozen=True, slots=True)
class Somebody:
    """A contact of an account at LeadConnector."""

    account: int
    contact_id: uuid.UUID
    email: str


@dataclass(frozen=True, slots=True)
class ElsewhereWorld:
    """The family and LeadConnector as accounts that chose it see them."""

    crm: CrmWorld
    providers: ProviderServiceStub
    site: Location

    async def account(self, *, token: str = TOKEN, **settings: Any) -> int:
        """An account that chose LeadConnector, with users of its own."""
        account = next(ACCOUNTS)
        for user_id in ("ada", "bob"):
            await self.crm.add_user(user_id, account_id=account)
        await self.choose(account, token=token, **settings)
        return account

    async def choose(self, account: int, *, token: str = TOKEN, **settings: Any) -> None:
        request = providers.PutProviderRequest(
            account_id=account,
            channel="crm",
            provider="leadconnector",
            settings=json.dumps({**SETTINGS, "base_url": self.site.url, **settings}).encode(),
            credentials=json.dumps({"access_token": token}).encode(),
        )
        await self.providers.PutProvider(request, timeout=TIMEOUT_S)

    async def somebody(self, account: int | None = None, **data: Any) -> Somebody:
        account = account or await self.account()
        contact_id, email = uuid7(), f"{uuid.uuid4().hex}@example.test"
        await self.tell(account, contact_id, email, **data)
        return Somebody(account, contact_id, email)

    async def tell(self, account: int, contact_id: uuid.UUID, email: str, **data: Any) -> None:
        record = records.ContactRecord(
            account_id=account, contact_id=contact_id.bytes, data=json.dumps(data).encode()
        )
        request = records.PutRecordRequest(record=record, revision=1, email=email)
        await self.crm.records.PutRecord(request, timeout=TIMEOUT_S)

    async def do(self, who: Somebody, name: str, config: dict[str, Any]) -> action_pb2.ActionResult:
        return await self.crm.client.execute(action(who, name, config))


def action(who: Somebody, name: str, config: dict[str, Any]) -> action_pb2.Action:
    """One attempt at a new effect."""
    made = make_action(name, config, contact_id=who.contact_id)
    made.account_id = who.account
    return made
