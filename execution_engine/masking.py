"""Masks personal data and credentials for everything people read; the API's logs and errors use it.

E-mail shows as `j***@e***.com`, a phone by its last two digits, keys not at all.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

REDACTED = "[redacted]"
_EMAIL = re.compile(r"([\w.%+-])[\w.%+-]*@([\w-])[\w-]*((?:\.[\w-]+)+)")
_PHONE = re.compile(r"(?<![\w.:-])\+?\d[\d ()-]{6,}(\d\d)(?![\w:-])")
_SECRET_KEY = re.compile(
    r"pass(word|phrase)?$|secret|token|api[-_]?key|authorization|credential|cookie|signature", re.I
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[\w.+/=~-]+|\bwhsec_[\w+/=]+|\bsk_\w+")


def mask_text(text: str) -> str:
    """The text with every address, phone number and key-like part masked."""
    text = _BEARER.sub(REDACTED, text)
    text = _EMAIL.sub(lambda m: f"{m.group(1)}***@{m.group(2)}***.{m.group(3).rpartition('.')[2]}", text)
    return _PHONE.sub(lambda m: f"***{m.group(1)}", text)


def mask_config(value: Any, sensitive: Collection[str] = (), path: str = "") -> Any:
    """A config or output with personal data masked; what lies at a `sensitive` path is redacted whole."""
    if path in sensitive:
        return _hidden(value)
    if isinstance(value, Mapping):
        return {
            key: REDACTED
            if _SECRET_KEY.search(key)
            else mask_config(item, sensitive, f"{path}.{key}".lstrip("."))
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [mask_config(item, sensitive, path) for item in value]
    return mask_text(value) if isinstance(value, str) else value


def _hidden(value: Any) -> Any:
    """An address still tells which it was; anything else tells nothing."""
    if isinstance(value, str) and (_EMAIL.fullmatch(value) or _PHONE.fullmatch(value)):
        return mask_text(value)
    return REDACTED if value not in (None, "", [], {}) else value
