"""Serves ProviderService for every family: converts, asks, converts; family.py adds it to the server."""

from __future__ import annotations  # gRPC classes are generic in their stubs only

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC
from typing import Any, Final, Never, TypeAlias

import grpc
import orjson
from wayfarer.action.v1 import action_pb2
from wayfarer.action.v1 import provider_service_pb2 as wire
from wayfarer.action.v1.provider_service_pb2_grpc import ProviderServiceServicer

from services.executors.action import JsonObject
from services.executors.providers.accounts import ChangedMeanwhileError, Listed, ProviderAccounts
from services.executors.providers.offering import ChoiceRefusedError, Chosen, Offered, Offers
from services.executors.providers.provider import (
    Answered,
    Callback,
    CallbackRefusedError,
    Calls,
    Happening,
    ProviderAccount,
    ProviderError,
)
from services.runtime.errors import Violation, abort, bad_request, status

SERVICE: Final = "wayfarer.action.v1.ProviderService"
OURS: Final = "wayfarer"

_ROUNDS: Final = 5

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class ProviderServicer(ProviderServiceServicer):
    """The inside door to an account's providers."""

    def __init__(
        self,
        accounts: ProviderAccounts,
        providers: Mapping[str, Offers[Any]],
        own_callbacks: Mapping[str, Calls],
    ) -> None:
        """`own_callbacks` reads, by channel, what comes back from our own links."""
        self._accounts = accounts
        self._providers = providers
        self._own = own_callbacks
        self._chosen = {channel: Chosen(accounts, channel, offers) for channel, offers in providers.items()}

    async def PutProvider(
        self, request: wire.PutProviderRequest, context: Context
    ) -> wire.PutProviderResponse:
        """Check a choice and store it."""
        offered = await self._offered(request.channel, request.provider, context)
        settings = await _object(request.settings, "settings", context)
        given = None
        if request.HasField("credentials"):
            given = await _object(request.credentials, "credentials", context)
        for _ in range(_ROUNDS):
            try:
                wanted = offered.checked(await self._wanted(request, settings, given))
            except ChoiceRefusedError as error:
                first = error.violations[0]
                text = f"{first.field}: {first.description}"
                await abort(context, bad_request("REQUEST_INVALID", text, error.violations))
            with suppress(ChangedMeanwhileError):
                return wire.PutProviderResponse(revision=await self._accounts.put(wanted))
        text = "others kept changing this choice"
        return await abort(context, status(grpc.StatusCode.ABORTED, "CONTENDED", text))

    async def ListProviders(
        self, request: wire.ListProvidersRequest, context: Context
    ) -> wire.ListProvidersResponse:
        """Show an account's choices."""
        listed = await self._accounts.list(request.account_id)
        return wire.ListProvidersResponse(providers=[_shown(one) for one in listed])

    async def DeleteProvider(
        self, request: wire.DeleteProviderRequest, context: Context
    ) -> wire.DeleteProviderResponse:
        """Forget a choice."""
        await self._accounts.delete(request.account_id, request.channel)
        return wire.DeleteProviderResponse()

    async def TakeCallback(
        self, request: wire.TakeCallbackRequest, context: Context
    ) -> wire.TakeCallbackResponse:
        """Verify and read a callback."""
        reader = await self._reader(request, context)
        callback = Callback(
            request.method,
            request.url,
            {name.lower(): value for name, value in request.headers.items()},
            request.body,
            request.receive_time.ToDatetime(UTC),
        )
        try:
            return _answer(reader.callback(callback), request.account_id)
        except CallbackRefusedError as error:
            text = "the callback is not the provider's, or cannot be read"
            refusal = status(grpc.StatusCode.UNAUTHENTICATED, "CALLBACK_REFUSED", text, {"code": error.code})
            await abort(context, refusal)

    async def _offered(self, channel: str, provider: str, context: Context) -> Offered[Any]:
        offered = self._providers.get(channel, {}).get(provider)
        if offered is None:
            await _unknown(context)
        return offered

    async def _wanted(
        self, request: wire.PutProviderRequest, settings: JsonObject, given: JsonObject | None
    ) -> ProviderAccount:
        """The choice as it is to be, over the stored one: credentials of the same provider are kept."""
        stored = {one.account.channel: one.account for one in await self._accounts.list(request.account_id)}
        before = stored.get(request.channel)
        credentials: Mapping[str, Any] = given or {}
        if given is None and before is not None and before.provider == request.provider:
            credentials = before.credentials
        return ProviderAccount(
            request.account_id,
            request.channel,
            request.provider,
            settings,
            credentials,
            before.revision if before is not None else 0,
        )

    async def _reader(self, request: wire.TakeCallbackRequest, context: Context) -> Calls:
        if request.provider == OURS and request.channel in self._own:
            return self._own[request.channel]
        await self._offered(request.channel, request.provider, context)
        account = await self._accounts.get(request.account_id, request.channel)
        if account is None or account.provider != request.provider:
            await _unknown(context)
        try:
            reader: Calls = self._chosen[request.channel].client(account)
        except ProviderError:
            await _unknown(context)
        return reader


async def _unknown(context: Context) -> Never:
    text = "the provider is not offered here, or not the account's"
    await abort(context, status(grpc.StatusCode.NOT_FOUND, "PROVIDER_UNKNOWN", text))


async def _object(raw: bytes, field: str, context: Context) -> JsonObject:
    try:
        value = orjson.loads(raw or b"{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        fault = Violation(field, "must be a JSON object", "json.object")
        await abort(context, bad_request("REQUEST_INVALID", f"{field}: must be a JSON object", [fault]))
    return value


def _shown(listed: Listed) -> wire.Provider:
    account = listed.account
    shown = wire.Provider(
        channel=account.channel,
        provider=account.provider,
        settings=orjson.dumps(dict(account.settings)),
        credential_names=sorted(account.credentials),
        revision=account.revision,
    )
    shown.update_time.FromDatetime(listed.updated_at)
    if account.refusal is not None:
        shown.refusal.since.FromDatetime(account.refusal.since)
        shown.refusal.code, shown.refusal.message = account.refusal.code, account.refusal.meaning
    return shown


def _answer(answered: Answered, account_id: int) -> wire.TakeCallbackResponse:
    return wire.TakeCallbackResponse(
        happenings=[_happening(one, account_id) for one in answered.happenings],
        status=answered.status,
        body=answered.body,
        content_type=answered.content_type,
        location=answered.location,
    )


def _happening(one: Happening, account_id: int) -> wire.Happening:
    told = wire.Happening(
        id=one.id,
        type=one.type,
        account_id=one.effect.account_id if one.effect is not None else account_id,
        contact_id=one.contact_id.bytes if one.contact_id is not None else b"",
        address=one.address,
        attributes=orjson.dumps(one.attributes),
    )
    told.occur_time.FromDatetime(one.occurred_at)
    if one.effect is not None:
        key = one.effect
        told.effect_key.CopyFrom(
            action_pb2.EffectKey(execution_id=key.execution_id.bytes, step_id=key.step_id, visit=key.visit)
        )
    return told
