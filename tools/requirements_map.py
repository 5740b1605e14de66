"""Writes docs/requirements.md, which tests name which requirement; `make requirements-map` runs it."""

import argparse
import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "requirements.md"
_ID = re.compile(r"\b(R-[A-Z]+-\d+|A-\d+|G\d{1,2})\b")
_TEST = re.compile(r"^\s*(?:async )?def (test_\w+)", re.M)
DELIVERED = {
    "R-STATE": 9,
    "R-TRIG": 9,
    "R-STEP": 7,
    "R-ERR": 9,
    "R-WAIT": 4,
    "R-GOAL": 1,
    "R-LIMIT": 4,
    "R-LOG": 4,
    "R-API": 3,
    "A": 50,
}
"""The groups of ids that must each have a test, with the last number of each."""
DEFERRED = {
    "R-ERR-9": "dead letters come with the Kafka transport",
    "R-TRIG-7": "in part: events by Kafka come with that transport",
    "R-API-3": "in part: Kafka topics come with that transport",
}
_HEAD = """# Requirements and their tests

Written by `make requirements-map` from the ids that tests name; a module's docstring speaks for all
its tests.

| id | proved by |
|---|---|
"""


def found() -> dict[str, set[str]]:
    """Tests by id: a link to the file, with the test's name where its own docstring names the id."""
    by_id: dict[str, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(ROOT)
        pieces = _TEST.split(text)
        for identifier in _ID.findall(pieces[0]):
            by_id[identifier].add(f"[{name}](../{name})")
        for test, body in zip(pieces[1::2], pieces[2::2], strict=True):
            for identifier in _ID.findall(body):
                by_id[identifier].add(f"[{name}](../{name}) `{test}`")
    return by_id


def _order(identifier: str) -> tuple[str, int]:
    head = identifier.rstrip("0123456789")
    return head, int(identifier[len(head) :])


def page() -> str:
    """The page's text."""
    by_id = found()
    rows = [f"| {i} | {'<br>'.join(sorted(by_id[i]))} |" for i in sorted(by_id, key=_order)]
    waits = [f"- {name}: {why}" for name, why in sorted(DEFERRED.items(), key=lambda one: _order(one[0]))]
    return _HEAD + "\n".join(rows) + "\n\n## Deferred\n\n" + "\n".join(waits) + "\n"


def main() -> None:
    """Writes the page, or with --check exits 1 if it is not what it would write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    if not parser.parse_args().check:
        PAGE.write_text(page(), encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        sys.exit("docs/requirements.md is not current (run `make requirements-map`)")


if __name__ == "__main__":
    main()
