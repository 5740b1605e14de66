"""send_notification by every channel: a real mailbox, Slack's sandbox and a receiver on loopback.

R-ACT: send_notification, its config, once per effect, and its dedup window. G5, G16.
"""

import asyncio
import json
import uuid
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from standardwebhooks import Webhook
from wayfarer.action.v1 import action_executor_pb2 as wire
from wayfarer.action.v1 import action_pb2
from wayfarer.action.v1 import provider_service_pb2 as door

from services.executors.internal.repeats import Repeats
from services.runtime.keyring import Keyring
from tests.contract.executors.email_world import fields
from tests.contract.executors.notification_world import (
    ACCOUNTS,
    Notices,
    a_title,
    an_address,
    notification,
    output_of,
)
from tests.contract.executors.test_executor_sms import kind_of
from tests.contract.executors.world import SECRET, TIMEOUT_S, Mailbox, Receiver


async def test_by_email_one_message_goes_to_all(notices: Notices, mailbox: Mailbox) -> None:
    to, title = [an_address(), an_address()], a_title()
    action = notification(
        next(ACCOUNTS), "email", title, recipients=to, severity="critical", body="Grüße\nzwei"
    )
    sent = output_of(await notices.client.execute(action))
    assert sent == {"channel": "email", "sent": True, "recipients": 2}
    (content,) = mailbox.to(to[0])
    message = message_from_bytes(content, policy=default)
    assert message["Subject"] == f"[critical] {title}"
    assert message["To"] == ", ".join(to)
    assert message["From"] == "Wayfarer <no-reply@example.test>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content().splitlines() == ["Grüße", "zwei"]


async def test_an_email_goes_to_those_the_server_takes(notices: Notices, mailbox: Mailbox) -> None:
    bad, good, worse = an_address(), an_address(), an_address()
    mailbox.replies |= {bad: "rcpt:550 5.1.1 unknown", worse: "rcpt:550 5.1.1 unknown"}
    action = notification(next(ACCOUNTS), "email", a_title(), recipients=[bad, good, worse])
    assert output_of(await notices.client.execute(action))["recipients"] == 1
    assert len(mailbox.to(good)) == 1
    action = notification(next(ACCOUNTS), "email", a_title(), recipients=[bad, worse])
    assert output_of(await notices.client.execute(action))["problem"] == "550"


async def test_a_bot_posts_to_slack(notices: Notices) -> None:
    account, title = await notices.bot("#sales"), a_title()
    action = notification(account, "slack", f"{title} <!channel>", severity="critical", body="a & b")
    result = await notices.client.execute(action)
    assert output_of(result) == {"channel": "slack", "sent": True, "recipients": 1}
    (taken,) = await notices.slack.texts(title)
    assert taken["to"] == "#sales"
    assert taken["text"] == f":rotating_light: *{title} &lt;!channel&gt;*\na &amp; b"
    assert result.provider_refs["ts"] == taken["ts"]


async def test_an_incoming_webhook_posts_to_slack(notices: Notices) -> None:
    account, title = await notices.hook(), a_title()
    assert output_of(await notices.client.execute(notification(account, "slack", title)))["sent"]
    assert [one["text"] for one in await notices.slack.texts(title)] == [f"*{title}*\nCall back today."]


async def test_a_receiver_gets_it_signed(notices: Notices, receiver: Receiver) -> None:
    path, title = f"/notices/{uuid.uuid4()}", a_title()
    account = await notices.receiver(receiver.url(path), signing_secret=SECRET)
    action = notification(account, "webhook", title, severity="warning")
    assert output_of(await notices.client.execute(action))["sent"]
    ((headers, body),) = receiver.at(path)
    posted = Webhook(SECRET).verify(body, {name.lower(): value for name, value in headers.items()})
    assert posted["data"] == {"title": title, "body": "Call back today.", "severity": "warning"}
    with pytest.raises(Exception, match="signature"):
        Webhook(SECRET).verify(
            body.replace(b"today", b"later"), {name.lower(): value for name, value in headers.items()}
        )


async def test_a_receiver_without_secret_gets_it_unsigned(notices: Notices, receiver: Receiver) -> None:
    path = f"/notices/{uuid.uuid4()}"
    account = await notices.receiver(receiver.url(f"{path}?token=a%2Fb"))
    assert output_of(await notices.client.execute(notification(account, "webhook", a_title())))["sent"]
    ((headers, _),) = receiver.at(path)
    assert not [name for name in headers if name.lower() == "webhook-signature"]


@pytest.mark.parametrize("channel", ["in_app", "email", "slack", "webhook"])
async def test_same_key_twice_and_at_once_is_one(
    notices: Notices, mailbox: Mailbox, receiver: Receiver, channel: str
) -> None:
    account, title, to, path = await notices.bot(), a_title(), an_address(), f"/notices/{uuid.uuid4()}"
    await notices.put(account, "notify_webhook", {"url": receiver.url(path)}, {})
    recipients = {"in_app": ["u1"], "email": [to]}.get(channel, [])
    action = notification(account, channel, title, recipients=recipients, dedup_window_seconds=60)
    both = await asyncio.gather(notices.client.execute(action), notices.client.batch([action]))
    results = [both[0], both[1][0], await notices.client.execute(action)]
    assert sorted(one.replayed for one in results) == [False, True, True]
    assert {one.outcome for one in results} == {action_pb2.OUTCOME_SUCCEEDED}
    arrived: dict[str, list[Any]] = {
        "in_app": (await notices.listed(account, "u1"))[0],
        "email": mailbox.to(to),
        "slack": await notices.slack.texts(title),
        "webhook": receiver.at(path),
    }
    assert len(arrived.pop(channel)) == 1
    assert not any(arrived.values())


async def test_a_like_one_within_the_window_is_skipped(notices: Notices) -> None:
    account, title = next(ACCOUNTS), a_title()

    def like(subject: str = title, **changes: Any) -> action_pb2.Action:
        config: dict[str, Any] = {"recipients": ["u1", "u2"], "dedup_window_seconds": 3600}
        return notification(account, "in_app", subject, **config | changes)

    results = await notices.client.batch([like() for _ in range(5)])
    outcomes = sorted(one.outcome for one in results)
    assert outcomes == sorted([action_pb2.OUTCOME_SUCCEEDED] + [action_pb2.OUTCOME_SKIPPED] * 4)
    skipped = await notices.client.execute(like(recipients=["u2", "u1"], body="another"))
    assert (skipped.outcome, skipped.failure.code) == (action_pb2.OUTCOME_SKIPPED, "DEDUPLICATED")
    for other in ({"subject": a_title()}, {"recipients": ["u1"]}, {"dedup_window_seconds": 0}):
        assert output_of(await notices.client.execute(like(**other)))["sent"]
    stranger = like()
    stranger.account_id = next(ACCOUNTS)
    assert output_of(await notices.client.execute(stranger))["sent"]
    assert len((await notices.listed(account, "u2"))[0]) == 3


async def test_after_the_window_it_goes_again(notices: Notices) -> None:
    account, title = next(ACCOUNTS), a_title()

    def like(window_s: int) -> action_pb2.Action:
        return notification(account, "in_app", title, recipients=["u1"], dedup_window_seconds=window_s)

    output_of(await notices.client.execute(like(60)))
    await notices.client.database.execute(
        "UPDATE notification_mark SET marked_at = marked_at - interval '61 seconds' WHERE account_id = $1",
        account,
    )
    assert (await notices.client.execute(like(3600))).failure.code == "DEDUPLICATED"
    output_of(await notices.client.execute(like(60)))
    assert (await notices.client.execute(like(60))).failure.code == "DEDUPLICATED"


async def test_marks_that_no_window_reaches_are_forgotten(notices: Notices, keyring: Path) -> None:
    old, young = next(ACCOUNTS), next(ACCOUNTS)
    for account in (old, young):
        action = notification(account, "in_app", a_title(), recipients=["u1"], dedup_window_seconds=86_400)
        output_of(await notices.client.execute(action))
    marks = "SELECT account_id FROM notification_mark WHERE account_id = ANY($1)"
    database = notices.client.database
    await database.execute(
        "UPDATE notification_mark SET marked_at = marked_at - interval '86401 seconds' WHERE account_id = $1",
        old,
    )
    async with asyncpg.create_pool(notices.client.environment["url"], min_size=1) as pool:
        assert not await Repeats(pool, Keyring.load(keyring)).forget()
    assert [row["account_id"] for row in await database.fetch(marks, [old, young])] == [young]


async def test_what_was_not_sent_holds_nothing_back(notices: Notices) -> None:
    account, title = await notices.bot(), a_title()
    await notices.slack.sandbox.control("next", match=title, status=503)
    action = notification(account, "slack", title, dedup_window_seconds=3600)
    assert kind_of(await notices.client.execute(action)) == ("SERVER_ERROR", "HTTP_503", "NOT_DONE")
    other = notification(account, "slack", title, dedup_window_seconds=3600)
    assert output_of(await notices.client.execute(other))["sent"]
    action.attempt = 2
    assert (await notices.client.execute(action)).failure.code == "DEDUPLICATED"


async def test_what_may_have_been_sent_holds_back(notices: Notices) -> None:
    account, title = await notices.bot(), a_title()
    await notices.slack.sandbox.control("next", match=title, lose="after")
    action = notification(account, "slack", title, dedup_window_seconds=3600)
    assert kind_of(await notices.client.execute(action)) == ("NETWORK", "CONNECTION_LOST", "INDETERMINATE")
    assert (await notices.client.reconcile(action, fence=2)).finding == wire.FINDING_UNKNOWN
    other = notification(account, "slack", title, dedup_window_seconds=3600)
    assert (await notices.client.execute(other)).failure.code == "DEDUPLICATED"
    assert len(await notices.slack.texts(title)) == 1


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({}, set()),
        ({"title": "x" * 201}, {"title"}),
        ({"title": "two\nlines"}, {"title"}),
        ({"body": "x" * 5001}, {"body"}),
        ({"severity": "loud", "dedup_window_seconds": 86_401}, {"severity", "dedup_window_seconds"}),
        ({"channel": "fax"}, {"channel"}),
        ({"channel": "sms", "recipients": ["+4930123456", "u1", "owner", "role:manager"]}, set()),
        ({"channel": "sms", "recipients": ["+49"]}, {"recipients"}),
        ({"channel": "sms", "recipients": ["030 123456"]}, {"recipients"}),
        ({"channel": "sms", "recipients": []}, {""}),
        ({"recipients": []}, {""}),
        ({"recipients": ["no user"]}, {"recipients"}),
        ({"channel": "email", "recipients": ["ada@", "u1"]}, {"recipients"}),
        ({"channel": "email", "recipients": ["{{ user.email }}"]}, set()),
        ({"channel": "slack", "recipients": []}, set()),
        ({"title": "{{ contact.first_name }}\n" + "x" * 300}, set()),
    ],
)
async def test_faults_of_a_config(notices: Notices, changes: dict[str, Any], paths: set[str]) -> None:
    config = {"channel": "in_app", "recipients": ["u1"], "title": "t", "body": "b"} | changes
    request = wire.ValidateRequest(action_type="send_notification", config=json.dumps(config).encode())
    faults = (await notices.client.stub.Validate(request, timeout=TIMEOUT_S)).faults
    assert {fault.path for fault in faults} == paths


@pytest.mark.parametrize(
    ("channel", "settings", "credentials", "at_fault"),
    [
        ("slack", {}, {}, "credentials"),
        ("slack", {}, {"bot_token": "x", "webhook_url": "https://hooks.slack.com/x"}, "credentials"),
        ("slack", {}, {"webhook_url": "ftp://a"}, "credentials.webhook_url"),
        ("slack", {"channel": "a b"}, {"bot_token": "x"}, "settings.channel"),
        ("notify_webhook", {}, {}, "settings.url"),
        ("notify_webhook", {"url": "https://u:p@a.test"}, {}, "settings.url"),
        (
            "notify_webhook",
            {"url": "https://a.test"},
            {"signing_secret": "short"},
            "credentials.signing_secret",
        ),
    ],
)
async def test_choices_that_cannot_work(
    notices: Notices, channel: str, settings: dict[str, str], credentials: dict[str, str], at_fault: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await notices.put(next(ACCOUNTS), channel, settings, credentials)
    assert fields(refused.value) == {at_fault}


async def test_credentials_are_shown_nowhere(
    notices: Notices, receiver: Receiver, capfd: pytest.CaptureFixture[str]
) -> None:
    secret_path = "/services/T1/B1/verysecretpathverysecret"
    token, key = "xoxb-verysecrettoken", "whsec_" + "c2VjcmV0" * 4
    hooked, bot = await notices.hook(secret_path), await notices.bot(token=token)
    await notices.put(bot, "notify_webhook", {"url": receiver.url("/status/500")}, {"signing_secret": key})
    results: list[object] = [
        await notices.client.execute(notification(account, channel, a_title()))
        for account, channel in ((hooked, "slack"), (bot, "slack"), (bot, "webhook"))
    ]
    for account in (hooked, bot):
        request = door.ListProvidersRequest(account_id=account)
        results.append(await notices.door.ListProviders(request, timeout=TIMEOUT_S))
    rows = await notices.client.database.fetch(
        "SELECT settings::text, credentials_sealed FROM provider_account WHERE account_id IN ($1, $2)",
        hooked,
        bot,
    )
    written = "".join(capfd.readouterr())
    for secret in ("verysecret", key):
        assert secret not in written
        assert not [one for one in (*results, *rows) if secret in str(one)]
