"""Turns what the crm keeps into CrmService's messages, and back; crm_servicer calls it."""

from datetime import datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from wayfarer.crm.v1 import crm_service_pb2 as wire

from services.executors.crm.campaigns import Campaign, Stay
from services.executors.crm.notes import Note
from services.executors.crm.opportunities import Opportunity
from services.executors.crm.pipelines import Pipeline, Stage
from services.executors.crm.tasks import Task
from services.executors.crm.users import User


def user_of(sent: wire.User) -> User:
    """Read a user."""
    return User(sent.user_id, sent.name, sent.active)


def pipeline_of(sent: wire.Pipeline) -> Pipeline:
    """Read a pipeline."""
    return Pipeline(sent.key, sent.name, tuple(Stage(stage.key, stage.name) for stage in sent.stages))


def campaign_of(sent: wire.Campaign) -> Campaign:
    """Read a campaign."""
    return Campaign(sent.key, sent.name)


def user(one: User) -> wire.User:
    """Show a user."""
    return wire.User(user_id=one.user_id, name=one.name, active=one.active, contacts_owned=one.owned)


def pipeline(one: Pipeline) -> wire.Pipeline:
    """Show a pipeline."""
    stages = [wire.Stage(key=stage.key, name=stage.name) for stage in one.stages]
    return wire.Pipeline(key=one.key, name=one.name, stages=stages)


def campaign(one: Campaign) -> wire.Campaign:
    """Show a campaign."""
    return wire.Campaign(key=one.key, name=one.name)


def note(one: Note) -> wire.Note:
    """Show a note."""
    return wire.Note(
        note_id=str(one.note_id),
        title=one.title,
        body=one.body,
        pinned=one.pinned,
        create_time=_timestamp(one.created_at),
    )


def task(one: Task) -> wire.Task:
    """Show a task as it was read."""
    return wire.Task(
        task_id=str(one.task_id),
        title=one.title,
        body=one.body,
        due_time=_timestamp(one.due),
        assigned_to=one.assigned_to or "",
        priority=wire.TaskPriority.Value(f"TASK_PRIORITY_{one.priority.upper()}"),
        create_time=_timestamp(one.created_at),
    )


def opportunity(one: Opportunity) -> wire.Opportunity:
    """Show an opportunity."""
    return wire.Opportunity(
        opportunity_id=str(one.opportunity_id),
        pipeline=one.pipeline,
        stage=one.stage,
        status=wire.OpportunityStatus.Value(f"OPPORTUNITY_STATUS_{one.status.upper()}"),
        name=one.name,
        value=str(one.value) if one.value is not None else "",
        currency=one.currency or "",
        source=one.source or "",
        assigned_to=one.assigned_to or "",
        create_time=_timestamp(one.created_at),
        update_time=_timestamp(one.updated_at),
    )


def enrolment(one: Stay) -> wire.Enrolment:
    """Show an enrolment."""
    return wire.Enrolment(
        enrolment_id=str(one.enrolment_id),
        campaign=one.campaign,
        join_time=_timestamp(one.joined_at),
        leave_time=_timestamp(one.left_at),
    )


def _timestamp(moment: datetime | timedelta | None) -> Timestamp | None:
    if not isinstance(moment, datetime):
        return None
    result = Timestamp()
    result.FromDatetime(moment)
    return result
