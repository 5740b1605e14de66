"""Every workflow in examples/ runs to its end against the real stack, by every branch it has.

R-ACT, R-STEP, R-WAIT, R-SEND, R-GOAL: each step of each example is reached by at least one run, and together
they use every action type there is.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from wayfarer.crm.v1 import crm_service_pb2 as crm_pb
from wayfarer.crm.v1.crm_service_pb2_grpc import CrmServiceStub
from wayfarer.execution.v1 import execution_pb2
from wayfarer.execution.v1 import workflow_service_pb2 as workflow_pb
from wayfarer.membership.v1 import membership_service_pb2 as membership_pb
from wayfarer.membership.v1.membership_service_pb2_grpc import MembershipServiceStub
from wayfarer.notification.v1 import notification_service_pb2 as notification_pb
from wayfarer.notification.v1.notification_service_pb2_grpc import NotificationServiceStub

from execution_engine.steps.split import draw
from services.runtime.grpc_client import open_channel
from tests.integration.api.example_runs import FOLDER, Example, crm_channel, document, opened
from tests.integration.api.world import Client, World

pytestmark = pytest.mark.usefixtures("worker")
Open = Callable[[str], Awaitable[Example]]


@pytest.fixture
async def example(world: World, client: Client) -> AsyncIterator[Open]:
    """Publishes an example. Their months of waits do not add up: replies come in by the real time of day."""
    async with crm_channel(world) as channel:
        crm = CrmServiceStub(channel)

        async def open_it(name: str) -> Example:
            return await opened(name, world, client, crm)

        yield open_it
    await world.own_time()


async def test_the_examples_show_every_action_type(client: Client) -> None:
    answer = await client.call(client.workflows.ListActionTypes, workflow_pb.ListActionTypesRequest())
    there = {one.name for one in answer.action_types}
    shown = {step["type"] for path in FOLDER.glob("*.yaml") for step in document(path.stem)["steps"]}
    assert not there - shown


async def test_every_example_has_a_test() -> None:
    names = {path.stem for path in FOLDER.glob("*.yaml")}
    assert names == {name.removeprefix("test_example_") for name in globals() if "test_example_" in name}


async def test_example_welcome(example: Open, world: World) -> None:
    run = await example("welcome")
    path = f"billing-{uuid4()}"
    for tags, level in ((["vip"], "vip"), ([], "standard")):
        contact = await run.somebody(tags=tags)
        url = f"{world.stack.receiver_url}/hooks/{path}"
        execution = await run.is_started(contact.id, webhook_url=url)
        await run.waited_out(execution, "settle_in")
        await run.ended(execution)
        assert (await run.client.read_contact(contact.id)).fields["level"] == level
        assert await run.subjects(contact.email) == ["Welcome, Jane!"]
    assert [one["body"]["level"] for one in await world.requests_at(path)] == ["vip", "standard"]
    await run.is_whole()


async def test_example_abandoned_cart(example: Open) -> None:
    """Bought at once, bought after the reminder, or not at all by either half of the split."""
    run = await example("abandoned_cart")
    for after in ("patience", "a_day_later"):
        contact, cart = await run.somebody(), f"cart-{uuid4()}"
        execution = await cart_of(run, contact.id, cart, 40)
        if after == "a_day_later":
            await run.waited_out(execution, "patience")
        await run.waits_at(execution, after)
        await run.client.publish_event(contact.id, "custom:order_placed", {"cart_id": "another"})
        await run.client.publish_event(contact.id, "custom:order_placed", {"cart_id": cart})
        await run.ended(execution)
        (won,) = await run.opportunities(contact.id)
        assert (won.stage, won.status) == ("bought", crm_pb.OPPORTUNITY_STATUS_WON)
        assert len(await run.subjects(contact.email)) == (after == "a_day_later")
    for half, value in (("voucher", 900), ("text", 40)):
        contact = await somebody_who_draws(run, half)
        execution = await cart_of(run, contact.id, f"cart-{uuid4()}", value)
        await run.waited_out(execution, "patience")
        await run.waited_out(execution, "a_day_later")
        await run.ended(execution)
        assert len(await run.subjects(contact.email)) == (2 if half == "voucher" else 1)
        assert len(await run.texts_to(contact.phone)) == (half == "text")
        assert len(await run.tasks(contact.id)) == (value > 500)
    small = await run.client.publish_event((await run.somebody()).id, "custom:cart_updated", {"value": 19})
    assert not small.consequences
    await run.is_whole()


async def cart_of(run: Example, contact_id: str, cart: str, value: int) -> str:
    data = {"cart_id": cart, "value": value, "recover_url": "https://shop.example.com/cart"}
    return await run.begins(contact_id, "custom:cart_updated", **data)


async def somebody_who_draws(run: Example, branch: str) -> Any:
    """A contact whom the split sends that way."""
    while True:
        contact = await run.somebody()
        drawn = draw(UUID(run.workflow), "which", UUID(contact.id))
        if (drawn < 50) == (branch == "voucher"):
            return contact


async def test_example_appointment(example: Open) -> None:
    """Confirmed and kept; called, since unanswered, and missed; cancelled."""
    run = await example("appointment")
    contact = await run.somebody()
    execution = await booked(run, contact.id, "a1")
    await run.waited_out(execution, "day_before")
    await run.waits_at(execution, "answer")
    await run.writes(contact.phone, " c ")
    await run.waited_out(execution, "hour_before")
    await run.waits_at(execution, "came")
    await run.client.publish_event(contact.id, "custom:appointment_status", status_of("a1", "showed"))
    await run.ended(execution)
    assert "appointment-confirmed" in (await run.client.read_contact(contact.id)).tags
    assert await run.campaigns(contact.id) == {"review_request"}
    assert await run.texts_to(contact.phone) == [
        "Tomorrow: Consultation. Reply C to confirm.",
        "See you in an hour: Room 4",
    ]
    await missed(run)
    contact = await run.somebody()
    execution = await booked(run, contact.id, "a3")
    await run.waits_at(execution, "day_before")
    await run.client.publish_event(contact.id, "custom:appointment_status", status_of("a3", "cancelled"))
    await run.ended(execution, "appointment_cancelled")
    assert not await run.texts_to(contact.phone)
    await run.is_whole()


async def missed(run: Example) -> None:
    """Somebody who neither answers nor comes."""
    contact = await run.somebody()
    execution = await booked(run, contact.id, "a2")
    for wait in ("day_before", "answer", "hour_before", "came"):
        await run.waited_out(execution, wait)
    await run.ended(execution)
    assert await run.calls_to(contact.phone) == 1
    assert (await run.texts_to(contact.phone))[-1].startswith("Sorry we missed you")
    assert [task.title for task in await run.tasks(contact.id)] == ["Follow up a no-show"]
    assert [note.title for note in await run.notes(contact.id)] == ["No-show"]


async def booked(run: Example, contact_id: str, appointment: str) -> str:
    data = {
        "appointment_id": appointment,
        "title": "Consultation",
        "location": "Room 4",
        "starts_at": (await run.now() + timedelta(days=3)).isoformat(),
        "rebook_url": "https://example.com/book",
    }
    return await run.begins(contact_id, "appointment_booked", **data)


def status_of(appointment: str, status: str) -> dict[str, str]:
    return {"appointment_id": appointment, "status": status}


async def test_example_win_back(example: Open) -> None:
    """Quiet hours put the first mail off; then nothing helps, or a click and an order do; or they leave."""
    run = await example("win_back")
    lost = await run.somebody(time_zone=await run.zone_where_it_is(22))
    execution = await run.begins(lost.id, "custom:went_quiet")
    waiting = await run.waits_at(execution, "we_miss_you")
    assert waiting.blocked_on == execution_pb2.BLOCKED_ON_QUIET_HOURS
    assert not await run.subjects(lost.email)
    for wait in ("we_miss_you", "interested", "last_chance"):
        await run.waited_out(execution, wait)
    await run.ended(execution)
    assert await run.subjects(lost.email) == ["We miss you, Jane"]
    assert await run.chats_with(str(lost.fields["messenger_id"])) == 1
    assert (await run.client.read_contact(lost.id)).fields["lifecycle"] == "lost"

    won = await run.somebody()
    execution = await run.begins(won.id, "custom:went_quiet")
    await run.waits_at(execution, "interested")
    await run.client.publish_event(won.id, "email_clicked")
    await run.waits_at(execution, "last_chance")
    await run.client.publish_event(won.id, "custom:order_placed")
    await run.ended(execution)
    assert await run.subjects(won.email) == ["We miss you, Jane", "20 % for you"]
    assert "inactive" not in (await run.client.read_contact(won.id)).tags
    assert await run.campaigns(won.id) == {"regulars"}

    left = await run.somebody()
    execution = await run.begins(left.id, "custom:went_quiet")
    await run.waits_at(execution, "interested")
    await run.client.publish_event(left.id, "email_unsubscribed")
    await run.ended(execution, "unsubscribed")
    await run.world.let_pass(timedelta(seconds=6))  # a start within the dedup window would be the same one
    again = await run.begins(left.id, "custom:went_quiet")
    await run.waits_at(again, "interested")
    log = (await run.client.logs(again)).log_entries
    assert "opt_out_blocked" in [entry.event for entry in log if entry.step_id == "we_miss_you"]
    assert await run.subjects(left.email) == ["We miss you, Jane"]
    await run.is_whole()


async def test_example_lead_routing(example: Open) -> None:
    """Small, large, and in between; reached by telephone, or not."""
    run = await example("lead_routing")
    small = await run.somebody()
    await run.ended(await lead(run, small.id, 200))
    assert await run.subjects(small.email) == ["What we can do"]

    large = await run.somebody(phone="+15005554001")
    execution = await lead(run, large.id, 20_000)
    await run.waited_out(execution, "office_opens")
    await run.ended(execution)
    (task,) = await run.tasks(large.id)
    assert task.title == "Call Acme today"
    (opportunity,) = await run.opportunities(large.id)
    assert (opportunity.stage, opportunity.value, opportunity.assigned_to) == (
        "contacted",
        "20000.00",
        task.assigned_to,
    )

    away = await run.somebody(phone="+15005554007")
    execution = await lead(run, away.id, 2_000)
    await run.waited_out(execution, "office_opens")
    log = await run.ended(execution)
    assert [e.event for e in log if e.step_id == "voicemail"][-2:] == ["action_pending", "action_completed"]
    (opportunity,) = await run.opportunities(away.id)
    assert opportunity.stage == "new"
    request = crm_pb.ListUsersRequest(account_id=run.client.account_id)
    owned = {user.user_id: user.contacts_owned for user in (await run.ask(run.crm.ListUsers, request)).users}
    assert owned == {"ada": 2, "bob": 1}
    await run.is_whole()


async def lead(run: Example, contact_id: str, budget: int) -> str:
    data = {"form": "contact-sales", "company": "Acme", "topic": "Pro plan", "budget": budget}
    return await run.begins(contact_id, "form_submitted", **data)


async def test_example_support_escalation(example: Open, world: World) -> None:
    """Harmless; severe and taken; severe and taken by nobody, while the ticket system is down."""
    run = await example("support_escalation")
    path = f"tickets-{uuid4()}"
    url = f"{world.stack.receiver_url}/hooks/{path}"
    calm = await run.somebody()
    await run.ended(await run.is_started(calm.id, ticket="T1", text="How do I print?", webhook_url=url))
    assert await run.subjects(calm.email) == ["We have your message"]
    (told,) = await world.requests_at(path)
    assert (told["method"], told["body"]["why"]) == ("PUT", "nothing special")

    severe = {"text": "All is DOWN and data lost", "plan": "enterprise"}
    taken = await run.somebody()
    execution = await run.is_started(taken.id, ticket="T2", webhook_url=url, **severe)
    await run.waits_at(execution, "taken")
    await run.client.publish_event(taken.id, "custom:ticket_taken", {"ticket": "T2"})
    await run.ended(execution)
    (note,) = await run.notes(taken.id)
    assert (note.body, note.pinned) == ("Severe: down, lost.", True)

    broken = await world.misbehave(f"broken-{uuid4()}", status=400, times=10)
    late = await run.somebody()
    execution = await run.is_started(late.id, ticket="T3", webhook_url=broken, **severe)
    for _ in range(3):
        await run.waited_out(execution, "taken")
    await run.ended(execution)
    assert len(await run.tasks(late.id)) == 3
    assert "Ticket T3" in await run.subjects("tickets@example.com")
    assert len(await run.texts_to(late.phone)) == 1
    await run.is_whole()


async def test_example_referral(example: Open) -> None:
    """A friend who is new, and the same friend referred again."""
    run = await example("referral")
    contact, friend = await run.somebody(), f"{uuid4()}@example.com"
    data = {"friend_email": friend, "friend_name": "Fay"}
    for _ in range(2):
        await run.ended(await run.begins(contact.id, "custom:friend_referred", **data))
    assert await run.subjects(friend) == ["Jane thinks you might like us"]
    assert await run.subjects(contact.email) == ["Your friend is here already"]
    read = await run.client.read_contact(contact.id)
    assert (read.fields["points"], "ambassador" in read.tags) == (100, True)
    await run.is_whole()


async def test_example_course(example: Open, world: World) -> None:
    """Begun at once and completed; begun late; never begun, and paid back."""
    run = await example("course")
    stack, account_id = world.stack, run.client.account_id
    async with (
        open_channel(f"127.0.0.1:{stack.ports.executor('membership')}") as courses,
        open_channel(f"127.0.0.1:{stack.ports.executor('internal')}") as internal,
    ):
        door = MembershipServiceStub(courses)
        course = membership_pb.Course(key="yoga", name="Yoga", active=True)
        await run.ask(door.PutCourse, membership_pb.PutCourseRequest(account_id=account_id, course=course))
        bought = {"course": "yoga", "title": "Yoga"}
        contact = await run.somebody()
        execution = await run.begins(contact.id, "custom:course_bought", **bought)
        await run.waits_at(execution, "first_lesson")
        await run.client.publish_event(contact.id, "custom:lesson_completed")
        await run.waits_at(execution, "refunded")
        await run.client.publish_event(contact.id, "custom:course_completed")
        await run.ended(execution, "goal_achieved")
        contact = await run.somebody()
        execution = await run.begins(contact.id, "custom:course_bought", **bought)
        await run.waited_out(execution, "first_lesson")
        await run.waits_at(execution, "second_chance")
        await run.client.publish_event(contact.id, "custom:lesson_completed")
        await run.waits_at(execution, "refunded")
        await run.client.publish_event(contact.id, "custom:course_completed")
        await run.ended(execution, "goal_achieved")
        assert await run.subjects(contact.email) == [
            "Yoga is yours",
            "Your first lesson takes ten minutes",
        ]
        contact = await run.somebody()
        execution = await run.begins(contact.id, "custom:course_bought", **bought)
        await run.waited_out(execution, "first_lesson")
        await run.waited_out(execution, "second_chance")
        await run.waits_at(execution, "refunded")
        asked = notification_pb.ListNotificationsRequest(account_id=account_id, user_id="ada")
        (notice,) = (await run.ask(NotificationServiceStub(internal).ListNotifications, asked)).notifications
        assert notice.title == "Jane has not begun Yoga"
        await run.client.publish_event(contact.id, "custom:refunded")
        await run.ended(execution)
        assert (await run.subjects(contact.email))[-1] == "Your money is on its way"
        whose = membership_pb.ListAccessRequest(account_id=account_id, contact_id=UUID(contact.id).bytes)
        (access,) = (await run.ask(door.ListAccess, whose)).access
        assert not access.lasts
    await run.is_whole()
