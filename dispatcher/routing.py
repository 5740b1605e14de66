"""Knows which family serves which action type, from the families' own Describe; the worker keeps one.

A family that is down keeps its last known types; one never seen has none, and what needs it waits.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import grpc
import structlog
from wayfarer.action.v1 import action_pb2 as pb

from dispatcher import wire
from dispatcher.executor_client import ExecutorClient
from execution_engine.definition.program import ActionTypeInfo, Catalogue

_REFRESH_S = 15.0
_RETRY_S = 0.25
log = structlog.get_logger(__name__)


class Routing:
    """The executor clients by family, and the catalogue of what they serve."""

    def __init__(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        self.clients = {family: ExecutorClient(family, channel) for family, channel in channels.items()}
        self._known: dict[str, dict[str, ActionTypeInfo]] = {}
        self._described: dict[str, Sequence[pb.ActionType]] = {}
        self.catalogue = Catalogue({})
        self._complete = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def described(self) -> list[pb.ActionType]:
        """What the families say of their types, by name."""
        return sorted((t for types in self._described.values() for t in types), key=lambda t: t.name)

    async def wait_complete(self, timeout_s: float) -> bool:
        """True once every family has described itself; False if that takes too long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._complete.wait(), timeout_s)
        return self._complete.is_set()

    async def _follow(self, client: ExecutorClient) -> None:
        while True:
            try:
                described = await client.describe()
            except grpc.aio.AioRpcError as error:
                if client.family not in self._known:
                    log.info("family_not_up_yet", family=client.family, code=error.code().name)
                await asyncio.sleep(_RETRY_S if client.family not in self._known else _REFRESH_S)
                continue
            self._described[client.family] = described.action_types
            self._learn(client.family, {t.name: wire.action_type_info(t) for t in described.action_types})
            await asyncio.sleep(_REFRESH_S)

    def _learn(self, family: str, types: dict[str, ActionTypeInfo]) -> None:
        if self._known.get(family) != types:
            self._known[family] = types
            merged = {name: info for known in self._known.values() for name, info in known.items()}
            self.catalogue = Catalogue(merged)
        if len(self._known) == len(self.clients):
            self._complete.set()

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._follow(client), name=f"describe:{client.family}")
            for client in self.clients.values()
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
