"""Entry point `python -m services.executors.internal`: ActionExecutor and NotificationService."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

import asyncpg
from wayfarer.notification.v1.notification_service_pb2_grpc import add_NotificationServiceServicer_to_server

from services.executors import internal
from services.executors.family import Family, Parts, main
from services.executors.internal import slack, sms, webhook
from services.executors.internal.desk import Desk
from services.executors.internal.email import EmailPost
from services.executors.internal.inbox import Inbox
from services.executors.internal.notification_servicer import NotificationServicer
from services.executors.internal.people import People
from services.executors.internal.repeats import Repeats
from services.executors.mail.settings import MailSettings
from services.executors.phone import twilio
from services.executors.phone.callback_urls import CallbackUrls
from services.executors.providers.accounts import ProviderAccounts
from services.executors.providers.http_exchange import ProviderHttp
from services.executors.providers.offering import Chosen
from services.runtime.config import HostPort, host_ports, integer, number, setting
from services.runtime.keyring import Keyring
from services.runtime.lifecycle import periodic, supervise

_FORGET_EVERY_S: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(MailSettings):
    """What the internal family needs to know."""

    provider_allow: tuple[HostPort, ...] = setting(
        "WAYFARER_PROVIDER_ALLOW",
        host_ports,
        default=(),
        help="host:port pairs that accounts' Slack, webhooks and Twilio may be at although internal.",
    )
    provider_answer_s: float = setting(
        "WAYFARER_PROVIDER_ANSWER_S",
        number(1, 60),
        default=25.0,
        help="How long their answer is waited for, in seconds.",
    )
    notification_days: int = setting(
        "WAYFARER_NOTIFICATION_DAYS",
        integer(30, 3650),
        default=180,
        help="How long notifications in the application are kept.",
    )


async def open_parts(
    settings: Settings, stack: AsyncExitStack, pool: asyncpg.Pool, keyring: Keyring
) -> Parts:
    """Equip the internal family."""
    http = await stack.enter_async_context(
        ProviderHttp(frozenset(settings.provider_allow), answer_s=settings.provider_answer_s)
    )
    post = EmailPost(settings.mail_server, settings.mail_from)
    stack.push_async_callback(post.leave)
    accounts = ProviderAccounts(pool, keyring)
    offers = {"slack": slack.offered(http)}
    receivers = {"webhook": webhook.offered(http)}
    texts = {"twilio": twilio.offered(http, CallbackUrls("", keyring))}  # nobody asks how a user's text fares
    repeats, people, inbox = Repeats(pool, keyring), People(pool, keyring), Inbox(pool, keyring)
    keep = partial(inbox.forget, settings.notification_days)
    for name, forget in (("marks", repeats.forget), ("notifications", keep)):
        supervise(stack, periodic(_FORGET_EVERY_S, forget, asyncio.Event(), name=name), name)
    return Parts(
        Desk(
            repeats,
            people,
            inbox,
            post,
            Chosen(accounts, sms.CHANNEL, texts),
            Chosen(accounts, slack.CHANNEL, offers),
            Chosen(accounts, webhook.CHANNEL, receivers),
        ),
        ("wayfarer.notification.v1.NotificationService",),
        (partial(add_NotificationServiceServicer_to_server, NotificationServicer(inbox, people)),),
        providers={sms.CHANNEL: texts, slack.CHANNEL: offers, webhook.CHANNEL: receivers},
        accounts=accounts,
    )


FAMILY = Family("internal", internal, Settings, open_parts)

if __name__ == "__main__":
    main(FAMILY)
