"""Entry point `python -m services.executors.communication`."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncpg

from services.executors import communication
from services.executors.communication.callback_urls import CallbackUrls
from services.executors.communication.mailer import Mailer, Sender, sender
from services.executors.communication.provider_http import ProviderHttp
from services.executors.communication.senders import AccountSenders, KnownAccounts, Senders
from services.executors.family import Family, FamilySettings, Parts, main
from services.runtime.config import integer, setting, text
from services.runtime.keyring import Keyring


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(FamilySettings):
    """What the communication family needs to know."""

    smtp_host: str = setting("WAYFARER_SMTP_HOST", text, help="The mail server.")
    smtp_port: int = setting("WAYFARER_SMTP_PORT", integer(1, 65535), default=25, help="Its port.")
    smtp_user: str = setting("WAYFARER_SMTP_USER", text, default="", help="Empty for no login.")
    smtp_password: str = setting(
        "WAYFARER_SMTP_PASSWORD", text, default="", secret=True, help="Of that user."
    )
    mail_from: Sender = setting("WAYFARER_MAIL_FROM", sender, help='"Name <address>" or an address.')
    public_url: str = setting(
        "WAYFARER_PUBLIC_URL", text, default="", help="Where providers reach us; empty if they cannot."
    )


@dataclass(frozen=True, slots=True)
class Tools:
    """What the actions of this family use."""

    mailer: Mailer
    senders: Senders


async def open_parts(
    settings: Settings, stack: AsyncExitStack, pool: asyncpg.Pool, keyring: Keyring
) -> Parts:
    """Equip the communication family."""
    mailer = Mailer(
        settings.smtp_host,
        settings.smtp_port,
        settings.mail_from,
        user=settings.smtp_user,
        password=settings.smtp_password,
    )
    http = await stack.enter_async_context(ProviderHttp())
    senders = AccountSenders(KnownAccounts({}), http, CallbackUrls(settings.public_url, keyring))
    return Parts(Tools(await stack.enter_async_context(mailer), senders))


FAMILY = Family("communication", communication, Settings, open_parts)

if __name__ == "__main__":
    main(FAMILY)
