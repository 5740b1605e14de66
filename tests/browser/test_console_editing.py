"""Workflows changed in the console, in a real browser: written, checked, guarded, published, tried, ended."""

import json
from typing import Any
from uuid import uuid4

import orjson
import pytest
from playwright.async_api import Browser, Page, expect
from wayfarer.execution.v1 import workflow_service_pb2 as pb
from wayfarer.execution.v1.workflow_pb2 import Workflow

from tests.browser.conftest import Site
from tests.integration.api.world import tagging, waiting


def fresh(prefix: str) -> str:
    return f"{prefix}_{uuid4().hex[:8]}"


async def read(site: Site, key: str, version: int = 0) -> Workflow:
    request = pb.GetWorkflowRequest(workflow=key, version=version)
    workflow: Workflow = (await site.client.call(site.client.workflows.GetWorkflow, request)).workflow
    return workflow


async def steps_of(site: Site, key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = orjson.loads((await read(site, key)).document)["steps"]
    return found


async def test_a_workflow_is_written_checked_and_published(signed_in: Page, site: Site) -> None:
    """R-STEP-4: every fault shows with its line while one types; what has none is published."""
    page, key = signed_in, fresh("written")
    await page.goto(site.url("/console/workflows"))
    await page.get_by_role("link", name="New workflow").click()
    text = page.get_by_label("Document, YAML or JSON")
    await text.fill(f"key: {key}\nsteps:\n  - id: tag\n    type: add_tagg\n    config: {{tag: seen}}\n")
    faults = page.locator("#check")
    await expect(faults).to_contain_text("did you mean 'add_tag'?")
    await faults.get_by_role("button", name="Line 4").click()
    await expect(text).to_be_focused()
    before = await text.evaluate("area => area.value.slice(0, area.selectionStart).split('\\n').length")
    assert before == 4
    await text.fill(f"key: {key}\nsteps:\n  - id: tag\n    type: add_tag\n    config: {{tag: seen}}\n")
    await expect(faults).to_contain_text("No fault")
    await page.get_by_role("button", name="Save and publish").click()
    await expect(page.get_by_role("status")).to_contain_text("Version 1 is published")
    assert (await read(site, key)).published_version == 1


async def test_a_faulty_document_is_not_saved(signed_in: Page, site: Site) -> None:
    """R-STEP-4: sent with faults, it stays as typed, the text has the focus, and nothing is changed."""
    page, key = signed_in, fresh("faulty")
    await site.client.apply(tagging(key))
    before = await read(site, key)
    await page.goto(site.url(f"/console/workflows/{key}/document"))
    text = page.get_by_label("Document, YAML or JSON")
    await text.fill(f"key: {key}\nsteps: [")
    await page.get_by_role("button", name="Save draft").click()
    await expect(text).to_be_focused()
    await expect(page.locator("#check .fault")).to_be_visible()
    assert await text.input_value() == f"key: {key}\nsteps: ["
    assert (await read(site, key)).update_time == before.update_time


async def test_anothers_change_is_not_overwritten(signed_in: Page, site: Site) -> None:
    """R-STEP-5: a draft that changed meanwhile is kept, and so is the text, until one says whose counts."""
    page, key = signed_in, fresh("guarded")
    await site.client.apply(tagging(key))
    await page.goto(site.url(f"/console/workflows/{key}/document"))
    await site.client.apply({**tagging(key), "name": "Theirs"})
    text = page.get_by_label("Document, YAML or JSON")
    mine = json.dumps({**tagging(key), "name": "Mine"})
    await text.fill(mine)
    await page.get_by_role("button", name="Save draft").click()
    await expect(page.get_by_role("alert")).to_contain_text("Somebody changed this workflow")
    assert (await read(site, key)).name == "Theirs"
    assert await text.input_value() == mine
    await page.get_by_role("button", name="Save over it").click()
    await expect(page.get_by_role("status")).to_contain_text("The draft is saved")
    assert (await read(site, key)).name == "Mine"


async def test_the_key_of_a_workflow_stays(signed_in: Page, site: Site) -> None:
    page, key = signed_in, fresh("kept")
    await site.client.apply(tagging(key))
    await page.goto(site.url(f"/console/workflows/{key}/document"))
    await page.get_by_label("Document, YAML or JSON").fill(json.dumps(tagging(f"{key}_other")))
    await page.get_by_role("button", name="Save draft").click()
    await expect(page.locator("#check")).to_contain_text(f"The key stays {key}")


async def test_a_step_is_added_changed_and_removed_by_its_form(signed_in: Page, site: Site) -> None:
    """R-STEP-5: the form is its action's JSON Schema; its faults are beside their fields."""
    page, key = signed_in, fresh("formed")
    await site.client.apply(tagging(key))
    await page.goto(site.url(f"/console/workflows/{key}?view=steps&version=0"))
    await page.get_by_role("link", name="Add a step").click()
    await page.get_by_role("link", name="Send e-mail").click()
    await page.get_by_label("Id", exact=True).fill("hello")
    await page.get_by_role("button", name="Add the step").click()
    subject = page.get_by_role("textbox", name="Subject")
    await expect(subject).to_be_focused()
    await expect(subject).to_have_accessible_description("This is needed.")
    await subject.fill("Hi {{ contact.first_name }}")
    await page.get_by_role("textbox", name="Text", exact=True).fill("Good to have you.")
    await page.get_by_label("Cc", exact=True).fill("one@example.com\ntwo@example.com")
    await page.get_by_role("button", name="Add the step").click()
    await expect(page.get_by_role("status")).to_contain_text("Added hello. The draft has no fault.")
    added = (await steps_of(site, key))[1]
    assert added == {
        "id": "hello",
        "type": "send_email",
        "config": {
            "subject": "Hi {{ contact.first_name }}",
            "text": "Good to have you.",
            "cc": ["one@example.com", "two@example.com"],
        },
    }
    await page.get_by_role("link", name="hello").click()
    await page.get_by_role("textbox", name="Subject").fill("Hello {{ contact.first_name")
    await page.get_by_role("button", name="Save the step").click()
    await expect(page.get_by_role("alert")).to_contain_text("WORKFLOW_INVALID")
    await page.get_by_role("textbox", name="Subject").fill("Hello")
    await page.get_by_label("Passed over").check()
    await page.get_by_role("button", name="Save the step").click()
    await expect(page.get_by_role("status")).to_contain_text("Changed hello.")
    changed = (await steps_of(site, key))[1]
    assert (changed["config"]["subject"], changed["disabled"]) == ("Hello", True)
    await page.get_by_role("link", name="hello").click()
    await page.get_by_role("link", name="Remove this step …").click()
    await page.get_by_role("button", name="Remove the step").click()
    await expect(page.get_by_role("status")).to_contain_text("Removed hello.")
    assert [step["id"] for step in await steps_of(site, key)] == ["tag"]


async def test_a_workflow_is_paused_resumed_and_archived(signed_in: Page, site: Site) -> None:
    """R-STATE-9: archived with what runs cancelled, the operation that does it is shown."""
    page, key = signed_in, fresh("ended")
    await site.client.publish(waiting(key))
    execution = (await site.client.start(key, site.lively.ids[13])).execution
    await site.client.reaches(execution.id, "WAITING")
    await page.goto(site.url(f"/console/workflows/{key}"))
    for link, button, status in (("Pause …", "Pause", "Paused"), ("Resume …", "Resume", "Active")):
        await page.get_by_role("link", name=link).click()
        await page.get_by_role("dialog").get_by_role("button", name=button).click()
        await expect(page.locator("main .head .pill")).to_have_text(status)
    await page.get_by_role("link", name="Archive …").click()
    await page.get_by_label("Cancel").check()
    await page.get_by_role("button", name="Archive").click()
    await expect(page.get_by_role("heading", name="Cancellation of 1")).to_be_visible()
    await site.client.reaches(execution.id, "CANCELLED")


async def test_a_draft_is_published_without_a_script(browser: Browser, site: Site) -> None:
    key = fresh("plain")
    await site.client.apply(tagging(key))
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await site.sign_in(page, f"/console/workflows/{key}")
    await page.get_by_role("link", name="Publish draft …").click()
    await page.get_by_role("button", name="Publish").click()
    await expect(page.get_by_role("status")).to_contain_text("Version 1 is published")
    await expect(page.locator("main .head .pill")).to_have_text("Active")
    await context.close()


async def test_a_test_run_shows_what_would_be_sent_and_sends_nothing(signed_in: Page, site: Site) -> None:
    """R-STEP-7: the message with its merge fields filled, the wait passed, and an empty mailbox."""
    page, key = signed_in, fresh("tried")
    steps = [
        {"id": "pause", "type": "wait_time", "config": {"amount": 3, "unit": "days"}},
        {"id": "mail", "type": "send_email",
         "config": {"category": "transactional", "subject": f"{key} for {{{{ contact.first_name }}}}", "text": "Hello."}},
    ]  # fmt: skip
    await site.client.apply({"key": key, "steps": steps})
    await page.goto(site.url(f"/console/workflows/{key}/test"))
    await page.get_by_role("textbox", name="Contact").fill("nobody@example.com")
    await page.get_by_role("button", name="Run").click()
    await expect(page.get_by_role("textbox", name="Contact")).to_have_accessible_description(
        "E-mail address, phone number, your id or ours. Nobody is called nobody@example.com."
    )
    await page.get_by_role("textbox", name="Contact").fill("ada.lovelace@example.com")
    await page.get_by_role("button", name="Run").click()
    outcome = page.get_by_role("region", name="Ada Lovelace")
    await expect(outcome).to_contain_text("Would be completed")
    await expect(outcome).to_contain_text(f"{key} for Ada")
    await page.get_by_label("Stop at the first").check()
    await page.get_by_role("button", name="Run").click()
    await expect(outcome).to_contain_text("Would be waiting")
    await expect(outcome).not_to_contain_text(f"{key} for Ada")
    assert not [m for m in await site.world.mails_to("ada.lovelace@example.com") if key in str(m)]


@pytest.mark.parametrize(
    "path", ["document", "publish", "test", "enrol", "steps/tag", "add-step?type=add_tag"]
)
async def test_a_member_may_do_what_the_api_lets_it(page: Page, site: Site, path: str) -> None:
    """Another account's workflow is not there, whatever is asked of it."""
    key = fresh("foreign")
    await site.client.apply(tagging(key))
    other = await site.world.client()
    await site.sign_in(page, key=other.key)
    answer = await page.goto(site.url(f"/console/workflows/{key}/{path}"))
    assert answer is not None
    assert answer.status == 404
