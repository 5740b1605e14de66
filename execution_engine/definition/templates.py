"""Merge fields in an action's config: parsed once per version, rendered per execution by advance.

Liquid, with its limits on. A string of plain `{{ a.b.c }}` fields, the usual case, is put together
without Liquid at about 1 µs a field, to the same text. A missing field is an error unless the
template gives it a default.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import orjson
from liquid import BoundTemplate, Environment, StrictDefaultUndefined
from liquid.exceptions import LiquidError

from execution_engine.definition.conditions import ROOTS

_MERGE = re.compile(r"\{[{%]")
_PLAIN = re.compile(r"\{\{-?\s*([A-Za-z_]\w*(?:\.[A-Za-z_][\w-]*)+)\s*-?\}\}")
_STEP = re.compile(r"\bsteps\.([A-Za-z_][\w-]*)|\bsteps\[\s*['\"]([^'\"]+)['\"]\s*\]")
MAX_OUTPUT = 262_144
"""Bytes one rendered config may have."""

Part = str | tuple[str, ...]


class TemplateInvalid(Exception):
    """The text is not a template; the message says why, for a person."""


class TemplateError(Exception):
    """It could not be rendered on this contact's data; `path` names the string in the config."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


class _Limited(Environment):
    loop_iteration_limit = 10_000
    output_stream_limit = MAX_OUTPUT
    local_namespace_limit = 100_000
    context_depth_limit = 20


@cache
def _environment(autoescape: bool) -> Environment:
    return _Limited(undefined=StrictDefaultUndefined, autoescape=autoescape)


@dataclass(frozen=True, slots=True)
class Template:
    """One string with merge fields. `parts` when all of them are plain, else Liquid's template."""

    path: str
    parts: tuple[Part, ...] | None
    liquid: BoundTemplate

    def render(self, scope: Mapping[str, Any]) -> str:
        """The text on `scope`. Raises TemplateError."""
        if self.parts is not None:
            texts = [p if isinstance(p, str) else _look_up(self.path, p, scope) for p in self.parts]
            if None not in texts:
                return "".join(texts)  # type: ignore[arg-type]
        try:
            return self.liquid.render(**scope)
        except LiquidError as error:
            raise TemplateError(self.path, str(error)) from error


def _look_up(path: str, names: tuple[str, ...], scope: Mapping[str, Any]) -> str | None:
    """The field as text; None for a list or map, whose text is Liquid's own affair."""
    value: Any = scope
    for name in names:
        if not isinstance(value, Mapping) or name not in value:
            raise TemplateError(path, f"'{'.'.join(names)}' is undefined")
        value = value[name]
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if isinstance(value, list | Mapping) else str(value)


@dataclass(frozen=True, slots=True)
class ConfigTemplate:
    """A whole config. `literal` is its JSON where nothing in it changes between executions."""

    source: Any
    literal: bytes | None
    templates: Mapping[str, Template]
    roots: frozenset[str]
    steps: frozenset[str]

    @staticmethod
    def compile(config: Mapping[str, Any]) -> "ConfigTemplate":
        """Parses every string. Raises TemplateInvalid naming the first that is no template."""
        templates = {path: parse(path, text) for path, text in strings(config) if _MERGE.search(text)}
        if not templates:
            return ConfigTemplate(config, orjson.dumps(config), {}, frozenset(), frozenset())
        texts = [text for path, text in strings(config) if path in templates]
        roots = frozenset(root for text in texts for root in _roots(text))
        steps = frozenset(a or b for text in texts for a, b in _STEP.findall(text))
        return ConfigTemplate(config, None, templates, roots, steps)

    def render(self, scope: Mapping[str, Any]) -> bytes:
        """The config as JSON with its merge fields filled. Raises TemplateError."""
        if self.literal is not None:
            return self.literal
        rendered = orjson.dumps(self._fill(self.source, "", scope))
        if len(rendered) > MAX_OUTPUT:
            raise TemplateError("", f"the rendered config is larger than {MAX_OUTPUT} bytes")
        return rendered

    def _fill(self, value: Any, path: str, scope: Mapping[str, Any]) -> Any:
        if isinstance(value, str):
            template = self.templates.get(path)
            return value if template is None else template.render(scope)
        if isinstance(value, Mapping):
            return {key: self._fill(item, _join(path, key), scope) for key, item in value.items()}
        if isinstance(value, list):
            return [self._fill(item, f"{path}[{place}]", scope) for place, item in enumerate(value)]
        return value


def strings(value: Any, path: str = "") -> Sequence[tuple[str, str]]:
    """Every string in a config with its path."""
    if isinstance(value, str):
        return [(path, value)]
    if isinstance(value, Mapping):
        return [found for key, item in value.items() for found in strings(item, _join(path, key))]
    if isinstance(value, list):
        return [found for place, item in enumerate(value) for found in strings(item, f"{path}[{place}]")]
    return []


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


@lru_cache(maxsize=8192)
def parse(path: str, text: str) -> Template:
    """Parses one string; HTML (a path ending in `html`) is escaped. Raises TemplateInvalid."""
    autoescape = path.rpartition(".")[2] == "html"
    try:
        liquid = _environment(autoescape).from_string(text)
    except LiquidError as error:
        raise TemplateInvalid(str(error).split("\n", 1)[0]) from error
    unknown = sorted(root for root in _globals(liquid) if root not in ROOTS)
    if unknown:
        raise TemplateInvalid(f"unknown name '{unknown[0]}' (there are {', '.join(ROOTS)})")
    return Template(path, None if autoescape else _plain(text), liquid)


def _plain(text: str) -> tuple[Part, ...] | None:
    """The text as literal parts and field names, if it has no other Liquid than plain fields."""
    parts: list[Part] = []
    end = 0
    for match in _PLAIN.finditer(text):
        if "{{-" in match.group() or "-}}" in match.group():
            return None
        parts += [text[end : match.start()], tuple(match.group(1).split("."))]
        end = match.end()
    parts.append(text[end:])
    if any(isinstance(part, str) and _MERGE.search(part) for part in parts):
        return None
    if any(isinstance(part, tuple) and (part[0] == "now" or _SPECIAL & set(part)) for part in parts):
        return None
    return tuple(part for part in parts if part != "")


_SPECIAL = frozenset({"size", "first", "last"})
"""Liquid's own properties of lists and strings."""


def _globals(liquid: BoundTemplate) -> set[str]:
    return set(liquid.global_variables())


def _roots(text: str) -> set[str]:
    return _globals(parse("", text).liquid) if _MERGE.search(text) else set()
