"""One thing wrong with a workflow document; validate.py collects them, the API shows them all at once."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """`path` like steps[2].config.tag; `rule` is stable; line and column count from 1, None if unknown."""

    path: str
    rule: str
    message: str
    line: int | None = None
    column: int | None = None
