"""Settings of the account, for reading: limits, hours, caps, notifications, providers, keys."""

import grpc
from starlette.requests import Request
from wayfarer.admin.v1.admin_service_pb2 import GetAccountRequest, ListApiKeysRequest, ListProvidersRequest
from wayfarer.execution.v1.workflow_service_pb2 import ListActionTypesRequest

from services.gateway.console.api import Api, permitted, together
from services.gateway.console.rendering import Page


async def settings(request: Request, api: Api) -> Page:
    """What the account has set. Only ADMIN keys may see it; a member's page says so."""
    account, keys, types = await together(
        permitted(api.call(api.stubs.admin.GetAccount, GetAccountRequest())),
        permitted(api.call(api.stubs.admin.ListApiKeys, ListApiKeysRequest())),
        api.call(api.stubs.workflows.ListActionTypes, ListActionTypesRequest()),
    )
    providers, away = [], False
    try:
        listed = await permitted(api.call(api.stubs.admin.ListProviders, ListProvidersRequest()))
        providers = list(listed.providers) if listed else []
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        away = True
    families: dict[str, list[str]] = {}
    for kind in types.action_types:
        families.setdefault(kind.family, []).append(kind.name)
    return Page(
        "settings.html",
        {
            "account": account.account if account else None,
            "keys": keys.keys if keys else [],
            "providers": providers,
            "providers_away": away,
            "families": families,
        },
    )
