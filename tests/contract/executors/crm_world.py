"""What the crm's contract tests set up and look at, through its own services: contacts, users, pipelines."""

import asyncio
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wayfarer.action.v1 import action_pb2
from wayfarer.crm.v1 import contact_record_service_pb2 as records
from wayfarer.crm.v1 import crm_service_pb2 as wire
from wayfarer.crm.v1.contact_record_service_pb2_grpc import ContactRecordServiceStub
from wayfarer.crm.v1.crm_service_pb2_grpc import CrmServiceStub

from tests.contract.executors.world import ACCOUNT, TIMEOUT_S, Client, make_action, uuid7

OTHER_ACCOUNT = ACCOUNT + 1
USERS = ("ada", "bob", "cyd")
STAGES = ("new", "offer", "closing")


@dataclass(frozen=True, slots=True)
class CrmWorld:
    """The crm as those who keep it see it."""

    client: Client
    records: ContactRecordServiceStub
    crm: CrmServiceStub

    async def add_contact(self, account_id: int = ACCOUNT) -> uuid.UUID:
        contact_id = uuid7()
        record = records.ContactRecord(account_id=account_id, contact_id=contact_id.bytes, data=b"{}")
        await self.records.PutRecord(records.PutRecordRequest(record=record, revision=1), timeout=TIMEOUT_S)
        return contact_id

    async def delete_contact(self, contact_id: uuid.UUID, account_id: int = ACCOUNT) -> None:
        request = records.DeleteRecordRequest(account_id=account_id, contact_id=contact_id.bytes)
        await self.records.DeleteRecord(request, timeout=TIMEOUT_S)

    async def add_user(self, user_id: str, *, active: bool = True, account_id: int = ACCOUNT) -> None:
        user = wire.User(user_id=user_id, name=user_id.title(), active=active)
        await self.crm.PutUser(wire.PutUserRequest(account_id=account_id, user=user), timeout=TIMEOUT_S)

    async def add_pipeline(self, key: str, stages: Sequence[str] = STAGES, account_id: int = ACCOUNT) -> None:
        pipeline = wire.Pipeline(
            key=key, name=key.title(), stages=[wire.Stage(key=one, name=one.title()) for one in stages]
        )
        request = wire.PutPipelineRequest(account_id=account_id, pipeline=pipeline)
        await self.crm.PutPipeline(request, timeout=TIMEOUT_S)

    async def add_campaign(self, key: str, account_id: int = ACCOUNT) -> None:
        request = wire.PutCampaignRequest(
            account_id=account_id, campaign=wire.Campaign(key=key, name=key.title())
        )
        await self.crm.PutCampaign(request, timeout=TIMEOUT_S)

    async def furnish(self) -> None:
        """What the samples of the action types name."""
        for user_id in USERS:
            await self.add_user(user_id)
        await self.add_pipeline("sales")
        await self.add_campaign("spring")

    async def owned(self, account_id: int = ACCOUNT) -> dict[str, int]:
        request = wire.ListUsersRequest(account_id=account_id, page_size=1000)
        users = (await self.crm.ListUsers(request, timeout=TIMEOUT_S)).users
        return {user.user_id: user.contacts_owned for user in users}

    async def notes(self, contact_id: uuid.UUID, account_id: int = ACCOUNT) -> list[wire.Note]:
        request = wire.ListNotesRequest(account_id=account_id, contact_id=contact_id.bytes)
        return list((await self.crm.ListNotes(request, timeout=TIMEOUT_S)).notes)

    async def tasks(self, contact_id: uuid.UUID, account_id: int = ACCOUNT) -> list[wire.Task]:
        request = wire.ListTasksRequest(account_id=account_id, contact_id=contact_id.bytes)
        return list((await self.crm.ListTasks(request, timeout=TIMEOUT_S)).tasks)

    async def opportunities(self, contact_id: uuid.UUID, account_id: int = ACCOUNT) -> list[wire.Opportunity]:
        request = wire.ListOpportunitiesRequest(account_id=account_id, contact_id=contact_id.bytes)
        return list((await self.crm.ListOpportunities(request, timeout=TIMEOUT_S)).opportunities)

    async def enrolments(self, contact_id: uuid.UUID, account_id: int = ACCOUNT) -> list[wire.Enrolment]:
        request = wire.ListEnrolmentsRequest(account_id=account_id, contact_id=contact_id.bytes)
        return list((await self.crm.ListEnrolments(request, timeout=TIMEOUT_S)).enrolments)

    async def record(self, contact_id: object, account_id: int = ACCOUNT) -> tuple[object, list[str]]:
        """The data and tags of a contact."""
        request = records.BatchGetRecordsRequest(
            account_ids=[account_id], contact_ids=[uuid.UUID(str(contact_id)).bytes]
        )
        (found,) = (await self.records.BatchGetRecords(request, timeout=TIMEOUT_S)).records
        return json.loads(found.data), list(found.tags)

    async def do(
        self, action_type: str, config: Mapping[str, object], contact_id: uuid.UUID, account_id: int = ACCOUNT
    ) -> dict[str, object]:
        """Execute a new effect that must succeed; its output."""
        action = of_account(account_id, make_action(action_type, dict(config), contact_id=contact_id))
        result = await self.client.execute(action)
        assert result.outcome == action_pb2.OUTCOME_SUCCEEDED, result
        return output(result)

    async def fail(
        self, action_type: str, config: Mapping[str, object], contact_id: uuid.UUID, account_id: int = ACCOUNT
    ) -> str:
        """Execute a new effect that must fail, not done; why."""
        action = of_account(account_id, make_action(action_type, dict(config), contact_id=contact_id))
        result = await self.client.execute(action)
        assert result.outcome == action_pb2.OUTCOME_FAILED, result
        assert result.certainty == action_pb2.CERTAINTY_NOT_DONE
        return result.failure.code

    async def once(self, action: action_pb2.Action) -> dict[str, object]:
        """Deliver an effect three times, twice of it at once; all say the same. Its output."""
        answers = [*await asyncio.gather(self.client.execute(action), self.client.execute(action))]
        answers.append(await self.client.execute(action))
        assert sorted(one.replayed for one in answers) == [False, True, True]
        assert len({one.output for one in answers}) == 1
        return output(answers[0])


def of_account(account_id: int, action: action_pb2.Action) -> action_pb2.Action:
    """The same action, of that account."""
    action.account_id = account_id
    return action


def in_order(*actions: action_pb2.Action) -> list[action_pb2.Action]:
    """The same actions, with effect keys such that a batch takes those of a type in this order."""
    for action, execution_id in zip(actions, sorted(uuid7() for _ in actions), strict=True):
        action.effect_key.execution_id = execution_id.bytes
    return list(actions)


def output(result: action_pb2.ActionResult) -> dict[str, object]:
    """What a result says to later steps."""
    told: dict[str, object] = json.loads(result.output)
    return told
