"""What a channel of the family is given to send and gives back; send_notification makes it."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

from services.executors.action import EffectKey

Severity: TypeAlias = Literal["info", "warning", "critical"]

LANE: Final = "notification"
USER_ID: Final = r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}"


class Notification(NamedTuple):
    """One notification, complete."""

    key: EffectKey
    title: str
    """One line."""
    body: str
    severity: Severity
    recipients: tuple[str, ...]
    """Users or addresses; empty where the account's settings say where."""

    @property
    def headline(self) -> str:
        """The title, with the severity where it is more than information."""
        return self.title if self.severity == "info" else f"[{self.severity}] {self.title}"


class Receipt(NamedTuple):
    """A notification that was taken."""

    refs: Mapping[str, str]
    """The channel's own names for it."""
    recipients: int = 1
    """How many it reached; of a place where many may look, one."""
    uncertain: int = 0
    """How many more it may have reached."""
