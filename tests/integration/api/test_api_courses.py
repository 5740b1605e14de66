"""Courses in workflows: built in, and at the provider an administrator chose.

R-ACT: grant_course_access, revoke_course_access. R-TRIG-9: what they change is an event.
"""

from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from wayfarer.admin.v1 import admin_service_pb2 as admin_pb
from wayfarer.event.v1 import event_service_pb2 as event_pb
from wayfarer.execution.v1 import execution_pb2
from wayfarer.membership.v1 import membership_service_pb2 as membership_pb
from wayfarer.membership.v1.membership_service_pb2_grpc import MembershipServiceStub

from services.local.sandboxes.thinkific import API_KEY, SUBDOMAIN
from services.runtime.grpc_client import open_channel
from tests.integration.api.world import TIMEOUT_S, Client, World, refused, until

pytestmark = pytest.mark.usefixtures("worker")


async def runs(client: Client, *steps: dict[str, Any], **fields: Any) -> tuple[str, str]:
    """Let a contact through steps; its id and e-mail address."""
    key, email = f"courses-{uuid4()}", f"{uuid4().hex}@example.test"
    await client.publish({"key": key, "steps": list(steps)})
    contact = await client.contact(email=email, **fields)
    execution, _ = await client.watched_to_end((await client.start(key, contact.id)).execution.id)
    assert execution.status == execution_pb2.EXECUTION_STATUS_COMPLETED, execution
    return contact.id, email


async def test_built_in_courses_are_granted_and_revoked_and_events_tell(world: World, client: Client) -> None:
    heard = {"triggers": [{"event": "course_granted"}, {"event": "course_revoked"}], "reentry": "never"}
    told = {"id": "t", "type": "add_tag", "config": {"tag": "{{ trigger.value }}"}}
    await client.publish({"key": "told", "settings": heard, "steps": [told]})
    async with open_channel(f"127.0.0.1:{world.stack.ports.executor('membership')}") as channel:
        door = MembershipServiceStub(channel)
        course = membership_pb.Course(key="yoga", name="Yoga", active=True)
        request = membership_pb.PutCourseRequest(account_id=client.account_id, course=course)
        await door.PutCourse(request, timeout=TIMEOUT_S)
        grant = {"id": "g", "type": "grant_course_access", "config": {"course": "yoga", "duration_days": 9}}
        revocation = {"id": "r", "type": "revoke_course_access", "config": {"course": "yoga"}}
        contact_id, _ = await runs(client, grant, revocation)
        asked = membership_pb.ListAccessRequest(
            account_id=client.account_id, contact_id=UUID(contact_id).bytes
        )
        (access,) = (await door.ListAccess(asked, timeout=TIMEOUT_S)).access
    assert (access.course, access.lasts) == ("yoga", False)

    async def events() -> bool:
        request = event_pb.ListEventsRequest(contact_id=contact_id)
        listed = (await client.call(client.events.ListEvents, request)).events
        caused = {(one.type, one.data["value"]) for one in listed if one.type.startswith("course_")}
        return caused == {("course_granted", "yoga"), ("course_revoked", "yoga")}

    await until(events)


async def test_an_administrator_chooses_thinkific_for_courses(world: World, client: Client) -> None:
    choice = admin_pb.SetProviderRequest(
        channel="courses", provider="thinkific", credentials={"api_key": API_KEY}
    )
    refusal = await refused(client.call(client.admin.SetProvider, choice))
    assert set(refusal.rules) == {"settings.subdomain"}
    choice.settings.update({"subdomain": SUBDOMAIN, "base_url": f"{world.stack.sandboxes_url}/thinkific"})
    choice.settings.update({"course_ids": {"masterclass": 101}})
    await client.call(client.admin.SetProvider, choice)
    listed = await client.call(client.admin.ListProviders, admin_pb.ListProvidersRequest())
    (shown,) = listed.providers
    assert (shown.channel, shown.provider, list(shown.credential_names)) == (
        "courses",
        "thinkific",
        ["api_key"],
    )
    grant = {"id": "g", "type": "grant_course_access", "config": {"course": "masterclass"}}
    _, email = await runs(client, grant)
    async with aiohttp.ClientSession() as session:
        answer = await session.get(f"{world.stack.sandboxes_url}/thinkific/enrollments")
        enrolled = [one["course_id"] for one in await answer.json() if one["user_email"] == email]
    assert enrolled == [101]
    await client.call(client.admin.RemoveProvider, admin_pb.RemoveProviderRequest(channel="courses"))
    assert not (await client.call(client.admin.ListProviders, admin_pb.ListProvidersRequest())).providers
