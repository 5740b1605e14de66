"""send_notification by every channel: a real mailbox, Slack's sandbox and a receiver on loopback, the inbox.

R-ACT: send_notification. R-ERR-1, R-ERR-3: what refusals and limits of Slack and receivers mean, and that a
notification does not end a journey. G5, G16.
"""

import asyncio
import json
import uuid
from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from typing import Any

import grpc
import pytest
from standardwebhooks import Webhook
from wayfarer.action.v1 import action_executor_pb2 as wire
from wayfarer.action.v1 import action_pb2
from wayfarer.action.v1 import provider_service_pb2 as door
from wayfarer.notification.v1 import notification_service_pb2 as shown

from services.local.sandboxes.slack import HOOK
from tests.contract.executors.email_world import fields
from tests.contract.executors.notification_world import ACCOUNTS, PACE_S, Notices, notification
from tests.contract.executors.test_executor_sms import kind_of
from tests.contract.executors.world import SECRET, TIMEOUT_S, Mailbox, Receiver


def a_title() -> str:
    return f"Lead {uuid.uuid4().hex} replied"


def an_address() -> str:
    return f"{uuid.uuid4().hex}@example.test"


def output_of(result: action_pb2.ActionResult) -> dict[str, Any]:
    assert result.outcome == action_pb2.OUTCOME_SUCCEEDED, result
    output: dict[str, Any] = json.loads(result.output)
    return output


async def test_users_see_it_and_mark_it_read(notices: Notices) -> None:
    account = next(ACCOUNTS)
    for number in range(3):
        action = notification(account, "in_app", f"No. {number}", recipients=["u1", "u2"], severity="warning")
        sent = output_of(await notices.client.execute(action))
        assert sent == {"channel": "in_app", "sent": True, "recipients": 2}
    first, token = await notices.listed(account, "u1", page_size=2)
    rest, end = await notices.listed(account, "u1", page_size=2, page_token=token)
    assert [one.title for one in (*first, *rest)] == ["No. 2", "No. 1", "No. 0"]
    assert (end, first[0].body, first[0].severity) == ("", "Call back today.", shown.SEVERITY_WARNING)
    assert not first[0].HasField("read_time")
    ids = [one.notification_id for one in first]
    assert await notices.marked(account, "u2", *ids) == 0
    assert await notices.marked(account + 100_000, "u1", *ids) == 0
    assert [await notices.marked(account, "u1", *ids) for _ in range(2)] == [2, 0]
    unread, _ = await notices.listed(account, "u1", unread_only=True)
    assert [one.title for one in unread] == ["No. 0"]
    assert len((await notices.listed(account, "u2", unread_only=True))[0]) == 3
    assert (await notices.listed(account, "u1"))[0][0].HasField("read_time")


async def test_a_token_of_another_list_is_refused(notices: Notices) -> None:
    account = next(ACCOUNTS)
    for _ in range(2):
        await notices.client.execute(notification(account, "in_app", a_title(), recipients=["u1"]))
    _, token = await notices.listed(account, "u1", page_size=1)
    for asked in ({"page_token": token, "unread_only": True}, {"page_token": "nonsense"}):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await notices.listed(account, "u1", **asked)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_nothing_of_it_is_readable_in_the_database(notices: Notices) -> None:
    account, title = next(ACCOUNTS), a_title()
    action = notification(account, "in_app", title, recipients=["u1"], dedup_window_seconds=60)
    output_of(await notices.client.execute(action))
    for table in ("notification", "notification_mark", "effect_ledger"):
        rows = await notices.client.database.fetch(f"SELECT * FROM {table} WHERE account_id = $1", account)
        assert rows
        stored = b"".join(bytes(value) for row in rows for value in row.values() if isinstance(value, bytes))
        assert title.encode() not in stored
        assert title not in repr(rows)


async def test_an_interrupted_write_is_one_row_and_is_found(notices: Notices) -> None:
    account, client = next(ACCOUNTS), notices.client
    action = notification(account, "in_app", a_title(), recipients=["u1", "u1", "u2"])
    output_of(await client.execute(action))
    key = uuid.UUID(bytes=action.effect_key.execution_id)
    # As a process leaves it that dies between the write and its record.
    await client.database.execute(
        "UPDATE effect_ledger SET state = 1, result = NULL, owner = gen_random_uuid(),"
        " deadline = now() - interval '1 second' WHERE execution_id = $1",
        key,
    )
    finding = await client.reconcile(action, fence=2)
    assert finding.finding == wire.FINDING_DONE, finding
    assert json.loads(finding.result.output)["recipients"] == 2
    await client.database.execute("UPDATE effect_ledger SET state = 3 WHERE execution_id = $1", key)
    action.fence, action.attempt = 3, 2
    output_of(await client.execute(action))
    assert [len((await notices.listed(account, user))[0]) for user in ("u1", "u2")] == [1, 1]


async def test_a_write_that_was_cut_off_is_looked_for(notices: Notices) -> None:
    account, client = next(ACCOUNTS), notices.client
    action = notification(account, "in_app", a_title(), recipients=["u1"])
    async with client.database.transaction():
        await client.database.execute("LOCK TABLE notification IN ACCESS EXCLUSIVE MODE")
        attempt = asyncio.create_task(client.execute(action))
        waiting = None
        while waiting is None:
            waiting = await client.database.fetchval(
                "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'notification'::regclass"
            )
        await client.database.execute("SELECT pg_terminate_backend($1)", waiting)
        assert kind_of(await attempt) == ("DATABASE", "INBOX_LOST", "INDETERMINATE")
    finding = await client.reconcile(action, fence=2)
    assert finding.finding == wire.FINDING_NOT_DONE, finding
    action.fence, action.attempt = 3, 2
    output_of(await client.execute(action))
    assert len((await notices.listed(account, "u1"))[0]) == 1


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
    ("rule", "expected"),
    [
        ({"status": 429, "code": "ratelimited", "retry_after": 7}, ("RATE_LIMIT", "RATELIMITED", "NOT_DONE")),
        ({"status": 200, "code": "internal_error"}, ("SERVER_ERROR", "INTERNAL_ERROR", "INDETERMINATE")),
        ({"status": 200, "code": "fatal_error"}, ("SERVER_ERROR", "FATAL_ERROR", "INDETERMINATE")),
        ({"status": 200}, ("SERVER_ERROR", "UNREADABLE", "INDETERMINATE")),
        ({"status": 500}, ("SERVER_ERROR", "HTTP_500", "INDETERMINATE")),
        ({"status": 503, "retry_after": 7}, ("SERVER_ERROR", "HTTP_503", "NOT_DONE")),
        ({"lose": "after"}, ("NETWORK", "CONNECTION_LOST", "INDETERMINATE")),
        ({"hang": "after"}, ("TIMEOUT", "TIMEOUT", "INDETERMINATE")),
    ],
)
async def test_what_slack_says_of_a_moment_is_a_failure(
    notices: Notices, rule: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    account, title = await notices.bot(), a_title()
    await notices.slack.sandbox.control("next", match=title, **rule)
    result = await notices.client.execute(notification(account, "slack", title))
    assert kind_of(result) == expected
    assert result.failure.provider == "slack"
    if "retry_after" in rule:
        assert result.retry_after.ToTimedelta() == timedelta(seconds=7)
        assert result.lane.lane == "notification"


async def test_slack_takes_one_message_per_moment_and_channel(notices: Notices) -> None:
    account, elsewhere = await notices.bot("#busy"), await notices.bot("#calm")
    step, notices.slack.clock.step = notices.slack.clock.step, 0
    try:
        assert output_of(await notices.client.execute(notification(account, "slack", a_title())))["sent"]
        limited = await notices.client.execute(notification(account, "slack", a_title()))
        assert output_of(await notices.client.execute(notification(elsewhere, "slack", a_title())))["sent"]
    finally:
        notices.slack.clock.step = step
    assert kind_of(limited) == ("RATE_LIMIT", "RATELIMITED", "NOT_DONE")
    assert limited.retry_after.ToTimedelta() == timedelta(seconds=PACE_S)


@pytest.mark.parametrize(
    ("channel", "token", "problem"),
    [
        ("#missing", None, "CHANNEL_NOT_FOUND"),
        ("#archived", None, "IS_ARCHIVED"),
        ("", None, "CHANNEL_NOT_FOUND"),
        ("#leads", "xoxb-wrong", "INVALID_AUTH"),
    ],
)
async def test_what_slack_refuses_for_good_does_not_end_the_journey(
    notices: Notices, channel: str, token: str | None, problem: str
) -> None:
    account = await (notices.bot(channel, token) if token else notices.bot(channel))
    title = a_title()
    result = await notices.client.execute(notification(account, "slack", title, dedup_window_seconds=60))
    told = output_of(result)
    assert (told["sent"], told["problem"], told["provider"]) == (False, problem, "slack")
    assert not await notices.slack.texts(title)


async def test_a_webhook_that_slack_does_not_know(notices: Notices) -> None:
    account = await notices.hook(HOOK[:-1] + "1")
    told = output_of(await notices.client.execute(notification(account, "slack", a_title())))
    assert (told["sent"], told["problem"]) == (False, "NO_SERVICE")


@pytest.mark.parametrize("channel", ["slack", "webhook"])
async def test_an_account_that_chose_nobody(notices: Notices, channel: str) -> None:
    told = output_of(await notices.client.execute(notification(next(ACCOUNTS), channel, a_title())))
    assert (told["sent"], told["problem"]) == (False, "NO_PROVIDER")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/status/429?after=9", ("RATE_LIMIT", "HTTP_429", "NOT_DONE")),
        ("/status/500", ("SERVER_ERROR", "HTTP_500", "INDETERMINATE")),
        ("/status/503", ("SERVER_ERROR", "HTTP_503", "NOT_DONE")),
        ("/reset", ("NETWORK", "CONNECTION_LOST", "INDETERMINATE")),
        ("/status/410", "HTTP_410"),
        ("/status/401", "HTTP_401"),
        ("/redirect", "HTTP_302"),
    ],
)
async def test_what_a_receiver_says(
    notices: Notices, receiver: Receiver, path: str, expected: tuple[str, str, str] | str
) -> None:
    account = await notices.receiver(receiver.url(path))
    result = await notices.client.execute(notification(account, "webhook", a_title()))
    if isinstance(expected, str):
        assert output_of(result)["problem"] == expected
        return
    assert kind_of(result) == expected
    if "after" in path:
        assert result.retry_after.ToTimedelta() == timedelta(seconds=9)


async def test_internal_addresses_are_refused(notices: Notices) -> None:
    account = await notices.receiver("http://127.0.0.1:9/x")
    told = output_of(await notices.client.execute(notification(account, "webhook", a_title())))
    assert (told["sent"], told["problem"]) == (False, "ADDRESS_REFUSED")


async def test_a_mail_server_that_is_busy_and_one_that_refuses(notices: Notices, mailbox: Mailbox) -> None:
    busy, cut, full = an_address(), an_address(), an_address()
    mailbox.replies |= {busy: "rcpt:451 4.7.1 later", cut: "drop", full: "data:554 5.7.1 no"}

    async def to(address: str) -> action_pb2.ActionResult:
        return await notices.client.execute(
            notification(next(ACCOUNTS), "email", a_title(), recipients=[address])
        )

    assert kind_of(await to(busy)) == ("SERVER_ERROR", "451", "NOT_DONE")
    assert kind_of(await to(cut))[2] == "INDETERMINATE"
    assert output_of(await to(full))["problem"] == "554"


async def test_the_last_retry_gives_up_without_ending_the_journey(notices: Notices) -> None:
    account, title = await notices.bot(), a_title()
    await notices.slack.sandbox.control("next", match=title, times=4, status=503)
    action = notification(account, "slack", title)
    for attempt in (1, 2, 3):
        action.attempt = attempt
        assert kind_of(await notices.client.execute(action))[0] == "SERVER_ERROR"
    action.attempt = 4
    told = output_of(await notices.client.execute(action))
    assert (told["sent"], told["problem"]) == (False, "HTTP_503")


@pytest.mark.parametrize(
    ("channel", "recipients", "problem"),
    [
        ("in_app", ["", " "], "NO_RECIPIENT"),
        ("in_app", ["no user"], "INVALID_USER"),
        ("email", ["nobody"], "INVALID_ADDRESS"),
        ("email", [], "NO_RECIPIENT"),
    ],
)
async def test_recipients_that_a_contacts_data_made(
    notices: Notices, channel: str, recipients: list[str], problem: str
) -> None:
    action = notification(next(ACCOUNTS), channel, a_title(), recipients=recipients)
    assert output_of(await notices.client.execute(action))["problem"] == problem


async def test_a_text_that_a_contacts_data_made_is_cut(notices: Notices) -> None:
    account = next(ACCOUNTS)
    for title in ("x\n" + "y" * 300, " "):
        action = notification(account, "in_app", title, body="z\x00" * 5001, recipients=["u1"])
        output_of(await notices.client.execute(action))
    (empty, long), _ = await notices.listed(account, "u1")
    assert (long.title, long.body) == ("x " + "y" * 198, "z" * 5000)
    assert empty.title == "Notification"


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({}, set()),
        ({"title": "x" * 201}, {"title"}),
        ({"title": "two\nlines"}, {"title"}),
        ({"body": "x" * 5001}, {"body"}),
        ({"severity": "loud", "dedup_window_seconds": 86_401}, {"severity", "dedup_window_seconds"}),
        ({"channel": "sms"}, {"channel"}),
        ({"recipients": []}, {""}),
        ({"recipients": ["no user"]}, {"recipients"}),
        ({"channel": "email"}, {"recipients"}),
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
