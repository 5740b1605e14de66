"""What a crm at a provider does, as leadconnector.py; carrying.py asks the one an account chose.

Such an account's contacts are there and here: what the engine reads of them (fields, tags, owner) is kept
here too, once the provider has it. Notes, tasks, campaigns and opportunities are there only.
"""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple, Protocol

from services.executors.action import (
    Certainty,
    EffectKey,
    ErrorClass,
    Failed,
    JsonObject,
    Succeeded,
)
from services.executors.gate import SendGate
from services.executors.providers.provider import ProviderError

CHANNEL: Final = "crm"
"""What accounts choose a provider for."""
CONTACT_GONE: Final = "CONTACT_GONE"
"""The code of a refusal because the contact that was named is not there any more."""


class Person(NamedTuple):
    """A contact as a provider may be told of it; what is not known is empty."""

    contact_id: uuid.UUID
    email: str = ""
    phone: str = ""
    first_name: str = ""
    last_name: str = ""
    time_zone: str = ""


class Turn(NamedTuple):
    """Which attempt has an errand; of two the greater is the later."""

    fence: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Errand:
    """One effect that is to be done, or was, at a provider."""

    effect: EffectKey
    action_type: str
    contact_id: uuid.UUID
    config: JsonObject
    """As its Config gives it back: JSON."""
    plan: JsonObject
    """What was decided here before: `owner` (or null) and, for assign_to_user, `user_id`."""
    turn: Turn
    """The attempt it was given to, the only one that may note anything."""
    sent: JsonObject | None = None
    """What was noted right before the first byte; None if nothing was sent, or provably not taken."""
    result: Succeeded | None = None
    """What it came to, once it is done here and there."""


Note = Callable[[JsonObject], Awaitable[None]]


class Way(NamedTuple):
    """How an errand goes out: a provider notes what it can be asked by, then changes, passing the gate."""

    gate: SendGate
    note: Note


@dataclass(frozen=True, slots=True)
class Carried:
    """It was done: what later steps may read, and the provider's ids."""

    output: JsonObject
    refs: Mapping[str, str] = field(default_factory=dict)
    their_id: str = ""
    """Of a contact that was made or found for create_contact."""


class Sight(Enum):
    """What looking for an errand that may have been done shows, if not that it was."""

    NOT_THERE = "not_there"
    """It was not done."""
    HARMLESS = "harmless"
    """That cannot be told, or it was done in part; doing it again changes nothing else."""
    CANNOT_TELL = "cannot_tell"
    """That cannot be told, and doing it again would do it twice."""


class CrmProvider(Protocol):
    """Does what the family's action types say. Everything raises ProviderError, AttemptStoppedError."""

    @property
    def site(self) -> str:
        """Where its ids of contacts are valid."""
        ...

    async def know(self, person: Person, gate: SendGate) -> str:
        """Give their id of a contact, who is made there if need be."""
        ...

    async def carry(self, errand: Errand, their_id: str, way: Way) -> Carried:
        """Do it; `their_id` is the contact's, empty for create_contact."""
        ...

    async def look(self, errand: Errand, their_id: str) -> Carried | Sight:
        """Look whether an errand that was sent has been done. Changes nothing."""
        ...


def refused(error_class: ErrorClass, code: str, message: str) -> ProviderError:
    """Make the error of something that was not done."""
    return ProviderError(Failed(error_class, code, message, Certainty.NOT_DONE))
