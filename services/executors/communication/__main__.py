"""Entry point `python -m services.executors.communication`."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncpg

from services.executors import communication
from services.executors.communication import meta, resend, sendgrid, smtp
from services.executors.communication.email import CHANNEL, EmailProvider
from services.executors.communication.meta import Meta
from services.executors.communication.send_email import Post
from services.executors.communication.senders import Senders
from services.executors.communication.tracking import Tracking
from services.executors.family import Family, Parts, main
from services.executors.mail.settings import MailSettings
from services.executors.phone import twilio
from services.executors.phone.callback_urls import CallbackUrls
from services.executors.phone.twilio import Twilio
from services.executors.providers.accounts import ProviderAccounts
from services.executors.providers.effect_token import EffectTokens
from services.executors.providers.http_exchange import ProviderHttp
from services.executors.providers.offering import Chosen, Offers
from services.runtime.config import HostPort, host_ports, number, setting, text
from services.runtime.keyring import Keyring


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(MailSettings):
    """What the communication family needs to know."""

    provider_allow: tuple[HostPort, ...] = setting(
        "WAYFARER_PROVIDER_ALLOW",
        host_ports,
        default=(),
        help="host:port pairs that accounts' providers may be at although internal.",
    )
    provider_answer_s: float = setting(
        "WAYFARER_PROVIDER_ANSWER_S",
        number(1, 60),
        default=25.0,
        help="How long a provider's answer is waited for, in seconds.",
    )
    public_url: str = setting(
        "WAYFARER_PUBLIC_URL",
        text,
        default="",
        help="Where our links and providers' callbacks lead; empty: none do.",
    )


@dataclass(frozen=True, slots=True)
class Tools:
    """What the actions of this family use."""

    post: Post
    senders: Senders


async def open_parts(
    settings: Settings, stack: AsyncExitStack, pool: asyncpg.Pool, keyring: Keyring
) -> Parts:
    """Equip the communication family."""
    return await equip(settings, stack, ProviderAccounts(pool, keyring), keyring)


async def equip(
    settings: Settings, stack: AsyncExitStack, accounts: ProviderAccounts, keyring: Keyring
) -> Parts:
    """Equip the family for what these accounts have chosen."""
    allow = frozenset(settings.provider_allow)
    http = await stack.enter_async_context(ProviderHttp(allow, answer_s=settings.provider_answer_s))
    tokens = EffectTokens(keyring)
    tracking = Tracking(settings.public_url, keyring, tokens)
    urls = CallbackUrls(settings.public_url, keyring)
    shared = smtp.SmtpProvider(settings.mail_server, settings.mail_from, shared=True)
    stack.push_async_callback(shared.leave)
    mail: Offers[EmailProvider] = {
        "smtp": smtp.offered(allow),
        "sendgrid": sendgrid.offered(http, tokens),
        "resend": resend.offered(http, tokens),
    }
    phone: Offers[Twilio] = {"twilio": twilio.offered(http, urls)}
    pages: Offers[Meta] = {"meta": meta.offered(http)}
    chosen = Chosen(accounts, CHANNEL, mail, shared)
    stack.callback(chosen.close)
    senders = Senders(
        Chosen(accounts, "sms", phone), Chosen(accounts, "voice", phone), Chosen(accounts, "messenger", pages)
    )
    return Parts(
        Tools(Post(chosen, tokens, tracking), senders),
        providers={CHANNEL: mail, "sms": phone, "voice": phone, "messenger": pages},
        own_callbacks={CHANNEL: tracking},
        accounts=accounts,
    )


FAMILY = Family("communication", communication, Settings, open_parts)

if __name__ == "__main__":
    main(FAMILY)
