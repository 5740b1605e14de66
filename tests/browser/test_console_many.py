"""Operations on many in the console, in a real browser: counted, confirmed, followed to their end."""

from uuid import uuid4

import pytest
from google.protobuf.duration_pb2 import Duration
from playwright.async_api import Page, expect
from wayfarer.execution.v1 import bulk_service_pb2 as bulk_pb

from tests.browser.conftest import Site
from tests.integration.api.world import tagging, waiting


def fresh(prefix: str) -> str:
    return f"{prefix}_{uuid4().hex[:8]}"


async def waiting_ones(site: Site, key: str, contacts: range) -> list[str]:
    """Executions that wait, one per contact."""
    await site.client.publish(waiting(key))
    ids = [(await site.client.start(key, site.lively.ids[n])).execution.id for n in contacts]
    for identity in ids:
        await site.client.reaches(identity, "WAITING")
    return ids


async def test_all_that_match_are_cancelled(signed_in: Page, site: Site) -> None:
    """R-STATE-7: the count first, then the operation, followed to its end, with an outcome for each."""
    page, key = signed_in, fresh("many")
    ids = await waiting_ones(site, key, range(4, 7))
    kept = await waiting_ones(site, fresh("others"), range(4, 5))
    await page.goto(site.url(f"/console/executions?workflow={key}&status=waiting"))
    await page.get_by_role("link", name="Cancel all that match …").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Waiting")
    await dialog.get_by_label("Why").fill("wrong audience")
    await dialog.get_by_role("button", name="Cancel 3 executions").click()
    await expect(page.get_by_role("heading", name="Cancellation of 3")).to_be_visible()
    await expect(page.locator("main .head .pill")).to_have_text("Done")
    await expect(page.get_by_role("group", name="Outcome")).to_contain_text("Cancelled 3")
    for identity in ids:
        await site.client.reaches(identity, "CANCELLED")
    assert not (await site.client.get(kept[0])).HasField("end_time")


async def test_failed_ones_are_retried_skipping_their_step(signed_in: Page, site: Site) -> None:
    """R-STATE-7: a bulk retry goes on after the failed step where that is asked."""
    page, key = signed_in, fresh("partners")
    url = await site.world.misbehave(key, times=50, status=401)
    steps = [{"id": "call", "type": "webhook_call", "config": {"url": url}},
             {"id": "tag", "type": "add_tag", "config": {"tag": key}}]  # fmt: skip
    await site.client.publish({"key": key, "steps": steps})
    ids = [(await site.client.start(key, site.lively.ids[n])).execution.id for n in (4, 5)]
    for identity in ids:
        await site.client.reaches(identity, "FAILED")
    await page.goto(site.url(f"/console/executions?workflow={key}"))
    await page.get_by_role("link", name="Retry all that match …").click()
    await page.get_by_label("Skip the failed step").check()
    await page.get_by_role("button", name="Retry 2 executions").click()
    await expect(page.locator("main .head .pill")).to_have_text("Done")
    for identity in ids:
        await site.client.reaches(identity, "COMPLETED")


async def test_nothing_that_matches_is_said(signed_in: Page, site: Site) -> None:
    await signed_in.goto(site.url("/console/executions/many/retry?status=failed&reason=nothing_like_it"))
    await expect(signed_in.get_by_role("heading", name="Nothing to retry")).to_be_visible()
    await expect(signed_in.locator("form.ask button")).to_have_count(0)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("contact=jane", "contact"),
        ("workflow=nowhere", "nowhere"),
        ("status=nonsense", "must be one of queued"),
        ("step=pause", "step_id"),
    ],
)
async def test_a_filter_that_cannot_be_is_not_taken_for_all(
    signed_in: Page, site: Site, query: str, told: str
) -> None:
    """What an operation could not be narrowed by must not make it concern everybody."""
    page = signed_in
    await page.goto(site.url(f"/console/executions/many/cancel?{query}"))
    await expect(page.get_by_role("alert")).to_contain_text(told)
    await expect(page.locator("form.ask button")).to_have_count(0)
    csrf = await page.locator("form.ask [name=csrf]").input_value()
    answer = await page.request.post(
        site.url(f"/console/executions/many/cancel?{query}"), form={"csrf": csrf}
    )
    assert answer.status == 422


async def test_contacts_are_enrolled_after_a_preview(signed_in: Page, site: Site) -> None:
    """R-TRIG-8: named by address, previewed by what would become of them, at a pace."""
    page, key = signed_in, fresh("enrolled")
    await site.client.publish(waiting(key))
    await page.goto(site.url(f"/console/workflows/{key}"))
    await page.get_by_role("link", name="Enrol contacts").click()
    named = page.get_by_label("Contacts", exact=True)
    await named.fill("grace.hopper@example.com\nghost@example.com")
    await page.get_by_role("button", name="Preview").click()
    await expect(named).to_be_focused()
    await expect(page.locator("#fault-contacts")).to_have_text("Nobody is called ghost@example.com.")
    await named.fill("grace.hopper@example.com\n+14155550104\nc-0006\nkaren.jones@example.com")
    await page.get_by_label("Pace").select_option("500 an hour")
    await page.get_by_role("button", name="Preview").click()
    await expect(page.locator("main")).to_contain_text("Of 4 contacts")
    await page.get_by_role("button", name="Enrol 4 contacts").click()
    await expect(page.get_by_role("heading", name="Enrolment of 4")).to_be_visible()
    await expect(page.locator("main .head .pill")).to_have_text("Done")
    assert len((await site.client.listed(workflow=key)).executions) == 4


async def test_an_operation_is_paused_resumed_and_ended(signed_in: Page, site: Site) -> None:
    """R-TRIG-8: an operation under way is steered from its page; what was not done stays undone."""
    page, client, key = signed_in, site.client, fresh("drip")
    await client.publish(waiting(key))
    task = bulk_pb.BulkTask(enroll=bulk_pb.EnrollMany(workflow=key, contact_ids=site.lively.ids[:6]))
    request = bulk_pb.StartBulkOperationRequest(task=task, per_tick=1, tick=Duration(seconds=3600))
    operation = (await client.call(client.bulk.StartBulkOperation, request)).operation
    await page.goto(site.url(f"/console/bulk/{operation.id}"))
    pill = page.locator("main .head .pill")
    for link, button, state in (("Pause …", "Pause", "Paused"), ("Resume …", "Resume", "Running"),
                                ("End …", "End", "Cancelled")):  # fmt: skip
        await page.get_by_role("link", name=link).click()
        await page.get_by_role("dialog").get_by_role("button", name=button, exact=True).click()
        await expect(pill).to_have_text(state)
    assert len((await client.listed(workflow=key)).executions) < 6


async def test_all_for_whom_a_condition_holds_are_enrolled(signed_in: Page, site: Site) -> None:
    """R-TRIG-8: by a condition; an operation that has ended is not steered any more, and says why."""
    page, key = signed_in, fresh("slow")
    await site.client.publish(tagging(key))
    await page.goto(site.url(f"/console/workflows/{key}/enrol"))
    await page.get_by_label("All for whom a condition holds").check()
    await page.get_by_label("Condition", exact=True).fill("'customer' in contact.tags")
    await page.get_by_label("Pace").select_option("10 a second")
    await page.get_by_role("button", name="Preview").click()
    await page.get_by_role("button", name="Enrol them").click()
    pill = page.locator("main .head .pill")
    await expect(pill).to_have_text("Done")
    await expect(page.get_by_role("group", name="Outcome")).to_contain_text("Started")
    await expect(page.get_by_role("link", name="Pause …")).to_have_count(0)
    identity = page.url.rsplit("/", 1)[-1]
    await page.goto(site.url(f"/console/bulk/{identity}/pause"))
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_role("alert")).to_contain_text("ILLEGAL_TRANSITION")


async def test_executions_are_migrated_after_a_preview(signed_in: Page, site: Site) -> None:
    """R-STEP-6: how many go from which step to which, then the move."""
    page, key = signed_in, fresh("moved")
    ids = await waiting_ones(site, key, range(8, 10))
    changed = waiting(key)
    changed["steps"][1]["id"] = "longer_pause"
    await site.client.publish(changed)
    await page.goto(site.url(f"/console/workflows/{key}"))
    await page.get_by_role("link", name="Migrate").click()
    await page.get_by_label("Steps whose id has changed").fill("pause longer_pause")
    await page.get_by_role("button", name="Preview").click()
    await expect(page.locator("#fault-renamed")).to_contain_text("is not of the form old = new")
    await page.get_by_label("Steps whose id has changed").fill("pause = longer_pause")
    await page.get_by_role("button", name="Preview").click()
    await expect(page.locator("main")).to_contain_text("2 → longer_pause")
    await page.get_by_role("button", name="Move 2 executions").click()
    await expect(page.locator("main .head .pill")).to_have_text("Done")
    for identity in ids:
        execution = await site.client.get(identity)
        assert (execution.workflow_version, execution.current_step_id) == (2, "longer_pause")
