"""Puts the contact into a campaign. The registry finds ACTION; a batch decides under its contacts' locks."""

import uuid
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import asyncpg
from pydantic import Field

from services.executors.action import ActionConfig, ActionDefinition, Call, DeliveryClass, Result, succeeded
from services.executors.crm.campaigns import Enrolment
from services.executors.crm.carrying import Carrier
from services.executors.crm.contacts import contact_of
from services.executors.crm.desk import Desk
from services.executors.crm.fields import Key
from services.executors.crm.ids import ContactKey, new_ids
from services.executors.crm.refusals import CAMPAIGN_UNKNOWN, CONTACT_NOT_FOUND


class Config(ActionConfig):
    """Which campaign."""

    campaign: Annotated[Key, Field(description="The campaign's key.")]
    on_active: Annotated[
        Literal["ignore", "restart"],
        Field(description="What to do with a contact who is in it: nothing, or end that and begin anew."),
    ] = "ignore"


async def apply(connection: asyncpg.Connection, calls: Sequence[Call[Config]], desk: Desk) -> list[Result]:
    """Put contacts into campaigns; several calls on one contact follow each other."""
    known = await desk.contacts.locked(connection, calls)
    campaigns = await desk.campaigns.known(
        connection, [(call.key.account_id, call.config.campaign) for call in calls]
    )
    standing = {(one.key, one.campaign): one for one in await desk.campaigns.active(connection, list(known))}
    before = dict(standing)
    begun: list[Enrolment] = []
    results: list[Result] = []
    for call, enrolment_id in zip(calls, new_ids(len(calls)), strict=True):
        key, campaign = contact_of(call), call.config.campaign
        if key not in known:
            results.append(CONTACT_NOT_FOUND)
        elif (key[0], campaign) not in campaigns:
            results.append(CAMPAIGN_UNKNOWN)
        elif (key, campaign) in standing and call.config.on_active == "ignore":
            results.append(_told(standing[key, campaign], changed=False))
        else:
            standing[key, campaign] = enrolment = Enrolment(key, campaign, enrolment_id)
            begun.append(enrolment)
            results.append(_told(enrolment, changed=True))
    await _write(connection, desk, before, standing, begun)
    return results


async def _write(
    connection: asyncpg.Connection,
    desk: Desk,
    before: dict[tuple[ContactKey, str], Enrolment],
    standing: dict[tuple[ContactKey, str], Enrolment],
    begun: list[Enrolment],
) -> None:
    last: set[uuid.UUID] = {one.enrolment_id for one in standing.values()}
    # Ended first: a contact is in a campaign once at most.
    await desk.campaigns.end(connection, [one for one in before.values() if one.enrolment_id not in last])
    ended = {one.enrolment_id for one in begun} - last
    await desk.campaigns.enrol(connection, begun, ended)


def _told(enrolment: Enrolment, *, changed: bool) -> Result:
    return succeeded({"enrolment_id": str(enrolment.enrolment_id), "changed": changed})


_CARRIER: Final = Carrier("add_to_campaign", Config)

ACTION: Final = ActionDefinition(
    name="add_to_campaign",
    summary="Puts the contact into a campaign.",
    config=Config,
    sample={"campaign": "spring"},
    delivery=DeliveryClass.TX,
    apply=apply,
    elsewhere=_CARRIER.run,
    elsewhere_summary=(
        "LeadConnector: POST /contacts/{id}/workflow/{id} or /campaigns/{id}, by settings.workflows"
        " and settings.campaigns; at most once, as it does not tell who is in one"
    ),
    find=_CARRIER.find,
    lanes=("crm",),
    emits={"campaign_joined": "campaign"},
    max_batch=500,
)
