"""Sets up the process log: JSON lines on stderr; every `python -m services.…` calls `configure` first.

structlog and the standard library's logging take the same way out, so no line escapes the masking of secrets
and personal data. Masking is the last wall, not the first: do not log what is not needed.
"""

import logging
import re
import sys
from collections.abc import Callable
from typing import Any, Final

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from services.runtime.telemetry import current_ids

REDACTED: Final = "[redacted]"
MAX_TEXT: Final = 8192
"""Characters kept of any one text in a log line."""

_MAX_DEPTH: Final = 6
_SECRET_KEY: Final = re.compile(
    r"passw|secret|token|authori[sz]ation|api_?-?key|credential|private_?-?key|keyring|cookie|\bdsn\b|database_url",
    re.I,
)
_PERSON_KEY: Final = re.compile(r"e_?-?mail|phone|msisdn", re.I)
_EMAIL: Final = re.compile(
    r"([A-Za-z0-9])[A-Za-z0-9._%+'-]*@([A-Za-z0-9])[A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)*(\.[A-Za-z]{2,24})"
)
_URL_PASSWORD: Final = re.compile(r"(://[^\s/:@]*):[^\s/@]+@")
_SECRET_TEXT: Final = re.compile(
    r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}|\bwhsec_[A-Za-z0-9+/=]+|\bwf_[A-Za-z0-9_-]{16,}"
)
_PHONE: Final = re.compile(r"(?<![\w.])\+[1-9][0-9]{6,14}\b")


def configure(service: str, level: str = "INFO") -> None:
    """Send this process's log to stderr as JSON lines; `level` is a standard name such as "INFO"."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.add_log_level,
        _service_adder(service),
        _add_trace,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, mask, structlog.processors.JSONRenderer(serializer=_json)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    _route_standard_logging(number, shared)


def mask(_logger: WrappedLogger | None, _method: str, event: EventDict) -> EventDict:
    """Mask secrets and personal data in a log line; a structlog processor."""
    for key, value in event.items():
        event[key] = _masked(key, value, _MAX_DEPTH)
    return event


def mask_text(value: str) -> str:
    """Mask what looks like an address, phone number or secret within a text, and bound its length."""
    if "@" in value:
        value = _EMAIL.sub(r"\1***@\2***\3", _URL_PASSWORD.sub(r"\1:***@", value))
    if "+" in value:
        value = _PHONE.sub(lambda found: "***" + found[0][-2:], value)
    value = _SECRET_TEXT.sub(REDACTED, value)
    if len(value) > MAX_TEXT:  # both ends: a traceback says most in its last line
        value = value[: MAX_TEXT // 2] + " … " + value[-MAX_TEXT // 2 :]
    return value


def _masked(key: str, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if _SECRET_KEY.search(key):
        return REDACTED
    if _PERSON_KEY.search(key):
        return _person(value)
    match value:
        case int() | float():
            return value
        case str():
            return mask_text(value)
        case dict() if depth:
            return {str(name): _masked(str(name), item, depth - 1) for name, item in value.items()}
        case list() | tuple() | set() | frozenset() if depth:
            return [_masked("", item, depth - 1) for item in value]
        case dict() | list() | tuple() | set() | frozenset():
            return "[nested too deep]"  # as text its keys would no longer mask its values
        case bytes() | bytearray() | memoryview():
            return f"<{len(value)} bytes>"
        case _:
            return mask_text(str(value))


def _person(value: object) -> object:
    """An address as `j***@e***.com`, a count as it is, anything else as its last two characters."""
    if isinstance(value, int | float) and abs(value) < 1_000_000:
        return value
    shown = str(value)
    masked = mask_text(shown)
    return masked if masked != shown else "***" + shown[-2:]


def _service_adder(service: str) -> Callable[[WrappedLogger, str, EventDict], EventDict]:
    def add_service(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return add_service


def _add_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    ids = current_ids()
    if ids is not None:
        event["trace_id"], event["span_id"] = ids
    return event


def _json(event: EventDict, **_options: Any) -> bytes:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS)


def _json_text(event: EventDict, **options: Any) -> str:
    return _json(event, **options).decode()


def _route_standard_logging(number: int, shared: list[Processor]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                mask,
                structlog.processors.JSONRenderer(serializer=_json_text),
            ],
        )
    )
    root = logging.getLogger()
    for existing in root.handlers[:]:
        root.removeHandler(existing)
    root.addHandler(handler)
    root.setLevel(max(number, logging.INFO))  # libraries' DEBUG lines quote payloads
