"""A provider that refuses an account's credentials marks the account's choice of it, by every provider.

R-ERR-1: the first attempt is told; those that follow send nothing and wait; a change of the choice clears it.
"""

import asyncio
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from wayfarer.action.v1 import action_pb2
from wayfarer.action.v1 import provider_service_pb2 as wire
from wayfarer.action.v1.provider_service_pb2_grpc import ProviderServiceStub

from services.local.sandboxes.meta import APP_SECRET, PAGE_ID, PAGE_TOKEN
from services.local.sandboxes.slack import BOT_TOKEN, HOOK
from services.local.sandboxes.thinkific import API_KEY, SUBDOMAIN
from services.local.sandboxes.twilio import ACCOUNT_SID, AUTH_TOKEN
from services.runtime.config import host_port
from services.runtime.grpc_client import open_channel
from tests.contract.executors.email_world import ServedSandbox, address
from tests.contract.executors.membership_world import MembershipWorld
from tests.contract.executors.notification_world import Notices
from tests.contract.executors.phone_world import Phone
from tests.contract.executors.world import TIMEOUT_S, Client, Mailbox, Receiver, make_action

ACCOUNTS = itertools.count(70_000)
REACHABLE = {
    "email": "ada@example.test",
    "phone": "+15005550006",
    "messenger_id": "24680",
    "first_name": "Ada",
    "last_name": "Lovelace",
}
TEXT = {"subject": "Hi", "text": "Hello"}
TOLD = {"title": "A lead", "body": "Call back."}


@dataclass(frozen=True, slots=True)
class Choice:
    """A provider with credentials it refuses and with those it takes; an action that goes through it."""

    client: Client
    channel: str
    provider: str
    settings: Mapping[str, Any]
    wrong: Mapping[str, str]
    right: Mapping[str, str]
    action_type: str
    config: Mapping[str, Any]
    code: str

    async def put(self, account: int, credentials: Mapping[str, str]) -> None:
        request = wire.PutProviderRequest(
            account_id=account,
            channel=self.channel,
            provider=self.provider,
            settings=json.dumps(dict(self.settings)).encode(),
            credentials=json.dumps(dict(credentials)).encode(),
        )
        async with open_channel(host_port(self.client.address)) as channel:
            await ProviderServiceStub(channel).PutProvider(request, timeout=TIMEOUT_S)

    async def shown(self, account: int) -> wire.Provider:
        async with open_channel(host_port(self.client.address)) as channel:
            request = wire.ListProvidersRequest(account_id=account)
            listed = await ProviderServiceStub(channel).ListProviders(request, timeout=TIMEOUT_S)
        found: wire.Provider = listed.providers[0]
        return found

    def action(self, account: int) -> action_pb2.Action:
        action = make_action(self.action_type, dict(self.config), contact=REACHABLE)
        action.account_id = account
        return action


@dataclass(frozen=True, slots=True)
class Served:
    """Every sandbox, and the families that use them."""

    communication: Client
    membership: MembershipWorld
    notices: Notices
    phone: Phone
    email: ServedSandbox
    mailbox: Mailbox
    receiver: Receiver


@pytest.fixture
def served(
    communication: Client,
    membership: MembershipWorld,
    notices: Notices,
    phone: Phone,
    email_sandbox: ServedSandbox,
    mailbox: Mailbox,
    receiver: Receiver,
) -> Served:
    return Served(communication, membership, notices, phone, email_sandbox, mailbox, receiver)


def smtp(s: Served) -> Choice:
    settings = {"from_email": "a@sender.test", "host": s.mailbox.host, "port": s.mailbox.port}
    settings["security"] = "none"
    wrong, right = {"user": "ada", "password": "wrong"}, {"user": "ada", "password": s.mailbox.password}
    return Choice(s.communication, "email", "smtp", settings, wrong, right, "send_email", TEXT, "535")


def by_key(s: Served, provider: str, prefix: str, code: str) -> Choice:
    settings = {"from_email": "hello@sender.test", "base_url": s.email.url}
    keys = {"api_key": f"{prefix}revoked"}, {"api_key": f"{prefix}good"}
    return Choice(s.communication, "email", provider, settings, *keys, "send_email", TEXT, code)


def sendgrid(s: Served) -> Choice:
    return by_key(s, "sendgrid", "SG.", "HTTP_401")


def resend(s: Served) -> Choice:
    return by_key(s, "resend", "re_", "VALIDATION_ERROR")


def by_phone(s: Served, channel: str, action_type: str, config: Mapping[str, Any]) -> Choice:
    settings = {"account_sid": ACCOUNT_SID, "from_number": "+15005550006", "base_url": s.phone.twilio.url}
    tokens = {"auth_token": "wrong"}, {"auth_token": AUTH_TOKEN}
    return Choice(s.communication, channel, "twilio", settings, *tokens, action_type, config, "20003")


def sms(s: Served) -> Choice:
    return by_phone(s, "sms", "send_sms", {"body": "Hi"})


def voice(s: Served) -> Choice:
    return by_phone(s, "voice", "make_call", {"text": "Hello"})


def voicemail(s: Served) -> Choice:
    return by_phone(s, "voice", "send_voicemail", {"text": "Hello"})


def messenger(s: Served) -> Choice:
    settings = {"page_id": PAGE_ID, "base_url": s.phone.meta.url}
    known = {"app_secret": APP_SECRET, "verify_token": "v"}
    tokens = {**known, "page_token": "old"}, {**known, "page_token": PAGE_TOKEN}
    config = {"text": "Hi", "messaging_type": "UPDATE"}
    return Choice(s.communication, "messenger", "meta", settings, *tokens, "send_messenger", config, "190")


def courses(s: Served) -> Choice:
    settings = {
        "subdomain": SUBDOMAIN,
        "base_url": s.membership.site.url,
        "course_ids": {"masterclass": 101},
    }
    keys = {"api_key": "old"}, {"api_key": API_KEY}
    config = {"course": "masterclass"}
    client = s.membership.client
    return Choice(client, "courses", "thinkific", settings, *keys, "grant_course_access", config, "HTTP_401")


def bot(s: Served) -> Choice:
    settings = {"channel": "#reauthorised", "base_url": s.notices.slack.sandbox.url}
    tokens = {"bot_token": "xoxb-old"}, {"bot_token": BOT_TOKEN}
    config = {"channel": "slack", **TOLD}
    client = s.notices.client
    return Choice(client, "slack", "slack", settings, *tokens, "send_notification", config, "INVALID_AUTH")


def hook(s: Served) -> Choice:
    url = s.notices.slack.sandbox.url
    urls = {"webhook_url": f"{url}/services/T0/B0/gone"}, {"webhook_url": url + HOOK}
    config = {"channel": "slack", **TOLD}
    client = s.notices.client
    return Choice(client, "slack", "slack", {}, *urls, "send_notification", config, "NO_SERVICE")


JOURNEYS = [smtp, sendgrid, resend, sms, voice, voicemail, messenger, courses]
BESIDE = [bot, hook]


@pytest.mark.parametrize("provider", JOURNEYS)
async def test_a_refused_choice_is_marked_and_waited_for_until_it_is_changed(
    served: Served, provider: Any
) -> None:
    """R-ERR-1: AUTHENTICATION once, then DEFERRED without a request, then it goes."""
    choice: Choice = provider(served)
    account, client = next(ACCOUNTS), choice.client
    await choice.put(account, choice.wrong)
    assert not (await choice.shown(account)).HasField("refusal")
    refused = await client.execute(choice.action(account))
    assert (refused.failure.error_class, refused.failure.code) == (7, choice.code)
    assert refused.certainty == action_pb2.CERTAINTY_NOT_DONE
    assert f"{choice.provider} needs new credentials for {choice.channel}" in refused.failure.message
    marked = (await choice.shown(account)).refusal
    assert (marked.code, bool(marked.message)) == (choice.code, True)

    action = choice.action(account)
    waits = await client.execute(action)
    assert (waits.outcome, waits.failure.code) == (action_pb2.OUTCOME_DEFERRED, "NEEDS_REAUTHORISATION")
    assert (waits.certainty, waits.failure.provider) == (action_pb2.CERTAINTY_NOT_DONE, choice.provider)
    assert waits.retry_after.ToTimedelta() == timedelta(minutes=15)
    assert (await choice.shown(account)).refusal == marked, "the first refusal counts"

    await choice.put(account, choice.right)
    assert not (await choice.shown(account)).HasField("refusal")
    action.attempt = 2
    done = await client.execute(action)
    assert done.outcome in (action_pb2.OUTCOME_SUCCEEDED, action_pb2.OUTCOME_PENDING), done


async def test_of_many_refused_at_once_one_fails(served: Served) -> None:
    """R-ERR-1: all are under way when the credentials turn out to be revoked; the others wait for new ones."""
    choice, account = sendgrid(served), next(ACCOUNTS)
    await choice.put(account, choice.wrong)
    results = await asyncio.gather(*(choice.client.execute(choice.action(account)) for _ in range(12)))
    failed = [one for one in results if one.outcome == action_pb2.OUTCOME_FAILED]
    waiting = [one for one in results if one.outcome == action_pb2.OUTCOME_DEFERRED]
    assert [one.failure.code for one in failed] == [choice.code]
    assert [one.failure.code for one in waiting] == ["NEEDS_REAUTHORISATION"] * 11


@pytest.mark.parametrize("provider", BESIDE)
async def test_a_notification_does_not_wait(served: Served, provider: Any) -> None:
    """R-ERR-1: it says that nothing was sent, by the first refusal and by the mark."""
    choice: Choice = provider(served)
    account, client = next(ACCOUNTS), choice.client
    await choice.put(account, choice.wrong)
    for problem in (choice.code, "NEEDS_REAUTHORISATION"):
        told = json.loads((await client.execute(choice.action(account))).output)
        assert (told["sent"], told["problem"]) == (False, problem)
    assert (await choice.shown(account)).refusal.code == choice.code
    await choice.put(account, choice.right)
    assert json.loads((await client.execute(choice.action(account))).output)["sent"] is True


async def test_a_marked_receiver_is_not_asked(notices: Notices, receiver: Receiver) -> None:
    """R-ERR-1: a receiver that answers 401 gets one request, and no second."""
    path = f"/status/401/{next(ACCOUNTS)}"
    account = await notices.receiver(receiver.url(path))
    for _ in range(2):
        action = make_action("send_notification", {"channel": "webhook", **TOLD})
        action.account_id = account
        assert json.loads((await notices.client.execute(action)).output)["sent"] is False
    assert len(receiver.at(path)) == 1


async def test_a_late_refusal_is_of_the_old_credentials_only(served: Served) -> None:
    """R-ERR-1: the answer to the old ones comes after new ones were set: no mark, and it goes again at once."""
    choice, account, to = sendgrid(served), next(ACCOUNTS), address()
    await choice.put(account, choice.right)
    await served.email.control("next", {"match": to, "status": 401, "delay": 0.5})
    action = choice.action(account)
    action.contact = json.dumps({"email": to}).encode()
    served.email.sandbox.met.clear()
    attempt = asyncio.create_task(choice.client.execute(action))
    await served.email.sandbox.met.wait()
    await choice.put(account, {"api_key": "SG.fresh"})
    late = await attempt
    assert (late.outcome, late.failure.code) == (action_pb2.OUTCOME_DEFERRED, "CREDENTIALS_CHANGED")
    assert late.retry_after.ToTimedelta() == timedelta(seconds=1)
    assert not (await choice.shown(account)).HasField("refusal")
    action.attempt = 2
    assert (await choice.client.execute(action)).outcome == action_pb2.OUTCOME_SUCCEEDED


async def test_another_account_and_another_channel_are_not_concerned(served: Served) -> None:
    """R-ERR-1: the mark is of one account's choice for one channel."""
    text, call, account, other = sms(served), voice(served), next(ACCOUNTS), next(ACCOUNTS)
    await text.put(account, text.wrong)
    await call.put(account, call.right)
    await text.put(other, text.right)
    assert (await text.client.execute(text.action(account))).failure.code == "20003"
    assert (await call.client.execute(call.action(account))).outcome == action_pb2.OUTCOME_PENDING
    assert (await text.client.execute(text.action(other))).outcome == action_pb2.OUTCOME_SUCCEEDED
