"""Contacts, events, settings and saved views changed in the console, in a real browser."""

from uuid import uuid4

import grpc
from playwright.async_api import Browser, Page, expect
from wayfarer.admin.v1 import account_pb2
from wayfarer.admin.v1 import admin_service_pb2 as admin_pb
from wayfarer.crm.v1 import consent_service_pb2 as consent_pb
from wayfarer.crm.v1 import contact_service_pb2 as contact_pb
from wayfarer.execution.v1.workflow_service_pb2 import PauseWorkflowRequest, ResumeWorkflowRequest

from tests.browser.conftest import Site
from tests.integration.api.world import Client, refused, tagging, waiting


async def settings_of(client: Client) -> account_pb2.Account:
    account: account_pb2.Account = (
        await client.call(client.admin.GetAccount, admin_pb.GetAccountRequest())
    ).account
    return account


async def test_a_consent_is_recorded_with_its_evidence(signed_in: Page, site: Site) -> None:
    page, contact = signed_in, site.lively.ids[15]
    await page.goto(site.url(f"/console/contacts/{contact}"))
    await page.get_by_role("link", name="Record a consent …").click()
    await page.get_by_label("By which channel").select_option("Text")
    await page.get_by_role("button", name="Record").click()
    await expect(page.get_by_label("Given")).to_be_focused()
    await page.get_by_label("Refused").check()
    await page.get_by_role("textbox", name="Evidence").fill("wrote to support on Monday")
    await page.get_by_role("button", name="Record").click()
    await expect(page.get_by_role("region", name="Consent")).to_contain_text("wrote to support on Monday")
    asked = consent_pb.GetConsentsRequest(contact_id=contact)
    (recorded,) = (await site.client.call(site.client.consents.GetConsents, asked)).consents
    assert (recorded.channel, recorded.granted) == (consent_pb.CHANNEL_SMS, False)


async def test_a_contact_is_deleted_only_by_its_name(signed_in: Page, site: Site) -> None:
    page, client = signed_in, site.client
    contact = await client.contact(first_name="Zoe", last_name="Leaver", email="zoe@example.com")
    await client.publish(waiting("left"))
    execution = (await client.start("left", contact.id)).execution
    await client.reaches(execution.id, "WAITING")
    await page.goto(site.url(f"/console/contacts/{contact.id}"))
    await page.get_by_role("link", name="Delete …").click()
    await page.get_by_label("Type Zoe Leaver to confirm").fill("Zoe")
    await page.keyboard.press("Enter")
    await expect(page.locator("#fault-typed")).to_contain_text("That is not this contact")
    assert (await client.read_contact(contact.id)).id
    await page.get_by_label("Type Zoe Leaver to confirm").fill("zoe leaver")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status")).to_contain_text(
        "Zoe Leaver is deleted; 1 executions were cancelled"
    )
    refusal = await refused(
        client.call(client.contacts.GetContact, contact_pb.GetContactRequest(id=contact.id))
    )
    assert refusal.code is grpc.StatusCode.NOT_FOUND


async def test_an_event_is_published_once_and_its_receipt_shown(signed_in: Page, site: Site) -> None:
    page, key = signed_in, f"tool_{uuid4().hex[:6]}"
    await site.client.publish(tagging(key, triggers=[{"event": f"custom:{key}"}]))
    await page.goto(site.url(f"/console/contacts/{site.lively.ids[16]}/event"))
    await page.get_by_role("textbox", name="What happened").fill("Not An Event")
    await page.get_by_label("Data").fill("{")
    await page.get_by_role("button", name="Publish").click()
    await expect(page.locator("#fault-data")).to_contain_text("Not JSON")
    await page.get_by_label("Data").fill('{"plan": "pro"}')
    await page.get_by_role("button", name="Publish").click()
    await expect(page.get_by_role("textbox", name="What happened")).to_be_focused()
    await expect(page.locator("#fault-type")).to_be_visible()
    await page.get_by_role("textbox", name="What happened").fill(f"custom:{key}")
    await page.get_by_role("button", name="Publish").click()
    await expect(page.locator("main")).to_contain_text("Started")
    assert len((await site.client.listed(workflow=key)).executions) == 1


async def test_a_refused_start_is_replayed(signed_in: Page, site: Site) -> None:
    """R-TRIG-6: asked first, then done; the receipt says what came of it and who asked."""
    page, client, key = signed_in, site.client, f"again_{uuid4().hex[:6]}"
    workflow = await client.publish(tagging(key, triggers=[{"event": f"custom:{key}"}]))
    await client.call(client.workflows.PauseWorkflow, PauseWorkflowRequest(workflow=workflow))
    receipt = await client.publish_event(site.lively.ids[16], f"custom:{key}")
    await client.call(client.workflows.ResumeWorkflow, ResumeWorkflowRequest(workflow=workflow))
    await page.goto(site.url(f"/console/events/{receipt.event_id}"))
    await page.get_by_role("link", name="Replay …").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("counts once")
    await dialog.get_by_role("button", name="Replay").click()
    await expect(page.get_by_role("status")).to_contain_text("What began is in the receipt")
    await expect(page.locator("main")).to_contain_text("By local-stack")
    await expect(page.get_by_role("link", name="Replay …")).to_have_count(0)
    assert len((await client.listed(workflow=key)).executions) == 1


async def test_an_event_set_aside_is_taken_in(signed_in: Page, site: Site) -> None:
    """What still cannot be read is refused and stays; then it is taken in, and its receipt shown."""
    page, client = signed_in, site.client
    await site.world.owner.execute(
        "INSERT INTO event_inbox (account_id, contact_id, type, source_id, occurred_at, data_sealed, failed_at)"
        " VALUES ($1, $2::uuid, 'page_visited', 'aside', wf_now(), 'not sealed by us', wf_now())",
        client.account_id,
        site.lively.ids[16],
    )
    await page.goto(site.url("/console/set-aside"))
    await page.get_by_role("link", name="Take in …").click()
    await page.get_by_role("dialog").get_by_role("button", name="Take in").click()
    await expect(page.locator("main")).to_contain_text("still cannot be read")
    await site.world.owner.execute(
        "UPDATE event_inbox SET data_sealed = NULL WHERE account_id = $1", client.account_id
    )
    await page.get_by_role("button", name="Take in").click()
    await expect(page.get_by_role("status")).to_contain_text("Taken in")
    await expect(page.locator("main")).to_contain_text("By local-stack")
    await page.goto(site.url("/console/set-aside"))
    await expect(page.get_by_role("link", name="Take in …")).to_have_count(0)


async def test_settings_are_changed_part_by_part(page: Page, site: Site) -> None:
    """R-LIMIT-1: faults beside their fields change nothing; what is saved is what the API has."""
    client = await site.world.client()
    await site.sign_in(page, "/console/settings", client.key)
    await page.get_by_role("link", name="Change the sending").click()
    quiet = page.get_by_role("group", name="Quiet hours")
    await quiet.get_by_label("From").fill("25:00")
    await quiet.get_by_label("To").fill("08:00")
    await page.get_by_role("button", name="Save").click()
    await expect(quiet.get_by_label("From")).to_be_focused()
    await expect(page.locator("#fault-quiet_from")).to_contain_text("25:00")
    assert not (await settings_of(client)).settings.HasField("sending")
    await quiet.get_by_label("From").fill("21:00")
    await quiet.get_by_label("SMS").check()
    await page.get_by_label("Frequency caps").fill('[{"most": 3, "per": "604800s", "then": "defer"}]')
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("status")).to_contain_text("Saved")
    sending = (await settings_of(client)).settings.sending
    assert (sending.quiet_hours.to, list(sending.quiet_hours.channels)) == ("08:00", ["sms"])
    assert (sending.frequency_caps[0].most, sending.frequency_caps[0].then) == (3, "defer")
    await page.goto(site.url("/console/settings/limits"))
    await page.get_by_label("Rates by lane").fill("email 5/s 1000/day\nwebhook 2/s")
    await page.get_by_label("Executions active at once").fill("70")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("status")).to_contain_text("Saved")
    account = await settings_of(client)
    assert account.active_limit == 70
    assert (account.settings.rates["email"].per_day, account.settings.rates["webhook"].per_second) == (
        1000,
        2,
    )
    assert account.settings.sending == sending
    await page.goto(site.url("/console/settings/notifications"))
    await page.get_by_label("E-mail addresses").fill("ops@example.com\nnobody")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#fault-email")).to_contain_text("must be")
    await page.get_by_label("E-mail addresses").fill("ops@example.com")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("region", name="Who is told of failures")).to_contain_text(
        "ops@example.com"
    )


async def test_a_provider_is_chosen_and_its_credentials_never_shown(page: Page, site: Site) -> None:
    client = await site.world.client()
    await site.sign_in(page, "/console/settings", client.key)
    await page.get_by_role("link", name="Choose one").click()
    await page.get_by_role("link", name="SMS: Twilio").click()
    await page.get_by_label("From number").fill("+15005550006")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_label("Account sid")).to_be_focused()
    await page.get_by_label("Account sid").fill("AC" + "0" * 30 + "07")
    await page.get_by_label("Base URL").fill(f"{site.stack.sandboxes_url}/twilio")
    await page.get_by_label("Auth token").fill("very-secret-token")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("region", name="Providers")).to_contain_text("auth_token")
    await page.goto(site.url("/console/settings/provider/sms/twilio"))
    await expect(page.get_by_label("Account sid")).to_have_value("AC" + "0" * 30 + "07")
    assert "very-secret-token" not in await page.content()
    await page.get_by_role("link", name="Stop using it …").click()
    await page.get_by_role("button", name="Forget it").click()
    await expect(page.get_by_role("region", name="Providers")).not_to_contain_text("auth_token")


async def test_a_member_changes_no_settings(page: Page, site: Site) -> None:
    request = admin_pb.CreateApiKeyRequest(actor="intern", role=account_pb2.ROLE_MEMBER)
    made = await site.client.call(site.client.admin.CreateApiKey, request)
    await site.sign_in(page, key=made.secret)
    answer = await page.goto(site.url("/console/settings/limits"))
    assert answer is not None
    assert answer.status == 403
    await expect(page.locator("form.ask")).to_have_count(0)


async def test_a_view_is_saved_used_and_forgotten_without_a_script(browser: Browser, site: Site) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await site.sign_in(page, "/console/executions?status=failed&error=authentication")
    await page.get_by_role("link", name="Save this view …").click()
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#fault-name")).to_have_text("Give it a name.")
    await page.get_by_label("Name").fill("Refused <partners>")
    await page.get_by_role("button", name="Save").click()
    await page.goto(site.url("/console/executions"))
    await page.get_by_role("link", name="Refused <partners>", exact=True).click()
    await page.wait_for_url(site.url("/console/executions?status=failed&error=authentication"))
    await page.get_by_role("link", name="Forget Refused <partners>").click()
    await page.get_by_role("button", name="Forget").click()
    await expect(page.get_by_role("list", name="Saved views")).to_have_count(0)
    await context.close()
