"""The send gate through the API, with real mails: R-SEND, A-48, G11, and what events mean for messages to come."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from wayfarer.admin.v1 import account_pb2
from wayfarer.admin.v1 import admin_service_pb2 as admin_pb
from wayfarer.crm.v1 import consent_service_pb2 as pb
from wayfarer.execution.v1 import execution_pb2
from wayfarer.execution.v1 import execution_service_pb2 as execution_pb

from tests.integration.api.world import Client, World, kinds, refused, until

pytestmark = pytest.mark.usefixtures("worker")
EMAIL, MARKETING = pb.CHANNEL_EMAIL, pb.CATEGORY_MARKETING


def mailing(*, waits: bool = False, settings: dict[str, Any] | None = None, **config: Any) -> dict[str, Any]:
    """A workflow that writes to the contact, perhaps in an hour, and then tags it."""
    wait = [{"id": "wait", "type": "wait_time", "config": {"amount": 1, "unit": "hours"}}] if waits else []
    mail = {"id": "mail", "type": "send_email", "config": {"subject": "Hi", "text": "Hello", **config}}
    return {
        "key": f"mailing-{uuid4()}",
        "settings": {"reentry": "always", "dedup_window": "0s", **(settings or {})},
        "steps": [*wait, mail, {"id": "after", "type": "add_tag", "config": {"tag": "after"}}],
    }


def somebody() -> str:
    return f"{uuid4()}@example.com"


async def rule(client: Client, **sending: Any) -> None:
    """Sets the account's rules about messages."""
    account = account_pb2.Account(
        settings=account_pb2.AccountSettings(sending=account_pb2.Sending(**sending))
    )
    request = admin_pb.UpdateAccountRequest(
        account=account, update_mask=FieldMask(paths=["settings.sending"])
    )
    await client.call(client.admin.UpdateAccount, request)


def hours(begins: str, ends: str) -> account_pb2.SendingHours:
    given = account_pb2.SendingHours(to=ends)
    setattr(given, "from", begins)
    return given


async def says(client: Client, contact_id: str, *, granted: bool) -> pb.Consent:
    request = pb.SetConsentRequest(
        contact_id=contact_id, channel=EMAIL, category=MARKETING, granted=granted, source="preference page"
    )
    answer: pb.SetConsentResponse = await client.call(client.consents.SetConsent, request)
    return answer.consent


async def ended(client: Client, execution_id: str) -> list[Any]:
    """The log of an execution that completed."""
    execution, log = await client.watched_to_end(execution_id)
    assert execution.status == execution_pb2.EXECUTION_STATUS_COMPLETED, execution
    return log


def entry(log: list[Any], event: str) -> dict[str, Any]:
    """The detail of the one entry of that event."""
    (found,) = [e for e in log if e.event == event]
    return dict(found.detail)


async def test_quiet_hours_of_the_contacts_zone_put_a_mail_off(world: World, client: Client) -> None:
    """A-48: to 08:00 local plus its jitter, no attempt spent, with the evidence in the log."""
    now: datetime = await world.owner.fetchval("SELECT wf_now()")
    ahead = (22 - now.hour + 12) % 24 - 12
    zone = f"Etc/GMT{-ahead:+d}"  # there it is past ten in the evening
    await rule(client, quiet_hours=hours("21:00", "08:00"))
    address = somebody()
    contact = await client.contact(email=address, time_zone=zone)
    workflow = await client.publish(mailing())
    execution_id = (await client.start(workflow, contact.id)).execution.id
    waiting = await client.reaches(execution_id, "WAITING")
    assert waiting.blocked_on == execution_pb2.BLOCKED_ON_QUIET_HOURS
    local = now + timedelta(hours=ahead)
    morning = local.replace(hour=8, minute=0, second=0, microsecond=0)
    morning = (morning if morning > local else morning + timedelta(days=1)) - timedelta(hours=ahead)
    assert morning <= waiting.wake_time.ToDatetime(UTC) <= morning + timedelta(minutes=10)
    log = list((await client.logs(execution_id)).log_entries)
    evidence = entry(log, "send_deferred")
    assert evidence["rule"] == "QUIET_HOURS"
    assert evidence["time_zone"] == zone
    assert evidence["local_time"].startswith(f"{local:%Y-%m-%dT22:}")
    assert "action_started" not in [e.event for e in log]
    explained = await client.call(
        client.executions.ExplainExecution, execution_pb.ExplainExecutionRequest(id=execution_id)
    )
    assert [b.kind for b in explained.blockers] == [execution_pb2.BLOCKED_ON_QUIET_HOURS]
    assert not await world.mails_to(address)
    await world.let_pass(waiting.wake_time.ToDatetime(UTC) - now + timedelta(seconds=1))
    log = await ended(client, execution_id)
    assert entry(log, "send_allowed")["consent"] == "implied"
    assert [e.attempt for e in log if e.event == "action_completed" and e.step_id == "mail"] == [1]
    assert len(await world.mails_to(address)) == 1
    assert not any((await client.verify()).values())


async def test_transactional_mail_and_a_workflow_that_says_off_pass_quiet_hours(
    world: World, client: Client
) -> None:
    await rule(client, quiet_hours=hours("00:00", "23:59"))
    for document in (mailing(category="transactional"), mailing(settings={"quiet_hours": "off"})):
        address = somebody()
        contact = await client.contact(email=address)
        log = await ended(
            client, (await client.start(await client.publish(document), contact.id)).execution.id
        )
        assert "send_allowed" in [e.event for e in log]
        assert len(await world.mails_to(address)) == 1


async def test_suppressed_copies_are_left_out_and_told(world: World, client: Client) -> None:
    """R-SEND: an address in cc or bcc that nothing may be sent to gets nothing; everybody else does."""
    address, kept, complained, bounced = (somebody() for _ in range(4))
    for one in (complained, bounced):
        request = pb.SuppressAddressRequest(channel=EMAIL, address=one.upper(), reason="HARD_BOUNCE")
        await client.call(client.consents.SuppressAddress, request)
    contact = await client.contact(email=address)
    workflow = await client.publish(mailing(cc=[complained, kept], bcc=[f"{{{{ '{bounced}' }}}}"]))
    log = await ended(client, (await client.start(workflow, contact.id)).execution.id)
    evidence = entry(log, "send_allowed")
    assert (evidence["copies_dropped"], evidence["copies_reasons"]) == ("2", "HARD_BOUNCE")
    (mail,) = await world.mails_to(address)
    assert sorted(mail["to"]) == sorted([address, kept])
    assert complained not in str(mail)
    assert not any((await client.verify()).values())


async def test_a_consent_withdrawn_while_it_waits_holds(world: World, client: Client) -> None:
    """A message already on its way through a wait is not sent; the steps after it are run."""
    address = somebody()
    contact = await client.contact(email=address)
    workflow = await client.publish(mailing(waits=True))
    execution_id = (await client.start(workflow, contact.id)).execution.id
    await client.reaches(execution_id, "WAITING")
    said = await says(client, contact.id, granted=False)
    assert said.source == "preference page"
    await world.let_pass(timedelta(hours=1, seconds=1))
    log = await ended(client, execution_id)
    evidence = entry(log, "opt_out_blocked")
    assert (evidence["rule"], evidence["source"]) == ("CONSENT_DENIED", "preference page")
    assert "action_started" not in [e.event for e in log if e.step_id == "mail"]
    assert "after" in (await client.read_contact(contact.id)).tags
    assert not await world.mails_to(address)
    assert not any((await client.verify()).values())
    await says(client, contact.id, granted=True)
    again = (await client.start(workflow, contact.id)).execution.id
    await client.reaches(again, "WAITING")
    await world.let_pass(timedelta(hours=1, seconds=1))
    assert entry(await ended(client, again), "send_allowed")["consent"] == "given"
    assert len(await world.mails_to(address)) == 1


async def test_a_consent_withdrawn_between_reading_and_sending_holds(world: World, client: Client) -> None:
    """G11: what was judged by older facts is not written; the row is locked while the worker has read it."""
    address = somebody()
    contact = await client.contact(email=address)
    workflow = await client.publish(mailing(waits=True))
    execution_id = (await client.start(workflow, contact.id)).execution.id
    await client.reaches(execution_id, "WAITING")
    who = client.account_id, UUID(contact.id)
    async with world.owner.acquire() as connection:
        await connection.execute("BEGIN")
        await connection.execute(
            "UPDATE contact SET sending_rev = sending_rev + 1 WHERE account_id = $1 AND contact_id = $2", *who
        )
        await connection.execute(
            "INSERT INTO consent VALUES ($1, $2, 1, 1, false, 'race', clock_timestamp())", *who
        )
        holder = await connection.fetchval("SELECT pg_backend_pid()")
        await world.let_pass(timedelta(hours=1, seconds=1))

        async def somebody_waits() -> bool:
            return bool(
                await world.owner.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))", holder
                )
            )

        await until(somebody_waits)
        await connection.execute("COMMIT")
    log = await ended(client, execution_id)
    assert entry(log, "opt_out_blocked")["source"] == "race"
    assert "send_allowed" not in [e.event for e in log]
    assert not await world.mails_to(address)
    assert not any((await client.verify()).values())


async def test_no_mail_is_begun_after_its_opt_out(world: World, client: Client) -> None:
    """G11: forty contacts opt out while their mails go; each stamp was taken under the contact's lock."""
    contacts = [await client.contact(email=somebody()) for _ in range(40)]
    workflow = await client.publish(mailing())

    async def both(contact_id: str) -> str:
        started, _ = await asyncio.gather(
            client.start(workflow, contact_id), says(client, contact_id, granted=False)
        )
        return str(started.execution.id)

    executions = await asyncio.gather(*(both(contact.id) for contact in contacts))
    for execution_id in executions:
        names = [e.event for e in await ended(client, execution_id)]
        assert ("opt_out_blocked" in names) != ("send_allowed" in names)
    late = await world.owner.fetchval(
        """SELECT count(*) FROM message_intent m JOIN consent k USING (account_id, contact_id)
        WHERE m.account_id = $1 AND m.at > k.at""",
        client.account_id,
    )
    assert late == 0
    assert not any((await client.verify()).values())


async def test_a_hard_bounce_suppresses_the_address_for_everybody(world: World, client: Client) -> None:
    """A soft one does not; a suppression can be lifted; another account is not concerned."""
    address = somebody()
    one, other = await client.contact(email=address), await client.contact(email=address.upper())
    assert kinds(await client.publish_event(one.id, "email_bounced", {"kind": "soft"})) == []
    assert kinds(await client.publish_event(one.id, "email_bounced", {"kind": "hard"})) == ["CONSENT_CHANGED"]
    workflow = await client.publish(mailing())
    for contact in (one, other):
        log = await ended(client, (await client.start(workflow, contact.id)).execution.id)
        assert entry(log, "opt_out_blocked")["reason"] == "HARD_BOUNCE"
    answer: pb.GetConsentsResponse = await client.call(
        client.consents.GetConsents, pb.GetConsentsRequest(contact_id=other.id)
    )
    assert [held.reason for held in answer.suppressions] == ["HARD_BOUNCE"]
    elsewhere = await world.client()
    stranger = await elsewhere.contact(email=address)
    await ended(
        elsewhere,
        (await elsewhere.start(await elsewhere.publish(mailing()), stranger.id)).execution.id,
    )
    assert len(await world.mails_to(address)) == 1
    lifting = pb.LiftSuppressionRequest(channel=EMAIL, address=address)
    await client.call(client.consents.LiftSuppression, lifting)
    assert (
        await refused(client.call(client.consents.LiftSuppression, lifting))
    ).reason == "SUPPRESSION_NOT_FOUND"
    await ended(client, (await client.start(workflow, other.id)).execution.id)
    assert len(await world.mails_to(address)) == 2


async def test_an_address_in_the_config_is_asked_for_too(world: World, client: Client) -> None:
    """`to` names somebody else: that address' suppression counts, not the contact's."""
    address = somebody()
    contact = await client.contact(email=somebody())
    workflow = await client.publish(mailing(to=address))
    await ended(client, (await client.start(workflow, contact.id)).execution.id)
    assert len(await world.mails_to(address)) == 1
    request = pb.SuppressAddressRequest(channel=EMAIL, address=address, reason="ASKED_US_TO")
    await client.call(client.consents.SuppressAddress, request)
    log = await ended(client, (await client.start(workflow, contact.id)).execution.id)
    assert entry(log, "opt_out_blocked")["reason"] == "ASKED_US_TO"
    assert len(await world.mails_to(address)) == 1


async def test_caps_skip_or_put_off_what_is_too_much(world: World, client: Client) -> None:
    """A message that failed for good does not count; ListMessages shows those that do."""
    address = somebody()
    contact = await client.contact(email=address)
    broken = await client.publish(mailing(reply_to="{{ trigger.nowhere }}"))
    await rule(client, frequency_caps=[account_pb2.FrequencyCap(most=1, per=Duration(seconds=3600))])
    failing = await client.start(broken, contact.id, trigger={"nowhere": "no address"})
    assert "action_failed" in [e.event for e in await ended(client, failing.execution.id)]
    workflow = await client.publish(mailing())
    await ended(client, (await client.start(workflow, contact.id)).execution.id)
    log = await ended(client, (await client.start(workflow, contact.id)).execution.id)
    assert entry(log, "send_skipped")["rule"] == "FREQUENCY_CAP"
    await rule(
        client, frequency_caps=[account_pb2.FrequencyCap(most=1, per=Duration(seconds=3600), then="defer")]
    )

    async def known() -> bool:
        # Workers keep an account's settings for two seconds.
        execution = (await client.start(workflow, contact.id)).execution.id
        async for change in client.watch(execution):
            if change.execution.blocked_on == execution_pb2.BLOCKED_ON_FREQUENCY_CAP:
                waiting.append(execution)
                return True
        return False

    waiting: list[str] = []
    await until(known)
    await world.let_pass(timedelta(hours=1, seconds=1))
    await ended(client, waiting[0])
    answer: pb.ListMessagesResponse = await client.call(
        client.consents.ListMessages, pb.ListMessagesRequest(contact_id=contact.id, page_size=1)
    )
    assert answer.messages[0].execution_id == waiting[0]
    rest: pb.ListMessagesResponse = await client.call(
        client.consents.ListMessages,
        pb.ListMessagesRequest(contact_id=contact.id, page_size=1, page_token=answer.next_page_token),
    )
    assert len(rest.messages) == 1
    assert not rest.next_page_token
    assert len(await world.mails_to(address)) == 2


async def test_a_cap_holds_for_many_messages_at_once(world: World, client: Client) -> None:
    """Twelve executions of one contact come due in one moment, and share a commit; one mail goes."""
    await rule(client, frequency_caps=[account_pb2.FrequencyCap(most=1, per=Duration(seconds=86_400))])
    address = somebody()
    contact = await client.contact(email=address)
    workflow = await client.publish(mailing(waits=True))
    started = [(await client.start(workflow, contact.id)).execution.id for _ in range(12)]
    for execution_id in started:
        await client.reaches(execution_id, "WAITING")
    await world.let_pass(timedelta(hours=1, seconds=1))
    names = [[e.event for e in await ended(client, execution_id)] for execution_id in started]
    assert sum("send_allowed" in each for each in names) == 1
    assert sum("send_skipped" in each for each in names) == 11
    assert len(await world.mails_to(address)) == 1
    assert not any((await client.verify()).values())


async def test_a_suppressed_address_in_the_config_holds_beside_others_of_the_contact(
    world: World, client: Client
) -> None:
    """Facts are read in batches: those of two messages to one contact are not those of each other."""
    strange, own = somebody(), somebody()
    contact = await client.contact(email=own)
    request = pb.SuppressAddressRequest(channel=EMAIL, address=strange)
    await client.call(client.consents.SuppressAddress, request)
    abroad = await client.publish(mailing(waits=True, to=strange))
    at_home = await client.publish(mailing(waits=True))
    started = [(await client.start(w, contact.id)).execution.id for w in [abroad, at_home] * 5]
    for execution_id in started:
        await client.reaches(execution_id, "WAITING")
    await world.let_pass(timedelta(hours=1, seconds=1))
    for execution_id in started:
        await ended(client, execution_id)
    assert not await world.mails_to(strange)
    assert len(await world.mails_to(own)) == 5


async def test_an_account_may_want_consent_that_was_given(client: Client) -> None:
    await rule(client, explicit_consent=["email"])
    contact = await client.contact(email=somebody())
    workflow = await client.publish(mailing())
    log = await ended(client, (await client.start(workflow, contact.id)).execution.id)
    assert entry(log, "opt_out_blocked")["rule"] == "NO_CONSENT"
    await client.publish_event(contact.id, "email_unsubscribed", {"category": "marketing"})
    log = await ended(client, (await client.start(workflow, contact.id)).execution.id)
    assert entry(log, "opt_out_blocked")["rule"] == "CONSENT_DENIED"


async def test_a_contact_without_an_address_is_passed_over(client: Client) -> None:
    log = await ended(
        client,
        (await client.start(await client.publish(mailing()), (await client.contact()).id)).execution.id,
    )
    assert entry(log, "send_skipped")["rule"] == "NO_ADDRESS"


async def test_bad_rules_are_refused_with_their_field_and_change_nothing(client: Client) -> None:
    never = hours("21:00", "21:00")
    refusal = await refused(rule(client, quiet_hours=never, explicit_consent=["fax"]))
    assert set(refusal.rules) == {"settings.sending.quiet_hours", "settings.sending.explicit_consent"}
    refusal = await refused(client.publish(mailing(settings={"send_window": {"from": "9"}})))
    assert any("settings.send_window" in path for path in refusal.rules)
    contact = await client.contact()
    request = pb.SetConsentRequest(contact_id=contact.id, channel=EMAIL)
    assert "category" in (await refused(client.call(client.consents.SetConsent, request))).rules
    missing = pb.GetConsentsRequest(contact_id=str(uuid4()))
    assert (await refused(client.call(client.consents.GetConsents, missing))).reason == "CONTACT_NOT_FOUND"
