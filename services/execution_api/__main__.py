"""Entry point `python -m services.execution_api`: the public gRPC services on one port. Wiring only."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, cast

import asyncpg
import grpc
from prometheus_client import CollectorRegistry
from wayfarer.admin.v1.admin_service_pb2_grpc import add_AdminServiceServicer_to_server
from wayfarer.crm.v1.consent_service_pb2_grpc import add_ConsentServiceServicer_to_server
from wayfarer.crm.v1.contact_service_pb2_grpc import add_ContactServiceServicer_to_server
from wayfarer.event.v1.event_service_pb2_grpc import add_EventServiceServicer_to_server
from wayfarer.execution.v1.bulk_service_pb2_grpc import add_BulkServiceServicer_to_server
from wayfarer.execution.v1.editing_service_pb2_grpc import add_EditingServiceServicer_to_server
from wayfarer.execution.v1.execution_service_pb2_grpc import add_ExecutionServiceServicer_to_server
from wayfarer.execution.v1.overview_service_pb2_grpc import add_OverviewServiceServicer_to_server
from wayfarer.execution.v1.template_service_pb2_grpc import add_TemplateServiceServicer_to_server
from wayfarer.execution.v1.wait_service_pb2_grpc import add_WaitServiceServicer_to_server
from wayfarer.execution.v1.workflow_service_pb2_grpc import add_WorkflowServiceServicer_to_server

from dispatcher.intake import Intake
from dispatcher.routing import Routing
from execution_engine.store.hints import CHANGED, DUE, HintListener, HintSender
from execution_engine.store.workflows import Outlines
from services.execution_api.admin_servicer import AdminServicer
from services.execution_api.auth import AuthInterceptor
from services.execution_api.bulk_runner import TICK_S, BulkRunner
from services.execution_api.bulk_servicer import BulkServicer
from services.execution_api.consent_servicer import ConsentServicer
from services.execution_api.contact_servicer import ContactServicer
from services.execution_api.crm_records import CrmRecords
from services.execution_api.editing_servicer import EditingServicer
from services.execution_api.errors import translate
from services.execution_api.event_servicer import EventServicer
from services.execution_api.execution_servicer import ExecutionServicer
from services.execution_api.hashing import Hashing
from services.execution_api.overview_servicer import OverviewServicer
from services.execution_api.previewing import Previews
from services.execution_api.providers import Providers
from services.execution_api.scheduler import Scheduler
from services.execution_api.showing import Engine
from services.execution_api.starts import Starts
from services.execution_api.template_servicer import TemplateServicer
from services.execution_api.wait_servicer import WaitServicer
from services.execution_api.watching import Watching
from services.execution_api.workflow_servicer import WorkflowServicer
from services.runtime import metrics
from services.runtime.config import HostPort, choice, host_port, integer, number, path, setting, targets, text
from services.runtime.database import open_pool
from services.runtime.grpc_client import open_channel
from services.runtime.grpc_server import serve
from services.runtime.interceptors import ErrorInterceptor, TelemetryInterceptor, ValidationInterceptor
from services.runtime.keyring import Keyring
from services.runtime.lifecycle import periodic, supervise
from services.runtime.metrics import RpcDurations
from services.runtime.process import launch

_SERVICES = (
    "wayfarer.execution.v1.ExecutionService",
    "wayfarer.execution.v1.WorkflowService",
    "wayfarer.execution.v1.EditingService",
    "wayfarer.execution.v1.WaitService",
    "wayfarer.execution.v1.BulkService",
    "wayfarer.execution.v1.TemplateService",
    "wayfarer.execution.v1.OverviewService",
    "wayfarer.event.v1.EventService",
    "wayfarer.admin.v1.AdminService",
    "wayfarer.crm.v1.ContactService",
    "wayfarer.crm.v1.ConsentService",
)
_OWED_S = 2.0
_FORGET_S = 300.0
_FAMILIES_S = 10.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What the API process needs to know."""

    listen: HostPort = setting("WAYFARER_LISTEN", host_port, help="Where the public gRPC services listen.")
    database_url: str = setting("WAYFARER_DATABASE_URL", text, secret=True, help="DSN of role wayfarer_api.")
    keyring: Path = setting("WAYFARER_KEYRING", path, help="The keyring file.")
    executors: dict[str, HostPort] = setting(
        "WAYFARER_EXECUTORS", targets, help="Families and where they listen, name=host:port, by comma."
    )
    crm: HostPort = setting("WAYFARER_CRM_TARGET", host_port, help="Where ContactRecordService listens.")
    profile: str = setting(
        "WAYFARER_PROFILE", choice("local", "production"), default="production", help="local adds reflection."
    )
    metrics_port: int = setting("WAYFARER_METRICS_PORT", integer(0, 65535), default=0, help="0 for none.")
    log_level: str = setting("WAYFARER_LOG_LEVEL", text, default="INFO", help="Lowest level logged.")
    otlp_endpoint: str = setting("OTEL_EXPORTER_OTLP_ENDPOINT", text, default="", help="Empty for no traces.")
    trace_ratio: float = setting("OTEL_TRACES_SAMPLER_ARG", number(0, 1), default=0.01, help="Share traced.")


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the servicers and sweepers are made of."""

    engine: Engine
    due: HintSender
    starts: Starts
    watching: Watching
    intake: Intake
    records: CrmRecords
    crm: grpc.aio.Channel
    providers: Providers
    bulk: BulkRunner

    def heard(self, accounts: frozenset[int] | None) -> None:
        """Something of these accounts has changed."""
        self.watching.heard(accounts)
        self.intake.stirred.set()


def _sweep(stack: AsyncExitStack, stop: asyncio.Event, parts: _Parts) -> None:
    """The repeated questions: what is owed, what has come, what is due."""
    engine = parts.engine
    scheduler = Scheduler(engine.pool, engine.vault)
    supervise(stack, periodic(_OWED_S, parts.records.sweep, stop, name="owed"), "owed")
    supervise(stack, parts.intake.run(stop), "intake")
    supervise(stack, periodic(1.0, scheduler.sweep, stop, name="schedule"), "schedule")
    bulk = parts.bulk
    stack.push_async_callback(bulk.close)
    supervise(stack, periodic(TICK_S, bulk.sweep, stop, name="bulk", wake=bulk.wake), "bulk")
    hashing = Hashing(engine.pool, engine.vault, parts.records)
    supervise(stack, periodic(_OWED_S, hashing.sweep, stop, name="hashing"), "hashing")
    forget = periodic(_FORGET_S, lambda: _forget_requests(engine.pool), stop, name="forget")
    supervise(stack, forget, "forget")


def _servicers(parts: _Parts) -> list[Callable[[grpc.aio.Server], None]]:
    """Each service of the API, to be added to the server."""
    engine, due = parts.engine, parts.due
    executions = ExecutionServicer(engine, parts.starts, parts.watching, due, parts.providers)
    return [
        partial(add_ExecutionServiceServicer_to_server, executions),
        partial(
            add_WorkflowServiceServicer_to_server,
            WorkflowServicer(engine, due, Previews(engine, parts.crm)),
        ),
        partial(add_EditingServiceServicer_to_server, EditingServicer(engine)),
        partial(add_BulkServiceServicer_to_server, BulkServicer(engine, parts.bulk.wake)),
        partial(add_WaitServiceServicer_to_server, WaitServicer(engine, due)),
        partial(add_EventServiceServicer_to_server, EventServicer(engine, parts.intake, due)),
        partial(add_ContactServiceServicer_to_server, ContactServicer(engine, parts.records)),
        partial(add_ConsentServiceServicer_to_server, ConsentServicer(engine)),
        partial(add_TemplateServiceServicer_to_server, TemplateServicer(engine)),
        partial(add_OverviewServiceServicer_to_server, OverviewServicer(engine)),
        partial(add_AdminServiceServicer_to_server, AdminServicer(engine, parts.providers, due)),
    ]


async def main(settings: Settings, stack: AsyncExitStack, stop: asyncio.Event) -> None:
    """Opens every part on the stack, in order of need, and serves until told to stop."""
    registry = CollectorRegistry()
    vault = Keyring.load(settings.keyring)
    await stack.enter_async_context(metrics.serve(settings.metrics_port, registry=registry))
    pool = await stack.enter_async_context(
        open_pool(settings.database_url, name="wayfarer api", min_size=2, max_size=16)
    )
    durations = RpcDurations("client", registry)
    channels = {
        family: await stack.enter_async_context(open_channel(target, durations=durations))
        for family, target in settings.executors.items()
    }
    crm = await stack.enter_async_context(open_channel(settings.crm, durations=durations))
    routing = await stack.enter_async_context(Routing(channels))
    due = await stack.enter_async_context(HintSender(pool, DUE))
    outlines = Outlines(vault)
    records = CrmRecords(pool, vault, crm)
    parts = _Parts(
        engine=Engine(pool, vault, outlines, routing),
        due=due,
        starts=Starts(pool, vault, outlines, due),
        watching=Watching(),
        intake=Intake(pool, vault, outlines, due),
        records=records,
        crm=crm,
        providers=Providers(channels),
        bulk=BulkRunner(pool, vault, outlines, records, due),
    )
    await stack.enter_async_context(HintListener(settings.database_url, CHANGED, parts.heard))
    _sweep(stack, stop, parts)
    # Without its families the API would refuse every workflow as of unknown types: give them a moment.
    await routing.wait_complete(_FAMILIES_S)
    await stack.enter_async_context(
        serve(
            settings.listen,
            _servicers(parts),
            _SERVICES,
            interceptors=[
                TelemetryInterceptor(
                    RpcDurations("server", registry), start_traces=bool(settings.otlp_endpoint)
                ),
                ErrorInterceptor(translate),
                AuthInterceptor(pool),
                ValidationInterceptor(),
            ],
            profile=cast(Literal["local", "production"], settings.profile),
        )
    )
    await stop.wait()


async def _forget_requests(pool: asyncpg.Pool) -> bool:
    """Deletes answers past their day, a thousand at a time."""
    return bool(await pool.fetchval("SELECT wf_forget_requests(1000)") == 1_000)


if __name__ == "__main__":
    sys.exit(launch("execution_api", Settings, main))
