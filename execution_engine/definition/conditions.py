"""Conditions in CEL: compiled and type-checked at publish, evaluated by advance (about 5 µs).

Variables: contact, trigger, steps, account, workflow, execution (maps) and now (a timestamp).
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from cel_expr_python import cel

ROOTS = ("contact", "trigger", "steps", "account", "workflow", "execution", "now")
EVENT_ROOTS = ("event", "now")
"""What the filter of a trigger, goal, exit or wait may read."""
CONTACT_ROOTS = ("contact", "now")
"""What chooses the contacts of a scheduled or bulk start may read."""
MAX_LENGTH = 2_000
_COMPREHENSIONS = re.compile(r"\.(?:all|exists|exists_one|map|filter)\s*\(")
_STEP = re.compile(r"\bsteps\s*(?:\.\s*([A-Za-z_][A-Za-z0-9_]*)|\[\s*['\"]([^'\"]+)['\"]\s*\])")
_ROOT = re.compile(r"(?<![.\w])(" + "|".join((*ROOTS, "event")) + r")\b")
_STRING = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")


class ConditionInvalid(Exception):
    """The text is not a condition; the message says why, for a person."""


class ConditionFailed(Exception):
    """It could not be evaluated on this contact's data, e.g. a missing key."""


@cache
def _environment(roots: tuple[str, ...]) -> Any:
    variables = dict.fromkeys(roots, cel.Type.DYN) | {"now": cel.Type.TIMESTAMP}
    return cel.NewEnv(variables=variables)


class Condition:
    """A compiled condition."""

    __slots__ = ("_expression", "roots", "steps", "text")

    def __init__(self, text: str, expression: Any, roots: frozenset[str], steps: frozenset[str]) -> None:
        self.text = text
        self.roots = roots
        self.steps = steps
        self._expression = expression

    @staticmethod
    def compile(text: str, roots: tuple[str, ...] = ROOTS) -> "Condition":
        """Compiles `text`. Raises ConditionInvalid for a syntax or type error, or one too long or deep."""
        return _compile(text, roots)

    def evaluate(self, scope: Mapping[str, Any]) -> bool:
        """True or false on `scope`, which has every root. Raises ConditionFailed."""
        try:
            value = self._expression.eval(data=scope)
        except (RuntimeError, TypeError, ValueError) as error:
            raise ConditionFailed(f"{self.text}: {error}") from error
        plain = value.value()
        if isinstance(plain, bool):
            return plain
        raise ConditionFailed(
            f"{self.text}: {plain if value.type() == cel.Type.ERROR else 'not true or false'}"
        )


@lru_cache(maxsize=4096)
def _compile(text: str, roots: tuple[str, ...]) -> Condition:
    if len(text) > MAX_LENGTH:
        raise ConditionInvalid(f"longer than {MAX_LENGTH} characters")
    bare = _STRING.sub("''", text)
    if len(_COMPREHENSIONS.findall(bare)) > 1:
        raise ConditionInvalid("at most one of all, exists, exists_one, map and filter")
    try:
        expression = _environment(roots).compile(text)
    except RuntimeError as error:
        raise ConditionInvalid(_problem(str(error))) from error
    kind = expression.return_type()
    if kind not in (cel.Type.BOOL, cel.Type.DYN):
        raise ConditionInvalid(f"gives {kind.name()}, not true or false")
    steps = frozenset(a or b for a, b in _STEP.findall(text))
    return Condition(text, expression, frozenset(_ROOT.findall(bare)), steps)


def _problem(message: str) -> str:
    """CEL's own words without its frame."""
    first = message.removeprefix("INVALID_ARGUMENT: ").split("\n", 1)[0]
    return first.removeprefix("ERROR: ").removeprefix("<input>:").strip()
