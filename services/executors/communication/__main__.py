"""Entry point `python -m services.executors.communication`."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncpg

from services.executors import communication
from services.executors.communication import resend, sendgrid, smtp
from services.executors.communication.addresses import Sender, sender
from services.executors.communication.email import CHANNEL, EmailProvider
from services.executors.communication.mailer import Server
from services.executors.communication.send_email import Post
from services.executors.communication.tracking import Tracking
from services.executors.family import Family, FamilySettings, Parts, main
from services.executors.providers.accounts import ProviderAccounts
from services.executors.providers.effect_token import EffectTokens
from services.executors.providers.http_exchange import ProviderHttp
from services.executors.providers.offering import Chosen, Offers
from services.runtime.config import HostPort, host_ports, integer, setting, text
from services.runtime.keyring import Keyring


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(FamilySettings):
    """What the communication family needs to know."""

    smtp_host: str = setting("WAYFARER_SMTP_HOST", text, help="The mail server of accounts without one.")
    smtp_port: int = setting("WAYFARER_SMTP_PORT", integer(1, 65535), default=25, help="Its port.")
    smtp_user: str = setting("WAYFARER_SMTP_USER", text, default="", help="Empty for no login.")
    smtp_password: str = setting(
        "WAYFARER_SMTP_PASSWORD", text, default="", secret=True, help="Of that user."
    )
    mail_from: Sender = setting("WAYFARER_MAIL_FROM", sender, help='"Name <address>" or an address.')
    provider_allow: tuple[HostPort, ...] = setting(
        "WAYFARER_PROVIDER_ALLOW",
        host_ports,
        default=(),
        help="host:port pairs that accounts' providers may be at although internal.",
    )
    public_url: str = setting(
        "WAYFARER_PUBLIC_URL", text, default="", help="Where our links lead; empty: messages have none."
    )


async def open_parts(
    settings: Settings, stack: AsyncExitStack, pool: asyncpg.Pool, keyring: Keyring
) -> Parts:
    """Equip the communication family."""
    allow = frozenset(settings.provider_allow)
    http = await stack.enter_async_context(ProviderHttp(allow))
    tokens = EffectTokens(keyring)
    tracking = Tracking(settings.public_url, keyring, tokens)
    accounts = ProviderAccounts(pool, keyring)
    shared = smtp.SmtpProvider(_server(settings), settings.mail_from, shared=True)
    stack.push_async_callback(shared.leave)
    offers: Offers[EmailProvider] = {
        "smtp": smtp.offered(allow),
        "sendgrid": sendgrid.offered(http, tokens),
        "resend": resend.offered(http, tokens),
    }
    chosen = Chosen(accounts, CHANNEL, offers, shared)
    stack.callback(chosen.close)
    return Parts(
        Post(chosen, tokens, tracking),
        providers={CHANNEL: offers},
        own_callbacks={CHANNEL: tracking},
        accounts=accounts,
    )


def _server(settings: Settings) -> Server:
    return Server(settings.smtp_host, settings.smtp_port, settings.smtp_user, settings.smtp_password)


FAMILY = Family("communication", communication, Settings, open_parts)

if __name__ == "__main__":
    main(FAMILY)
