"""Turns an action's Result into the message that is sent and the bytes the ledger keeps; used by every path.

What holds an output, contact changes or refs is sealed with the account's key before it is stored; constants
and other failures hold no personal data and are stored plain, unless a failure is marked private.
"""

from collections.abc import Callable
from datetime import timedelta
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple, assert_never

import orjson
import structlog
from google.protobuf.message import DecodeError
from wayfarer.action.v1 import action_pb2

from services.executors.action import (
    Certainty,
    Deferred,
    ErrorClass,
    Failed,
    Pending,
    Result,
    Skipped,
    Succeeded,
)
from services.runtime.keyring import Keyring, KeyringError

log = structlog.get_logger(__name__)

MAX_OUTPUT_BYTES: Final = 16 * 1024
PURPOSE: Final = "effect_ledger.result"

_MAX_MESSAGE: Final = 1000
_CONSTANTS_KEPT: Final = 256
_PLAIN: Final = b"\x00"
_SEALED: Final = b"\x01"


class LedgerState(IntEnum):
    """What the ledger knows of an effect; the values are the table's."""

    SENDING = 1
    DONE = 2
    NOT_DONE = 3
    UNKNOWN = 4
    TOMBSTONE = 5


class Encoded(NamedTuple):
    """A result ready to be sent and stored."""

    state: LedgerState
    message: action_pb2.ActionResult
    plain: bytes
    """What the ledger stores if it needs no seal, else empty."""


class ResultCodec:
    """Encodes one family's results."""

    def __init__(self, family: str, keyring: Keyring) -> None:
        self._family = family
        self._keyring = keyring
        self._constant: Callable[[Result], Encoded] = lru_cache(maxsize=_CONSTANTS_KEPT)(self._encode)

    def encode(self, result: Result) -> Encoded:
        """Give the message and its ledger state; an output above 16 KiB is left out and said so."""
        if isinstance(result, Succeeded | Failed) and result.constant:
            return self._constant(result)
        return self._encode(result)

    def stored(self, account_id: int, encoded: Encoded) -> bytes:
        """Give the ledger's bytes of it."""
        if encoded.plain:
            return encoded.plain
        return _SEALED + self._keyring.seal(PURPOSE, account_id, encoded.message.SerializeToString())

    def open(self, account_id: int, stored: bytes) -> action_pb2.ActionResult:
        """Read the ledger's bytes back, marked as replayed. Raises KeyringError."""
        body = stored[1:]
        if stored[:1] == _SEALED:
            body = self._keyring.open(PURPOSE, account_id, body)
        message = action_pb2.ActionResult.FromString(body)
        message.replayed = True
        return message

    def replay(self, account_id: int, stored: bytes) -> action_pb2.ActionResult:
        """Read the ledger's bytes back; one that cannot be opened or read is answered as INDETERMINATE."""
        try:
            return self.open(account_id, stored)
        except (KeyringError, DecodeError):
            log.error("result_unreadable", account_id=account_id)
            text = "the recorded result cannot be read"
            return refusal(ErrorClass.INDETERMINATE, "RESULT_UNREADABLE", text, Certainty.INDETERMINATE)

    def _encode(self, result: Result) -> Encoded:
        state, message = _message(result, self._family)
        says = message.output or message.contact_changes or message.provider_refs
        private = bool(says) or (isinstance(result, Failed) and result.private)
        constant = isinstance(result, Succeeded) and result.constant
        plain = b"" if private and not constant else _PLAIN + message.SerializeToString()
        return Encoded(state, message, plain)


def refusal(
    error_class: ErrorClass,
    code: str,
    message: str,
    certainty: Certainty = Certainty.NOT_DONE,
    retry_after: timedelta | None = None,
) -> action_pb2.ActionResult:
    """Give the FAILED result of an attempt that the runtime itself turned away."""
    return _message(Failed(error_class, code, message, certainty, retry_after, provider="wayfarer"), "")[1]


def _message(result: Result, family: str) -> tuple[LedgerState, action_pb2.ActionResult]:
    match result:
        case Succeeded():
            message = action_pb2.ActionResult(
                outcome=action_pb2.OUTCOME_SUCCEEDED,
                certainty=action_pb2.CERTAINTY_DONE,
                output=_bounded(result.output),
                contact_changes=result.contact_changes,
                provider_refs=dict(result.refs),
            )
            return LedgerState.DONE, message
        case Skipped():
            message = action_pb2.ActionResult(
                outcome=action_pb2.OUTCOME_SKIPPED,
                certainty=action_pb2.CERTAINTY_NOT_DONE,
                contact_changes=result.contact_changes,
            )
            _explain(message, family, result.reason, result.message)
            return LedgerState.DONE, message
        case Deferred():
            message = action_pb2.ActionResult(
                outcome=action_pb2.OUTCOME_DEFERRED, certainty=action_pb2.CERTAINTY_NOT_DONE
            )
            message.retry_after.FromTimedelta(result.after)
            _explain(message, result.provider or family, result.reason, result.message)
            return LedgerState.NOT_DONE, message
        case Failed():
            return _failed(result, family)
        case Pending():
            message = action_pb2.ActionResult(
                outcome=action_pb2.OUTCOME_PENDING,
                certainty=action_pb2.CERTAINTY_INDETERMINATE,
                provider_refs=dict(result.refs),
            )
            return LedgerState.DONE, message
        case _:
            assert_never(result)


def _failed(result: Failed, family: str) -> tuple[LedgerState, action_pb2.ActionResult]:
    message = action_pb2.ActionResult(
        outcome=action_pb2.OUTCOME_FAILED,
        certainty=action_pb2.Certainty.ValueType(result.certainty),
        contact_changes=result.contact_changes,
        provider_refs=dict(result.refs),
        final=result.final,
    )
    _explain(message, result.provider or family, result.code, result.message)
    message.failure.error_class = int(result.error_class)  # type: ignore[assignment]
    if result.retry_after is not None:
        message.retry_after.FromTimedelta(result.retry_after)
        if result.lane:
            message.lane.lane = result.lane
            message.lane.pause.FromTimedelta(result.retry_after)
    done = result.certainty is Certainty.NOT_DONE
    return LedgerState.NOT_DONE if done else LedgerState.UNKNOWN, message


def _explain(message: action_pb2.ActionResult, provider: str, code: str, text: str) -> None:
    message.failure.provider = provider
    message.failure.code = code
    # NUL and lone surrogates would make the result impossible to store for whoever keeps it.
    clean = text.replace("\x00", "").encode(errors="replace").decode()
    message.failure.message = clean[:_MAX_MESSAGE]


def _bounded(output: bytes) -> bytes:
    if len(output) <= MAX_OUTPUT_BYTES:
        return output
    # The effect has happened: losing what it said is better than failing it.
    return orjson.dumps({"output_omitted": True, "output_bytes": len(output)})
