"""Durations in documents: `500ms`, `5s`, `2m`, `3h`, `1d`, `1w`; validate.py and compile.py read them."""

import re

_DURATION = re.compile(r"^(\d{1,9}(?:\.\d{1,3})?)\s*(ms|s|m|h|d|w)$")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}


def seconds(value: object) -> float:
    """Seconds of a duration; a plain number counts as seconds. Raises ValueError with the rule."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a duration like 500ms, 5s, 2m, 3h, 1d or 1w")
    return float(match.group(1)) * _UNITS[match.group(2)]
