"""Finds a value in a JSON answer by a path such as `data.items[0].id`; webhook_call maps responses with it.

Our own few lines instead of a JSONPath library: those bring filters, recursion and regular expressions, whose
cost on a stranger's answer has no bound, and a path of steps is all that mapping needs. Steps are names
(`a.b`), quoted names (`["a b"]`) and positions (`[0]`, `[-1]`); `$` or `$.` may stand before them.
"""

import re
from typing import Final, TypeAlias

import orjson
from pydantic import JsonValue

Step: TypeAlias = str | int

_STEP: Final = re.compile(
    r"""\.?(?P<name>[^\s.\[\]"$]+)|\[(?P<place>-?[0-9]{1,6})\]|\[(?P<quoted>"(?:[^"\\]|\\.)*")\]"""
)
_MOST_STEPS: Final = 16


def json_path(text: str) -> tuple[Step, ...]:
    """Read a path; an empty one, or `$`, is the whole answer. Raises ValueError("is not …")."""
    rest = "." + text if not text.startswith(("$", "[")) and text else text.removeprefix("$")
    steps: list[Step] = []
    at = 0
    while at < len(rest):
        found = _STEP.match(rest, at)
        if found is None or (found["name"] and rest[at] != ".") or len(steps) == _MOST_STEPS:
            raise ValueError("is not a path like data.items[0].id")
        steps.append(_step(found))
        at = found.end()
    return tuple(steps)


def value_at(answer: JsonValue, path: tuple[Step, ...]) -> JsonValue:
    """Give the value at a path; None where there is nothing."""
    for step in path:
        match answer, step:
            case dict(), str() if step in answer:
                answer = answer[step]
            case list(), int() if -len(answer) <= step < len(answer):
                answer = answer[step]
            case _:
                return None
    return answer


def _step(found: re.Match[str]) -> Step:
    if found["name"]:
        return found["name"]
    return int(found["place"]) if found["place"] else str(orjson.loads(found["quoted"]))
