"""Passes accounts' choices of providers on to the families that keep them; admin_servicer.py asks.

Credentials go through here and stay nowhere: the family seals them in its own database.
"""

from collections.abc import Mapping
from typing import Any, Final

import grpc
import orjson
from wayfarer.action.v1 import provider_service_pb2 as pb
from wayfarer.action.v1.provider_service_pb2_grpc import ProviderServiceStub
from wayfarer.admin.v1 import admin_service_pb2 as admin_pb

from execution_engine.definition.faults import Fault
from execution_engine.errors import ExecutorUnavailable, InvalidValues, NotFound
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
        for family in _families(channel):
            await self._put(family, request, provider)

    async def _put(self, family: str, request: pb.PutProviderRequest, provider: str) -> None:
        try:
            await self._stub(family).PutProvider(request, timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND and family != FAMILY_OF[request.channel]:
                await self._remove(family, request.account_id, request.channel)  # it goes without
                return
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise NotFound("provider", provider) from error
            found = violations_of(error)
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT and found:
                faults = [Fault(one.field, one.rule, one.description) for one in found]
                raise InvalidValues(faults) from error
            raise ExecutorUnavailable(family) from error

    async def list(self, account_id: int) -> list[admin_pb.Provider]:
        """All choices of an account. Raises ExecutorUnavailable."""
        shown: list[admin_pb.Provider] = []
        for family in sorted(set(FAMILY_OF.values())):
            request = pb.ListProvidersRequest(account_id=account_id)
            try:
                answer = await self._stub(family).ListProviders(request, timeout=_TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                raise ExecutorUnavailable(family) from error
            shown += [_shown(one) for one in answer.providers if FAMILY_OF.get(one.channel) == family]
        return sorted(shown, key=lambda one: one.channel)

    async def remove(self, account_id: int, channel: str) -> None:
        """Forgets a choice. Raises NotFound, ExecutorUnavailable."""
        for family in _families(channel):
            await self._remove(family, account_id, channel)

    async def _remove(self, family: str, account_id: int, channel: str) -> None:
        request = pb.DeleteProviderRequest(account_id=account_id, channel=channel)
        try:
            await self._stub(family).DeleteProvider(request, timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise ExecutorUnavailable(family) from error

    def _stub(self, family: str) -> ProviderServiceStub:
        stub = self._stubs.get(family)
        if stub is None:
            raise ExecutorUnavailable(family)
        return stub


def _families(channel: str) -> tuple[str, ...]:
    """Those that keep a choice; the one that is asked about it is the last to have it changed."""
    family = FAMILY_OF.get(channel)
    if family is None:
        raise NotFound("channel", channel)
    return *_TOO.get(channel, ()), family


def _shown(one: pb.Provider) -> admin_pb.Provider:
    return admin_pb.Provider(
        channel=one.channel,
        provider=one.provider,
        settings=convert.struct(orjson.loads(one.settings or b"{}")),
        credential_names=one.credential_names,
        update_time=one.update_time,
    )
