"""Triggers on a schedule: cron in a zone, a contact's date field, once for a filter. R-TRIG-7."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.integration.api.world import Client, World, refused, struct, tagging, until

pytestmark = pytest.mark.usefixtures("worker")


async def now(world: World) -> datetime:
    at: datetime = await world.owner.fetchval("SELECT wf_now()")
    return at


async def started(client: Client, workflow: str) -> set[str]:
    return {e.contact_id for e in (await client.listed(workflow=workflow, page_size=100)).executions}


async def test_a_cron_trigger_starts_the_chosen_contacts_each_time(world: World, client: Client) -> None:
    vips = {(await client.contact(tags=["vip"])).id for _ in range(2)}
    await client.contact()
    local = (await now(world)).astimezone(ZoneInfo("Asia/Kolkata")) + timedelta(minutes=90)
    trigger = {
        "cron": f"{local.minute} {local.hour} * * *",
        "time_zone": "Asia/Kolkata",
        "contacts": "'vip' in contact.tags",
    }
    await client.publish(tagging("daily", triggers=[trigger], reentry="always"))
    await world.let_pass(timedelta(minutes=85))
    assert not await started(client, "daily")
    await world.let_pass(timedelta(minutes=6))

    async def once() -> bool:
        return await started(client, "daily") == vips

    await until(once)
    await world.let_pass(timedelta(days=1))

    async def twice() -> bool:
        return len((await client.listed(workflow="daily")).executions) == 4

    await until(twice)


async def test_a_trigger_for_one_moment_fires_once(world: World, client: Client) -> None:
    contact = await client.contact()
    at = (await now(world)) + timedelta(hours=1)
    trigger = {"at": at.isoformat(), "contacts": "true"}
    await client.publish(tagging("sale", triggers=[trigger], reentry="always"))
    await world.let_pass(timedelta(hours=1, seconds=1))

    async def once() -> bool:
        return await started(client, "sale") == {contact.id}

    await until(once)
    await world.let_pass(timedelta(days=3))
    assert len((await client.listed(workflow="sale")).executions) == 1


async def test_a_date_field_starts_a_workflow_in_the_contacts_zone(world: World, client: Client) -> None:
    """Birthdays: each year, three days before, at nine where the contact is."""
    today = await now(world)
    soon = today + timedelta(days=5)
    born = struct({"birthday": f"1990-{soon:%m-%d}"})
    tokyo = await client.contact(fields=born, time_zone="Asia/Tokyo")
    york = await client.contact(fields=born, time_zone="America/New_York")
    await client.contact(fields=struct({"birthday": "never"}))
    trigger = {"date": "contact.fields.birthday", "offset": "-3d", "time": "09:00", "yearly": True}
    await client.publish(tagging("birthday", triggers=[trigger]))

    async def has(expected: set[str]) -> bool:
        return await started(client, "birthday") == expected

    day = (soon - timedelta(days=3)).date()
    nine = datetime.combine(day, datetime.min.time(), ZoneInfo("Asia/Tokyo")) + timedelta(hours=9)
    await world.let_pass(nine - today + timedelta(minutes=61))
    await until(lambda: has({tokyo.id}))
    await world.let_pass(timedelta(hours=14))
    await until(lambda: has({tokyo.id, york.id}))


@pytest.mark.parametrize(
    ("trigger", "field"),
    [
        ({"cron": "61 * * * *", "contacts": "true"}, "cron"),
        ({"cron": "0 9 * * *"}, "contacts"),
        ({"cron": "0 9 * * *", "contacts": "contact.tags +"}, "contacts"),
        ({"cron": "0 9 * * *", "contacts": "true", "time_zone": "Nowhere"}, "time_zone"),
        ({"at": "soon", "contacts": "true"}, "at"),
        ({"date": "birthday"}, "date"),
        ({"date": "contact.fields.x", "offset": "three days"}, "offset"),
        ({"event": "opened", "priority": "urgent"}, "priority"),
        ({"event": "opened", "filter": "event.data."}, "filter"),
        ({"nothing": 1}, ""),
    ],
)
async def test_bad_triggers_are_refused_with_their_path(
    client: Client, trigger: dict[str, Any], field: str
) -> None:
    refusal = await refused(client.apply(tagging("bad", triggers=[trigger])))
    path = "settings.triggers[0]" + (f".{field}" if field else "")
    assert path in refusal.rules
