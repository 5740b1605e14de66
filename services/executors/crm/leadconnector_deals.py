"""Opportunities of contacts at LeadConnector; leadconnector.py calls it.

Those it has are what is decided on, whoever opened them. Before one is opened, it is noted what
leadconnector_openings.py knows it by; before some are moved, where they were.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from services.executors.action import Certainty, JsonObject
from services.executors.crm.leadconnector_api import LeadConnectorApi, id_of, objects_of
from services.executors.crm.leadconnector_contacts import user_of
from services.executors.crm.leadconnector_faults import Step
from services.executors.crm.leadconnector_items import assignee, mark_of
from services.executors.crm.leadconnector_openings import noted, opened
from services.executors.crm.provider import Carried, Errand, Sight, Way
from services.executors.crm.refusals import OPPORTUNITY_NOT_FOUND, PIPELINE_UNKNOWN, STAGE_UNKNOWN
from services.executors.providers.provider import ProviderError

_MOST: Final = "100"


class Place(NamedTuple):
    """A pipeline and a stage, by their ids."""

    pipeline: str
    stage: str


async def create(api: LeadConnectorApi, errand: Errand, their_id: str, way: Way) -> Carried:
    """Open one, unless one is open in that pipeline already."""
    config, place = errand.config, _place(api, errand)
    theirs = await _all(api, their_id, place.pipeline)
    present = [one for one in _latest_first(theirs) if one.get("status") == "open"]
    if present and not config.get("allow_duplicate", False):
        return _opened(api, errand, present[0], created=False)
    return _opened(api, errand, await _open(api, errand, their_id, way, theirs), created=True)


async def created(api: LeadConnectorApi, errand: Errand, their_id: str) -> Carried | Sight:
    """Look for the one that is ours."""
    found = await _ours(api, errand, their_id)
    return found if isinstance(found, Sight) else _opened(api, errand, found, created=True)


async def move(api: LeadConnectorApi, errand: Errand, their_id: str, way: Way) -> Carried:
    """Move what is selected; what would go backward without leave stays as it is."""
    config, place = errand.config, _place(api, errand)
    chosen = await _selected(api, errand, their_id, place)
    if not chosen:
        if not config.get("create_if_missing", False):
            raise ProviderError(OPPORTUNITY_NOT_FOUND)
        made = await _open(api, errand, their_id, way, await _all(api, their_id, place.pipeline))
        return _moved(api, errand, [(str(made["id"]), None)], updated=False)
    if not config.get("allow_backward", False):
        stages = await _stages(api, place.pipeline)
        if place.stage not in stages:
            raise ProviderError(STAGE_UNKNOWN)
        aim = stages.index(place.stage)
        backward = [one for one in chosen if _index(stages, one) > aim]
        if len(backward) == len(chosen):
            return _stayed(api, errand, chosen[0])
        chosen = [one for one in chosen if one not in backward]
    from_stages = {str(one["id"]): str(one.get("pipelineStageId") or "") for one in chosen}
    wanted = _wanted(errand)
    updated = any(not _is_as(one, wanted) for one in chosen)
    await way.note({"moves": from_stages, "updated": updated})
    for nth, opportunity_id in enumerate(from_stages):
        try:
            body: JsonObject = {"pipelineId": place.pipeline, "pipelineStageId": place.stage, **wanted}
            await api.change("PUT", f"opportunities/{opportunity_id}", body, Step.OPPORTUNITY, way.gate)
        except ProviderError as error:
            if nth:  # of several, some are moved
                raise ProviderError(replace(error.failed, certainty=Certainty.INDETERMINATE)) from None
            raise
    return _moved(api, errand, list(from_stages.items()), updated=updated)


async def moved(api: LeadConnectorApi, errand: Errand, their_id: str) -> Carried | Sight:
    """Look where those that were to be moved are, or for the one that was to be opened."""
    sent = errand.sent or {}
    from_stages = sent.get("moves")
    if not isinstance(from_stages, dict):
        found = await _ours(api, errand, their_id)
        if isinstance(found, Sight):
            return found
        return _moved(api, errand, [(str(found["id"]), None)], updated=False)
    place, wanted = _place(api, errand), _wanted(errand)
    there = [
        one.get("pipelineStageId") == place.stage and _is_as(one, wanted)
        for one in [await _one(api, name) for name in from_stages]
    ]
    if all(there):
        return _moved(api, errand, list(from_stages.items()), updated=bool(sent.get("updated")))
    return Sight.HARMLESS if any(there) else Sight.NOT_THERE


async def _selected(
    api: LeadConnectorApi, errand: Errand, their_id: str, place: Place
) -> list[dict[str, Any]]:
    """Give what is to be moved, latest first."""
    config = errand.config
    named = config.get("opportunity_id")
    if named is not None:
        one = await _one(api, str(named))
        is_theirs = (one.get("contactId"), one.get("pipelineId")) == (their_id, place.pipeline)
        return [one] if is_theirs else []
    theirs = await _all(api, their_id, place.pipeline)
    found = [one for one in _latest_first(theirs) if one.get("status") == "open"]
    return found if config.get("selector") == "all_open" else found[:1]


async def _open(
    api: LeadConnectorApi,
    errand: Errand,
    their_id: str,
    way: Way,
    theirs: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    place = _place(api, errand)
    body: JsonObject = {
        "pipelineId": place.pipeline,
        "locationId": api.settings.location_id,
        "name": _name(errand),
        "pipelineStageId": place.stage,
        "contactId": their_id,
        "status": "open",
        **_wanted(errand),
    }
    assigned_to = assignee(errand)
    if assigned_to is not None:
        body["assignedTo"] = user_of(api, assigned_to)
    field = api.settings.opportunity_effect_field
    if field is not None:
        body["customFields"] = [{"id": field, "field_value": mark_of(errand.effect)}]
    await way.note(noted(theirs, field, datetime.now(UTC)))
    told = await api.change("POST", "opportunities/", body, Step.OPPORTUNITY, way.gate)
    return {"id": id_of(told, "opportunity", Step.OPPORTUNITY), "pipelineStageId": place.stage}


async def _ours(api: LeadConnectorApi, errand: Errand, their_id: str) -> dict[str, Any] | Sight:
    theirs = await _all(api, their_id, _place(api, errand).pipeline)
    wanted = {name: value for name, value in _wanted(errand).items() if name != "status"}
    return opened(theirs, errand.sent or {}, mark_of(errand.effect), {"name": _name(errand), **wanted})


async def _all(api: LeadConnectorApi, their_id: str, pipeline: str) -> list[dict[str, Any]]:
    """Give a contact's opportunities in a pipeline, at most a hundred."""
    query = {
        "location_id": api.settings.location_id,
        "contact_id": their_id,
        "pipeline_id": pipeline,
        "status": "all",
        "limit": _MOST,
    }
    found = objects_of(await api.read("opportunities/search", query), "opportunities")
    return [one for one in found if one.get("id") and one.get("pipelineId", pipeline) == pipeline]


async def _one(api: LeadConnectorApi, opportunity_id: str) -> dict[str, Any]:
    told = await api.read(f"opportunities/{opportunity_id}")
    id_of(told, "opportunity", Step.READ)
    found: dict[str, Any] = told["opportunity"]
    return found


async def _stages(api: LeadConnectorApi, pipeline: str) -> list[str]:
    """Give the ids of a pipeline's stages, in their order."""
    told = await api.read("opportunities/pipelines", {"locationId": api.settings.location_id})
    found = next((one for one in objects_of(told, "pipelines") if one.get("id") == pipeline), None)
    if found is None:
        raise ProviderError(PIPELINE_UNKNOWN)
    stages = objects_of(found, "stages")
    ordered = sorted(enumerate(stages), key=lambda one: (one[1].get("position", one[0]), one[0]))
    return [str(one.get("id")) for _, one in ordered]


def _index(stages: Sequence[str], one: Mapping[str, Any]) -> int:
    """Give how far on it is; one in a stage that is gone is before all others."""
    stage = str(one.get("pipelineStageId"))
    return stages.index(stage) if stage in stages else -1


def _place(api: LeadConnectorApi, errand: Errand) -> Place:
    pipeline, stage = str(errand.config["pipeline"]), str(errand.config["stage"])
    ids = api.settings.pipelines.get(pipeline)
    return Place(pipeline, stage) if ids is None else Place(ids.id, ids.stages.get(stage, stage))


def _stage_key(api: LeadConnectorApi, errand: Errand, stage_id: str | None) -> str | None:
    """Give what workflows call a stage; its id if nothing."""
    ids = api.settings.pipelines.get(str(errand.config["pipeline"]))
    keys = {theirs: ours for ours, theirs in ids.stages.items()} if ids is not None else {}
    return keys.get(stage_id, stage_id) if stage_id is not None else None


def _name(errand: Errand) -> str:
    return str(errand.config.get("name") or errand.config["pipeline"])


def _wanted(errand: Errand) -> JsonObject:
    """Give the status and the value that are asked for."""
    status, value = errand.config.get("status"), errand.config.get("value")
    wanted: JsonObject = {"status": status} if status is not None else {}
    return wanted | ({"monetaryValue": float(str(value))} if value is not None else {})


def _is_as(one: Mapping[str, Any], wanted: Mapping[str, object]) -> bool:
    return all(one.get(name) == value for name, value in wanted.items())


def _latest_first(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(found, key=lambda one: (str(one.get("createdAt") or ""), str(one["id"])), reverse=True)


def _opened(api: LeadConnectorApi, errand: Errand, one: Mapping[str, Any], *, created: bool) -> Carried:
    opportunity_id = str(one["id"])
    output: JsonObject = {
        "opportunity_id": opportunity_id,
        "stage": _stage_key(api, errand, str(one.get("pipelineStageId") or "")),
        "created": created,
        "changed": created,
    }
    return Carried(output, {"opportunity_id": opportunity_id})


def _moved(
    api: LeadConnectorApi, errand: Errand, moves: Sequence[tuple[str, str | None]], *, updated: bool
) -> Carried:
    """Tell of the latest that moved, else of the latest, and how many moved."""
    aim = _place(api, errand).stage
    really = [move for move in moves if move[1] != aim]
    first = really[0] if really else moves[0]
    output: JsonObject = {
        "opportunity_id": first[0],
        "from_stage": _stage_key(api, errand, first[1]),
        "to_stage": _stage_key(api, errand, aim),
        "moved": bool(really),
        "moved_count": len(really),
        "updated": updated,
        "created": first[1] is None,
        "changed": bool(really),
    }
    return Carried(output, {"opportunity_id": first[0]})


def _stayed(api: LeadConnectorApi, errand: Errand, one: Mapping[str, Any]) -> Carried:
    """Tell that nothing may be moved backward."""
    stage = str(one.get("pipelineStageId") or "")
    carried = _moved(api, errand, [(str(one["id"]), stage)], updated=False)
    shown = _stage_key(api, errand, stage)
    still: JsonObject = {"to_stage": shown, "moved": False, "moved_count": 0, "changed": False}
    return Carried(carried.output | still, carried.refs)
