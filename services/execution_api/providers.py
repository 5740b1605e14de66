"""Passes accounts' choices of providers on to the families that keep them; admin_servicer.py asks.

Credentials go through here and stay nowhere: the family seals them in its own database.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC
from typing import Any, Final

import grpc
import orjson
from wayfarer.action.v1 import provider_service_pb2 as pb
from wayfarer.action.v1.provider_service_pb2_grpc import ProviderServiceStub
from wayfarer.admin.v1 import admin_service_pb2 as admin_pb

from execution_engine.definition.faults import Fault
from execution_engine.errors import ExecutorUnavailable, InvalidValues, NotFound
from execution_engine.store.explain import Refusal
from services.execution_api import convert
from services.runtime.errors import violations_of

FAMILY_OF: Final = {
    **dict.fromkeys(("email", "sms", "voice", "messenger"), "communication"),
    "courses": "membership",
    "crm": "crm",
    **dict.fromkeys(("slack", "notify_webhook"), "internal"),
}
"""Which family acts through the providers of a channel, and is asked about them."""
_TOO: Final = {"sms": ("internal",)}
"""Which others act through them; each keeps the choice in its own database (docs/decisions.md, 31)."""
_TIMEOUT_S: Final = 5.0


class Providers:
    """The families' ProviderService, by channel."""

    def __init__(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        """`channels` to families, by name."""
        self._stubs = {family: ProviderServiceStub(channel) for family, channel in channels.items()}

    async def put(
        self,
        account_id: int,
        channel: str,
        provider: str,
        settings: Mapping[str, Any],
        credentials: Mapping[str, str],
    ) -> None:
        """Chooses. Raises NotFound, InvalidValues, ExecutorUnavailable."""
        request = pb.PutProviderRequest(
            account_id=account_id, channel=channel, provider=provider, settings=orjson.dumps(dict(settings))
        )
        if credentials:
            request.credentials = orjson.dumps(dict(credentials))
        also = [family for family in _TOO.get(channel, ()) if family in self._stubs]
        # They come first, so that the choice is not shown before all have it. What is wrong with it, the
        # family that is asked about it says.
        without = [family for family in also if await self._put(family, request) is not None]
        refused = await self._put(_family(channel), request)
        if refused is not None:
            raise refused
        for family in without:
            await self._remove(family, account_id, channel)

    async def _put(self, family: str, request: pb.PutProviderRequest) -> NotFound | InvalidValues | None:
        """Gives what is wrong with the choice. Raises ExecutorUnavailable."""
        try:
            await self._stub(family).PutProvider(request, timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return NotFound("provider", request.provider)
            found = violations_of(error)
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT and found:
                return InvalidValues([Fault(one.field, one.rule, one.description) for one in found])
            raise ExecutorUnavailable(family) from error
        return None

    async def list(self, account_id: int) -> list[admin_pb.Provider]:
        """All choices of an account. Raises ExecutorUnavailable."""
        shown: list[admin_pb.Provider] = []
        for family in sorted(set(FAMILY_OF.values())):
            listed = await self._listed(family, account_id)
            shown += [_shown(one) for one in listed if FAMILY_OF.get(one.channel) == family]
        return sorted(shown, key=lambda one: one.channel)

    async def refusals(self, account_id: int, provider: str) -> Sequence[Refusal]:
        """Which choices of an account this provider refuses, as far as its families can be asked."""
        found: list[Refusal] = []
        for family in sorted(set(FAMILY_OF.values())):
            with suppress(ExecutorUnavailable):
                for one in await self._listed(family, account_id):
                    if one.provider == provider and one.HasField("refusal"):
                        told = one.refusal
                        problem = f"{told.message} ({told.code})"
                        since = told.since.ToDatetime(UTC)
                        found.append(Refusal(one.channel, one.provider, problem, since))
        return found

    async def remove(self, account_id: int, channel: str) -> None:
        """Forgets a choice. Raises NotFound, ExecutorUnavailable."""
        for family in (*_TOO.get(channel, ()), _family(channel)):
            await self._remove(family, account_id, channel)

    async def _remove(self, family: str, account_id: int, channel: str) -> None:
        request = pb.DeleteProviderRequest(account_id=account_id, channel=channel)
        try:
            await self._stub(family).DeleteProvider(request, timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise ExecutorUnavailable(family) from error

    async def _listed(self, family: str, account_id: int) -> Sequence[pb.Provider]:
        request = pb.ListProvidersRequest(account_id=account_id)
        try:
            answer = await self._stub(family).ListProviders(request, timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise ExecutorUnavailable(family) from error
        return answer.providers

    def _stub(self, family: str) -> ProviderServiceStub:
        stub = self._stubs.get(family)
        if stub is None:
            raise ExecutorUnavailable(family)
        return stub


def _family(channel: str) -> str:
    family = FAMILY_OF.get(channel)
    if family is None:
        raise NotFound("channel", channel)
    return family


def _shown(one: pb.Provider) -> admin_pb.Provider:
    shown = admin_pb.Provider(
        channel=one.channel,
        provider=one.provider,
        settings=convert.struct(orjson.loads(one.settings or b"{}")),
        credential_names=one.credential_names,
        update_time=one.update_time,
        state=admin_pb.PROVIDER_STATE_READY,
    )
    if one.HasField("refusal"):
        told = one.refusal
        shown.state = admin_pb.PROVIDER_STATE_NEEDS_REAUTHORISATION
        shown.refusal.CopyFrom(
            admin_pb.ProviderRefusal(since=told.since, code=told.code, message=told.message)
        )
    return shown
