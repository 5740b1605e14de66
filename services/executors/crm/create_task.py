"""Gives somebody a task about the contact. The registry finds ACTION; a batch is three statements."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

import asyncpg
from pydantic import AwareDatetime, Field, StringConstraints, model_validator

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
from services.executors.crm.fields import AssignedTo, Title
from services.executors.crm.ids import new_ids
from services.executors.crm.tasks import Task
from services.executors.crm.users import assignee


class DueIn(ActionConfig):
    """How long from when the step runs; a day is 24 hours."""

    amount: Annotated[int, Field(ge=0, le=10_000, description="How many.")]
    unit: Annotated[Literal["minutes", "hours", "days", "weeks"], Field(description="Of what.")]


class Config(ActionConfig):
    """What is to be done, when and by whom; exactly one of due_at and due_in."""

    title: Annotated[Title, Field(description="What is to be done; at most 255 characters.")]
    body: Annotated[
        str, StringConstraints(max_length=5000), Field(description="More about it; at most 5,000 characters.")
    ] = ""
    due_at: Annotated[
        AwareDatetime | None, Field(description="When: an ISO 8601 time with its offset from UTC.")
    ] = None
    due_in: Annotated[DueIn | None, Field(description="When, from now.")] = None
    assigned_to: AssignedTo = None
    priority: Annotated[Literal["low", "normal", "high"], Field(description="How urgent it is.")] = "normal"

    @model_validator(mode="after")
    def _check_due(self) -> "Config":
        if (self.due_at is None) == (self.due_in is None):
            raise ValueError("must have exactly one of due_at and due_in")
        return self


async def apply(connection: asyncpg.Connection, calls: Sequence[Call[Config]], desk: Desk) -> list[Result]:
    """Write a task for every call of the batch."""
    owners = await desk.contacts.held(connection, calls)
    users = await desk.users.known(
        connection, [(call.key.account_id, call.config.assigned_to) for call in calls]
    )
    tasks: list[Task] = []
    outcomes: list[Failed | Task] = []
    for call, task_id in zip(calls, new_ids(len(calls)), strict=True):
        config = call.config
        who = assignee(contact_of(call), config.assigned_to, owners, users)
        if isinstance(who, Failed):
            outcomes.append(who)
            continue
        task = Task(
            contact_of(call), task_id, config.title, config.body, _due(config), who.user_id, config.priority
        )
        tasks.append(task)
        outcomes.append(task)
    due_at = await desk.tasks.write(connection, tasks)
    return [
        one if isinstance(one, Failed) else _told(one, due_at[one.task_id].astimezone(UTC))
        for one in outcomes
    ]


def _due(config: Config) -> datetime | timedelta:
    if config.due_in is None:
        assert config.due_at is not None  # _check_due
        return config.due_at
    return timedelta(**{config.due_in.unit: config.due_in.amount})


def _told(task: Task, due_at: datetime) -> Result:
    return succeeded(
        {
            "task_id": str(task.task_id),
            "due_at": due_at.isoformat(),
            "assigned_to": task.assigned_to,
            "changed": True,
        }
    )


_CARRIER: Final = Carrier("create_task", Config)

ACTION: Final = ActionDefinition(
    name="create_task",
    summary="Gives somebody a task about the contact.",
    config=Config,
    sample={"title": "Call back", "due_in": {"amount": 1, "unit": "days"}, "priority": "high"},
    delivery=DeliveryClass.TX,
    apply=apply,
    elsewhere=_CARRIER.run,
    elsewhere_summary=(
        "LeadConnector: POST /contacts/{id}/tasks, its body marked, priority left out; looked for "
        "by the mark before a repeat"
    ),
    find=_CARRIER.find,
    lanes=("crm",),
    sensitive_fields=("title", "body"),
    emits={"task_created": "title"},
    max_batch=500,
)
