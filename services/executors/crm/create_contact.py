"""Makes a contact, or finds the one of that address. The registry finds ACTION; a batch decides under locks.

The contact is another than the step's own. Its record is written here; its existence and address are the
orchestrator's, which is told as the contact change `create`: make the contact of that id unless it is there,
and give it these addresses. The id derives from the effect key, so that telling it again changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import asyncpg
from pydantic import EmailStr, Field, JsonValue, StringConstraints, model_validator

from services.executors.action import (
    ActionConfig,
    ActionDefinition,
    Call,
    DeliveryClass,
    Failed,
    JsonObject,
    Result,
    succeeded,
)
from services.executors.crm.addresses import Address, Addresses
from services.executors.crm.carrying import Carrier
from services.executors.crm.desk import Desk
from services.executors.crm.fields import FIELD_NAME, MESSENGER_ID, Name, Phone, Tag, TimeZone
from services.executors.crm.ids import ContactKey, id_of_effect
from services.executors.crm.records import merged
from services.executors.crm.refusals import CONTACT_AMBIGUOUS, CONTACT_EXISTS
from services.executors.crm.register import Register
from services.executors.crm.statements import own
from services.executors.crm.tags import CHANGED, change

_ADD_TAGS: Final = own("add_tags")

FieldName = Annotated[str, StringConstraints(pattern=rf"^{FIELD_NAME}$")]


class Config(ActionConfig):
    """Who it is; at least one of email and phone."""

    email: Annotated[EmailStr | None, Field(description="E-mail address.")] = None
    phone: Annotated[Phone | None, Field(description="Phone number in E.164 form.")] = None
    first_name: Annotated[Name | None, Field(description="Given name.")] = None
    last_name: Annotated[Name | None, Field(description="Family name.")] = None
    time_zone: Annotated[TimeZone | None, Field(description="IANA time zone, e.g. Europe/Berlin.")] = None
    tags: Annotated[tuple[Tag, ...], Field(max_length=50, description="Tags to add; at most 50.")] = ()
    fields: Annotated[
        dict[FieldName, JsonValue], Field(max_length=100, description="The account's own fields, by name.")
    ] = Field(default_factory=dict)
    on_duplicate: Annotated[
        Literal["update", "skip", "fail"],
        Field(description="What to do if a contact has the e-mail address, or else the phone."),
    ] = "update"

    @model_validator(mode="after")
    def _check_address(self) -> "Config":
        if self.email is None and self.phone is None:
            raise ValueError("must have an email or a phone")
        return self


@dataclass(frozen=True, slots=True)
class Placed:
    """What a call came to: whose data it is, and whether they were made for it."""

    key: ContactKey
    is_made: bool
    is_changed: bool
    """Whether data or address changed; tags are known later."""


async def apply(connection: asyncpg.Connection, calls: Sequence[Call[Config]], desk: Desk) -> list[Result]:
    """Make or find a contact for every call of the batch; each call finds those before it."""
    asked = [_addresses(call, desk.addresses) for call in calls]
    holders = await desk.addresses.owners(connection, [one for some in asked for one in some])
    found = sorted(set(holders.values()))
    register = Register(holders, await desk.records.locked(connection, found))
    placed = [_place(call, addresses, register) for call, addresses in zip(calls, asked, strict=True)]
    await desk.records.insert(connection, register.made)
    await desk.records.write(connection, register.changed)
    await desk.addresses.put(connection, [(key, one) for (key, _), one in register.given.items()])
    added = await _add_tags(connection, calls, placed)
    return [_told(call, one, tags) for call, one, tags in zip(calls, placed, added, strict=True)]


def _addresses(call: Call[Config], addresses: Addresses) -> list[Address]:
    """Give a call's addresses, e-mail first: it decides who is meant."""
    account_id, config = call.key.account_id, call.config
    given = (("email", config.email), ("phone", config.phone))
    return [addresses.of(account_id, kind, text) for kind, text in given if text is not None]


def _place(call: Call[Config], addresses: Sequence[Address], register: Register) -> Placed | Failed:
    holders = [key for one in addresses if (key := register.holder(one)) is not None]
    if not holders:
        key = call.key.account_id, id_of_effect(call.key)
        register.write(key, merged({}, _patch(call.config)), is_new=True)
        register.give(key, addresses)
        return Placed(key, is_made=True, is_changed=True)
    match call.config.on_duplicate:
        case "fail":
            return CONTACT_EXISTS
        case "skip":
            return Placed(holders[0], is_made=False, is_changed=False)
        case "update" if len(set(holders)) > 1:
            return CONTACT_AMBIGUOUS
        case "update":
            key = holders[0]
            is_new = register.give(key, addresses)
            data = merged(register.data[key], _patch(call.config))
            return Placed(key, is_made=False, is_changed=register.write(key, data, is_new=False) or is_new)


def _patch(config: Config) -> JsonObject:
    names = ("first_name", "last_name", "time_zone")
    given: JsonObject = {name: value for name in names if (value := getattr(config, name)) is not None}
    return given | ({"fields": dict(config.fields)} if config.fields else {})


async def _add_tags(
    connection: asyncpg.Connection, calls: Sequence[Call[Config]], placed: Sequence[Placed | Failed]
) -> list[list[str]]:
    """Add the tags of calls that may change their contact; give those added, per call."""
    rows = [
        (place, one.key, tag)
        for place, (call, one) in enumerate(zip(calls, placed, strict=True))
        if isinstance(one, Placed) and (one.is_made or call.config.on_duplicate == "update")
        for tag in dict.fromkeys(call.config.tags)
    ]
    added: list[list[str]] = [[] for _ in calls]
    if rows:
        accounts = [key[0] for _, key, _ in rows]
        contacts, tags = [key[1] for _, key, _ in rows], [tag for _, _, tag in rows]
        answers = await change(connection, _ADD_TAGS, accounts, contacts, tags)
        for (place, _, tag), answer in zip(rows, answers, strict=True):
            if answer is CHANGED:
                added[place].append(tag)
    return added


def _told(call: Call[Config], one: Placed | Failed, added: list[str]) -> Result:
    if isinstance(one, Failed):
        return one
    contact_id = str(one.key[1])
    output = {"contact_id": contact_id, "created": one.is_made, "changed": one.is_changed or bool(added)}
    if not one.is_made and call.config.on_duplicate == "skip":
        return succeeded(output)
    fields = call.config.fields
    create: Mapping[str, object] = {
        **output,
        **call.config.model_dump(include={"email", "phone"}, exclude_none=True),
        **({MESSENGER_ID: fields[MESSENGER_ID]} if MESSENGER_ID in fields else {}),
        "tags_added": added,
    }
    return succeeded(output, contact_changes={"create": create})


_CARRIER: Final = Carrier("create_contact", Config, apply, of_other=True)

ACTION: Final = ActionDefinition(
    name="create_contact",
    summary="Makes a contact, or finds and updates the one of that address.",
    config=Config,
    sample={"email": "ada@example.com", "first_name": "Ada", "tags": ["lead"], "fields": {"plan": "pro"}},
    delivery=DeliveryClass.TX,
    apply=apply,
    elsewhere=_CARRIER.run,
    elsewhere_summary=(
        "LeadConnector: POST /contacts/ or, if search/duplicate finds it, PUT /contacts/{id}; "
        "looked for before a repeat"
    ),
    find=_CARRIER.find,
    lanes=("crm",),
    sensitive_fields=("email", "phone", "first_name", "last_name", "fields"),
    max_batch=200,
)
