"""Moves opportunities of the contact to a stage. The registry finds ACTION; a batch decides on a Board."""

import uuid
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import asyncpg
from pydantic import Field, StringConstraints, model_validator

from services.executors.action import ActionConfig, ActionDefinition, Call, DeliveryClass, Result, succeeded
from services.executors.crm.board import Board, Moved, Order
from services.executors.crm.carrying import Carrier
from services.executors.crm.contacts import contact_of
from services.executors.crm.desk import Desk
from services.executors.crm.fields import Key, Status, Title, Value
from services.executors.crm.ids import new_ids
from services.executors.crm.opportunities import Opportunity
from services.executors.crm.pipelines import Stages, stage_fault
from services.executors.crm.refusals import CONTACT_NOT_FOUND, OPPORTUNITY_NOT_FOUND

_TheirOwn = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{16,64}$")]


class Config(ActionConfig):
    """Which opportunities, and where to."""

    pipeline: Annotated[Key, Field(description="The pipeline's key.")]
    stage: Annotated[Key, Field(description="The key of the stage to move to.")]
    selector: Annotated[
        Literal["latest_open", "all_open"] | None,
        Field(description="Which of the contact's open ones in the pipeline; latest_open if left out."),
    ] = None
    opportunity_id: Annotated[
        uuid.UUID | _TheirOwn | None,
        Field(description="Instead of a selector: this one, of whatever status.", union_mode="left_to_right"),
    ] = None
    allow_backward: Annotated[
        bool, Field(description="Move to an earlier stage too; else that succeeds and changes nothing.")
    ] = False
    create_if_missing: Annotated[
        bool, Field(description="Open one in that stage if there is none to move.")
    ] = False
    name: Annotated[
        Title | None,
        Field(description="What people call one that is opened; the pipeline's key if left out."),
    ] = None
    status: Annotated[Status | None, Field(description="Its new status; the old one if left out.")] = None
    value: Value = None

    @model_validator(mode="after")
    def _check_selection(self) -> "Config":
        if self.opportunity_id is not None and (self.selector is not None or self.create_if_missing):
            raise ValueError("must have no selector and no create_if_missing beside opportunity_id")
        return self


async def apply(connection: asyncpg.Connection, calls: Sequence[Call[Config]], desk: Desk) -> list[Result]:
    """Move the opportunities of the batch's calls; several calls on one contact follow each other."""
    known = await desk.contacts.locked(connection, calls)
    stages = await desk.pipelines.stages(
        connection, [(call.key.account_id, call.config.pipeline) for call in calls]
    )
    named = [name for call in calls if isinstance(name := call.config.opportunity_id, uuid.UUID)]
    board = Board(await desk.opportunities.standing(connection, list(known), named))
    results: list[Result] = []
    for call, new_id in zip(calls, new_ids(len(calls)), strict=True):
        pipeline = call.key.account_id, call.config.pipeline
        if contact_of(call) not in known:
            results.append(CONTACT_NOT_FOUND)
        elif (fault := stage_fault(stages, pipeline, call.config.stage)) is not None:
            results.append(fault)
        else:
            results.append(_move(call, board, stages[pipeline], new_id))
    await desk.opportunities.insert(connection, board.made())
    await desk.opportunities.write(connection, board.changed())
    return results


def _move(call: Call[Config], board: Board, stages: Stages, new_id: uuid.UUID) -> Result:
    config = call.config
    order = Order(
        stage=config.stage, status=config.status, value=config.value, allow_backward=config.allow_backward
    )
    moves = [board.move(one, order, stages) for one in _selected(call, board)]
    if not moves and config.create_if_missing:
        moves = [board.add(_opened(call, new_id))]
    return _told(moves) if moves else OPPORTUNITY_NOT_FOUND


def _selected(call: Call[Config], board: Board) -> list[Opportunity]:
    """Give what is to be moved, latest first."""
    key, config = contact_of(call), call.config
    if config.opportunity_id is not None:
        name = config.opportunity_id
        one = board.one_of(key, config.pipeline, name) if isinstance(name, uuid.UUID) else None
        return [one] if one is not None else []
    latest_first = board.open_of(key, config.pipeline)[::-1]
    return latest_first if config.selector == "all_open" else latest_first[:1]


def _opened(call: Call[Config], new_id: uuid.UUID) -> Opportunity:
    config = call.config
    return Opportunity(
        key=contact_of(call),
        opportunity_id=new_id,
        pipeline=config.pipeline,
        stage=config.stage,
        status=config.status or "open",
        name=config.name or config.pipeline,
        value=config.value,
    )


def _told(moves: Sequence[Moved]) -> Result:
    """Tell of the latest that moved, else of the latest, and how many moved."""
    first = next((move for move in moves if move.is_moved), moves[0])
    moved = sum(move.is_moved for move in moves)
    return succeeded(
        {
            "opportunity_id": str(first.after.opportunity_id),
            "from_stage": first.from_stage,
            "to_stage": first.after.stage,
            "moved": moved > 0,
            "moved_count": moved,
            "updated": any(move.is_updated for move in moves),
            "created": first.from_stage is None,
            "changed": moved > 0,
        }
    )


_CARRIER: Final = Carrier("move_pipeline_stage", Config)

ACTION: Final = ActionDefinition(
    name="move_pipeline_stage",
    summary="Moves the contact's opportunities to a stage of their pipeline.",
    config=Config,
    sample={"pipeline": "sales", "stage": "offer", "create_if_missing": True},
    delivery=DeliveryClass.TX,
    apply=apply,
    elsewhere=_CARRIER.run,
    elsewhere_summary=(
        "LeadConnector: PUT /opportunities/{id} of those it has, by settings.pipelines; looked at "
        "before a repeat"
    ),
    find=_CARRIER.find,
    lanes=("crm",),
    sensitive_fields=("name",),
    emits={"stage_changed": "stage"},
    max_batch=500,
)
