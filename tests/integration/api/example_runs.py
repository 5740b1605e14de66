"""What test_api_examples.py runs the published examples with: entries, waits, what arrived, which steps were reached."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import aiohttp
import grpc
import yaml
from wayfarer.crm.v1 import contact_pb2
from wayfarer.crm.v1 import crm_service_pb2 as crm_pb
from wayfarer.crm.v1.crm_service_pb2_grpc import CrmServiceStub
from wayfarer.event.v1 import event_pb2
from wayfarer.execution.v1 import execution_pb2
from wayfarer.execution.v1 import workflow_service_pb2 as workflow_pb

from services.local.demo_providers import choose_sandboxes
from services.runtime.grpc_client import open_channel
from tests.integration.api.world import TIMEOUT_S, Client, World, struct

FOLDER: Final = Path(__file__).resolve().parents[3] / "examples"
USERS: Final = ("ada", "bob")
PIPELINES: Final = {"sales": ("new", "contacted"), "shop": ("cart", "bought")}
CAMPAIGNS: Final = ("review_request", "regulars", "newsletter")


def document(name: str) -> dict[str, Any]:
    """An example as it is published."""
    read: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return read


@dataclass(slots=True)
class Example:
    """One example, published in an account that has what it names."""

    name: str
    world: World
    client: Client
    crm: CrmServiceStub
    workflow: str = ""

    async def open(self) -> None:
        """Chooses providers, puts users, pipelines and campaigns, and publishes."""
        account_id, stack = self.client.account_id, self.world.stack
        await choose_sandboxes(stack.address, self.client.key, stack.sandboxes_url)
        for user_id in USERS:
            user = crm_pb.User(user_id=user_id, name=user_id.title(), active=True)
            await self.ask(self.crm.PutUser, crm_pb.PutUserRequest(account_id=account_id, user=user))
        for key, names in PIPELINES.items():
            stages = [crm_pb.Stage(key=name, name=name.title()) for name in names]
            pipeline = crm_pb.Pipeline(key=key, name=key.title(), stages=stages)
            request = crm_pb.PutPipelineRequest(account_id=account_id, pipeline=pipeline)
            await self.ask(self.crm.PutPipeline, request)
        for key in CAMPAIGNS:
            campaign = crm_pb.Campaign(key=key, name=key.title())
            wanted = crm_pb.PutCampaignRequest(account_id=account_id, campaign=campaign)
            await self.ask(self.crm.PutCampaign, wanted)
        self.workflow = await self.client.publish(document(self.name))

    async def ask(self, method: Any, request: Any) -> Any:
        """One call to the crm process."""
        return await method(request, timeout=TIMEOUT_S)

    async def somebody(self, **known: Any) -> contact_pb2.Contact:
        """A contact with every address, for whom it is noon."""
        given = {
            "email": f"{uuid4()}@example.com",
            "phone": f"+1415{uuid4().int % 10**7:07d}",
            "first_name": "Jane",
            "time_zone": await self.zone_where_it_is(12),
            "fields": struct({"messenger_id": str(uuid4().int % 10**15)}),
        }
        return await self.client.contact(**(given | known))

    async def zone_where_it_is(self, hour: int) -> str:
        """A zone on whose clocks this hour has begun."""
        ahead = (hour - (await self.now()).hour + 12) % 24 - 12
        return f"Etc/GMT{-ahead:+d}"

    async def now(self) -> datetime:
        now: datetime = await self.world.owner.fetchval("SELECT wf_now()")
        return now

    async def begins(self, contact_id: str, event: str, **data: Any) -> str:
        """The execution that an event of the contact starts."""
        receipt = await self.client.publish_event(contact_id, event, data)
        (started,) = [c for c in receipt.consequences if c.kind == event_pb2.CONSEQUENCE_KIND_STARTED]
        return started.execution_id

    async def is_started(self, contact_id: str, **trigger: Any) -> str:
        """The execution that a call starts."""
        started = await self.client.start(self.workflow, contact_id, trigger=struct(trigger))
        return started.execution.id

    async def waits_at(self, execution_id: str, step_id: str) -> execution_pb2.Execution:
        """The execution once it waits at a step; a wait that is over, but not yet left, is none."""
        try:
            async for change in self.client.watch(execution_id):
                execution: execution_pb2.Execution = change.execution
                if execution.status != execution_pb2.EXECUTION_STATUS_WAITING:
                    continue
                is_over = execution.wake_time.ToDatetime(UTC) <= await self.now()
                if execution.current_step_id == step_id and not is_over:
                    return execution
            problem = f"{execution_id} ended without having waited at {step_id}"
        except grpc.aio.AioRpcError as error:
            problem = f"{error.code().name} before {execution_id} waited at {step_id}"
        stands, entries = (
            await self.client.get(execution_id),
            (await self.client.logs(execution_id)).log_entries,
        )
        passed = [(e.event, e.step_id, e.time.ToJsonString()) for e in entries]
        raise AssertionError(f"{problem} (now {await self.now()}): {stands} {passed}")

    async def waited_out(self, execution_id: str, step_id: str) -> None:
        """Lets time pass until the wait at a step is over."""
        waiting = await self.waits_at(execution_id, step_id)
        left = waiting.wake_time.ToDatetime(UTC) - await self.now()
        await self.world.let_pass(left + timedelta(seconds=1))

    async def ended(self, execution_id: str, reason: str = "") -> list[Any]:
        """The log of an execution that completed, for this reason if one is given."""
        execution, log = await self.client.watched_to_end(execution_id)
        assert execution.status == execution_pb2.EXECUTION_STATUS_COMPLETED, (execution, log)
        assert not reason or execution.reason == reason, execution
        return log

    async def texts_to(self, number: str) -> list[str]:
        """The bodies of text messages, oldest first."""
        taken = await self._sandbox("/twilio/messages")
        return [one["body"] for one in taken if one["to"] == number]

    async def calls_to(self, number: str) -> int:
        return sum(one["to"] == number for one in await self._sandbox("/twilio/calls"))

    async def chats_with(self, person: str) -> int:
        return sum(one["to"] == person for one in await self._sandbox("/meta/messages"))

    async def writes(self, number: str, body: str) -> None:
        """Somebody answers by text message."""
        url = f"{self.world.stack.gateway_url}/callbacks/twilio/sms/accounts/{self.client.account_id}"
        await self._sandbox("/twilio/_control/inbound", {"from": number, "body": body, "url": url})

    async def subjects(self, address: str) -> list[str]:
        """The subjects of the mails that came."""
        return [mail["subject"] for mail in await self.world.mails_to(address)]

    async def tasks(self, contact_id: str) -> list[crm_pb.Task]:
        request = crm_pb.ListTasksRequest(
            account_id=self.client.account_id, contact_id=UUID(contact_id).bytes
        )
        return list((await self.ask(self.crm.ListTasks, request)).tasks)

    async def notes(self, contact_id: str) -> list[crm_pb.Note]:
        request = crm_pb.ListNotesRequest(
            account_id=self.client.account_id, contact_id=UUID(contact_id).bytes
        )
        return list((await self.ask(self.crm.ListNotes, request)).notes)

    async def opportunities(self, contact_id: str) -> list[crm_pb.Opportunity]:
        request = crm_pb.ListOpportunitiesRequest(
            account_id=self.client.account_id, contact_id=UUID(contact_id).bytes
        )
        return list((await self.ask(self.crm.ListOpportunities, request)).opportunities)

    async def campaigns(self, contact_id: str) -> set[str]:
        """Those the contact is in."""
        request = crm_pb.ListEnrolmentsRequest(
            account_id=self.client.account_id, contact_id=UUID(contact_id).bytes
        )
        found = (await self.ask(self.crm.ListEnrolments, request)).enrolments
        return {one.campaign for one in found if not one.HasField("leave_time")}

    async def is_whole(self) -> None:
        """Every step of the document was reached, and every invariant kept."""
        request = workflow_pb.GetWorkflowCountsRequest(workflow=self.workflow)
        counts = (await self.client.call(self.client.workflows.GetWorkflowCounts, request)).counts
        reached = {count.step_id for count in counts if count.entered}
        missed = {step["id"] for step in document(self.name)["steps"]} - reached
        assert not missed, f"{self.name}: no run reached {missed}"
        assert not any((await self.client.verify()).values())

    async def _sandbox(self, path: str, body: dict[str, Any] | None = None) -> Any:
        async with aiohttp.ClientSession() as session:
            url = self.world.stack.sandboxes_url + path
            answer = await (session.post(url, json=body) if body is not None else session.get(url))
            assert answer.status < 300, await answer.text()
            return await answer.json()


async def opened(name: str, world: World, client: Client, crm: CrmServiceStub) -> Example:
    """An example that is ready to run."""
    example = Example(name, world, client, crm)
    await example.open()
    return example


def crm_channel(world: World) -> Any:
    """The way to the crm process, where those who keep an account's crm put users and pipelines."""
    return open_channel(f"127.0.0.1:{world.stack.ports.executor('crm')}")
