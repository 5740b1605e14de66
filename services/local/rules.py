"""Misbehaviour on request, and what arrived: shared by the local mailbox and receiver."""

import json
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_MOST_KEPT = 20_000


@dataclass(slots=True)
class Rule:
    """Applies to the next `times` arrivals whose subject (a recipient or a path) contains `match`."""

    match: str
    times: int
    effect: dict[str, Any]


@dataclass(slots=True)
class Arrivals:
    """What arrived, newest last; also in a file of JSON lines, so that a restart forgets nothing."""

    store: Path | None
    kept: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_MOST_KEPT))
    rules: list[Rule] = field(default_factory=list)
    total: int = 0

    def load(self) -> None:
        """Reads what an earlier process stored; a line cut off by a crash is left out."""
        if self.store is None or not self.store.exists():
            return
        for line in self.store.read_text(encoding="utf-8").splitlines():
            try:
                self.kept.append(json.loads(line))
            except ValueError:
                continue
            self.total += 1

    def add(self, arrival: dict[str, Any]) -> None:
        """Keeps one arrival, in the file before it is acknowledged to its sender."""
        if self.store is not None:
            with self.store.open("a", encoding="utf-8") as file:
                file.write(json.dumps(arrival) + "\n")
        self.kept.append(arrival)
        self.total += 1

    def clear(self) -> None:
        """Forgets everything that arrived."""
        self.kept.clear()
        self.total = 0
        if self.store is not None:
            self.store.unlink(missing_ok=True)

    def rule_for(self, subject: str) -> dict[str, Any] | None:
        """The misbehaviour asked for this arrival, if any; each use counts."""
        for rule in self.rules:
            if rule.times > 0 and rule.match in subject:
                rule.times -= 1
                return rule.effect
        return None
