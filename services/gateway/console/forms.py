"""Forms: the fields as typed, what is wrong with each, the question they answer; pages that change use it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs
from uuid import uuid4

import grpc
import orjson
from starlette.requests import Request

from services.gateway.console.api import Api, Trouble
from services.gateway.console.rendering import Page

T = TypeVar("T")
MOST_BYTES: Final = 4 * 2**20
"""Of a form's body: a document of 1 MiB, or 20,000 contacts, as browsers encode them."""
_MOST_FIELDS: Final = 1_000
_DEEPEST: Final = 60
"""Levels of JSON; the wire's own limit is a hundred."""
_BEYOND: Final = frozenset({grpc.StatusCode.UNAUTHENTICATED})
_SILENT: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_NO_ANSWER: Final = Trouble(
    grpc.StatusCode.UNAVAILABLE,
    "The platform does not answer just now. Send the form again in a moment: it is done once.",
    "",
    (),
)


@dataclass(frozen=True, slots=True)
class Done:
    """A form that was done: where to go, what to tell there, and what the browser is to keep."""

    to: str
    told: str
    cookies: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Option:
    """One answer of several."""

    value: str
    label: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form.

    `kind`: text, number, time, email, url, password, area, code, select, radio, check (one box) or checks.
    """

    name: str
    label: str
    kind: str = "text"
    hint: str = ""
    options: Sequence[Option] = ()
    required: bool = False
    placeholder: str = ""
    rows: int = 4
    group: str = ""
    """Fields of one group in a row stand under its name."""


@dataclass(frozen=True, slots=True)
class Question:
    """A form that says what sending it does. `danger`: it cannot be undone."""

    title: str
    button: str
    back: str
    lines: Sequence[str] = ()
    fields: Sequence[Field] = ()
    facts: Sequence[tuple[str, str]] = ()
    hidden: Mapping[str, str] = field(default_factory=dict)
    danger: bool = False
    crumbs: Sequence[tuple[str, str]] = ()


@dataclass(slots=True)
class Form:
    """A form's fields as typed; `sent` is False where it is shown first."""

    values: dict[str, list[str]] = field(default_factory=dict)
    sent: bool = False
    checks: bool = False
    """Whether the page only asks what is wrong so far, as somebody types."""
    faults: dict[str, str] = field(default_factory=dict)
    trouble: Trouble | None = None

    def __post_init__(self) -> None:
        self.values.setdefault("request_id", [str(uuid4())])

    def renew(self) -> None:
        """What is sent next is another request: this one was refused, and its fields may change."""
        self.values["request_id"] = [str(uuid4())]

    def get(self, name: str) -> str:
        """A field's text, trimmed; "" if it was left out."""
        return self.raw(name).strip()

    def raw(self, name: str) -> str:
        """A field's text as typed, with the line ends of a document."""
        return (self.values.get(name) or [""])[-1].replace("\r\n", "\n")

    def all(self, name: str) -> list[str]:
        """Every answer of a field with several."""
        return [value for value in self.values.get(name, []) if value]

    def begin(self, **values: str | Sequence[str]) -> None:
        """What the fields hold where the form is shown first."""
        if not self.sent:
            for name, value in values.items():
                self.values[name] = [value] if isinstance(value, str) else list(value)

    def refuse(self, name: str, fault: str) -> None:
        """Says what is wrong with a field; the first fault of each is told."""
        self.faults.setdefault(name, fault)

    @property
    def sound(self) -> bool:
        """Whether it was sent to be done, and nothing is wrong with it so far."""
        return self.sent and not self.checks and not self.faults and self.trouble is None

    def need(self, name: str, fault: str) -> str:
        """A field's text, which must not be empty."""
        value = self.get(name)
        if not value:
            self.refuse(name, fault)
        return value

    def one_of(self, name: str, values: Sequence[str], fault: str = "Choose one of these.") -> str:
        """A field's text, which must be one of the values."""
        value = self.get(name)
        if value not in values:
            self.refuse(name, fault)
        return value

    def whole(self, name: str, least: int, most: int) -> int:
        """A field's whole number; 0 if it was left out and may be."""
        text = self.get(name)
        if not text and least <= 0:
            return 0
        if not text.isascii() or not text.isdecimal() or len(text) > 12 or not least <= int(text) <= most:
            self.refuse(name, f"A whole number from {least:,} to {most:,}.")
            return 0
        return int(text)

    def json_object(self, name: str) -> dict[str, Any]:
        """A field's JSON object; empty if it was left out."""
        text = self.get(name)
        if not text:
            return {}
        try:
            value = read_json(text)
        except ValueError as error:
            self.refuse(name, f"Not JSON: {error}.")
            return {}
        if not isinstance(value, dict):
            self.refuse(name, 'A JSON object, such as {"plan": "pro"}.')
            return {}
        return value

    async def attempt(self, call: Awaitable[T], names: Mapping[str, str] | Sequence[str] = ()) -> T | None:
        """The answer; None if the API refuses, which is then told beside the fields at fault.

        `names` are the fields that can be at fault: as the API names them, to the form's own.
        Raises grpc.aio.AioRpcError where nobody is signed in any more.
        """
        known = names if isinstance(names, Mapping) else {name: name for name in names}
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            if error.code() in _BEYOND:
                raise
            silent = error.code() in _SILENT
            trouble = _NO_ANSWER if silent else Trouble.of(error)
        if not silent:
            self.renew()
        rest = []
        for path, text in trouble.fields:
            owner = next(
                (name for name in known if path == name or path.startswith((f"{name}.", f"{name}["))), None
            )
            if owner is not None:
                within = path[len(owner) :].lstrip(".")
                self.refuse(known[owner], f"{within}: {text}" if within else text)
            else:
                rest.append((path, text))
        if rest or not self.faults:
            self.trouble = Trouble(trouble.code, trouble.message, trouble.reason, tuple(rest))
        return None


Handler = Callable[[Request, Api, Form], Awaitable[Page | Done]]


def ask(form: Form, question: Question, **more: Any) -> Page:
    """The page of a question; of one that was sent and not done, with what is wrong."""
    status = 422 if form.sent and (form.faults or form.trouble) else 200
    return Page("ask.html", {"form": form, "question": question, **more}, status=status)


def read_json(text: str) -> Any:
    """JSON that somebody typed. Raises ValueError with what is wrong and where."""
    value = orjson.loads(text)
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise ValueError(f"nested deeper than {_DEEPEST} levels")
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return value


def parsed(body: bytes | None) -> dict[str, list[str]] | None:
    """A form's fields; None if it is too large, or they are too many."""
    if body is None:
        return None
    text = body.decode("utf-8", "replace")
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return None
