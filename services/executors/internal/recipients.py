"""Reads the recipients of a notification: users, roles, the owner, addresses; send_notification asks.

One text names each: `owner`, `role:NAME`, a user's id, and, where the channel has such, an e-mail address or
a telephone number. An address has an @, a number begins with +; ids have neither.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from services.executors.internal.notification import USER_ID
from services.executors.mail.addresses import deliverable
from services.executors.phone.phone_numbers import e164

OWNER: Final = "owner"
"""Who owns the contact; no user has this id."""

Addressed: TypeAlias = Literal["in_app", "email", "sms"]
"""The channels whose notifications go to recipients."""

_ROLE: Final = "role:"
_FORMS: Final = {"in_app": "", "email": "an e-mail address, ", "sms": "a number such as +4930123456, "}
_USER: Final = re.compile(USER_ID)


@dataclass(frozen=True, slots=True)
class Named:
    """Who is meant, each once."""

    users: frozenset[str]
    roles: frozenset[str]
    addresses: tuple[str, ...]
    """In their order, in the form that is sent to."""
    nobody: int
    """How many times the owner is named of a contact that has none."""


def check(channel: Addressed, recipient: str) -> None:
    """Raise ValueError for what is no recipient of the channel."""
    if channel == "email" and "@" in recipient:
        deliverable(recipient)
    elif channel == "sms" and recipient.startswith("+"):
        e164(recipient)
    elif not _USER.fullmatch(recipient):
        raise ValueError(f"a recipient is not {_FORMS[channel]}owner, role:NAME or the id of a user")


def read(channel: Addressed, recipients: Sequence[str], owner: str) -> Named:
    """Sort recipients of which each passes `check`; `owner` is empty for none. Raises ValueError."""
    users: set[str] = set()
    roles: set[str] = set()
    addresses: dict[str, None] = {}
    nobody = 0
    for one in recipients:
        check(channel, one)
        if channel == "email" and "@" in one:
            addresses[deliverable(one)] = None
        elif channel == "sms" and one.startswith("+"):
            addresses[e164(one)] = None
        elif one == OWNER:
            users |= {owner} - {""}
            nobody += not owner
        elif one.startswith(_ROLE):
            roles.add(one.removeprefix(_ROLE))
        else:
            users.add(one)
    return Named(frozenset(users), frozenset(roles), tuple(addresses), nobody)
