"""Each action type that acts through somebody else's service: the sandbox it goes to, how that is made to fail,
and what arrived there. The contract over all types is run over these.
"""

import asyncio
import itertools
import random
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from wayfarer.action.v1 import action_pb2
from wayfarer.action.v1.provider_service_pb2_grpc import ProviderServiceStub

from services.runtime.config import host_port
from services.runtime.grpc_client import open_channel
from tests.contract.executors.email_world import EmailWorld, ServedSandbox
from tests.contract.executors.membership_world import MembershipWorld
from tests.contract.executors.notification_world import Notices
from tests.contract.executors.phone_world import Phone, Sandbox
from tests.contract.executors.webhook_site import Hooks, new_account
from tests.contract.executors.world import ACCOUNT, Client, make_action

PAUSE_S = 7
_numbers = itertools.count(random.randrange(1_000_000, 9_000_000))
_REFUSALS: Mapping[str, Mapping[str, Any]] = {
    "429": {"status": 429, "retry_after": PAUSE_S},
    "503": {"status": 503, "retry_after": PAUSE_S},
    "500": {"status": 500},
    "400": {"status": 400},
    "reset": {"lose": "after"},
    "hang": {"hang": "after"},
}
"""As the sandboxes of misbehaviour.py take them."""


@dataclass(frozen=True, slots=True)
class Outside:
    """One type's way out, for one somebody whom nobody else reaches."""

    client: Client
    action_type: str
    config: Mapping[str, Any]
    account: int
    contact: Mapping[str, Any]
    personal: tuple[str, ...]
    """What must not be read anywhere."""
    misbehave: Callable[[str], Awaitable[object]]
    """Make the next request fail like this: 429, 503, 500, 400, reset, hang."""
    arrived: Callable[[], Awaitable[int]]
    outcome: action_pb2.Outcome.ValueType = action_pb2.OUTCOME_SUCCEEDED
    beside: bool = False
    """Whether a refusal for good is an output, not a failure."""

    def action(self, **changes: Any) -> action_pb2.Action:
        action = make_action(self.action_type, dict(self.config), contact=dict(self.contact), **changes)
        action.account_id = self.account
        return action


@dataclass(frozen=True, slots=True)
class Families:
    """Everything that is served."""

    communication: Client
    phone: Phone
    email: ServedSandbox
    membership: MembershipWorld
    notices: Notices
    hooks: Hooks
    sample: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The sample config of each type."""


def _reachable() -> dict[str, str]:
    return {
        "email": f"{uuid.uuid4().hex}@example.test",
        "phone": f"+1303{next(_numbers)}",
        "messenger_id": str(uuid.uuid4().int % 10**15),
        "first_name": f"Ada{uuid.uuid4().hex}",
        "last_name": f"Lovelace{uuid.uuid4().hex}",
    }


async def email(name: str, families: Families) -> Outside:
    contact = _reachable()
    to = contact["email"]
    async with open_channel(host_port(families.communication.address)) as channel:
        world = EmailWorld(families.communication, ProviderServiceStub(channel), families.email)
        account = await world.account_with("sendgrid")
    rules: Mapping[str, Mapping[str, Any]] = {
        "reset": {"reset": True, "taken": True},
        "hang": {"delay": 3},
        **{
            status: {
                "status": int(status),
                "headers": {"X-RateLimit-Reset": "0", **({"Retry-After": str(PAUSE_S)} if pauses else {})},
            }
            for status, pauses in (("429", True), ("503", True), ("500", False), ("400", False))
        },
    }

    async def arrived() -> int:
        return len(families.email.to(to))

    return Outside(
        families.communication,
        name,
        families.sample[name],
        account,
        contact,
        (to,),
        lambda fault: families.email.control("next", {"match": to, **rules[fault]}),
        arrived,
    )


async def _by_sandbox(
    name: str, families: Families, sandbox: Sandbox, kept: str, field_name: str, **more: Any
) -> Outside:
    contact = _reachable()
    place = contact[field_name]

    async def arrived() -> int:
        return len(await sandbox.to(kept, place))

    return Outside(
        families.communication,
        name,
        families.sample[name],
        ACCOUNT,
        contact,
        (place,),
        lambda fault: sandbox.control("next", match=place, **_REFUSALS[fault]),
        arrived,
        **more,
    )


async def text(name: str, families: Families) -> Outside:
    return await _by_sandbox(name, families, families.phone.twilio, "messages", "phone")


async def call(name: str, families: Families) -> Outside:
    pending = action_pb2.OUTCOME_PENDING
    return await _by_sandbox(name, families, families.phone.twilio, "calls", "phone", outcome=pending)


async def messenger(name: str, families: Families) -> Outside:
    return await _by_sandbox(name, families, families.phone.meta, "messages", "messenger_id")


async def courses(name: str, families: Families) -> Outside:
    world, contact = families.membership, _reachable()
    account = await world.account_at_thinkific()
    revokes = name == "revoke_course_access"
    if revokes:
        await world.grant(account, contact=contact)
    match = f"{'PUT' if revokes else 'POST'} enrollments {contact['email']}"

    async def arrived() -> int:
        return sum(one["expired"] == revokes for one in await world.site.enrollments(contact["email"]))

    return Outside(
        world.client,
        name,
        {"course": "masterclass"},
        account,
        contact,
        (contact["email"], contact["first_name"], contact["last_name"]),
        lambda fault: world.site.misbehave(match, **_REFUSALS[fault]),
        arrived,
    )


async def notification(name: str, families: Families) -> Outside:
    title, slack = f"Lead {uuid.uuid4().hex} replied", families.notices.slack
    account = await families.notices.bot(f"#c{uuid.uuid4().hex[:8]}")

    async def arrived() -> int:
        return len(await slack.texts(title))

    return Outside(
        families.notices.client,
        name,
        {"channel": "slack", "title": title, "body": "Call back."},
        account,
        {},
        (title,),
        lambda fault: slack.sandbox.control("next", match=title, **_REFUSALS[fault]),
        arrived,
        beside=True,
    )


async def webhook(name: str, families: Families) -> Outside:
    site, path, who = families.hooks.site, f"/outside/{uuid.uuid4()}", f"{uuid.uuid4().hex}@example.test"
    faults: list[str] = []
    taken: list[bytes] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        fault = faults.pop() if faults else ""
        rule = _REFUSALS.get(fault, {})
        if "status" in rule:
            headers = {"Retry-After": str(rule["retry_after"])} if "retry_after" in rule else {}
            return web.Response(status=rule["status"], headers=headers)
        taken.append(await request.read())
        if fault == "hang":
            await asyncio.Event().wait()
        if fault == "reset" and request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def misbehave(fault: str) -> None:
        faults.append(fault)

    async def arrived() -> int:
        return len(taken)

    site.handlers[path] = answer
    config = {"url": site.url(path), "method": "POST", "body": {"who": who}, "timeout_seconds": 1}
    personal = (who, path)
    return Outside(families.hooks.client, name, config, new_account(), {}, personal, misbehave, arrived)


WAYS: Mapping[str, Callable[[str, Families], Awaitable[Outside]]] = {
    "send_email": email,
    "send_sms": text,
    "make_call": call,
    "send_voicemail": call,
    "send_messenger": messenger,
    "grant_course_access": courses,
    "revoke_course_access": courses,
    "send_notification": notification,
    "webhook_call": webhook,
}
"""By action type."""
