"""Finds what a path and a verb call: a tree of the bindings' paths, literal segments before variables."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Node(Generic[T]):
    literals: dict[str, "_Node[T]"] = field(default_factory=dict)
    variable: "_Node[T] | None" = None
    takes_ids: bool = False
    """Whether the variable holds ids, which no literal can be taken for."""
    by_verb: dict[str, tuple[tuple[str, ...], T]] = field(default_factory=dict)
    """Names of the variables on the way, and what is called."""


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """What is called, with the values of its variables by name."""

    target: T
    variables: dict[str, str]


@dataclass(frozen=True, slots=True)
class Missed:
    """Nothing is called so: the verbs the path does know; none if there is no such path."""

    allowed: list[str]


class Router(Generic[T]):
    """Built once; a look-up walks the path's segments."""

    def __init__(self, entries: Iterable[tuple[str, str, Collection[str], T]]) -> None:
        """Entries are verb, path with {variables}, those that hold ids, and what is called.

        Raises ValueError for one said twice.
        """
        self._root: _Node[T] = _Node()
        for verb, path, ids, target in entries:
            names, node = [], self._root
            for segment in path.strip("/").split("/"):
                if segment.startswith("{"):
                    names.append(segment[1:-1])
                    node.takes_ids = node.takes_ids or names[-1] in ids
                    node.variable = node.variable or _Node()
                    node = node.variable
                else:
                    node = node.literals.setdefault(segment, _Node())
            if verb in node.by_verb:
                raise ValueError(f"{verb} {path} is said twice")
            node.by_verb[verb] = (tuple(names), target)

    def find(self, verb: str, path: str) -> Found[T] | Missed:
        """What `verb` on `path` calls. A variable is never empty."""
        allowed: list[str] = []
        for node, given in _walk(self._root, path.removeprefix("/").split("/"), ()):
            if verb in node.by_verb:
                names, target = node.by_verb[verb]
                return Found(target, dict(zip(names, given, strict=True)))
            allowed = allowed or sorted(node.by_verb)
        return Missed(allowed)


def _walk(
    node: _Node[T], segments: list[str], given: tuple[str, ...]
) -> Iterator[tuple[_Node[T], tuple[str, ...]]]:
    """The nodes that the segments lead to, the most literal first."""
    if not segments:
        yield node, given
        return
    head, rest = segments[0], segments[1:]
    if head in node.literals:
        yield from _walk(node.literals[head], rest, given)
        if node.takes_ids:
            return
    if node.variable is not None and head:
        yield from _walk(node.variable, rest, (*given, head))
