"""Notes, tasks and campaigns of contacts at LeadConnector; leadconnector.py calls it.

Notes and tasks carry a mark that names their effect, by which they are found again. Who is in a campaign or
workflow is not told: what may have entered one is in doubt for good, and is not entered again.
"""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final

from services.executors.action import Certainty, EffectKey, ErrorClass, JsonObject
from services.executors.crm.fields import OWNER
from services.executors.crm.leadconnector_api import LeadConnectorApi, id_of, objects_of
from services.executors.crm.leadconnector_contacts import user_of
from services.executors.crm.leadconnector_faults import Step
from services.executors.crm.provider import CONTACT_GONE, Carried, Errand, Sight, Way
from services.executors.crm.refusals import CAMPAIGN_UNKNOWN
from services.executors.providers.provider import ProviderError

_ALL: Final = "removeAll"


def mark_of(effect: EffectKey) -> str:
    """Give what notes and tasks end with, and an opportunity's field holds: 80 bits of the effect's key."""
    digest = blake2b(f"{effect.account_id}.{effect}".encode(), digest_size=10).digest()
    return f"[wf:{base64.b32encode(digest).decode().lower()}]"


async def add_note(api: LeadConnectorApi, errand: Errand, their_id: str, way: Way) -> Carried:
    """Write a note."""
    config = errand.config
    body: JsonObject = {"body": _marked(str(config["body"]), errand)}
    body |= {name: config[name] for name in ("title", "pinned") if config.get(name)}
    await way.note({})
    told = await api.change("POST", f"contacts/{their_id}/notes", body, Step.ITEM, way.gate)
    return _note(id_of(told, "note", Step.ITEM))


async def note_added(api: LeadConnectorApi, errand: Errand, their_id: str) -> Carried | Sight:
    """Look for the note's mark."""
    found = await _marked_one(api, f"contacts/{their_id}/notes", "notes", errand)
    return _note(str(found["id"])) if found is not None else Sight.NOT_THERE


async def create_task(api: LeadConnectorApi, errand: Errand, their_id: str, way: Way) -> Carried:
    """Write a task, to be done by when it says, counted from now."""
    config = errand.config
    due = _due(errand.config).astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    body: JsonObject = {
        "title": config["title"],
        "body": _marked(str(config.get("body") or ""), errand),
        "dueDate": due,
        "completed": False,
    }
    assigned_to = assignee(errand)
    if assigned_to is not None:
        body["assignedTo"] = user_of(api, assigned_to)
    await way.note({})
    told = await api.change("POST", f"contacts/{their_id}/tasks", body, Step.ITEM, way.gate)
    return _task(id_of(told, "task", Step.ITEM), due, assigned_to)


async def task_created(api: LeadConnectorApi, errand: Errand, their_id: str) -> Carried | Sight:
    """Look for the task's mark."""
    found = await _marked_one(api, f"contacts/{their_id}/tasks", "tasks", errand)
    if found is None:
        return Sight.NOT_THERE
    return _task(str(found["id"]), str(found.get("dueDate") or ""), assignee(errand))


async def add_to_campaign(api: LeadConnectorApi, errand: Errand, their_id: str, way: Way) -> Carried:
    """Enter the contact; to restart, let it leave first."""
    path = f"contacts/{their_id}/{_campaign(api, str(errand.config['campaign']))}"
    if errand.config.get("on_active") == "restart":
        await _leave(api, path, way)
    await way.note({})
    try:
        await api.change("POST", path, {}, Step.CAMPAIGN, way.gate)
    except ProviderError as error:
        in_doubt = error.failed.certainty is Certainty.INDETERMINATE
        raise ProviderError(replace(error.failed, final=in_doubt)) from None
    return Carried({"changed": True})


async def who_is_in_is_not_told(_api: LeadConnectorApi, _errand: Errand, _their_id: str) -> Carried | Sight:
    """Give up: there is no request that would tell."""
    return Sight.CANNOT_TELL


async def remove_from_campaign(api: LeadConnectorApi, errand: Errand, their_id: str, way: Way) -> Carried:
    """Let the contact leave one campaign or workflow, or all campaigns and every workflow named."""
    settings, name = api.settings, errand.config.get("campaign")
    if name is None:
        left = sorted(settings.workflows)
        paths = [f"campaigns/{_ALL}", *(f"workflow/{settings.workflows[one]}" for one in left)]
    else:
        left, paths = [str(name)], [_campaign(api, str(name))]
    await way.note({})
    first, *others = [f"contacts/{their_id}/{path}" for path in paths]
    await api.change("DELETE", first, _body(first), Step.CAMPAIGN, way.gate)
    for path in others:
        await _leave(api, path, way)
    return Carried({"campaign": left, "changed": True})  # whether it was in any is not told


async def leaving_twice_is_leaving(
    _api: LeadConnectorApi, _errand: Errand, _their_id: str
) -> Carried | Sight:
    """Say so."""
    return Sight.HARMLESS


async def _leave(api: LeadConnectorApi, path: str, way: Way) -> None:
    """Leave one that the contact may not be in."""
    try:
        await api.change("DELETE", path, _body(path), Step.CAMPAIGN, way.gate)
    except ProviderError as error:
        was_not_in = error.failed.error_class is ErrorClass.NOT_FOUND
        if not was_not_in or error.failed.code == CONTACT_GONE:
            raise


def assignee(errand: Errand) -> str | None:
    """Give the user a config's assigned_to names: by "owner", who owns our record."""
    named = errand.config.get("assigned_to")
    found = errand.plan["owner"] if named == OWNER else named
    return str(found) if found is not None else None


def _campaign(api: LeadConnectorApi, name: str) -> str:
    """Give the path of a campaign, or of the workflow it is there."""
    workflow = api.settings.workflows.get(name)
    if workflow is not None:
        return f"workflow/{workflow}"
    campaign = api.settings.campaigns.get(name, name)
    if campaign == _ALL:  # a path of its own, not a campaign
        raise ProviderError(CAMPAIGN_UNKNOWN)
    return f"campaigns/{campaign}"


def _body(path: str) -> JsonObject | None:
    """Leaving a workflow takes a body, leaving a campaign none."""
    return {} if "workflow/" in path else None


async def _marked_one(api: LeadConnectorApi, path: str, name: str, errand: Errand) -> dict[str, Any] | None:
    mark = mark_of(errand.effect)
    found = objects_of(await api.read(path), name)
    return next((one for one in found if mark in str(one.get("body") or "") and one.get("id")), None)


def _marked(text: str, errand: Errand) -> str:
    mark = mark_of(errand.effect)
    return f"{text}\n\n{mark}" if text else mark


def _due(config: JsonObject) -> datetime:
    due_in = config.get("due_in")
    if isinstance(due_in, dict):
        return datetime.now(UTC) + timedelta(**{due_in["unit"]: due_in["amount"]})
    return datetime.fromisoformat(str(config["due_at"]))


def _note(note_id: str) -> Carried:
    return Carried({"note_id": note_id, "changed": True}, {"note_id": note_id})


def _task(task_id: str, due_at: str, assigned_to: str | None) -> Carried:
    output: JsonObject = {"task_id": task_id, "due_at": due_at, "assigned_to": assigned_to, "changed": True}
    return Carried(output, {"task_id": task_id})
