"""Opens an opportunity for the contact. The registry finds ACTION; a batch decides under contact locks."""

import uuid
from collections.abc import Sequence
from typing import Annotated, Final

import asyncpg
from pydantic import Field, StringConstraints

from services.executors.action import (
    ActionConfig,
    ActionDefinition,
    Call,
    DeliveryClass,
    Failed,
    Result,
    succeeded,
)
from services.executors.crm.carrying import Carrier
from services.executors.crm.contacts import contact_of
from services.executors.crm.desk import Desk
from services.executors.crm.fields import AssignedTo, Key, Status, Title, Value
from services.executors.crm.ids import ContactKey, new_ids
from services.executors.crm.opportunities import Opportunity
from services.executors.crm.pipelines import stage_fault
from services.executors.crm.users import assignee


class Config(ActionConfig):
    """What may be sold, and where it stands."""

    pipeline: Annotated[Key, Field(description="The pipeline's key.")]
    stage: Annotated[Key, Field(description="The stage's key.")]
    name: Annotated[Title, Field(description="What people call it; at most 255 characters.")]
    status: Annotated[Status, Field(description="What became of it.")] = "open"
    value: Value = None
    currency: Annotated[
        Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] | None,
        Field(description="The value's ISO 4217 code, e.g. EUR."),
    ] = None
    source: Annotated[
        Annotated[
            str,
            StringConstraints(
                strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$"
            ),
        ]
        | None,
        Field(description="Where it came from; at most 100 characters."),
    ] = None
    assigned_to: AssignedTo = None
    allow_duplicate: Annotated[
        bool, Field(description="Open one even if the contact has an open one in this pipeline.")
    ] = False


async def apply(connection: asyncpg.Connection, calls: Sequence[Call[Config]], desk: Desk) -> list[Result]:
    """Open an opportunity for every call of the batch; several calls on one contact see each other's."""
    owners = await desk.contacts.locked(connection, calls)
    stages = await desk.pipelines.stages(
        connection, [(call.key.account_id, call.config.pipeline) for call in calls]
    )
    users = await desk.users.known(
        connection, [(call.key.account_id, call.config.assigned_to) for call in calls]
    )
    standing: dict[tuple[ContactKey, str], Opportunity] = {}
    for one in await desk.opportunities.standing(connection, list(owners)):
        standing[one.key, one.pipeline] = one  # oldest first: the latest stays
    made: list[Opportunity] = []
    results: list[Result] = []
    for call, opportunity_id in zip(calls, new_ids(len(calls)), strict=True):
        key, config = contact_of(call), call.config
        who = assignee(key, config.assigned_to, owners, users)
        if not isinstance(who, Failed):
            who = stage_fault(stages, (key[0], config.pipeline), config.stage) or who
        if isinstance(who, Failed):
            results.append(who)
            continue
        present = standing.get((key, config.pipeline))
        if present is not None and not config.allow_duplicate:
            results.append(_told(present, created=False))
            continue
        opportunity = _opened(key, opportunity_id, config, who.user_id)
        made.append(opportunity)
        if opportunity.status == "open":
            standing[key, config.pipeline] = opportunity
        results.append(_told(opportunity, created=True))
    await desk.opportunities.insert(connection, made)
    return results


def _opened(
    key: ContactKey, opportunity_id: uuid.UUID, config: Config, assigned_to: str | None
) -> Opportunity:
    return Opportunity(
        key=key,
        opportunity_id=opportunity_id,
        pipeline=config.pipeline,
        stage=config.stage,
        status=config.status,
        name=config.name,
        value=config.value,
        currency=config.currency,
        source=config.source,
        assigned_to=assigned_to,
    )


def _told(one: Opportunity, *, created: bool) -> Result:
    return succeeded(
        {
            "opportunity_id": str(one.opportunity_id),
            "stage": one.stage,
            "created": created,
            "changed": created,
        }
    )


_CARRIER: Final = Carrier("create_opportunity", Config)

ACTION: Final = ActionDefinition(
    name="create_opportunity",
    summary="Opens an opportunity for the contact.",
    config=Config,
    sample={"pipeline": "sales", "stage": "new", "name": "Pro plan", "value": 99.9, "currency": "EUR"},
    delivery=DeliveryClass.TX,
    apply=apply,
    elsewhere=_CARRIER.run,
    elsewhere_summary=(
        "LeadConnector: POST /opportunities/, by settings.pipelines, currency and source left out; "
        "looked for by name before a repeat"
    ),
    find=_CARRIER.find,
    lanes=("crm",),
    sensitive_fields=("name",),
    emits={"opportunity_created": "pipeline"},
    max_batch=500,
)
