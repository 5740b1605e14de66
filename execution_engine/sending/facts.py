"""What is known of a contact that decides whether it may be written to; dispatcher/contacts.py loads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from execution_engine.sending.channels import Category, Channel


@dataclass(frozen=True, slots=True)
class Consent:
    """What the contact, or somebody for it, said of a channel and category."""

    granted: bool
    source: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Suppression:
    """An address nothing may be sent to. `category` None: nothing of any."""

    channel: Channel
    address_hash: bytes
    category: Category | None
    reason: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that was begun to be sent, by the step of an execution in a visit."""

    at: datetime
    channel: Channel
    category: Category
    step: tuple[str, str, int]
    """Execution, step id, visit."""


@dataclass(slots=True)
class Facts:
    """As they were read at revision `rev`; the commit of an intent compares it under the contact's lock."""

    rev: int
    opted_out: bool = False
    consents: Mapping[tuple[Channel, Category], Consent] = field(default_factory=dict)
    suppressions: tuple[Suppression, ...] = ()
    sent: tuple[Sent, ...] = ()
    """Lately, as far back as the account's caps reach; earliest first."""
    hashes: Mapping[str, bytes] = field(default_factory=dict)
    """Of the addresses whose suppressions were read, by address."""
