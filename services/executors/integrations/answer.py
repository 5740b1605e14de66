"""Makes a step's output of what a receiver answered, within 16 KiB; webhook_call's run calls it."""

from collections.abc import Mapping
from typing import Final

import orjson
from pydantic import JsonValue

from services.executors.action import JsonObject
from services.executors.integrations.caller import Response
from services.executors.integrations.json_path import Step, value_at
from services.executors.results import MAX_OUTPUT_BYTES

RESERVED: Final = frozenset({"status", "body", "truncated", "left_out"})
"""What variables may not be called: the output's own fields."""

_MAX_DEPTH: Final = 16
_MARKS: Final = len(b',"body":,"truncated":true')


def output(response: Response, variables: Mapping[str, tuple[Step, ...]]) -> JsonObject:
    """Give the status, the variables, and of the body what room is left for.

    A variable whose path leads nowhere is null, and so is one too large for the output, named in `left_out`.
    The body is JSON if it is some and fits whole, else text, cut off.
    """
    parsed = _parsed(response) if variables or len(response.body) <= MAX_OUTPUT_BYTES else None
    kept: JsonObject = {"status": response.status}
    left_out: list[str] = []
    for name, path in variables.items():
        kept[name] = _storable_or_none(value_at(parsed, path))
        if _size(kept) > MAX_OUTPUT_BYTES - _size(sorted(variables)) - _MARKS:
            kept[name] = None
            left_out.append(name)
    if left_out:
        kept["left_out"] = left_out
    return _with_body(kept, response, parsed)


def _with_body(kept: JsonObject, response: Response, parsed: JsonValue) -> JsonObject:
    if not response.body:
        return kept
    room = MAX_OUTPUT_BYTES - _size(kept) - _MARKS
    body = _storable_or_none(parsed)
    if body is not None and _size(body) <= room:
        return {**kept, "body": body}
    whole = response.body.decode(errors="replace").replace("\x00", "")
    text = _cut(whole, room)
    cut = not response.complete or len(text) < len(whole)
    return {**kept, "body": text, "truncated": True} if cut else {**kept, "body": text}


def _parsed(response: Response) -> JsonValue:
    """Read a JSON answer; None if it is none, or not whole."""
    if "json" not in response.content_type or not response.complete:
        return None
    try:
        parsed: JsonValue = orjson.loads(response.body)
    except ValueError:
        return None
    return parsed


def _storable_or_none(value: JsonValue) -> JsonValue:
    try:
        return _storable(value)
    except ValueError:
        return None


def _storable(value: JsonValue, depth: int = 0) -> JsonValue:
    """Drop NUL, which no database of ours stores. Raises ValueError for more than 16 levels."""
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deep")
    match value:
        case str():
            return value.replace("\x00", "")
        case dict():
            return {name.replace("\x00", ""): _storable(item, depth + 1) for name, item in value.items()}
        case list():
            return [_storable(item, depth + 1) for item in value]
        case _:
            return value


def _cut(text: str, room: int) -> str:
    """Give as much of a text's start as takes `room` bytes in JSON; control characters take six each."""
    text = text[:room]
    while text and (size := _size(text)) > room:
        text = text[: min(len(text) - 1, len(text) * room // size)]
    return text


def _size(value: object) -> int:
    return len(orjson.dumps(value))
