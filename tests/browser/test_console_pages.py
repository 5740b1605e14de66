"""Every page of the console, at desktop and phone width, light and dark: axe finds no serious fault, nothing overflows.

The screenshots are kept in build/screenshots.
"""

from collections.abc import AsyncIterator

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import DESK, PHONE, SHOTS, Site

PAGES = {
    "overview": "/console/",
    "workflows": "/console/workflows",
    "workflow-flow": "/console/workflows/abandoned_cart",
    "workflow-steps": "/console/workflows/webinar?view=steps",
    "workflow-versions": "/console/workflows/greeting?view=versions",
    "workflow-beside": "/console/workflows/greeting?version=2&beside=1",
    "workflow-document": "/console/workflows/lead_routing?view=document",
    "workflow-draft": "/console/workflows/spring_sale",
    "executions": "/console/executions",
    "executions-failed": "/console/executions?status=failed&error=authentication",
    "executions-none": "/console/executions?reason=nothing_like_it",
    "execution-failed": "/console/executions?status=failed → main a.row",
    "execution-waiting": "/console/executions?status=waiting&workflow=webinar → main a.row",
    "contacts": "/console/contacts",
    "contacts-none": "/console/contacts?q=nobody@example.com",
    "contact": "/console/contacts?q=jane.morrison@example.com → main a.row",
    "events": "/console/events",
    "event": "/console/events?type=form_submitted → main a.row",
    "refusals": "/console/refusals",
    "set-aside": "/console/set-aside",
    "bulk": "/console/bulk",
    "bulk-operation": "/console/bulk → main a.row",
    "mailbox": "/console/mailbox",
    "phone": "/console/phone",
    "settings": "/console/settings",
    "ask-retry": "/console/executions?status=failed → main a.row → Retry …",
    "ask-cancel-many": "/console/executions/many/cancel?status=waiting",
    "ask-archive": "/console/workflows/greeting/archive",
    "ask-take-in": "/console/set-aside/1/replay",
    "document": "/console/workflows/webinar/document",
    "document-new": "/console/new-workflow",
    "step-types": "/console/workflows/spring_sale/add-step",
    "step-add": "/console/workflows/spring_sale/add-step?type=webhook_call",
    "step-change": "/console/workflows/spring_sale/steps/offer",
    "test-run": "/console/workflows/webinar/test?contact=jane.morrison@example.com",
    "enrol": "/console/workflows/greeting/enrol",
    "migrate": "/console/workflows/greeting/migrate",
    "contact-consent": "/console/contacts?q=jane.morrison@example.com → main a.row → Record a consent …",
    "contact-delete": "/console/contacts?q=jane.morrison@example.com → main a.row → Delete …",
    "settings-sending": "/console/settings/sending",
    "settings-limits": "/console/settings/limits",
    "providers": "/console/settings/provider",
    "provider": "/console/settings/provider/sms/twilio",
    "missing": "/console/nowhere",
}
SHAPES = {
    "desktop-light": (DESK, "light"),
    "desktop-dark": (DESK, "dark"),
    "phone-light": (PHONE, "light"),
    "phone-dark": (PHONE, "dark"),
}
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
async def shapes(browser: Browser, site: Site) -> AsyncIterator[dict[str, BrowserContext]]:
    made = {}
    for name, (viewport, scheme) in SHAPES.items():
        context = await browser.new_context(
            viewport=viewport,  # type: ignore[arg-type]
            color_scheme=scheme,  # type: ignore[arg-type]
            timezone_id="Europe/Berlin",
        )
        page = await context.new_page()
        await site.sign_in(page)
        await page.close()
        made[name] = context
    SHOTS.mkdir(parents=True, exist_ok=True)
    yield made
    for context in made.values():
        await context.close()


async def look(page: Page, name: str, shape: str) -> list[str]:
    """What is wrong with the page as it is shown; keeps a screenshot of it."""
    await page.screenshot(path=SHOTS / f"{name}-{shape}.png")
    found = await Axe().run(page)
    wrong = [
        f"{shape}: {one['impact']} {one['id']}: {one['nodes'][0]['html'][:200]} {one['nodes'][0]['failureSummary'][:300]}"
        for one in found.response["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    overflow = await page.evaluate(OVERFLOW)
    return [*wrong, *([f"{shape}: overflows by {overflow} px"] if overflow > 0 else [])]


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_is_accessible_and_fits(
    shapes: dict[str, BrowserContext], site: Site, name: str
) -> None:
    path, *more = PAGES[name].split(" → ")
    problems: list[str] = []
    for shape, context in shapes.items():
        page = await context.new_page()
        await page.goto(site.url(path))
        if more:
            there = await page.locator(more[0]).first.get_attribute("href")
            assert there, f"{path} has no row"
            await page.goto(site.url(there))
        for question in more[1:]:
            await page.get_by_role("link", name=question).click()
            await expect(page.get_by_role("dialog")).to_be_visible()
        problems += await look(page, name, shape)
        await page.close()
    assert not problems, "\n".join(problems)


async def test_faults_and_a_test_run_are_accessible(shapes: dict[str, BrowserContext], site: Site) -> None:
    problems: list[str] = []
    for shape, context in shapes.items():
        page = await context.new_page()
        await page.goto(site.url(f"/console/contacts/{site.lively.jane}/consent"))
        await page.get_by_role("button", name="Record").click()
        await expect(page.get_by_label("Given")).to_be_focused()
        problems += await look(page, "faults", shape)
        await page.goto(site.url("/console/workflows/webinar/document"))
        await page.get_by_label("Document, YAML or JSON").fill(
            "key: webinar\nsteps: [{id: a, type: nothing}]"
        )
        await expect(page.locator("#check .fault").first).to_be_visible()
        problems += await look(page, "document-faults", shape)
        await page.goto(site.url("/console/workflows/webinar/test?contact=jane.morrison@example.com"))
        await page.get_by_role("button", name="Run").click()
        await expect(page.get_by_role("region", name="Jane Morrison")).to_be_visible()
        problems += await look(page, "test-run-done", shape)
        await page.close()
    assert not problems, "\n".join(problems)


async def test_the_sign_in_is_accessible_and_fits(browser: Browser, site: Site) -> None:
    for shape, (viewport, scheme) in SHAPES.items():
        context = await browser.new_context(viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
        page = await context.new_page()
        await page.goto(site.url("/"))
        assert await look(page, "sign-in", shape) == []
        await context.close()
