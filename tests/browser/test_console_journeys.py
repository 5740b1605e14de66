"""What people do in the console, end to end in a real browser: sign in, find out what happened, follow what goes on."""

import re

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect
from wayfarer.admin.v1 import account_pb2
from wayfarer.admin.v1 import admin_service_pb2 as admin_pb

from tests.browser.conftest import Site
from tests.integration.api.world import struct, tagging, waiting

MENU = "Pages"


async def test_signing_in_leads_to_what_was_asked_and_out_ends_it(page: Page, site: Site) -> None:
    await page.goto(site.url("/console/executions?status=failed"))
    await page.get_by_label("API key").fill("wf_wrong")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("not known")
    await page.get_by_label("API key").fill(site.client.key)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(site.url("/console/executions?status=failed"))
    (cookie,) = await page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/console")
    assert site.client.key not in cookie["value"]
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Sign in to Wayfarer")).to_be_visible()
    assert await page.context.cookies() == []


async def test_a_form_without_the_sessions_token_changes_nothing(signed_in: Page, site: Site) -> None:
    answer = await signed_in.request.post(site.url("/console/sign-out"), form={"csrf": "guessed"})
    assert answer.status == 403
    await signed_in.goto(site.url("/console/settings"))
    await expect(signed_in.get_by_role("heading", name="Settings", exact=True)).to_be_visible()


async def test_a_sign_in_from_another_site_is_refused(page: Page, site: Site) -> None:
    answer = await page.request.post(
        site.url("/console/sign-in"),
        form={"key": site.client.key},
        headers={"sec-fetch-site": "cross-site"},
    )
    assert answer.status == 403
    assert await page.context.cookies() == []


@pytest.mark.parametrize("there", ["https://example.com/", "//example.com/", "/console//example.com", "/u/x"])
async def test_after_the_sign_in_one_stays_here(page: Page, site: Site, there: str) -> None:
    answer = await page.request.post(
        site.url("/console/sign-in"), form={"key": site.client.key, "next": there}, max_redirects=0
    )
    assert answer.status == 303
    assert answer.headers["location"] == "/console/"


async def test_what_happened_to_jane(signed_in: Page, site: Site) -> None:
    """The marketer's question: from her address to what she got, what comes, and what she did not get and why."""
    page = signed_in
    await page.get_by_role("navigation", name=MENU).get_by_role("link", name="Contacts").click()
    await page.get_by_label("Find somebody").fill("Jane.Morrison@example.com")
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="Jane Morrison").click()
    await expect(page.get_by_role("heading", name="Jane Morrison")).to_be_visible()
    region = page.get_by_role("region", name="Messages sent")
    await expect(region.get_by_role("link").first).to_contain_text(re.compile("E-mail|Text"))
    await expect(page.get_by_role("region", name="Planned").get_by_role("link").first).to_contain_text(
        "goes on after"
    )
    await expect(page.get_by_role("region", name="Consent")).to_contain_text("preference page")
    unsent = page.get_by_role("region", name="Not sent, and why").get_by_role("link").first
    await expect(unsent).to_contain_text("offer")
    await expect(unsent).to_contain_text("Consent denied · email · marketing · preference page")
    await unsent.click()
    await expect(page.get_by_role("heading", name="Jane Morrison in Spring news")).to_be_visible()
    await expect(page.get_by_role("region", name="What happened", exact=True)).to_contain_text("Not sent")


async def test_a_failure_is_found_from_the_overview_and_explained(signed_in: Page) -> None:
    page = signed_in
    await page.get_by_role("region", name="Needs attention").get_by_role("link", name="4 executions").click()
    await expect(page.get_by_role("group", name="Status").locator("[aria-current]")).to_have_text("Failed")
    await expect(page.locator("a.row")).to_have_count(4)
    await page.locator("a.row").first.click()
    why = page.get_by_role("region", name="Why it failed")
    await expect(why).to_contain_text("HTTP_401")
    await expect(why).to_contain_text("What moves it: retry it from the failed step")
    await expect(page.locator(".box.current")).to_contain_text("register")


async def test_an_execution_is_followed_to_its_end_without_reloading(signed_in: Page, site: Site) -> None:
    page, client = signed_in, site.client
    await client.publish(waiting("followed"))
    execution = (await client.start("followed", site.lively.ids[1])).execution
    await page.goto(site.url(f"/console/executions/{execution.id}"))
    await expect(page.get_by_role("region", name="Why it is not moving")).to_contain_text(
        "A wait of its workflow"
    )
    await page.evaluate("document.body.dataset.mark = 'never reloaded'")
    await client.cancel(execution.id, reason="changed her mind")
    await expect(page.locator("main .head .pill")).to_have_text("Cancelled")
    await expect(page.get_by_role("region", name="Log")).to_contain_text("Cancelled")
    assert await page.evaluate("document.body.dataset.mark") == "never reloaded"


async def test_a_flow_counts_who_comes_while_one_looks(signed_in: Page, site: Site) -> None:
    page, client = signed_in, site.client
    await client.publish(waiting("counted"))
    await page.goto(site.url("/console/workflows/counted"))
    await expect(page.locator(".flow .badge")).to_have_count(0)
    for contact in site.lively.ids[1:4]:
        await client.start("counted", contact)
    await expect(page.locator(".flow .badge")).to_have_text("3")
    await page.locator(".flow a", has_text="pause").click()
    await expect(page.locator("a.row")).to_have_count(3)


async def test_what_one_types_outlives_a_change_of_the_page(signed_in: Page, site: Site) -> None:
    page = signed_in
    await site.client.publish(tagging("typed"))
    await page.goto(site.url("/console/executions"))
    await page.locator("body.connected").wait_for()
    await page.keyboard.press("/")
    await page.keyboard.type("half an addr")
    started = await site.client.start("typed", site.lively.ids[2])
    await expect(page.locator(f'a[href="/console/executions/{started.execution.id}"]')).to_be_visible()
    await expect(page.get_by_role("textbox", name="Contact")).to_be_focused()
    await expect(page.get_by_role("textbox", name="Contact")).to_have_value("half an addr")


async def test_the_keyboard_is_enough(signed_in: Page) -> None:
    page = signed_in
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_be_focused()
    await page.keyboard.press("g")
    await page.keyboard.press("e")
    await page.wait_for_url("**/console/executions")
    await page.keyboard.press("/")
    await expect(page.get_by_role("textbox", name="Contact")).to_be_focused()
    await page.keyboard.press("Escape")
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await expect(page.locator("a.row").nth(1)).to_be_focused()
    await page.keyboard.press("k")
    await page.keyboard.press("Enter")
    await page.wait_for_url(re.compile("/console/executions/[0-9a-f-]{36}"))
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()


async def test_the_chosen_theme_stays(signed_in: Page, site: Site) -> None:
    page = signed_in
    ground = "getComputedStyle(document.body).backgroundColor"
    light = await page.evaluate(ground)
    await page.get_by_role("button", name="Light or dark").click()
    dark = await page.evaluate(ground)
    assert dark != light
    await page.goto(site.url("/console/events"))
    assert await page.evaluate(ground) == dark


async def test_times_are_the_viewers_and_exact_on_hover(signed_in: Page, site: Site) -> None:
    await signed_in.goto(site.url(f"/console/contacts/{site.lively.jane}"))
    made = signed_in.locator(".facts time").first
    exact = await made.get_attribute("datetime")
    assert exact
    shown, title = await made.inner_text(), await made.get_attribute("title")
    hour = (int(exact[11:13]) + 9) % 24
    assert f"{hour:02}:{exact[14:16]}" in shown, "Tokyo is nine hours ahead of UTC"
    assert exact in str(title)


async def test_without_script_everything_can_be_read(browser: Browser, site: Site) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await site.sign_in(page)
    await page.get_by_role("navigation", name=MENU).get_by_role("link", name="Executions").click()
    await page.get_by_role("textbox", name="Contact").fill("jane.morrison@example.com")
    await page.get_by_role("button", name="Filter").click()
    await expect(page.locator("a.row").first).to_have_text("Jane Morrison")
    names = set(await page.locator("a.row").all_inner_texts())
    assert names == {"Jane Morrison"}
    await context.close()


async def test_another_accounts_execution_is_not_there(page: Page, site: Site) -> None:
    other = await site.world.client()
    executions = (await site.client.listed()).executions
    await site.sign_in(page, key=other.key)
    answer = await page.goto(site.url(f"/console/executions/{executions[0].id}"))
    assert answer is not None
    assert answer.status == 404
    await page.goto(site.url("/console/executions"))
    await expect(page.get_by_role("heading", name="No execution yet")).to_be_visible()
    await page.goto(site.url("/console/"))
    await expect(page.get_by_role("region", name="Needs attention")).to_contain_text("Nothing.")


async def test_a_members_key_sees_no_settings(page: Page, site: Site) -> None:
    request = admin_pb.CreateApiKeyRequest(actor="intern", role=account_pb2.ROLE_MEMBER)
    made = await site.client.call(site.client.admin.CreateApiKey, request)
    await site.sign_in(page, "/console/settings", made.secret)
    await expect(page.locator("main")).to_contain_text("Your key is a member’s")
    await expect(page.locator("main")).not_to_contain_text("ops@northwind.example")


async def test_a_revoked_key_is_signed_out(page: Page, site: Site) -> None:
    request = admin_pb.CreateApiKeyRequest(actor="leaver", role=account_pb2.ROLE_MEMBER)
    made = await site.client.call(site.client.admin.CreateApiKey, request)
    await site.sign_in(page, key=made.secret)
    await site.client.call(site.client.admin.RevokeApiKey, admin_pb.RevokeApiKeyRequest(key_id=made.key.id))
    door = page.get_by_role("heading", name="Sign in to Wayfarer")
    while not await door.is_visible():  # a revoked key works for five seconds at most
        await page.goto(site.url("/console/events"))
    assert await page.context.cookies() == []


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/console/executions?step=pause", "goes with the workflow whose step it is"),
        ("/console/executions?workflow=nowhere", "nowhere"),
        ("/console/events?page=nonsense", "page"),
        ("/console/executions?status=nonsense", "must be one of queued, active"),
        ("/console/executions?contact=" + "x" * 36, "contact_id"),
    ],
)
async def test_a_filter_that_cannot_be_says_which_field(
    signed_in: Page, site: Site, path: str, told: str
) -> None:
    answer = await signed_in.goto(site.url(path))
    assert answer is not None
    assert answer.status == 200
    await expect(signed_in.get_by_role("alert")).to_contain_text(told)


async def test_every_page_has_a_strict_policy(signed_in: Page, site: Site) -> None:
    paths = [
        "/console/",
        "/console/workflows/abandoned_cart",
        "/console/mailbox",
        "/console/sign-in",
        "/console/nowhere",
    ]
    for path in paths:
        answer = await signed_in.request.get(site.url(path))
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        body = await answer.text()
        assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", body), path


async def test_an_email_is_shown_without_its_powers(signed_in: Page, site: Site) -> None:
    page, client = signed_in, site.client
    html = "<p id='seen'>Spring is here</p><script>parent.document.title = 'taken over'</script>"
    await client.publish(
        {"key": "nasty", "steps": [{"id": "m", "type": "send_email", "config": {
            "category": "transactional", "subject": "Mind the script", "html": html}}]}
    )  # fmt: skip
    execution = (await client.start("nasty", site.lively.ids[6])).execution
    await client.watched_to_end(execution.id)
    await page.goto(site.url("/console/mailbox?to=margaret"))
    await page.get_by_role("link", name="Mind the script").click()
    body = page.frame_locator("iframe[title='Body of the e-mail']")
    await expect(body.locator("#seen")).to_have_text("Spring is here")
    assert await page.title() == "Mailbox · Wayfarer"
    source = await page.locator("iframe").get_attribute("src")
    answer = await page.request.get(site.url(str(source)))
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")


async def test_the_phone_shows_what_was_texted(signed_in: Page, site: Site) -> None:
    await signed_in.goto(site.url("/console/phone?number=5550100"))
    await expect(signed_in.get_by_role("region", name="+14155550100")).to_contain_text(
        "Hi Jane, good to have you here."
    )


async def test_a_list_is_paged_and_pages_stand_still(signed_in: Page, site: Site) -> None:
    page = signed_in
    await page.goto(site.url("/console/executions"))
    first = await page.locator("a.row").first.get_attribute("href")
    await page.get_by_role("link", name="Older").click()
    await expect(page.get_by_role("link", name="Newest")).to_be_visible()
    assert await page.locator("a.row").first.get_attribute("href") != first
    assert await page.locator("main").get_attribute("data-live") is None


async def test_the_menu_opens_on_a_phone(context: BrowserContext, page: Page, site: Site) -> None:
    await page.set_viewport_size({"width": 390, "height": 844})
    await site.sign_in(page)
    links = page.get_by_role("navigation", name=MENU).get_by_role("link", name="Workflows")
    await expect(links).to_be_hidden()
    await page.get_by_role("button", name="Menu").click()
    await links.click()
    await expect(page.get_by_role("heading", name="Workflows", exact=True)).to_be_visible()


async def test_the_trigger_of_a_start_is_in_the_story(signed_in: Page, site: Site) -> None:
    """What was sent is shown masked, in the step's own chapter."""
    client = site.client
    await client.publish(
        {
            "key": "told",
            "steps": [{"id": "tag", "type": "add_tag", "config": {"tag": "from-{{ trigger.source }}"}}],
        }
    )
    execution = (await client.start("told", site.lively.ids[7], trigger=struct({"source": "fair"}))).execution
    await client.watched_to_end(execution.id)
    await signed_in.goto(site.url(f"/console/executions/{execution.id}"))
    await signed_in.get_by_text("What was sent and answered").click()
    await expect(signed_in.get_by_role("region", name="What happened", exact=True)).to_contain_text(
        "from-fair"
    )
