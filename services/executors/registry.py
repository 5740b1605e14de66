"""Finds a family's action types at start, and reads their configs; made once by family.py.

Every module of the family's package that defines `ACTION` serves one type. A duplicate, or a module that
looks like an action but defines none, stops the process.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any, Final, TypeAlias

import orjson
from pydantic import ValidationError
from wayfarer.action.v1 import action_pb2

from services.executors.action import ActionConfig, ActionDefinition, DefinitionError, DeliveryClass

# A registry holds definitions of many config and tools types; inside one they always match.
AnyDefinition: TypeAlias = ActionDefinition[Any, Any]

_CONFIGS_KEPT: Final = 4096
_CACHED_CONFIG_BYTES: Final = 1024  # with the above: at most about 4 MiB of text, and its parsed form


class Registry:
    """One family's action types by name. Immutable."""

    def __init__(self, family: str, definitions: Sequence[AnyDefinition]) -> None:
        """Raises DefinitionError for a duplicate, or a sample that its own Config refuses."""
        self.family = family
        self.definitions: Mapping[str, AnyDefinition] = {one.name: one for one in definitions}
        if len(self.definitions) != len(definitions):
            names = sorted(one.name for one in definitions)
            raise DefinitionError(f"family {family!r} defines an action twice: {', '.join(names)}")
        if not definitions:
            raise DefinitionError(f"family {family!r} defines no action")
        self._cached: Callable[[str, bytes], ActionConfig] = lru_cache(maxsize=_CONFIGS_KEPT)(self._parse)
        for one in definitions:
            _check_sample(one)

    @classmethod
    def scan(cls, family: str, package: ModuleType) -> "Registry":
        """Import the package's modules and collect their ACTION. Raises DefinitionError."""
        return cls(family, list(_definitions(package)))

    @property
    def transactional(self) -> bool:
        """Whether every type is TX."""
        return all(one.delivery is DeliveryClass.TX for one in self.definitions.values())

    def config(self, definition: AnyDefinition, raw: bytes) -> ActionConfig:
        """Read a rendered config; small ones are kept, as a step's is mostly the same for all contacts.

        Rendering makes text of everything, so a number or boolean may come as text. Raises ValidationError.
        """
        if len(raw) <= _CACHED_CONFIG_BYTES:
            return self._cached(definition.name, raw)
        return self._parse(definition.name, raw)

    def describe(self) -> list[action_pb2.ActionType]:
        """Give every type's self-description, by name."""
        return [_described(self.family, self.definitions[name]) for name in sorted(self.definitions)]

    def _parse(self, name: str, raw: bytes) -> ActionConfig:
        config: ActionConfig = self.definitions[name].config.model_validate_json(raw, strict=False)
        return config


def _definitions(package: ModuleType) -> Iterator[AnyDefinition]:
    for found in pkgutil.iter_modules(package.__path__):
        if found.ispkg or found.name.startswith("_"):
            continue
        module = importlib.import_module(f"{package.__name__}.{found.name}")
        action = getattr(module, "ACTION", None)
        if isinstance(action, ActionDefinition):
            if action.name != found.name:
                raise DefinitionError(
                    f"{module.__name__} defines {action.name!r}; the file is named as its action"
                )
            yield action
        elif action is not None or (hasattr(module, "Config") and hasattr(module, "run")):
            raise DefinitionError(
                f"{module.__name__} looks like an action but its ACTION is no ActionDefinition"
            )


def _check_sample(definition: AnyDefinition) -> None:
    try:
        definition.config.model_validate_json(orjson.dumps(dict(definition.sample)), strict=True)
    except ValidationError as error:
        raise DefinitionError(f"action {definition.name!r}: its sample is not valid: {error}") from error


def _described(family: str, one: AnyDefinition) -> action_pb2.ActionType:
    schema = one.config.model_json_schema()
    described = action_pb2.ActionType(
        name=one.name,
        family=family,
        summary=one.summary,
        config_schema=orjson.dumps(
            {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
        ).decode(),
        sample_config=orjson.dumps(dict(one.sample)).decode(),
        contact_fields=one.contact_fields,
        sensitive_fields=one.sensitive_fields,
        delivery_class=action_pb2.DeliveryClass.ValueType(one.delivery),
        batchable=one.delivery is DeliveryClass.TX,
        max_batch=one.max_batch,
        default_max_retries=one.max_retries,
        lanes=one.lanes,
        emits=one.emits,
        channel=one.channel,
        elsewhere=one.elsewhere_summary,
        version=one.version,
    )
    described.default_timeout.FromTimedelta(one.timeout)
    if one.key_window is not None:
        described.key_window.FromTimedelta(one.key_window)
    return described
