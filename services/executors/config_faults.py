"""Finds every fault in a config whose merge fields are not rendered yet; called by the servicer's Validate.

A text that holds a merge field may become anything, so it passes the checks of any scalar type.
"""

from collections.abc import Sequence
from typing import Final

import orjson
from pydantic import ValidationError, ValidationInfo
from pydantic_core import ErrorDetails
from wayfarer.action.v1 import action_executor_pb2

from services.executors.action import ActionConfig, JsonObject

_MERGE_MARKS: Final = ("{{", "{%")
_CONTAINER_RULES: Final = frozenset(
    {
        "model_type",
        "model_attributes_type",
        "dict_type",
        "list_type",
        "tuple_type",
        "set_type",
        "mapping_type",
    }
)
_PUBLISHING: Final = "publishing"


def is_publishing(info: ValidationInfo) -> bool:
    """Tell a Config's validator that it looks at what a person wrote, not at what was rendered from it."""
    return info.context is _PUBLISHING


def config_faults(config: type[ActionConfig], raw: bytes) -> list[action_executor_pb2.ConfigFault]:
    """Give the faults in the order of the config's fields; none means valid."""
    try:
        config.model_validate_json(raw or b"{}", strict=True, context=_PUBLISHING)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        return [_fault(detail) for detail in details if not _is_to_be_rendered(detail)]
    return []


def is_to_be_rendered(text: str) -> bool:
    """Tell whether a text as written holds merge fields."""
    return any(mark in text for mark in _MERGE_MARKS)


def as_written(raw: bytes) -> JsonObject:
    """Read a config as a person wrote it; empty if it is no JSON object, which config_faults says."""
    try:
        written = orjson.loads(raw)
    except ValueError:
        return {}
    return written if isinstance(written, dict) else {}


def _is_to_be_rendered(detail: ErrorDetails) -> bool:
    value = detail["input"]
    if detail["type"] in _CONTAINER_RULES or not isinstance(value, str):
        return False
    return is_to_be_rendered(value)


def _fault(detail: ErrorDetails) -> action_executor_pb2.ConfigFault:
    return action_executor_pb2.ConfigFault(
        path=_dotted(detail["loc"]), message=detail["msg"][:500], rule=detail["type"]
    )


def _dotted(location: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in location)
