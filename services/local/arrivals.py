"""What arrived, and misbehaviour on request: kept by the local mailbox and the local receiver."""

import json
import os
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

MOST_KEPT = 10_000
MOST_KEPT_BYTES = 128 * 1024 * 1024
MOST_RULES = 1_000


@dataclass(slots=True)
class Rule:
    """Applies to the next `times` arrivals whose subject (a recipient or a path) contains `match`."""

    match: str
    times: int
    effect: dict[str, Any]


@dataclass(slots=True)
class Arrivals:
    """What arrived, newest last; also in a file of JSON lines, so that a restart forgets nothing.

    The oldest go when there are more than `most` or, as JSON, more than `most_bytes`; the newest is kept in
    any case. `total` counts those that went as well, until a restart.
    """

    store: Path | None
    most: int = MOST_KEPT
    most_bytes: int = MOST_KEPT_BYTES
    kept: deque[dict[str, Any]] = field(default_factory=deque)
    rules: list[Rule] = field(default_factory=list)
    total: int = 0
    _sizes: deque[int] = field(default_factory=deque)
    _bytes: int = 0
    _stored_bytes: int = 0

    def load(self) -> None:
        """Reads what an earlier process stored; a line cut off by a crash is left out."""
        if self.store is None or not self.store.exists():
            return
        with self.store.open("rb") as file:
            for line in file:
                try:
                    arrival = json.loads(line)
                except ValueError:
                    continue
                if isinstance(arrival, dict):
                    self._keep(arrival, len(line))
        # Also so that the next line does not continue one that was cut off.
        self._rewrite()

    def add(self, arrival: dict[str, Any]) -> None:
        """Keeps one arrival under a new id, in the file before it is acknowledged to its sender."""
        arrival = {"id": str(uuid4()), **arrival}
        line = json.dumps(arrival).encode() + b"\n"
        if self.store is not None:
            with self.store.open("ab") as file:
                file.write(line)
        self._stored_bytes += len(line)
        self._keep(arrival, len(line))
        if self._stored_bytes > self._bytes + self.most_bytes:
            self._rewrite()

    def clear(self) -> None:
        """Forgets everything that arrived."""
        self.kept.clear()
        self._sizes.clear()
        self.total = self._bytes = self._stored_bytes = 0
        if self.store is not None:
            self.store.unlink(missing_ok=True)

    def ask(self, rule: Rule) -> None:
        """Adds a rule, behind those that still apply."""
        self.rules = [*(r for r in self.rules if r.times > 0), rule][-MOST_RULES:]

    def rule_for(self, subject: str) -> dict[str, Any] | None:
        """The misbehaviour asked for this arrival, if any; each use counts."""
        for rule in self.rules:
            if rule.times > 0 and rule.match in subject:
                rule.times -= 1
                return rule.effect
        return None

    def _keep(self, arrival: dict[str, Any], size: int) -> None:
        self.kept.append(arrival)
        self._sizes.append(size)
        self._bytes += size
        self.total += 1
        while len(self.kept) > 1 and (len(self.kept) > self.most or self._bytes > self.most_bytes):
            self.kept.popleft()
            self._bytes -= self._sizes.popleft()

    def _rewrite(self) -> None:
        """Makes the file hold what is kept, and no more."""
        self._stored_bytes = self._bytes
        if self.store is None:
            return
        fresh = self.store.with_name(f"{self.store.name}.fresh")
        with open(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
            file.writelines(json.dumps(arrival).encode() + b"\n" for arrival in self.kept)
        fresh.replace(self.store)
