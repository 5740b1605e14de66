"""What refusals and limits of Slack, receivers and mail servers make of a notification.

R-ACT: send_notification. R-ERR-1, R-ERR-3: classes, certainty and pauses, and that it does not end a journey.
"""

from datetime import timedelta
from typing import Any

import pytest
from wayfarer.action.v1 import action_pb2

from services.local.sandboxes.slack import HOOK
from tests.contract.executors.notification_world import (
    ACCOUNTS,
    PACE_S,
    Notices,
    a_title,
    an_address,
    notification,
    output_of,
)
from tests.contract.executors.test_executor_sms import kind_of
from tests.contract.executors.world import Mailbox, Receiver


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
        ("in_app", ["no user"], "INVALID_RECIPIENT"),
        ("email", ["ada@"], "INVALID_RECIPIENT"),
        ("email", ["nobody"], "NO_RECIPIENT"),
        ("email", [], "NO_RECIPIENT"),
        ("in_app", ["owner"], "NO_RECIPIENT"),
        ("sms", ["+49"], "INVALID_RECIPIENT"),
        ("sms", ["role:nobody"], "NO_RECIPIENT"),
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
