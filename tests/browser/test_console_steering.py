"""What operators do with single executions in the console: retry, skip, cancel, pause, resume, in a real browser."""

from uuid import uuid4

from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import Site
from tests.integration.api.world import waiting


async def failed(site: Site, *, times: int = 1, contact: int = 9) -> str:
    """An execution that failed at its second step, which a partner refused so many times."""
    key = f"partner_{uuid4().hex[:8]}"
    url = await site.world.misbehave(key, times=times, status=401)
    steps = [
        {"id": "before", "type": "add_tag", "config": {"tag": "before"}},
        {"id": "call", "type": "webhook_call", "config": {"url": url}},
        {"id": "after", "type": "add_tag", "config": {"tag": "after"}},
    ]
    await site.client.publish({"key": key, "name": f"Partner {key[-4:]}", "steps": steps})
    execution = (await site.client.start(key, site.lively.ids[contact])).execution
    return (await site.client.reaches(execution.id, "FAILED")).id


async def test_a_failed_one_is_retried_and_its_page_tells_of_it(signed_in: Page, site: Site) -> None:
    page, identity = signed_in, await failed(site)
    await page.goto(site.url(f"/console/executions/{identity}"))
    await page.get_by_role("link", name="Retry …").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("It failed at call")
    await dialog.get_by_label("Why").fill("the partner is back")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status")).to_contain_text("Queued again: it goes on at call")
    await expect(page.locator("main .head .pill")).to_have_text("Completed")
    entries = (await site.client.logs(identity)).log_entries
    (retry,) = [entry for entry in entries if entry.event == "manual_retry"]
    assert "the partner is back" in str(retry.detail)
    await page.reload()
    await expect(page.get_by_role("status")).to_have_count(0)


async def test_a_failed_step_is_skipped(signed_in: Page, site: Site) -> None:
    page, identity = signed_in, await failed(site, times=50)
    await page.goto(site.url(f"/console/executions/{identity}"))
    await page.get_by_role("link", name="Retry …").click()
    await page.get_by_label("Skip call").check()
    await page.get_by_role("button", name="Retry").click()
    await expect(page.get_by_role("status")).to_contain_text("it goes on after call")
    await expect(page.locator("main .head .pill")).to_have_text("Completed")
    assert "after" in (await site.client.read_contact(site.lively.ids[9])).tags


async def test_an_earlier_step_must_be_named_and_is_done_anew(signed_in: Page, site: Site) -> None:
    page, identity = signed_in, await failed(site)
    await page.goto(site.url(f"/console/executions/{identity}/retry"))
    await page.get_by_label("Begin at an earlier step").check()
    await page.get_by_role("button", name="Retry").click()
    field = page.get_by_label("Earlier step", exact=True)
    await expect(field).to_be_focused()
    await expect(field).to_have_accessible_description("Choose the step to begin at.")
    assert (await site.client.get(identity)).end_time.seconds
    await field.select_option("before")
    await page.get_by_role("button", name="Retry").click()
    await expect(page.get_by_role("status")).to_contain_text("at before")
    await site.client.reaches(identity, "COMPLETED")
    began = [
        e.step_id for e in (await site.client.logs(identity)).log_entries if e.event == "action_completed"
    ]
    assert began == ["before", "before", "call", "after"]


async def test_pause_resume_and_cancel(signed_in: Page, site: Site) -> None:
    page, client = signed_in, site.client
    await client.publish(waiting("steered"))
    execution = (await client.start("steered", site.lively.ids[10])).execution
    await client.reaches(execution.id, "WAITING")
    await page.goto(site.url(f"/console/executions/{execution.id}"))
    for link, button, status in (
        ("Pause …", "Pause", "Paused"),
        ("Resume …", "Resume", "Waiting"),
        ("Cancel …", "Cancel the execution", "Cancelled"),
    ):
        await page.get_by_role("link", name=link).click()
        await page.get_by_role("dialog").get_by_role("button", name=button).click()
        await expect(page.locator("main .head .pill")).to_have_text(status)
    await expect(page.get_by_role("link", name="Cancel …")).to_have_count(0)


async def test_a_question_is_left_with_escape_and_nothing_happens(signed_in: Page, site: Site) -> None:
    page, client = signed_in, site.client
    await client.publish(waiting("left_alone"))
    execution = (await client.start("left_alone", site.lively.ids[12])).execution
    await client.reaches(execution.id, "WAITING")
    await page.goto(site.url(f"/console/executions/{execution.id}"))
    await page.get_by_role("link", name="Cancel …").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await expect(page.get_by_role("link", name="Cancel …")).to_be_focused()
    await page.goto(site.url(f"/console/executions/{execution.id}/cancel"))
    await page.keyboard.press("Escape")
    await page.keyboard.press("Escape")
    await page.wait_for_url(site.url(f"/console/executions/{execution.id}"))
    assert not (await client.get(execution.id)).HasField("end_time")


async def test_what_cannot_be_done_is_said_with_its_reason(signed_in: Page, site: Site) -> None:
    """Somebody else was quicker: the form says what stands against it, and changes nothing."""
    page, identity = signed_in, await failed(site)
    await page.goto(site.url(f"/console/executions/{identity}/pause"))
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_role("alert")).to_contain_text("FAILED")
    await expect(page.get_by_role("alert")).to_contain_text("ILLEGAL_TRANSITION")
    await expect(page.get_by_role("button", name="Pause")).to_be_enabled()


async def test_a_form_sent_twice_is_done_once(signed_in: Page, site: Site) -> None:
    """The same form, sent again with its request_id, gives the first answer; with another, the reason against it."""
    page, identity = signed_in, await failed(site, times=50)
    await page.goto(site.url(f"/console/executions/{identity}/retry"))
    form = {
        name: await page.locator(f"form.ask [name={name}]").first.input_value()
        for name in ("csrf", "request_id")
    }
    url = site.url(f"/console/executions/{identity}/retry")
    for _ in range(2):
        answer = await page.request.post(url, form={**form, "how": "skip"}, max_redirects=0)
        assert answer.status == 303
    await site.client.reaches(identity, "COMPLETED")
    events = [entry.event for entry in (await site.client.logs(identity)).log_entries]
    assert events.count("manual_retry") == 1


async def test_a_change_without_the_sessions_token_changes_nothing(signed_in: Page, site: Site) -> None:
    page, identity = signed_in, await failed(site)
    answer = await page.request.post(
        site.url(f"/console/executions/{identity}/retry"), form={"csrf": "guessed", "how": "skip"}
    )
    assert answer.status == 403
    assert "manual_retry" not in await site.client.log_of(identity)


async def test_everything_can_be_done_without_a_script(browser: Browser, site: Site) -> None:
    identity = await failed(site)
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await site.sign_in(page, f"/console/executions/{identity}")
    await page.get_by_role("link", name="Retry …").click()
    await page.get_by_role("button", name="Retry").click()
    await expect(page.get_by_role("status")).to_contain_text("Queued again")
    await site.client.reaches(identity, "COMPLETED")
    await context.close()
