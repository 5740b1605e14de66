"""What an action file is written with; every module of a family that serves an action type imports it.

An action type is one module that defines `Config` (what people may write), one of

    async def run(call, tools) -> Result                       # talks to a provider
    async def apply(connection, calls, tools) -> list[Result]  # DeliveryClass.TX: writes our own database

and `ACTION`, an ActionDefinition that names them. The runtime owns the rest: the effect ledger, deadlines,
replays, batches, limits.
"""

import re
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

import asyncpg
import orjson
from pydantic import BaseModel, ConfigDict
from wayfarer.action.v1 import action_pb2
from wayfarer.common.v1 import failure_pb2

from services.executors.gate import SendGate

JsonObject: TypeAlias = dict[str, object]

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
CHANNELS: Final = ("", "email", "sms", "voice", "messenger")
_NO_CONTACT: Final[Mapping[str, object]] = {}


class DeliveryClass(IntEnum):
    """How surely an effect happens once; the values are the proto's."""

    TX = action_pb2.DELIVERY_CLASS_TX
    KEYED = action_pb2.DELIVERY_CLASS_KEYED
    UNKEYED_AT_MOST_ONCE = action_pb2.DELIVERY_CLASS_UNKEYED_AT_MOST_ONCE
    UNKEYED_AT_LEAST_ONCE = action_pb2.DELIVERY_CLASS_UNKEYED_AT_LEAST_ONCE


class ErrorClass(IntEnum):
    """What is worth doing about a failure; the values are the proto's."""

    TIMEOUT = failure_pb2.ERROR_CLASS_TIMEOUT
    RATE_LIMIT = failure_pb2.ERROR_CLASS_RATE_LIMIT
    SERVER_ERROR = failure_pb2.ERROR_CLASS_SERVER_ERROR
    NETWORK = failure_pb2.ERROR_CLASS_NETWORK
    VALIDATION = failure_pb2.ERROR_CLASS_VALIDATION
    NOT_FOUND = failure_pb2.ERROR_CLASS_NOT_FOUND
    AUTHENTICATION = failure_pb2.ERROR_CLASS_AUTHENTICATION
    AUTHORIZATION = failure_pb2.ERROR_CLASS_AUTHORIZATION
    CONFIGURATION = failure_pb2.ERROR_CLASS_CONFIGURATION
    CONTACT_DATA = failure_pb2.ERROR_CLASS_CONTACT_DATA
    DATABASE = failure_pb2.ERROR_CLASS_DATABASE
    INDETERMINATE = failure_pb2.ERROR_CLASS_INDETERMINATE


class Certainty(IntEnum):
    """What a failed attempt leaves known of its effect; the values are the proto's."""

    NOT_DONE = action_pb2.CERTAINTY_NOT_DONE
    INDETERMINATE = action_pb2.CERTAINTY_INDETERMINATE


class ActionConfig(BaseModel):
    """The base of every Config: frozen, and nothing that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


ConfigT = TypeVar("ConfigT", bound=ActionConfig)
ToolsT = TypeVar("ToolsT")


class EffectKey(NamedTuple):
    """What an effect is deduplicated by; orders as the ledger's primary key does."""

    account_id: int
    execution_id: uuid.UUID
    step_id: str
    visit: int

    def __str__(self) -> str:
        return f"{self.execution_id}.{self.step_id}.{self.visit}"


class Call(NamedTuple, Generic[ConfigT]):
    """One attempt, as an action sees it. A tuple: it is made on the hot path (0.25 µs, a dataclass 2)."""

    key: EffectKey
    contact_id: uuid.UUID
    config: ConfigT
    contact: Mapping[str, object]
    """The contact's fields the definition asked for."""
    attempt: int
    """From 1."""
    fence: int
    deadline: float
    """The loop time after which no effect may begin."""
    traceparent: str
    gate: SendGate
    """Passed right before the first byte of the effect leaves; see SendGate.begin."""


class ConfigFault(NamedTuple):
    """What is wrong with a config, found by an action's own `examine`."""

    path: str
    """Dotted; empty for the whole."""
    message: str
    rule: str
    """lower_snake."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The effect happened."""

    output: bytes = b""
    """A JSON object for later steps, at most 16 KiB; empty for none. `succeeded` makes it from a dict."""
    refs: tuple[tuple[str, str], ...] = ()
    """The provider's own ids."""
    contact_changes: bytes = b""
    """A JSON object of changes that are the orchestrator's to make; see also providers/suppression.py."""
    constant: bool = False
    """Set on a module's constants without personal data: encoded once, stored unsealed."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """There was nothing to do, or a rule forbade it."""

    reason: str
    """UPPER_SNAKE, e.g. "RECIPIENT_SUPPRESSED"."""
    message: str = ""
    contact_changes: bytes = b""
    """As in Succeeded."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not now; spends no attempt."""

    after: timedelta
    reason: str = "DEFERRED"
    message: str = ""
    provider: str = ""
    """Whose affair it is; the family's own if empty."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed. `message` holds no credentials, and no personal data unless it is `private`."""

    error_class: ErrorClass
    code: str
    message: str
    certainty: Certainty
    retry_after: timedelta | None = None
    provider: str = ""
    """Who failed; the family itself if empty."""
    lane: str = ""
    """The rate lane that must pause for retry_after."""
    refs: tuple[tuple[str, str], ...] = ()
    """Of an INDETERMINATE one: what `find` may look the effect up by. Stored sealed."""
    contact_changes: bytes = b""
    """As in Succeeded."""
    constant: bool = False
    """As in Succeeded."""
    final: bool = False
    """Set on an INDETERMINATE one that must not be tried again, whatever its type's delivery class."""
    needs_reauthorisation: bool = False
    """Set if the provider refuses the account's credentials, so that all that follows would fail as well."""
    private: bool = False
    """Set if the message may hold what the account's own data made it say: the ledger seals it."""


@dataclass(frozen=True, slots=True)
class Pending:
    """Under way at the provider; a callback or the deadline ends it."""

    refs: tuple[tuple[str, str], ...] = ()


Result: TypeAlias = Succeeded | Skipped | Deferred | Failed | Pending
Run: TypeAlias = Callable[[Call[ConfigT], ToolsT], Awaitable[Result]]
Apply: TypeAlias = Callable[
    [asyncpg.Connection, Sequence[Call[ConfigT]], ToolsT], Awaitable[Sequence[Result]]
]

Find: TypeAlias = Callable[[EffectKey, Mapping[str, str], ToolsT], Awaitable[Result | None]]


class NotExaminedError(Exception):
    """An action's `examine` cannot tell now; asking again may help."""


class DefinitionError(Exception):
    """An action module is not complete; the process does not start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionDefinition(Generic[ConfigT, ToolsT]):
    """One action type. Raises DefinitionError for parts that do not fit together."""

    name: str
    summary: str
    config: type[ConfigT]
    sample: Mapping[str, object]
    """A config that works."""
    delivery: DeliveryClass
    run: Run[ConfigT, ToolsT] | None = None
    apply: Apply[ConfigT, ToolsT] | None = None
    """For TX instead of `run`: the whole batch's effects in the caller's transaction, results in order.

    Calls come ordered by (account, contact, key), all of one type; a Failed result must leave no trace.
    """
    elsewhere: Run[ConfigT, ToolsT] | None = None
    """For TX, beside `apply`: how it is done for accounts that keep the data at a provider (elsewhere.py)."""
    elsewhere_summary: str = ""
    """What such accounts get, and how surely."""
    find: Find[ToolsT] | None = None
    """Asks the provider what became of an effect that is UNKNOWN, or was PENDING; Reconcile calls it.

    It gets the refs of the recorded result, none if the process died before one. Succeeded, Skipped or
    Pending: it happened. A Failed that is NOT_DONE: it provably did not. None, and all else: nobody can tell.
    """
    preview: Callable[[Call[ConfigT]], JsonObject] | None = None
    """What would be sent or changed; the config itself if None."""
    examine: Callable[[Mapping[str, object], ToolsT], Awaitable[Sequence[ConfigFault]]] | None = None
    """What Validate finds beyond `config`, in a config as written, whatever else is wrong with it.

    Raises NotExaminedError; Validate's callers wait 12 seconds.
    """
    contact_fields: tuple[str, ...] = ()
    sensitive_fields: tuple[str, ...] = ()
    timeout: timedelta = timedelta(seconds=30)
    max_retries: int = 3
    max_batch: int = 200
    lanes: tuple[str, ...] = ()
    emits: Mapping[str, str] = field(default_factory=dict)
    """Event type → the output (else config) field whose value it carries, when the output says `changed`."""
    channel: str = ""
    """How it reaches the contact, if it is a message: email, sms, voice, messenger. Its config then has
    `category`, and `to` if it may go elsewhere than to the contact's own address."""
    key_window: timedelta | None = None
    version: int = 1

    def __post_init__(self) -> None:
        faults = [
            text
            for wrong, text in (
                (not _NAME.fullmatch(self.name), "the name is not lower_snake, at most 64 characters"),
                (not self.summary, "there is no summary"),
                ((self.delivery is DeliveryClass.TX) != (self.apply is not None), "TX goes with apply"),
                ((self.run is None) == (self.apply is None), "it needs one of run and apply"),
                (self.elsewhere is not None and self.apply is None, "elsewhere goes with apply"),
                ((self.elsewhere is None) != (not self.elsewhere_summary), "elsewhere goes with its summary"),
                (self.find is not None and self.outside is None, "find goes with run or elsewhere"),
                (
                    (self.delivery is DeliveryClass.KEYED) != (self.key_window is not None),
                    "KEYED goes with key_window",
                ),
                (self.channel not in CHANNELS, f"its channel is none of {', '.join(CHANNELS)}"),
                (not 1 <= self.max_batch <= 1000, "max_batch is not within 1..1000"),
            )
            if wrong
        ]
        if faults:
            raise DefinitionError(f"action {self.name!r}: {'; '.join(faults)}")

    @property
    def outside(self) -> Run[ConfigT, ToolsT] | None:
        """How it is done outside our own databases, if it ever is."""
        return self.run or self.elsewhere


def succeeded(
    output: Mapping[str, object] | None = None,
    *,
    refs: Mapping[str, str] | None = None,
    contact_changes: Mapping[str, object] | None = None,
) -> Succeeded:
    """Make a Succeeded from plain values."""
    return Succeeded(
        orjson.dumps(output) if output else b"",
        tuple((refs or {}).items()),
        orjson.dumps(contact_changes) if contact_changes else b"",
    )


def contact_fields(raw: bytes) -> Mapping[str, object]:
    """Read the contact's declared fields off the wire. Raises ValueError if they are no JSON object."""
    if not raw:
        return _NO_CONTACT
    fields = orjson.loads(raw)
    if not isinstance(fields, dict):
        raise ValueError("the contact is not a JSON object")
    return fields
