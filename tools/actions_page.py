"""Writes docs/actions.md, what each action type says of itself; `make actions-page` runs it."""

import argparse
import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from wayfarer.action.v1 import action_pb2 as pb

from services.executors.registry import Registry
from services.migrate.__main__ import FAMILIES
from tools.schema_words import Field, fields

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "actions.md"
JsonSchema: TypeAlias = Mapping[str, Any]
DELIVERY: Mapping[int, str] = {
    pb.DELIVERY_CLASS_TX: "exactly once: the effect and its record are one transaction",
    pb.DELIVERY_CLASS_KEYED: "effectively once: the provider honours the effect's key",
    pb.DELIVERY_CLASS_UNKEYED_AT_MOST_ONCE: "at most once: what is uncertain is not repeated",
    pb.DELIVERY_CLASS_UNKEYED_AT_LEAST_ONCE: "at least once: what is uncertain is repeated",
}
_HEAD = """# Action types

Written by `make actions-page` from what each type says of itself; `wayfarer action-types` shows the same of
running executors. What steps and their configs have in common is in [workflow documents](workflows.md).

"""


class _Written(yaml.SafeDumper):
    """YAML as people write it: a text of several lines stands as it is."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Written.add_representer(str, _Written.represent_str)


def families() -> dict[str, list[pb.ActionType]]:
    """Every type's self-description by family, both in alphabetical order."""
    return {
        family: Registry.scan(family, importlib.import_module(f"services.executors.{family}")).describe()
        for family in sorted(FAMILIES)
    }


def page() -> str:
    """The page's text."""
    described = families()
    rows = [
        f"| {family} | {' · '.join(f'[`{one.name}`](#{one.name})' for one in types)} |"
        for family, types in described.items()
    ]
    sections = [f"## {family}\n\n" + "\n".join(map(_section, types)) for family, types in described.items()]
    return _HEAD + "| family | types |\n|---|---|\n" + "\n".join(rows) + "\n\n" + "\n".join(sections)


def _section(one: pb.ActionType) -> str:
    facts = "\n".join(f"| {name} | {text} |" for name, text in _facts(one) if text)
    table = "\n".join(map(_row, fields(json.loads(one.config_schema))))
    step = {"id": "step", "type": one.name, "config": json.loads(one.sample_config)}
    sample = yaml.dump([step], Dumper=_Written, sort_keys=False, allow_unicode=True, width=100)
    return (
        f"### {one.name}\n\n{one.summary}\n\n| | |\n|---|---|\n{facts}\n\n"
        f"| config | type | limits | default | |\n|---|---|---|---|---|\n{table}\n\n```yaml\n{sample}```\n"
    )


def _facts(one: pb.ActionType) -> Iterator[tuple[str, str]]:
    key = f", for {_seconds(one.key_window.ToSeconds())}" if one.HasField("key_window") else ""
    yield "delivery", f"{DELIVERY[one.delivery_class]}{key}"
    yield "kept elsewhere", one.elsewhere
    yield "timeout", _seconds(one.default_timeout.ToSeconds())
    yield "retries", str(one.default_max_retries)
    yield "rate lanes", _codes(one.lanes)
    yield "reads of the contact", _codes(one.contact_fields)
    yield "passes the send gate for", one.channel
    yield "events", ", ".join(f"`{event}` names `{one.emits[event]}`" for event in sorted(one.emits))


def _row(field: Field) -> str:
    cells = (f"`{field.path}`", field.type, field.limits, field.default, field.description)
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _seconds(seconds: int) -> str:
    return f"{seconds // 3600} hours" if seconds >= 7200 and seconds % 3600 == 0 else f"{seconds} s"


def _codes(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)


def main() -> None:
    """Writes the page, or with --check exits 1 if it is not what it would write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    if not parser.parse_args().check:
        PAGE.write_text(page(), encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        sys.exit("docs/actions.md is not current (run `make actions-page`)")


if __name__ == "__main__":
    main()
