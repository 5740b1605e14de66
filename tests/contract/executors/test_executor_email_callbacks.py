"""What providers post about e-mails: signed, forged, old, repeated, out of order; and links of our own.

R-ACT, R-WAIT-2: opens, clicks, bounces and complaints become events; R-SEND: unsubscribing.
"""

import html
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from wayfarer.action.v1 import action_pb2
from wayfarer.action.v1.provider_service_pb2_grpc import ProviderServiceStub
from yarl import URL

from services.runtime.config import host_port
from services.runtime.grpc_client import open_channel
from tests.contract.executors.email_world import (
    ACCOUNTS,
    KEYS,
    MESSAGE,
    EmailWorld,
    Post,
    ServedSandbox,
    address,
    reason,
)
from tests.contract.executors.world import Client, Mailbox

PIXEL = re.compile(r'<img src="(http://[^"/]+/o/[^"]+\.gif)"')
SENDGRID: dict[str, tuple[str, dict[str, object]]] = {
    "processed": ("email_processed", {}),
    "delivered": ("email_delivered", {}),
    "deferred": ("email_deferred", {"reason": "451 4.7.1 try again later"}),
    "bounce": ("email_bounced", {"kind": "hard", "reason": "550 5.1.1 no such user"}),
    "dropped": ("email_dropped", {"reason": "Bounced Address"}),
    "open": ("email_opened", {"machine_open": False}),
    "click": ("email_clicked", {"url": "https://example.com/"}),
    "spamreport": ("email_complained", {}),
    "unsubscribe": ("email_unsubscribed", {}),
    "group_unsubscribe": ("email_unsubscribed", {"group": "17"}),
}
RESEND: dict[str, tuple[str, dict[str, object]]] = {
    "email.sent": ("email_processed", {}),
    "email.delivered": ("email_delivered", {}),
    "email.delivery_delayed": ("email_deferred", {}),
    "email.bounced": ("email_bounced", {"kind": "hard", "reason": "550 5.1.1 no such user"}),
    "email.failed": ("email_dropped", {"reason": "reached_daily_quota"}),
    "email.suppressed": ("email_dropped", {"reason": "bounced before"}),
    "email.opened": ("email_opened", {}),
    "email.clicked": ("email_clicked", {"url": "https://example.com/"}),
    "email.complained": ("email_complained", {}),
}
EVENTS = {"sendgrid": SENDGRID, "resend": RESEND}
ONE = {"sendgrid": "delivered", "resend": "email.delivered"}


class Sent:
    """A message that went out, and the action that sent it."""

    def __init__(self, account: int, action: action_pb2.Action, message: dict[str, Any]) -> None:
        self.account = account
        self.action = action
        self.message = message
        self.address: str = message["to"][0]


@pytest.fixture(scope="module")
async def world(communication: Client, email_sandbox: ServedSandbox) -> AsyncIterator[EmailWorld]:
    async with open_channel(host_port(communication.address)) as channel:
        yield EmailWorld(communication, ProviderServiceStub(channel), email_sandbox)


async def sent(world: EmailWorld, provider: str, *, by: int = 0, **config: Any) -> Sent:
    account, to = by or await world.account_with(provider), address()
    action = world.action(account, to, {**MESSAGE, **config})
    result = await world.client.execute(action)
    assert result.outcome == action_pb2.OUTCOME_SUCCEEDED, result
    return Sent(account, action, world.served.to(to)[0])


async def refused(world: EmailWorld, account: int, provider: str, post: Post, **more: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await world.take(account, provider, post, **more)
    assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED
    name, metadata = reason(error.value)
    assert name == "CALLBACK_REFUSED"
    return metadata["code"]


@pytest.mark.parametrize("provider", KEYS)
async def test_every_kind_of_event_becomes_one_of_ours(world: EmailWorld, provider: str) -> None:
    one = await sent(world, provider)
    posts = await world.served.events(one.message, list(EVENTS[provider]))
    answers = [await world.take(one.account, provider, post) for post in posts]
    happenings = [happening for answer in answers for happening in answer.happenings]
    assert {answer.status for answer in answers} == {200}
    assert [(each.type, json.loads(each.attributes)) for each in happenings] == list(
        EVENTS[provider].values()
    )
    assert len({each.id for each in happenings}) == len(happenings)
    for each in happenings:
        assert each.effect_key == one.action.effect_key
        assert each.contact_id == one.action.contact_id
        assert (each.account_id, each.address) == (one.account, one.address)
        assert each.occur_time.seconds > 1_700_000_000


@pytest.mark.parametrize(
    ("provider", "event", "data", "attributes"),
    [
        ("sendgrid", "bounce", {"type": "blocked", "reason": "full"}, {"kind": "soft", "reason": "full"}),
        ("sendgrid", "open", {"sg_machine_open": True}, {"machine_open": True}),
        (
            "resend",
            "email.bounced",
            {"bounce": {"type": "Transient", "message": "full"}},
            {"kind": "soft", "reason": "full"},
        ),
    ],
)
async def test_finer_points(
    world: EmailWorld, provider: str, event: str, data: dict[str, Any], attributes: dict[str, Any]
) -> None:
    one = await sent(world, provider)
    (post,) = await world.served.events(one.message, event, data=data)
    (happening,) = (await world.take(one.account, provider, post)).happenings
    assert json.loads(happening.attributes) == attributes


@pytest.mark.parametrize("provider", KEYS)
async def test_a_repeated_post_tells_the_same(world: EmailWorld, provider: str) -> None:
    one = await sent(world, provider)
    first, second = await world.served.events(one.message, ONE[provider], repeat=2)
    answers = [await world.take(one.account, provider, post) for post in (first, second, first)]
    assert len({answer.happenings[0].id for answer in answers}) == 1


@pytest.mark.parametrize("provider", KEYS)
async def test_out_of_order_is_told_as_it_comes(world: EmailWorld, provider: str) -> None:
    one = await sent(world, provider)
    names = list(EVENTS[provider])[:2]
    posts = await world.served.events(one.message, names, reorder=True)
    types = [
        each.type for post in posts for each in (await world.take(one.account, provider, post)).happenings
    ]
    assert types == ["email_delivered", "email_processed"]


@pytest.mark.parametrize("provider", KEYS)
async def test_what_is_no_event_of_an_email_is_taken_and_tells_nothing(
    world: EmailWorld, provider: str
) -> None:
    one = await sent(world, provider)
    other = {"sendgrid": "group_resubscribe", "resend": "email.scheduled"}[provider]
    (post,) = await world.served.events(one.message, other)
    answer = await world.take(one.account, provider, post)
    assert (answer.status, list(answer.happenings)) == (200, [])


@pytest.mark.parametrize("provider", KEYS)
async def test_forged_posts_are_refused(world: EmailWorld, provider: str) -> None:
    one = await sent(world, provider)
    (forged,) = await world.served.events(one.message, ONE[provider], forge=True)
    assert await refused(world, one.account, provider, forged) == "SIGNATURE"
    (good,) = await world.served.events(one.message, ONE[provider])
    altered = good.body.replace(one.address.encode(), b"x" + one.address[1:].encode())
    assert altered != good.body
    assert await refused(world, one.account, provider, Post(good.headers, altered)) == "SIGNATURE"
    assert await refused(world, one.account, provider, Post({}, good.body)) == "SIGNATURE"
    stamps = ("x-twilio-email-event-webhook-timestamp", "svix-timestamp")
    later = {name: str(int(value) + 9) if name in stamps else value for name, value in good.headers.items()}
    assert await refused(world, one.account, provider, Post(later, good.body)) == "SIGNATURE"


@pytest.mark.parametrize("provider", KEYS)
async def test_old_posts_are_refused(world: EmailWorld, provider: str) -> None:
    one = await sent(world, provider)
    (fresh,) = await world.served.events(one.message, ONE[provider], age_s=280)
    assert len((await world.take(one.account, provider, fresh)).happenings) == 1
    (old,) = await world.served.events(one.message, ONE[provider], age_s=320)
    assert await refused(world, one.account, provider, old) == "TOO_OLD"
    (early,) = await world.served.events(one.message, ONE[provider])
    assert await refused(world, one.account, provider, early, age_s=-320) == "TOO_OLD"


@pytest.mark.parametrize("provider", KEYS)
async def test_a_signed_body_that_cannot_be_read_is_refused(world: EmailWorld, provider: str) -> None:
    account, signer = await world.account_with(provider), world.served.sandbox.signer
    for body in (
        b"{",
        b"7",
        b'[{"event": "open"}]' if provider == "sendgrid" else b'{"type": "email.opened"}',
    ):
        signed = signer.sendgrid(body) if provider == "sendgrid" else signer.resend("msg_1", body)
        post = Post({name.lower(): value for name, value in signed.items()}, body)
        assert await refused(world, account, provider, post) == "MALFORMED"


async def test_without_a_key_to_verify_nothing_is_taken(world: EmailWorld) -> None:
    one = await sent(world, "sendgrid")
    (post,) = await world.served.events(one.message, "delivered")
    account = await world.account_with("sendgrid", webhook_public_key="")
    assert await refused(world, account, "sendgrid", post) == "NOT_CONFIGURED"


@pytest.mark.parametrize("provider", KEYS)
async def test_another_accounts_effect_is_not_spoken_of(world: EmailWorld, provider: str) -> None:
    one = await sent(world, provider)
    stranger = await world.account_with(provider)
    (post,) = await world.served.events(one.message, ONE[provider])
    (happening,) = (await world.take(stranger, provider, post)).happenings
    assert not happening.HasField("effect_key")
    assert (happening.account_id, happening.contact_id, happening.address) == (stranger, b"", one.address)


@pytest.mark.parametrize(
    ("account", "provider"), [(0, "sendgrid"), (1, "resend"), (1, "smtp"), (1, "nobody")]
)
async def test_providers_nobody_chose_are_unknown(world: EmailWorld, account: int, provider: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await world.take(account, provider, Post({}, b""))
    assert error.value.code() == grpc.StatusCode.NOT_FOUND


async def test_a_mail_server_calls_nobody_back(world: EmailWorld, mailbox: Mailbox) -> None:
    account = next(ACCOUNTS)
    settings = {"from_email": "hello@sender.test", "host": mailbox.host, "port": mailbox.port}
    await world.put(account, "smtp", settings, {})
    assert await refused(world, account, "smtp", Post({}, b"")) == "NO_CALLBACKS"


LINKS = (
    '<body class="a"><a href="https://shop.example/?a=1&amp;b=ö">one</a> <A class=x HREF=\'http://b.example\'>two</A>'
    '<a href="mailto:x@y.test">three</a><a data-href="https://no.example">four</a></body>'
)


async def test_clicks_lead_on_and_are_told(world: EmailWorld) -> None:
    one = await sent(world, "sendgrid", html=LINKS, track_clicks=True)
    found = [
        html.unescape(url) for _, url in re.findall(r"""\bhref=(["'])(.*?)\1""", one.message["html"], re.I)
    ]
    first, second, *rest = found
    assert rest == ["mailto:x@y.test", "https://no.example"]
    answer = await world.visit(first)
    assert (answer.status, answer.location) == (302, "https://shop.example/?a=1&b=ö")
    (clicked,) = answer.happenings
    assert (clicked.type, json.loads(clicked.attributes)) == ("email_clicked", {"url": answer.location})
    assert clicked.effect_key == one.action.effect_key
    assert (clicked.account_id, clicked.contact_id) == (one.account, one.action.contact_id)
    assert (await world.visit(second)).location == "http://b.example"
    looked = await world.visit(first, "HEAD")
    assert (looked.location, list(looked.happenings)) == (answer.location, [])


async def test_a_links_target_cannot_be_changed(world: EmailWorld) -> None:
    one = await sent(world, "sendgrid", html=LINKS, track_clicks=True)
    other = await sent(world, "sendgrid", by=one.account, html=LINKS, track_clicks=True)
    link, theirs = (
        URL(html.unescape(re.findall(r'href="(http://[^"]+/c/[^"]+)"', each.message["html"])[0]))
        for each in (one, other)
    )
    tampered = [
        link.update_query(u="https://evil.example"),
        link.update_query(s="A" * 22),
        link.with_query(u=link.query["u"]),
        link.with_path(theirs.path, keep_query=True),
        link.with_path(link.path[:-4] + "AAAA", keep_query=True),
        link.with_path("/x/" + link.name, keep_query=True),
        URL("https://go.example.test/"),
    ]
    for url in tampered:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await world.visit(str(url))
        assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED, url


async def test_opens_are_told_and_machines_for_what_they_are(world: EmailWorld) -> None:
    one = await sent(world, "resend", html="<html><body>x</body></html>", track_opens=True)
    (pixel,) = PIXEL.findall(one.message["html"])
    assert one.message["html"].endswith('"></body></html>')
    person = await world.visit(pixel, headers={"user-agent": "Thunderbird"})
    assert (person.content_type, person.body[:6]) == ("image/gif", b"GIF89a")
    machine = await world.visit(pixel, headers={"user-agent": "Mozilla/5.0"})
    seen = [json.loads(answer.happenings[0].attributes) for answer in (person, machine)]
    assert seen == [{"machine_open": False}, {"machine_open": True}]
    assert person.happenings[0].type == "email_opened"
    assert person.happenings[0].id != machine.happenings[0].id


async def test_unsubscribing_takes_a_post_and_is_told_once(world: EmailWorld) -> None:
    one = await sent(world, "sendgrid")
    url = one.message["headers"]["List-Unsubscribe"].strip("<>")
    asked = await world.visit(url)
    assert (list(asked.happenings), asked.content_type) == ([], "text/html; charset=utf-8")
    assert b'<form method="post">' in asked.body
    posted = [await world.visit(url, "POST", body=b"List-Unsubscribe=One-Click") for _ in range(2)]
    assert {answer.status for answer in posted} == {200}
    left = posted[0].happenings[0]
    assert (left.type, json.loads(left.attributes)) == ("email_unsubscribed", {"category": "marketing"})
    assert left.contact_id == one.action.contact_id
    assert left.id == posted[1].happenings[0].id


@pytest.mark.parametrize("token", ["", "x", "A" * 120, "0123456789abcdef" * 2])
async def test_forged_tokens_unsubscribe_nobody(world: EmailWorld, token: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await world.visit(f"https://go.example.test/u/{token}", "POST", body=b"List-Unsubscribe=One-Click")
    assert reason(error.value) == ("CALLBACK_REFUSED", {"code": "TOKEN"})


async def test_untracked_messages_are_left_as_written(world: EmailWorld) -> None:
    one = await sent(world, "sendgrid", html=LINKS)
    assert one.message["html"] == LINKS
