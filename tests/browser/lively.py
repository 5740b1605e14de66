"""Makes an account lively through the API alone: workflows, people, journeys, failures, events; the console shows it."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import grpc
import yaml
from google.protobuf.field_mask_pb2 import FieldMask
from wayfarer.admin.v1 import account_pb2
from wayfarer.admin.v1 import admin_service_pb2 as admin_pb
from wayfarer.crm.v1 import consent_service_pb2 as consent_pb
from wayfarer.crm.v1 import crm_service_pb2 as crm_pb
from wayfarer.crm.v1.crm_service_pb2_grpc import CrmServiceStub
from wayfarer.execution.v1 import bulk_service_pb2 as bulk_pb
from wayfarer.execution.v1 import execution_pb2
from wayfarer.execution.v1 import workflow_service_pb2 as workflow_pb

from services.local.stack import Stack
from services.runtime.grpc_client import open_channel
from tests.integration.api.example_runs import PIPELINES, USERS
from tests.integration.api.world import TIMEOUT_S, Client, struct
from tests.support.stacks import ROOT

PEOPLE = (
    ("Jane", "Morrison"), ("Ada", "Lovelace"), ("Grace", "Hopper"), ("Edsger", "Dijkstra"), ("Barbara", "Liskov"),
    ("Leslie", "Lamport"), ("Margaret", "Hamilton"), ("Jim", "Gray"), ("Radia", "Perlman"), ("Tony", "Hoare"),
    ("Katherine", "Johnson"), ("Donald", "Knuth"), ("Frances", "Allen"), ("John", "Backus"), ("Shafi", "Goldwasser"),
    ("Robin", "Milner"), ("Adele", "Goldberg"), ("Niklaus", "Wirth"), ("Lynn", "Conway"), ("Ken", "Thompson"),
    ("Karen", "Jones"), ("Alan", "Turing"), ("Anita", "Borg"), ("Dennis", "Ritchie"), ("Sophie", "Wilson"),
    ("Vint", "Cerf"), ("Mary", "Keller"), ("Butler", "Lampson"), ("Joan", "Clarke"), ("Michael", "Stonebraker"),
)  # fmt: skip
STATUS = execution_pb2.ExecutionStatus


def webinar(url: str) -> dict[str, Any]:
    """A workflow with a call to a partner, which fails for some."""
    return {
        "key": "webinar",
        "name": "Webinar registration",
        "description": "Registers with the partner, confirms, and reminds an hour before.",
        "settings": {"triggers": [{"event": "form_submitted", "match": {"form": "webinar"}}], "reentry": "always"},
        "steps": [
            {"id": "register", "type": "webhook_call", "config": {"url": url + "{{ trigger.path | default: '' }}"}},
            {"id": "tag", "type": "add_tag", "config": {"tag": "webinar"}},
            {"id": "confirm", "type": "send_email",
             "config": {"category": "transactional", "subject": "You are in, {{ contact.first_name }}",
                        "html": "<h2>See you on Thursday</h2><p>The link will come an hour before we begin.</p>"}},
            {"id": "until_it_begins", "type": "wait_time", "config": {"amount": 3, "unit": "days"}},
            {"id": "remind", "type": "send_sms",
             "config": {"category": "transactional", "body": "We begin in an hour: example.com/live"}},
        ],
    }  # fmt: skip


def greeting() -> dict[str, Any]:
    """A workflow that texts at once."""
    return {
        "key": "greeting",
        "name": "Text greeting",
        "settings": {"triggers": [{"event": "custom:opted_in"}]},
        "steps": [
            {"id": "hello", "type": "send_sms",
             "config": {"category": "transactional", "body": "Hi {{ contact.first_name }}, good to have you here."}},
            {"id": "vip", "type": "if", "config": {"condition": "'vip' in contact.tags", "then": "offer", "else": "end"}},
            {"id": "offer", "type": "send_email",
             "config": {"category": "marketing", "subject": "Something for regulars", "text": "10 % off until Sunday."}},
        ],
    }  # fmt: skip


def examples() -> list[dict[str, Any]]:
    """The published examples."""
    paths = sorted(Path(ROOT, "examples").glob("*.yaml"))
    return [yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths]


class Lively:
    """One account with a life; `jane` is the contact to look at."""

    def __init__(self, stack: Stack, client: Client) -> None:
        self.stack = stack
        self.client = client
        self.ids: list[str] = []

    @property
    def jane(self) -> str:
        return self.ids[0]

    async def begin(self) -> None:
        """Everything, in order; returns once the failures have failed and the waits wait."""
        await self._settings()
        await self._crm()
        await self._workflows()
        self.ids = list(await asyncio.gather(*(self._person(n) for n in range(len(PEOPLE)))))
        await self._journeys()
        await self._rested()
        await self._steered()

    async def _settings(self) -> None:
        account = account_pb2.Account(
            name="Northwind Trails",
            settings=account_pb2.AccountSettings(
                time_zone="Europe/Berlin",
                business_hours=account_pb2.BusinessHours(**{"from": "09:00"}, to="18:00"),
                holidays=["12-25", "12-26"],
                notifications=account_pb2.Notifications(email=["ops@northwind.example"]),
                rates={"email": account_pb2.Rate(per_second=50, per_day=200_000)},
            ),
        )
        paths = ["name"] + [
            f"settings.{part}"
            for part in ("time_zone", "business_hours", "holidays", "notifications", "rates")
        ]
        request = admin_pb.UpdateAccountRequest(account=account, update_mask=FieldMask(paths=paths))
        await self.client.call(self.client.admin.UpdateAccount, request)

    async def _crm(self) -> None:
        """The sellers and pipelines that the examples name."""
        account_id = self.client.account_id
        async with open_channel(f"127.0.0.1:{self.stack.ports.executor('crm')}") as channel:
            crm = CrmServiceStub(channel)
            for user_id in USERS:
                user = crm_pb.User(user_id=user_id, name=user_id.title(), active=True)
                await crm.PutUser(crm_pb.PutUserRequest(account_id=account_id, user=user), timeout=TIMEOUT_S)
            for key, names in PIPELINES.items():
                stages = [crm_pb.Stage(key=name, name=name.title()) for name in names]
                pipeline = crm_pb.Pipeline(key=key, name=key.title(), stages=stages)
                request = crm_pb.PutPipelineRequest(account_id=account_id, pipeline=pipeline)
                await crm.PutPipeline(request, timeout=TIMEOUT_S)

    async def _workflows(self) -> None:
        async with aiohttp.ClientSession() as session:
            for match, status in (("/hooks/gone", 401), ("/hooks/odd", 403)):
                rule = {"match": match, "times": 1000, "status": status}
                await session.post(f"{self.stack.receiver_url}/rules", json=rule)
        for document in [*examples(), webinar(f"{self.stack.receiver_url}/hooks"), greeting()]:
            try:
                await self.client.publish(document)
            except grpc.aio.AioRpcError as error:
                raise AssertionError(f"{document['key']}: {error.details()}") from error
        second = greeting()
        second["steps"].insert(
            1, {"id": "settle", "type": "wait_time", "config": {"amount": 1, "unit": "hours"}}
        )
        await self.client.publish(second)
        news = {"key": "spring_news", "name": "Spring news", "steps": [greeting()["steps"][-1]]}
        await self.client.publish(news)
        draft = {"key": "spring_sale", "name": "Spring sale", "steps": greeting()["steps"]}
        await self.client.apply(draft)

    async def _person(self, number: int) -> str:
        first, last = PEOPLE[number]
        contact = await self.client.contact(
            external_id=f"c-{number + 1:04}",
            email=f"{first}.{last}@example.com".lower(),
            phone=f"+1415555{100 + number:04}",
            first_name=first,
            last_name=last,
            time_zone="America/New_York" if number % 2 else "Europe/Berlin",
            tags=["customer", "vip"] if number % 3 == 0 else ["lead"],
            opted_out=number == 17,
        )
        return contact.id

    async def _event(self, contact: str, kind: str, data: dict[str, Any]) -> None:
        await self.client.publish_event(contact, kind, data, id=f"shop-{uuid4()}")

    async def _journeys(self) -> None:
        hooks = f"{self.stack.receiver_url}/hooks"
        for number, contact in enumerate(self.ids):
            path = "/gone" if number in (3, 8, 11, 20) else "/odd" if number in (5, 14) else "/partner"
            await self._event(contact, "form_submitted", {"form": "webinar", "path": path})
            if number % 2 == 0:
                cart = {"cart_id": f"cart-{number}", "value": 30 + 60 * number,
                        "recover_url": "https://shop.example/cart"}  # fmt: skip
                await self._event(contact, "custom:cart_updated", cart)
            if number % 3 == 0:
                await self._event(contact, "custom:opted_in", {})
            if number != 17 and number % 4 < 2:
                await self.client.start(
                    "welcome", contact, trigger=struct({"webhook_url": f"{hooks}/billing"})
                )
            if number % 5 == 1:
                lead = {
                    "form": "contact-sales",
                    "company": "Acme",
                    "topic": "tents",
                    "budget": 4_000 * (number % 4),
                }
                await self._event(contact, "form_submitted", lead)
            if number % 10 == 0:
                order = {"cart_id": f"cart-{number}", "value": 90}
                await self._event(contact, "custom:order_placed", order)
        await self._event(self.jane, "custom:cart_updated", {"cart_id": "cart-jane-2", "value": 80,
                                                             "recover_url": "https://shop.example/cart"})  # fmt: skip

    async def _rested(self) -> None:
        """Waits until nothing is queued or active."""

        async def busy() -> bool:
            for status in (STATUS.EXECUTION_STATUS_QUEUED, STATUS.EXECUTION_STATUS_ACTIVE):
                if (await self.client.listed(status=status)).executions:
                    return True
            return False

        async with asyncio.timeout(90):
            while await busy():
                await asyncio.sleep(0)

    async def _steered(self) -> None:
        """What operators did: a bulk cancel, a pause of a workflow, a consent that was taken back."""
        await self.client.call(
            self.client.consents.SetConsent,
            consent_pb.SetConsentRequest(
                contact_id=self.jane, channel=consent_pb.CHANNEL_EMAIL, category=consent_pb.CATEGORY_MARKETING,
                granted=False, source="preference page",
            ),
        )  # fmt: skip
        await self.client.start("spring_news", self.jane)
        task = bulk_pb.BulkTask(enroll=bulk_pb.EnrollMany(workflow="greeting", contact_ids=self.ids[4:16]))
        request = bulk_pb.StartBulkOperationRequest(task=task, reason="spring campaign")
        await self.client.call(self.client.bulk.StartBulkOperation, request)
        pause = workflow_pb.PauseWorkflowRequest(workflow="referral")
        await self.client.call(self.client.workflows.PauseWorkflow, pause)
        await self._rested()
