"""Serves OverviewService: how an account does as a whole; services/execution_api/__main__ adds it."""

from datetime import timedelta

from wayfarer.execution.v1 import overview_service_pb2 as pb
from wayfarer.execution.v1 import overview_service_pb2_grpc

from execution_engine.errors import InvalidValue
from execution_engine.store import overview, workflows
from execution_engine.store.accounts import account_transaction
from execution_engine.store.overview import FailureGroup, LaneView
from services.execution_api import convert
from services.execution_api.auth import caller
from services.execution_api.showing import Engine
from services.runtime.interceptors import Context

_MINUTES = 60
_MOST_POINTS = 1_500


class OverviewServicer(overview_service_pb2_grpc.OverviewServiceServicer):
    """The rpcs of OverviewService; the proto says what each does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def GetOverview(self, request: pb.GetOverviewRequest, context: Context) -> pb.GetOverviewResponse:
        account_id = caller().account_id
        async with account_transaction(self._engine.pool, account_id) as connection:
            view = await overview.read(connection, account_id)
            ids = list({group.workflow_id for group in view.failures})
            keys = await workflows.keys(connection, account_id, ids)
            failures = []
            for group in view.failures:
                outline = await self._engine.outlines.of(
                    connection, account_id, group.workflow_id, group.version
                )
                step_id = outline[group.step][0] if 0 <= group.step < len(outline) else ""
                failures.append(_failure_group(group, keys[group.workflow_id], step_id))
        answer = pb.GetOverviewResponse(
            statuses=[
                pb.StatusCount(status=int(status), executions=view.counts[status])  # type: ignore[arg-type]
                for status in overview.SHOWN
            ],
            due=view.due,
            active_limit=view.active_limit,
            lanes=[_lane(lane) for lane in view.lanes],
            failures=failures,
        )
        answer.lateness.FromTimedelta(view.lateness)
        return answer

    async def GetActivity(self, request: pb.GetActivityRequest, context: Context) -> pb.GetActivityResponse:
        account_id = caller().account_id
        minutes, each = request.minutes or _MINUTES, request.minutes_per_point or 1
        points = -(-minutes // each)
        if points > _MOST_POINTS:
            raise InvalidValue(
                "minutes_per_point", "points", f"must give at most {_MOST_POINTS} points, not {points}"
            )
        async with account_transaction(self._engine.pool, account_id) as connection:
            workflow_id = None
            if request.workflow:
                found = await workflows.find(connection, self._engine.vault, account_id, request.workflow)
                workflow_id = found.workflow_id
            series = await overview.activity(
                connection, account_id, workflow_id, points, timedelta(minutes=each)
            )
        return pb.GetActivityResponse(
            points=[
                pb.ActivityPoint(
                    time=convert.timestamp(point.at),
                    started=point.started,
                    completed=point.completed,
                    failed=point.failed,
                    steps=point.steps,
                )
                for point in series
            ]
        )


def _lane(view: LaneView) -> pb.LaneState:
    return pb.LaneState(
        lane=view.lane,
        paused_until=convert.timestamp(view.paused_until),
        open_until=convert.timestamp(view.open_until),
        failures=view.failures,
        used_today=view.used_today,
        shared=view.shared,
    )


def _failure_group(group: FailureGroup, key: str, step_id: str) -> pb.FailureGroup:
    return pb.FailureGroup(
        workflow_id=str(group.workflow_id),
        workflow_key=key,
        step_id=step_id,
        failure=convert.failure(group.failure) if group.failure else None,
        executions=group.executions,
        last_time=convert.timestamp(group.last_at),
    )
