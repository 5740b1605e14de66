"""Reads google.api.http: which verb and path calls which rpc; the router and the OpenAPI document use it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from google.api import annotations_pb2
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor, ServiceDescriptor

from services.gateway.rest import naming

_VARIABLE: Final = re.compile(r"\{([a-z_.]+)\}")
_MAKING: Final = ("Create", "Add", "Start", "Apply")
"""How rpcs begin that make something."""
_TELLS_IF_NEW: Final = frozenset({"created", "deduplicated"})
_BODILESS: Final = frozenset({"GET", "DELETE"})


class BindingError(Exception):
    """An annotation says what cannot be done; a fault of the proto."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One way to call one rpc."""

    rpc: MethodDescriptor
    verb: str
    path: str
    """With variables as `{field}` or `{field.field}`, of the request message."""
    body: str
    """"*": the body is the request; a name: the body is that field; "": there is none."""
    response_body: str
    """The one field of the answer that is shown; "" for all."""
    main: bool
    """Whether it is the rpc's first one."""

    @property
    def variables(self) -> list[str]:
        """The paths of the fields that the URL's path gives."""
        return _VARIABLE.findall(self.path)

    @property
    def ids(self) -> list[str]:
        """Those of the variables that hold ids of ours, UUIDs."""
        return [path for path in self.variables if naming.rules(self.variable(path)).string.uuid]

    def variable(self, path: str) -> FieldDescriptor:
        """The field at a path of the request message."""
        of, (*above, name) = self.rpc.input_type, path.split(".")
        for one in above:
            of = naming.inner(of.fields_by_name[one])
        return of.fields_by_name[name]

    @property
    def query_fields(self) -> list[FieldDescriptor]:
        """The fields that the query gives: none beside a body that is the whole request."""
        if self.body == "*":
            return []
        taken = {self.body, naming.REQUEST_ID, *self.variables}
        chosen = {self.variable(path).containing_oneof for path in self.variables} - {None}
        return [
            field
            for field in self.rpc.input_type.fields
            if field.name not in taken and field.containing_oneof not in chosen
        ]

    @property
    def body_fields(self) -> list[FieldDescriptor]:
        """The fields of the JSON object in the body."""
        if not self.body:
            return []
        if self.body == "*":
            taken = {naming.REQUEST_ID, *self.variables}
            return [field for field in self.rpc.input_type.fields if field.name not in taken]
        taken = {one.removeprefix(f"{self.body}.") for one in self.variables}
        inner = naming.inner(self.rpc.input_type.fields_by_name[self.body])
        return [field for field in inner.fields if field.name not in taken]

    @property
    def statuses(self) -> tuple[int, ...]:
        """The HTTP statuses of good answers: the usual one, then that for what was there already."""
        shape = set(self.rpc.output_type.fields_by_name)
        if not shape:
            return (204,)
        if not self.rpc.name.startswith(_MAKING):
            return (200,)
        return (201, 200) if shape & _TELLS_IF_NEW else (201,)

    @property
    def idempotent_by_key(self) -> bool:
        """Whether Idempotency-Key makes it answer the same again."""
        return naming.REQUEST_ID in self.rpc.input_type.fields_by_name


def bindings(service: ServiceDescriptor) -> Iterator[Binding]:
    """Every way to call the service's rpcs. Raises BindingError."""
    for rpc in service.methods:
        rule = rpc.GetOptions().Extensions[annotations_pb2.http]
        for number, one in enumerate((rule, *rule.additional_bindings)):
            verb = one.WhichOneof("pattern")
            if verb is None:
                raise BindingError(f"{rpc.full_name} has no google.api.http")
            yield _checked(rpc, one, verb, main=number == 0)


def _checked(rpc: MethodDescriptor, rule: Any, verb: str, *, main: bool) -> Binding:
    made = Binding(rpc, verb.upper(), getattr(rule, verb), rule.body, rule.response_body, main)
    known = rpc.input_type.fields_by_name
    if made.body and made.verb in _BODILESS:
        raise BindingError(f"{rpc.full_name}: {made.verb} has no body")
    for name in (*(one.split(".")[0] for one in made.variables), made.body.strip("*")):
        if name and name not in known:
            raise BindingError(f"{rpc.full_name}: no field {name!r} in {rpc.input_type.full_name}")
    if made.response_body and made.response_body not in rpc.output_type.fields_by_name:
        raise BindingError(f"{rpc.full_name}: no field {made.response_body!r} in its answer")
    return made
