"""From text to plain data: YAML or JSON with guards and positions; validate.py takes it from here.

A document is data from a stranger: size and depth are bounded, aliases (which can multiply without
end) and duplicate keys are refused, and every node remembers its line for the faults to come.
"""

import math
from dataclasses import dataclass
from typing import Any

import yaml

from execution_engine.errors import DocumentMalformed

MAX_BYTES = 1_048_576
MAX_DEPTH = 32
_STRING, _MAP, _SEQUENCE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"
_SCALARS = {
    "tag:yaml.org,2002:null",
    "tag:yaml.org,2002:bool",
    "tag:yaml.org,2002:int",
    "tag:yaml.org,2002:float",
    _STRING,
}


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data, and where each path stood: (line, column) from 1."""

    data: Any
    positions: dict[str, tuple[int, int]]


def parse(text: str) -> Document:
    """Reads a YAML or JSON document. Raises DocumentMalformed with line and column."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise DocumentMalformed(f"larger than {MAX_BYTES} bytes", 1, 1)
    if "\0" in text:
        before = text[: text.index("\0")]
        line = before.count("\n") + 1
        raise DocumentMalformed("a NUL character", line, len(before) - before.rfind("\n"))
    loader = _Loader(text)
    try:
        return loader.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        raise DocumentMalformed(error.problem or str(error), line, column) from error
    except yaml.YAMLError as error:
        raise DocumentMalformed(str(error).split("\n", 1)[0], 1, 1) from error
    except RecursionError as error:
        raise DocumentMalformed(f"nested deeper than {MAX_DEPTH} levels", 1, 1) from error
    finally:
        loader.yaml.dispose()


class _Loader:
    """Composes YAML's events into data itself, so that nothing is built before its guard has seen it."""

    def __init__(self, text: str) -> None:
        try:
            self.yaml = _Yaml(text)
        except yaml.reader.ReaderError as error:
            before = text[: error.position]
            line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
            raise DocumentMalformed(error.reason, line, column) from error
        self.positions: dict[str, tuple[int, int]] = {}

    def document(self) -> Document:
        try:
            self._expect(yaml.StreamStartEvent)
            if self.yaml.check_event(yaml.StreamEndEvent):
                raise DocumentMalformed("the document is empty", 1, 1)
            self._expect(yaml.DocumentStartEvent)
            data = self._node("", 1)
            self._expect(yaml.DocumentEndEvent)
            if not self.yaml.check_event(yaml.StreamEndEvent):
                mark = self.yaml.peek_event().start_mark
                raise DocumentMalformed("more than one document", mark.line + 1, mark.column + 1)
        except ValueError as error:
            raise DocumentMalformed(str(error), 1, 1) from error
        return Document(data, self.positions)

    def _expect(self, kind: type[yaml.Event]) -> None:
        event = self.yaml.get_event()
        assert isinstance(event, kind), f"YAML promised {kind.__name__}"

    def _node(self, path: str, depth: int) -> Any:
        event = self.yaml.get_event()
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        self.positions.setdefault(path, (line, column))
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise DocumentMalformed("anchors and aliases are not allowed", line, column)
        if depth > MAX_DEPTH:
            raise DocumentMalformed(f"nested deeper than {MAX_DEPTH} levels", line, column)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, line, column)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path, depth)
        assert isinstance(event, yaml.MappingStartEvent)
        return self._mapping(path, depth)

    def _scalar(self, event: yaml.ScalarEvent, line: int, column: int) -> Any:
        tag = (
            event.tag
            if event.tag not in (None, "!")
            else self.yaml.resolve(yaml.ScalarNode, event.value, event.implicit)
        )
        if tag not in _SCALARS:
            if event.tag is not None:
                raise DocumentMalformed(f"the tag {event.tag} is not allowed", line, column)
            return event.value  # dates and the like stay text
        node = yaml.ScalarNode(tag, event.value)
        try:
            value = self.yaml.construct_object(node)
        except (ValueError, OverflowError, IndexError) as error:
            raise DocumentMalformed(f"{event.value!r} cannot be read: {error}", line, column) from error
        if isinstance(value, float) and not math.isfinite(value):
            raise DocumentMalformed("numbers must be finite", line, column)
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise DocumentMalformed("whole numbers must fit in 64 bits", line, column)
        if isinstance(value, str) and any(0xD800 <= ord(c) <= 0xDFFF or c == "\0" for c in value):
            raise DocumentMalformed("a character that is not text", line, column)
        return value

    def _sequence(self, path: str, depth: int) -> list[Any]:
        items: list[Any] = []
        while not self.yaml.check_event(yaml.SequenceEndEvent):
            items.append(self._node(f"{path}[{len(items)}]", depth + 1))
        self.yaml.get_event()
        return items

    def _mapping(self, path: str, depth: int) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not self.yaml.check_event(yaml.MappingEndEvent):
            mark = self.yaml.peek_event().start_mark
            line, column = mark.line + 1, mark.column + 1
            key = self._node(f"{path}?", depth + 1)
            if not isinstance(key, str):
                raise DocumentMalformed("keys must be text", line, column)
            if key in items:
                raise DocumentMalformed(f"the key {key!r} is there twice", line, column)
            inner = f"{path}.{key}" if path else key
            items[key] = self._node(inner, depth + 1)
            self.positions[inner] = (line, column)
        self.yaml.get_event()
        return items


class _Yaml(yaml.SafeLoader):
    """PyYAML's reader, scanner, parser, resolver and scalar constructors; composing is ours."""
