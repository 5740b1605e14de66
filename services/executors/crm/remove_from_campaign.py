"""Takes the contact out of campaigns. The registry finds ACTION; a batch decides under contact locks."""

from collections.abc import Sequence
from typing import Annotated, Final

import asyncpg
from pydantic import Field, model_validator

from services.executors.action import ActionConfig, ActionDefinition, Call, DeliveryClass, Result, succeeded
from services.executors.crm.campaigns import Enrolment
from services.executors.crm.carrying import Carrier
from services.executors.crm.contacts import contact_of
from services.executors.crm.desk import Desk
from services.executors.crm.fields import Key
from services.executors.crm.ids import ContactKey
from services.executors.crm.refusals import CAMPAIGN_UNKNOWN, CONTACT_NOT_FOUND


class Config(ActionConfig):
    """Which campaigns; exactly one of campaign and all."""

    campaign: Annotated[Key | None, Field(description="The campaign's key.")] = None
    all: Annotated[bool, Field(description="Every campaign the contact is in.")] = False

    @model_validator(mode="after")
    def _check_which(self) -> "Config":
        if (self.campaign is None) != self.all:
            raise ValueError("must have exactly one of campaign and all: true")
        return self


async def apply(connection: asyncpg.Connection, calls: Sequence[Call[Config]], desk: Desk) -> list[Result]:
    """Take contacts out of campaigns; several calls on one contact follow each other."""
    known = await desk.contacts.locked(connection, calls)
    campaigns = await desk.campaigns.known(
        connection, [(call.key.account_id, name) for call in calls if (name := call.config.campaign)]
    )
    standing: dict[ContactKey, dict[str, Enrolment]] = {}
    for one in await desk.campaigns.active(connection, list(known)):
        standing.setdefault(one.key, {})[one.campaign] = one
    ended: list[Enrolment] = []
    results: list[Result] = []
    for call in calls:
        key, campaign = contact_of(call), call.config.campaign
        if key not in known:
            results.append(CONTACT_NOT_FOUND)
        elif campaign is not None and (key[0], campaign) not in campaigns:
            results.append(CAMPAIGN_UNKNOWN)
        else:
            mine = standing.get(key, {})
            left = [mine.pop(name) for name in sorted(mine) if campaign in (None, name)]
            ended += left
            names = [one.campaign for one in left]
            results.append(succeeded({"removed": len(left), "campaign": names, "changed": bool(left)}))
    await desk.campaigns.end(connection, ended)
    return results


_CARRIER: Final = Carrier("remove_from_campaign", Config)

ACTION: Final = ActionDefinition(
    name="remove_from_campaign",
    summary="Takes the contact out of a campaign, or of all.",
    config=Config,
    sample={"campaign": "spring"},
    delivery=DeliveryClass.TX,
    apply=apply,
    elsewhere=_CARRIER.run,
    elsewhere_summary=(
        "LeadConnector: DELETE /contacts/{id}/workflow/{id} or /campaigns/{id}, all: "
        "/campaigns/removeAll and every settings.workflows; at least once"
    ),
    find=_CARRIER.find,
    lanes=("crm",),
    emits={"campaign_left": "campaign"},
    max_batch=500,
)
