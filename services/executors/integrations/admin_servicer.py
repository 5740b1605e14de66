"""Serves IntegrationsAdminService: converts, calls AccountBook, converts; on the family's server."""

from __future__ import annotations  # gRPC classes are generic in their stubs only

from datetime import datetime
from typing import Any, TypeAlias

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from wayfarer.integrations.v1 import integrations_admin_service_pb2 as wire
from wayfarer.integrations.v1.integrations_admin_service_pb2_grpc import IntegrationsAdminServiceServicer
from yarl import URL

from services.executors.integrations.account_book import (
    MAX_SECRETS,
    AccountBook,
    DisabledEndpoint,
    SecretsFullError,
    SecretTimes,
)
from services.executors.integrations.signing import SIGNING_SECRET
from services.executors.integrations.standings import Standings
from services.executors.integrations.target import target
from services.executors.webhook_signing import signing_secret
from services.runtime.errors import Violation, abort, bad_request, status

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class AdminServicer(IntegrationsAdminServiceServicer):
    """The inside door to accounts' secrets and disabled endpoints."""

    def __init__(self, book: AccountBook, standings: Standings) -> None:
        self._book = book
        self._standings = standings

    async def PutSecret(self, request: wire.PutSecretRequest, context: Context) -> wire.PutSecretResponse:
        """Set a secret."""
        if request.name == SIGNING_SECRET:
            try:
                signing_secret(request.value)
            except ValueError as error:
                fault = Violation("value", str(error), "signing_secret")
                await abort(context, bad_request("SIGNING_SECRET_INVALID", f"value: {error}", [fault]))
        try:
            await self._book.put_secret(request.account_id, request.name, request.value)
        except SecretsFullError:
            text = f"the account has {MAX_SECRETS} secrets already"
            await abort(context, status(grpc.StatusCode.RESOURCE_EXHAUSTED, "SECRETS_FULL", text))
        self._standings.forget(request.account_id)
        return wire.PutSecretResponse()

    async def ListSecrets(
        self, request: wire.ListSecretsRequest, context: Context
    ) -> wire.ListSecretsResponse:
        """Give names and times."""
        secrets = await self._book.list_secrets(request.account_id)
        return wire.ListSecretsResponse(secrets=[_secret(one) for one in secrets])

    async def DeleteSecret(
        self, request: wire.DeleteSecretRequest, context: Context
    ) -> wire.DeleteSecretResponse:
        """Remove a secret."""
        await self._book.delete_secret(request.account_id, request.name)
        self._standings.forget(request.account_id)
        return wire.DeleteSecretResponse()

    async def ListDisabledEndpoints(
        self, request: wire.ListDisabledEndpointsRequest, context: Context
    ) -> wire.ListDisabledEndpointsResponse:
        """Give the endpoints that are gone."""
        endpoints = await self._book.list_disabled(request.account_id)
        return wire.ListDisabledEndpointsResponse(endpoints=[_endpoint(one) for one in endpoints])

    async def EnableEndpoint(
        self, request: wire.EnableEndpointRequest, context: Context
    ) -> wire.EnableEndpointResponse:
        """Let an endpoint be called again."""
        try:
            url = URL(target(request.url))
        except ValueError as error:
            fault = Violation("url", str(error), "url")
            await abort(context, bad_request("URL_INVALID", f"url: {error}", [fault]))
        await self._book.enable(request.account_id, url)
        self._standings.forget(request.account_id)
        return wire.EnableEndpointResponse()


def _secret(one: SecretTimes) -> wire.Secret:
    rotated = None if one.rotated_at is None else _time(one.rotated_at)
    return wire.Secret(name=one.name, create_time=_time(one.created_at), rotate_time=rotated)


def _endpoint(one: DisabledEndpoint) -> wire.DisabledEndpoint:
    return wire.DisabledEndpoint(url=one.url, since=_time(one.since))


def _time(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
