"""Contacts, their tags and their owner at LeadConnector; leadconnector.py calls it.

Everything but the making of a contact sets what it sets, however often; a contact is known again by its
e-mail address, else its phone number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from services.executors.action import Certainty, ErrorClass, JsonObject
from services.executors.crm.fields import MESSENGER_ID
from services.executors.crm.leadconnector_api import LeadConnectorApi, id_of
from services.executors.crm.leadconnector_faults import PROVIDER, Step, Then, row_of
from services.executors.crm.provider import Carried, Errand, Person, Sight, Way, refused
from services.executors.crm.refusals import CONTACT_EXISTS
from services.executors.gate import SendGate
from services.executors.providers.provider import ProviderError

_THEIR_NAMES: Mapping[str, str] = {
    "email": "email",
    "phone": "phone",
    "first_name": "firstName",
    "last_name": "lastName",
    "time_zone": "timezone",
}


async def know(api: LeadConnectorApi, person: Person, gate: SendGate) -> str:
    """Give their id of a contact of ours; one who is not there is made, by an upsert that may come twice."""
    found = await _found(api, person.email, person.phone)
    if found is not None:
        return found
    if not person.email and not person.phone:
        text = "the contact has neither an e-mail address nor a phone number to be known by there"
        raise refused(ErrorClass.CONTACT_DATA, "NO_ADDRESS", text)
    body: JsonObject = {"locationId": api.settings.location_id}
    body |= {theirs: value for ours, theirs in _THEIR_NAMES.items() if (value := getattr(person, ours))}
    told = await api.change("POST", "contacts/upsert", body, Step.CONTACT, gate)
    return id_of(told, "contact", Step.CONTACT)


async def create(api: LeadConnectorApi, errand: Errand, _their_id: str, way: Way) -> Carried:
    """Make a contact, or do with the one of that address what on_duplicate says."""
    config = errand.config
    body = _named(config, api)
    tags = config.get("tags")
    found = await _found(api, _text(config, "email"), _text(config, "phone"))
    if found is None:
        made = body | {"locationId": api.settings.location_id} | ({"tags": tags} if tags else {})
        await way.note({})
        return _known(await _made(api, config, made, way))
    match config.get("on_duplicate", "update"):
        case "fail":
            raise ProviderError(CONTACT_EXISTS)
        case "update":
            await way.note({})
            await api.change("PUT", f"contacts/{found}", body, Step.CONTACT, way.gate)
            if tags:
                await api.change("POST", f"contacts/{found}/tags", {"tags": tags}, Step.CONTACT, way.gate)
    return _known(found)


async def created(api: LeadConnectorApi, errand: Errand, _their_id: str) -> Carried | Sight:
    """Look for the contact of that address; whether all of it was updated is not told."""
    config = errand.config
    found = await _found(api, _text(config, "email"), _text(config, "phone"))
    if found is None:
        return Sight.NOT_THERE
    theirs = await _contact(api, found)
    has_it = _has(theirs, _named(config, api)) and _tags(config) <= _their_tags(theirs)
    return _known(found) if has_it else Sight.HARMLESS


async def update(api: LeadConnectorApi, errand: Errand, their_id: str, way: Way) -> Carried:
    """Set fields."""
    body = _changes(errand, api)
    await way.note({})
    await api.change("PUT", f"contacts/{their_id}", body, Step.CONTACT, way.gate)
    return _known(their_id)


async def updated(api: LeadConnectorApi, errand: Errand, their_id: str) -> Carried | Sight:
    """Look whether the fields are as they were to be set."""
    theirs = await _contact(api, their_id)
    return _known(their_id) if _has(theirs, _changes(errand, api)) else Sight.NOT_THERE


async def assign(api: LeadConnectorApi, errand: Errand, their_id: str, way: Way) -> Carried:
    """Set the owner who was chosen, if anybody was."""
    chosen = errand.plan["user_id"]
    if chosen is not None:
        await way.note({})
        body: JsonObject = {"assignedTo": user_of(api, str(chosen))}
        await api.change("PUT", f"contacts/{their_id}", body, Step.CONTACT, way.gate)
    return _known(their_id)


async def assigned(api: LeadConnectorApi, errand: Errand, their_id: str) -> Carried | Sight:
    """Look who owns the contact."""
    theirs = await _contact(api, their_id)
    is_so = theirs.get("assignedTo") == user_of(api, str(errand.plan["user_id"]))
    return _known(their_id) if is_so else Sight.NOT_THERE


async def add_tags(api: LeadConnectorApi, errand: Errand, their_id: str, way: Way) -> Carried:
    """Add tags."""
    return await _change_tags("POST", api, errand, their_id, way)


async def remove_tags(api: LeadConnectorApi, errand: Errand, their_id: str, way: Way) -> Carried:
    """Remove tags."""
    return await _change_tags("DELETE", api, errand, their_id, way)


async def has_tags(api: LeadConnectorApi, errand: Errand, their_id: str) -> Carried | Sight:
    """Look whether all the tags are there."""
    theirs = _their_tags(await _contact(api, their_id))
    return _known(their_id) if _tags(errand.config) <= theirs else Sight.NOT_THERE


async def has_no_tags(api: LeadConnectorApi, errand: Errand, their_id: str) -> Carried | Sight:
    """Look whether none of the tags is there."""
    theirs = _their_tags(await _contact(api, their_id))
    return Sight.NOT_THERE if _tags(errand.config) & theirs else _known(their_id)


def user_of(api: LeadConnectorApi, user_id: str) -> str:
    """Give their id of a user."""
    return api.settings.users.get(user_id, user_id)


async def _made(api: LeadConnectorApi, config: JsonObject, body: JsonObject, way: Way) -> str:
    """Make a contact. One that is refused may be there: made by somebody else, or in spite of it."""
    try:
        told = await api.change("POST", "contacts/", body, Step.NEW_CONTACT, way.gate)
    except ProviderError as error:
        if row_of(Step.NEW_CONTACT, (error.failed.code,)).then is not Then.SEARCH:
            raise
        found = await _found(api, _text(config, "email"), _text(config, "phone"))
        if found is None:
            raise ProviderError(replace(error.failed, certainty=Certainty.NOT_DONE)) from None
        return found
    return id_of(told, "contact", Step.NEW_CONTACT)


async def _found(api: LeadConnectorApi, email: str, phone: str) -> str | None:
    """Find the contact of an address, or else of a number."""
    for name, value in (("email", email), ("number", phone)):
        if value:
            query = {"locationId": api.settings.location_id, name: value}
            theirs = (await api.read("contacts/search/duplicate", query)).get("contact")
            if isinstance(theirs, dict) and theirs.get("id"):
                return str(theirs["id"])
    return None


async def _contact(api: LeadConnectorApi, their_id: str) -> Mapping[str, Any]:
    told = await api.read(f"contacts/{their_id}")
    id_of(told, "contact", Step.READ)
    theirs: Mapping[str, Any] = told["contact"]
    return theirs


async def _change_tags(
    method: str, api: LeadConnectorApi, errand: Errand, their_id: str, way: Way
) -> Carried:
    await way.note({})
    body: JsonObject = {"tags": _asked_tags(errand.config)}
    await api.change(method, f"contacts/{their_id}/tags", body, Step.CONTACT, way.gate)
    return _known(their_id)


def _changes(errand: Errand, api: LeadConnectorApi) -> JsonObject:
    """Give update_contact's `set` as they write it."""
    given = errand.config["set"]
    assert isinstance(given, dict)  # Config
    own = {name.removeprefix("fields."): value for name, value in given.items() if name.startswith("fields.")}
    return _named({**given, "fields": own}, api)


def _named(given: Mapping[str, Any], api: LeadConnectorApi) -> JsonObject:
    """Give what was given by their names; null takes away. Raises ProviderError for unknown fields."""
    body: JsonObject = {theirs: given[ours] for ours, theirs in _THEIR_NAMES.items() if ours in given}
    own = dict(given.get("fields") or {})
    if MESSENGER_ID not in api.settings.fields:
        own.pop(MESSENGER_ID, None)  # an address of ours, which they need not have
    missing = sorted(name for name in own if name not in api.settings.fields)
    if missing:
        text = f"the settings name no custom field for {', '.join(missing[:10])}"
        raise refused(ErrorClass.CONFIGURATION, "FIELD_UNKNOWN", text)
    if own:
        body["customFields"] = [
            {"id": api.settings.fields[name], "field_value": _field_value(value)}
            for name, value in own.items()
        ]
    return body


def _field_value(value: object) -> object:
    """Give a value as custom fields hold it: text, number or list of texts."""
    match value:
        case None:
            return ""
        case bool() | dict():
            return orjson.dumps(value).decode()
        case list():
            return [one if isinstance(one, str) else orjson.dumps(one).decode() for one in value]
    return value


def _has(theirs: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a contact is as a request wanted it."""
    values = {str(one.get("id")): one.get("value") for one in theirs.get("customFields") or ()}
    for name, value in wanted.items():
        if name == "customFields":
            if any(not _same(values.get(one["id"]), one["field_value"]) for one in value):
                return False
        elif not _same(theirs.get(name), value):
            return False
    return True


def _same(theirs: object, ours: object) -> bool:
    if isinstance(theirs, list) or isinstance(ours, list):
        return theirs == ours
    return (
        str(theirs if theirs is not None else "").casefold()
        == str(ours if ours is not None else "").casefold()
    )


def _asked_tags(config: Mapping[str, Any]) -> list[str]:
    tag = config.get("tag")
    return [tag] if tag is not None else list(config.get("tags") or ())


def _tags(config: Mapping[str, Any]) -> set[str]:
    """Give a config's tags as they are compared: LeadConnector makes small letters of them."""
    return {tag.casefold() for tag in _asked_tags(config)}


def _their_tags(theirs: Mapping[str, Any]) -> set[str]:
    tags: Sequence[object] = theirs.get("tags") or ()
    return {str(tag).casefold() for tag in tags}


def _text(config: Mapping[str, Any], name: str) -> str:
    return str(config.get(name) or "")


def _known(their_id: str) -> Carried:
    return Carried({}, {f"{PROVIDER}_contact_id": their_id}, their_id)
