"""The one process of every executor family; each family's `__main__.py` ends in `main(FAMILY)`."""

import asyncio
import sys
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

import asyncpg
import grpc
import structlog
from prometheus_client import CollectorRegistry
from wayfarer.action.v1.action_executor_pb2_grpc import add_ActionExecutorServicer_to_server
from wayfarer.action.v1.provider_service_pb2_grpc import add_ProviderServiceServicer_to_server

from services.executors.elsewhere import Elsewhere
from services.executors.find import Finder
from services.executors.ledger import Ledger
from services.executors.measure import ExecutorMetrics
from services.executors.outbound import Outbound
from services.executors.providers.accounts import ProviderAccounts
from services.executors.providers.offering import Offers
from services.executors.providers.provider import Calls
from services.executors.providers.servicer import SERVICE as PROVIDER_SERVICE
from services.executors.providers.servicer import ProviderServicer
from services.executors.reconcile import Reconciler
from services.executors.registry import Registry
from services.executors.results import ResultCodec
from services.executors.servicer import Executor
from services.executors.transactional import Transactional
from services.runtime import metrics
from services.runtime.config import HostPort, choice, host_port, integer, number, path, setting, text
from services.runtime.database import open_pool
from services.runtime.grpc_options import INTERNAL_MAX_MESSAGE_BYTES
from services.runtime.grpc_server import AddServicer, Profile, Serving, serve
from services.runtime.interceptors import ErrorInterceptor, TelemetryInterceptor, ValidationInterceptor
from services.runtime.keyring import Keyring
from services.runtime.lifecycle import periodic, supervise
from services.runtime.metrics import RpcDurations
from services.runtime.process import launch

log = structlog.get_logger(__name__)

SERVICE: Final = "wayfarer.action.v1.ActionExecutor"
PLANNER: Final = {
    # Plans are cached while tables are small and must still be right when they are not: few keys joined
    # with large tables always mean the index and a nested loop.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}

_EXTEND: Final = "SELECT effect_ledger_extend($1, $2)"
_RETIRE: Final = "SELECT effect_ledger_retire($1)"
_MONTHS_KEPT: Final = 13
_MONTHS_AHEAD: Final = 3
_EXTEND_EVERY_S: Final = 6 * 3600.0
_WRITTEN_ONCE: Final = 100
_WRITTEN_TWICE: Final = 70  # leaves room on the page for the outcome: a HOT update
_POOL: Final = 8
_DRAIN_S: Final = 10.0
_BATCHES: Final = f"/{SERVICE}/ExecuteBatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilySettings:
    """What every family needs to know; a family with more to know extends it."""

    database_url: str = setting("WAYFARER_DATABASE_URL", text, secret=True, help="DSN of the family's role.")
    keyring: Path = setting("WAYFARER_KEYRING", path, help="The keyring file.")
    listen: HostPort = setting("WAYFARER_LISTEN", host_port, help="Where the gRPC server listens.")
    profile: str = setting("WAYFARER_PROFILE", choice("local", "production"), default="production", help="")
    metrics_port: int = setting("WAYFARER_METRICS_PORT", integer(0, 65535), default=0, help="0 for none.")
    log_level: str = setting("WAYFARER_LOG_LEVEL", text, default="INFO", help="Lowest level logged.")
    otlp_endpoint: str = setting("OTEL_EXPORTER_OTLP_ENDPOINT", text, default="", help="Empty for no traces.")
    trace_ratio: float = setting("OTEL_TRACES_SAMPLER_ARG", number(0, 1), default=0.01, help="Share traced.")


SettingsT = TypeVar("SettingsT", bound=FamilySettings)


class Parts(NamedTuple):
    """What a family builds on: what its actions use, and what it serves beside them."""

    tools: object
    services: Sequence[str] = ()
    add: Sequence[AddServicer] = ()
    providers: Mapping[str, Offers[Any]] = MappingProxyType({})
    """By channel: what accounts may choose from."""
    own_callbacks: Mapping[str, Calls] = MappingProxyType({})
    """By channel: who reads what comes back from links of our own."""
    accounts: ProviderAccounts | None = None
    """The family's view of provider accounts, if its actions have one; else the runtime makes it."""
    elsewhere: Elsewhere | None = None
    """Which accounts keep at a provider what TX actions would write here; None: no account does."""


@dataclass(frozen=True, slots=True)
class Family(Generic[SettingsT]):
    """A family: its name (also its database's stream), its package of actions, and how it is equipped."""

    name: str
    package: ModuleType
    settings: type[SettingsT]
    open_parts: Callable[[SettingsT, AsyncExitStack, asyncpg.Pool, Keyring], Awaitable[Parts]]


class CheckedButBatches(ValidationInterceptor):
    """Validates every request but ExecuteBatch, whose actions are checked one by one and fail alone."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Let ExecuteBatch pass."""
        if handler_call_details.method == _BATCHES:
            return await continuation(handler_call_details)
        return await super().intercept_service(continuation, handler_call_details)


def main(family: Family[SettingsT]) -> None:
    """Run the family's process and exit."""
    sys.exit(launch(family.name, family.settings, partial(_main, family)))


async def _main(
    family: Family[SettingsT], settings: SettingsT, stack: AsyncExitStack, stop: asyncio.Event
) -> None:
    await open_family(family, settings, stack, stop)
    await stop.wait()


async def open_family(
    family: Family[SettingsT], settings: SettingsT, stack: AsyncExitStack, stop: asyncio.Event
) -> Serving:
    """Open every part on the stack, in order of need; the last one is the server.

    Closing goes the other way: no new rpc, those under way end, attempts under way end and are recorded.
    """
    registry = Registry.scan(family.name, family.package)
    measured = CollectorRegistry()
    keyring = Keyring.load(settings.keyring)
    await stack.enter_async_context(metrics.serve(settings.metrics_port, registry=measured))
    pool = await stack.enter_async_context(
        open_pool(
            settings.database_url,
            name=f"wayfarer {family.name}",
            min_size=2,
            max_size=_POOL,
            server_settings=PLANNER,
        )
    )
    await _keep_partitions(stack, stop, pool, _WRITTEN_ONCE if registry.transactional else _WRITTEN_TWICE)
    parts = await family.open_parts(settings, stack, pool, keyring)
    ledger, codec = Ledger(pool, uuid.uuid4()), ResultCodec(family.name, keyring)
    outbound = Outbound(ledger, codec, parts.tools)
    stack.push_async_callback(outbound.drain, _DRAIN_S)
    executor = Executor(
        registry,
        Transactional(pool, ledger, codec, parts.tools),
        outbound,
        Reconciler(ledger, codec, Finder(registry, parts.tools)),
        ExecutorMetrics(measured, lambda: outbound.under_way),
        parts.tools,
        parts.elsewhere,
    )
    accounts = parts.accounts or ProviderAccounts(pool, keyring)
    providers = ProviderServicer(accounts, parts.providers, parts.own_callbacks)
    return await stack.enter_async_context(
        serve(
            settings.listen,
            [
                partial(add_ActionExecutorServicer_to_server, executor),
                partial(add_ProviderServiceServicer_to_server, providers),
                *parts.add,
            ],
            [SERVICE, PROVIDER_SERVICE, *parts.services],
            interceptors=[
                TelemetryInterceptor(RpcDurations("server", measured)),
                ErrorInterceptor(),
                CheckedButBatches(),
            ],
            profile=cast(Profile, settings.profile),
            max_message_bytes=INTERNAL_MAX_MESSAGE_BYTES,
        )
    )


async def _keep_partitions(stack: AsyncExitStack, stop: asyncio.Event, pool: asyncpg.Pool, fill: int) -> None:
    """Make the ledger's months ahead and retire those long past, now and again and again."""

    async def extend() -> None:
        made = await pool.fetch(_EXTEND, _MONTHS_AHEAD, fill)
        if made:
            log.info("partitions_made", names=[row[0] for row in made])
        retired = await pool.fetch(_RETIRE, _MONTHS_KEPT)
        if retired:
            log.info("partitions_retired", names=[row[0] for row in retired])

    await extend()
    supervise(stack, periodic(_EXTEND_EVERY_S, extend, stop, name="partitions"), "partitions")
