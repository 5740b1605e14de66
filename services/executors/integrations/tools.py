"""What the integrations family's actions are given; `__main__.py` makes it."""

from dataclasses import dataclass

from services.executors.integrations.account_book import AccountBook
from services.executors.integrations.caller import WebhookCaller
from services.executors.integrations.standings import Standings


@dataclass(frozen=True, slots=True)
class Tools:
    """The way out, and what accounts keep for it."""

    caller: WebhookCaller
    book: AccountBook
    standings: Standings
    signing_secret: str
    """The process-wide one, for accounts without their own; empty: their calls are not signed."""
