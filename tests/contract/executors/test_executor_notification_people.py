"""send_notification to users, roles, the contact's owner and by text, against a mailbox and Twilio's sandbox."""

from email import message_from_bytes
from email.policy import default
from typing import Any

import grpc
import pytest
from wayfarer.action.v1 import action_executor_pb2 as wire
from wayfarer.notification.v1 import notification_service_pb2 as shown

from tests.contract.executors.notification_world import (
    ACCOUNTS,
    Notices,
    a_title,
    an_address,
    notification,
    output_of,
)
from tests.contract.executors.test_executor_sms import a_number, kind_of
from tests.contract.executors.world import TIMEOUT_S, Mailbox

UNSUBSCRIBED = "+15005550004"
"""The sandbox refuses texts to it."""


async def test_a_text_goes_to_users_roles_the_owner_and_numbers(notices: Notices) -> None:
    """R-ACT: send_notification by sms reaches a user, a role, the contact's owner and a given number, each once."""
    account, title = await notices.texting(), a_title()
    ada, bob, eve, given = (a_number() for _ in range(4))
    await notices.user(account, "ada", "manager", "sales", phone=ada)
    await notices.user(account, "bob", "manager", phone=bob)
    await notices.user(account, "eve", phone=eve)
    await notices.user(account, "mute", "manager", email=an_address())
    who = ["role:manager", "ada", "owner", given, "nobody"]
    action = notification(account, "sms", title, recipients=who, severity="warning", contact={"owner": "eve"})
    result = await notices.client.execute(action)
    assert output_of(result) == {"channel": "sms", "sent": True, "recipients": 4, "unreached": 2}
    for number in (ada, bob, eve, given):
        (message,) = await notices.twilio.to("messages", number)
        assert (message["body"], message["from"]) == (f"[warning] {title}\nCall back today.", "+15005550006")
    assert result.provider_refs["message_sid"].startswith("SM")


async def test_an_email_goes_to_the_owner_and_a_role(notices: Notices, mailbox: Mailbox) -> None:
    """R-ACT: send_notification by email reaches the contact's owner and the users of a role."""
    account, owner, manager = next(ACCOUNTS), an_address(), an_address()
    await notices.user(account, "ada", email=owner)
    await notices.user(account, "bob", "manager", email=manager)
    who = ["owner", "role:manager", "ada"]
    action = notification(account, "email", a_title(), recipients=who, contact={"owner": "ada"})
    assert output_of(await notices.client.execute(action))["recipients"] == 2
    (content,) = mailbox.to(owner)
    assert message_from_bytes(content, policy=default)["To"] == f"{owner}, {manager}"


async def test_the_inbox_of_the_owner_and_of_a_role_is_written(notices: Notices) -> None:
    """R-ACT: send_notification in the application reaches the contact's owner and the users of a role."""
    account, title = next(ACCOUNTS), a_title()
    await notices.user(account, "bob", "manager")
    who = ["owner", "role:manager", "bob"]
    action = notification(account, "in_app", title, recipients=who, contact={"owner": "ada"})
    assert output_of(await notices.client.execute(action)) == {
        "channel": "in_app",
        "sent": True,
        "recipients": 2,
    }
    for user in ("ada", "bob"):
        ((one,), _) = await notices.listed(account, user)
        assert one.title == title


async def test_a_number_that_is_refused_does_not_keep_the_others_from_theirs(notices: Notices) -> None:
    account, number = await notices.texting(), a_number()
    action = notification(account, "sms", a_title(), recipients=[UNSUBSCRIBED, number])
    told = output_of(await notices.client.execute(action))
    assert (told["recipients"], told["unreached"]) == (1, 1)
    assert len(await notices.twilio.to("messages", number)) == 1


async def test_what_a_users_number_forbids_is_not_kept_of_the_contact(notices: Notices) -> None:
    """R-SEND: a user who has opted out of texts does not suppress the contact of the journey."""
    account, number = await notices.texting(), a_number()
    result = await notices.client.execute(notification(account, "sms", a_title(), recipients=[UNSUBSCRIBED]))
    assert output_of(result)["problem"] == "RECIPIENT_SUPPRESSED"
    assert not result.contact_changes
    await notices.twilio.control("next", match=number, status=400, code=30003)
    result = await notices.client.execute(notification(account, "sms", a_title(), recipients=[number]))
    assert kind_of(result) == ("SERVER_ERROR", "30003", "NOT_DONE")
    assert not result.contact_changes


async def test_no_number_is_texted_twice_for_the_sake_of_another(notices: Notices) -> None:
    """G5: once a text was taken, a refusal that a retry might mend is counted and not retried."""
    account, first, second = await notices.texting(), a_number(), a_number()
    await notices.twilio.control("next", match=second, status=429, code=20429)
    action = notification(account, "sms", a_title(), recipients=[first, second])
    told = output_of(await notices.client.execute(action))
    assert (told["recipients"], told["unreached"]) == (1, 1)
    alone = a_number()
    await notices.twilio.control("next", match=alone, status=429, code=20429)
    retried = notification(account, "sms", a_title(), recipients=[alone])
    assert kind_of(await notices.client.execute(retried)) == ("RATE_LIMIT", "20429", "NOT_DONE")


async def test_a_text_whose_answer_is_lost_is_uncertain(notices: Notices) -> None:
    """G5: a lost answer is told, beside texts that were taken and alone, and nothing is sent again."""
    account, first, second, alone = await notices.texting(), a_number(), a_number(), a_number()
    await notices.twilio.control("next", match=second, lose="after")
    both = notification(account, "sms", a_title(), recipients=[first, second])
    assert output_of(await notices.client.execute(both)) == {
        "channel": "sms",
        "sent": True,
        "recipients": 1,
        "uncertain": 1,
    }
    await notices.twilio.control("next", match=alone, lose="after")
    lost = notification(account, "sms", a_title(), recipients=[alone])
    assert kind_of(await notices.client.execute(lost)) == ("NETWORK", "CONNECTION_LOST", "INDETERMINATE")
    assert (await notices.client.reconcile(lost, fence=2)).finding == wire.FINDING_UNKNOWN
    assert [len(await notices.twilio.to("messages", one)) for one in (second, alone)] == [1, 1]


async def test_accounts_that_cannot_text_are_told_so(notices: Notices) -> None:
    account, number = next(ACCOUNTS), a_number()
    without = notification(account, "sms", a_title(), recipients=[number])
    assert output_of(await notices.client.execute(without))["problem"] == "NO_PROVIDER"
    bare = await notices.texting(sender="")
    nameless = notification(bare, "sms", a_title(), recipients=[number])
    assert output_of(await notices.client.execute(nameless))["problem"] == "NO_SENDER"


async def test_a_role_of_too_many_is_told_and_one_fewer_get_it(notices: Notices) -> None:
    account = await notices.texting()
    for index in range(101):
        await notices.user(account, f"u{index}", "all", phone=a_number())
    action = notification(account, "sms", a_title(), recipients=["role:all"])
    assert output_of(await notices.client.execute(action))["problem"] == "TOO_MANY_RECIPIENTS"
    gone = shown.DeleteUserRequest(account_id=account, user_id="u0")
    await notices.inbox.DeleteUser(gone, timeout=TIMEOUT_S)
    again = notification(account, "sms", a_title(), recipients=["role:all"])
    assert output_of(await notices.client.execute(again))["recipients"] == 100


async def test_same_key_twice_is_one_text(notices: Notices) -> None:
    account, number = await notices.texting(), a_number()
    await notices.user(account, "ada", phone=number)
    title = a_title()
    alike: dict[str, Any] = {"recipients": ["ada"], "dedup_window_seconds": 60}
    action = notification(account, "sms", title, **alike)
    results = [await notices.client.execute(action) for _ in range(2)]
    assert [one.replayed for one in results] == [False, True]
    assert (
        await notices.client.execute(notification(account, "sms", title, **alike))
    ).failure.code == "DEDUPLICATED"
    assert len(await notices.twilio.to("messages", number)) == 1


async def test_users_are_written_whole_paged_and_forgotten(notices: Notices) -> None:
    account = next(ACCOUNTS)
    await notices.user(account, "ada", "manager", "sales", email="ada@example.test", phone="+4930123456")
    await notices.user(account, "bob")
    await notices.user(account, "ada", "sales", email="ada@example.test")
    (first,), token = await notices.users(account, page_size=1)
    assert (first.user_id, first.email, first.phone, list(first.roles)) == (
        "ada",
        "ada@example.test",
        "",
        ["sales"],
    )
    (second,), end = await notices.users(account, page_size=1, page_token=token)
    assert (second.user_id, end) == ("bob", "")
    assert await notices.users(next(ACCOUNTS)) == ([], "")
    for _ in range(2):
        gone = shown.DeleteUserRequest(account_id=account, user_id="ada")
        await notices.inbox.DeleteUser(gone, timeout=TIMEOUT_S)
    assert [one.user_id for one in (await notices.users(account))[0]] == ["bob"]
    stored = await notices.client.database.fetch(
        "SELECT * FROM notification_user_role WHERE account_id = $1", account
    )
    assert not stored


@pytest.mark.parametrize(
    "faulty",
    [
        {"user_id": "owner"},
        {"user_id": "role:x"},
        {"user_id": "a b"},
        {"user_id": "ada", "email": "ada"},
        {"user_id": "ada", "phone": "030"},
        {"user_id": "ada", "roles": ["x", "x"]},
    ],
)
async def test_users_that_cannot_be(notices: Notices, faulty: dict[str, Any]) -> None:
    account = next(ACCOUNTS)
    request = shown.PutUserRequest(account_id=account, user=shown.User(**faulty))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await notices.inbox.PutUser(request, timeout=TIMEOUT_S)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await notices.users(account) == ([], "")


async def test_addresses_of_users_are_stored_sealed(notices: Notices) -> None:
    account = next(ACCOUNTS)
    await notices.user(account, "ada", email="verysecret@example.test", phone="+4930987654321")
    rows = await notices.client.database.fetch(
        "SELECT email_sealed, phone_sealed FROM notification_user WHERE account_id = $1", account
    )
    assert len(rows) == 1
    assert not [text for text in ("verysecret", "30987654321") if text in str(rows)]
