"""Sets fields of the contact. The registry finds ACTION; a batch reads and writes all its records at once.

Address (email, phone) belongs to the orchestrator: it is returned as a contact change; its hash is kept here.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Final

import asyncpg
from pydantic import (
    ConfigDict,
    EmailStr,
    Field,
    JsonValue,
    model_validator,
)

from services.executors.action import (
    ActionConfig,
    ActionDefinition,
    Call,
    DeliveryClass,
    JsonObject,
    Result,
    succeeded,
)
from services.executors.crm.carrying import Carrier
from services.executors.crm.contacts import contact_of
from services.executors.crm.desk import Desk
from services.executors.crm.fields import FIELD_NAME, MESSENGER_ID, Name, Phone, TimeZone
from services.executors.crm.ids import ContactKey
from services.executors.crm.records import merged
from services.executors.crm.refusals import CONTACT_NOT_FOUND

_FIELD: Final = re.compile(rf"fields\.{FIELD_NAME}")
_ADDRESS: Final[tuple[str, ...]] = ("email", "phone")


class Changes(ActionConfig):
    """What to set; null removes. The account's own fields are keys like "fields.plan"."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"minProperties": 1})
    __pydantic_extra__: dict[str, JsonValue]

    first_name: Name | None = None
    last_name: Name | None = None
    time_zone: TimeZone | None = None
    email: EmailStr | None = None
    phone: Phone | None = None

    @model_validator(mode="after")
    def _check_names(self) -> "Changes":
        wrong = sorted(name for name in self.__pydantic_extra__ if not _FIELD.fullmatch(name))
        if wrong:
            raise ValueError(f"unknown: {', '.join(wrong[:10])}; own fields are written fields.NAME")
        if not self.model_fields_set:
            raise ValueError("must set something")
        return self


class Config(ActionConfig):
    """Which changes."""

    set: Annotated[Changes, Field(description="What to set, by name; null removes.")]


async def apply(connection: asyncpg.Connection, calls: Sequence[Call[Config]], desk: Desk) -> list[Result]:
    """Change the records of the batch's contacts; several calls on one contact follow each other."""
    current = await desk.records.locked(connection, [contact_of(call) for call in calls])
    changed: dict[ContactKey, JsonObject] = {}
    addresses: dict[ContactKey, dict[str, str | None]] = {}
    results: list[Result] = []
    for call in calls:
        key = contact_of(call)
        if key not in current:
            results.append(CONTACT_NOT_FOUND)
            continue
        patch, address, messenger = _split(call.config)
        new = merged(current[key], patch)
        if new != current[key]:
            changed[key] = new
        if address:
            addresses.setdefault(key, {}).update(address)
        is_changed = new != current[key]
        current[key] = new
        results.append(
            succeeded({"changed": is_changed or bool(address)}, contact_changes={**address, **messenger})
        )
    await desk.records.write(connection, changed)
    await desk.addresses.replace(connection, addresses)
    return results


def _split(config: Config) -> tuple[JsonObject, dict[str, str | None], JsonObject]:
    """Give the record's patch, the changes that are the orchestrator's, and those that it is told as well."""
    given: JsonObject = config.set.model_dump(mode="json", exclude_unset=True)
    address = {name: getattr(config.set, name) for name in _ADDRESS if given.pop(name, ...) is not ...}
    own = {name: given.pop(name) for name in list(given) if name.startswith("fields.")}
    fields = {name.removeprefix("fields."): value for name, value in own.items()}
    if fields:
        given["fields"] = fields
    return given, address, {name: fields[name] for name in (MESSENGER_ID,) if name in fields}


_CARRIER: Final = Carrier("update_contact", Config, apply)

ACTION: Final = ActionDefinition(
    name="update_contact",
    summary="Sets fields of the contact.",
    config=Config,
    sample={"set": {"first_name": "Ada", "fields.plan": "pro"}},
    delivery=DeliveryClass.TX,
    apply=apply,
    elsewhere=_CARRIER.run,
    elsewhere_summary=(
        "LeadConnector: PUT /contacts/{id}, own fields by settings.fields; at least once, which "
        "sets them once"
    ),
    find=_CARRIER.find,
    lanes=("crm",),
    sensitive_fields=("set",),
    emits={"contact_updated": "set"},
    max_batch=500,
)
