"""Serves AdminService: accounts, their settings and keys; services/execution_api/__main__ adds it."""

from typing import Any
from uuid import UUID

from wayfarer.admin.v1 import account_pb2, admin_service_pb2_grpc
from wayfarer.admin.v1 import admin_service_pb2 as pb

from execution_engine import account_settings
from execution_engine.definition.faults import Fault
from execution_engine.errors import InvalidValue, InvalidValues, NotFound, RoleRequired
from execution_engine.store import admin, reauthorisation
from execution_engine.store.accounts import account_transaction
from execution_engine.store.admin import AccountView, KeyView, Role
from execution_engine.store.hints import HintSender
from services.execution_api import convert, paging, sending_settings
from services.execution_api.auth import caller
from services.execution_api.providers import Providers
from services.execution_api.showing import Engine
from services.runtime.interceptors import Context

_MOST_ACTIVE = 100_000


class AdminServicer(admin_service_pb2_grpc.AdminServiceServicer):
    """The rpcs of AdminService; the proto says what each does."""

    def __init__(self, engine: Engine, providers: Providers, due: HintSender) -> None:
        self._pool = engine.pool
        self._providers = providers
        self._due = due

    async def GetAccount(self, request: pb.GetAccountRequest, context: Context) -> pb.GetAccountResponse:
        account_id = _meant(request.account_id)
        async with account_transaction(self._pool, account_id) as connection:
            return pb.GetAccountResponse(account=_account(await admin.account(connection, account_id)))

    async def UpdateAccount(
        self, request: pb.UpdateAccountRequest, context: Context
    ) -> pb.UpdateAccountResponse:
        account_id, given = _meant(request.account_id), request.account
        paths = list(request.update_mask.paths)
        async with account_transaction(self._pool, account_id) as connection:
            view = await admin.account(connection, account_id, lock=True)
            settings = _merged(view.settings, _stored(given.settings), paths)
            name = given.name if "name" in paths else view.name
            limit = given.active_limit if "active_limit" in paths else view.active_limit
            faults = account_settings.check(settings)
            if not 1 <= len(name) <= 200:
                faults.append(Fault("account.name", "length", "must be 1 to 200 characters"))
            if not 1 <= limit <= _MOST_ACTIVE:
                faults.append(Fault("account.active_limit", "range", f"must be from 1 to {_MOST_ACTIVE}"))
            if faults:
                raise InvalidValues(faults)
            view = await admin.update(connection, account_id, name, limit, settings)
        return pb.UpdateAccountResponse(account=_account(view))

    async def CreateAccount(
        self, request: pb.CreateAccountRequest, context: Context
    ) -> pb.CreateAccountResponse:
        _require(Role.PLATFORM)
        account_id = await admin.create_account(self._pool, request.name)
        async with account_transaction(self._pool, account_id) as connection:
            key, secret = await admin.add_key(connection, account_id, request.actor, Role.ADMIN)
            view = await admin.account(connection, account_id)
        return pb.CreateAccountResponse(account=_account(view), key=_key(key), secret=secret)

    async def ListAccounts(
        self, request: pb.ListAccountsRequest, context: Context
    ) -> pb.ListAccountsResponse:
        _require(Role.PLATFORM)
        size = paging.size_of(request.page_size)
        mark = paging.filter_mark(request)
        before = int.from_bytes(paging.decode(request.page_token, mark) or b"", "big")
        views = await admin.accounts(self._pool, before, size + 1)
        more = paging.encode(views[size - 1].account_id.to_bytes(8, "big"), mark) if len(views) > size else ""
        listed = [_account(view) for view in views[:size]]
        return pb.ListAccountsResponse(accounts=listed, next_page_token=more)

    async def CreateApiKey(
        self, request: pb.CreateApiKeyRequest, context: Context
    ) -> pb.CreateApiKeyResponse:
        account_id, role = _meant(request.account_id), Role(request.role or Role.MEMBER)
        if role is Role.PLATFORM:
            _require(Role.PLATFORM)
        async with account_transaction(self._pool, account_id) as connection:
            await admin.account(connection, account_id)
            key, secret = await admin.add_key(connection, account_id, request.actor, role)
        return pb.CreateApiKeyResponse(key=_key(key), secret=secret)

    async def ListApiKeys(self, request: pb.ListApiKeysRequest, context: Context) -> pb.ListApiKeysResponse:
        account_id = _meant(request.account_id)
        async with account_transaction(self._pool, account_id) as connection:
            await admin.account(connection, account_id)
            found = await admin.keys(connection, account_id)
        return pb.ListApiKeysResponse(keys=[_key(key) for key in found])

    async def RotateApiKey(
        self, request: pb.RotateApiKeyRequest, context: Context
    ) -> pb.RotateApiKeyResponse:
        account_id = _meant(request.account_id)
        async with account_transaction(self._pool, account_id) as connection:
            key, secret = await admin.rotate(
                connection, account_id, UUID(request.key_id), request.overlap.ToTimedelta()
            )
        return pb.RotateApiKeyResponse(key=_key(key), secret=secret)

    async def RevokeApiKey(
        self, request: pb.RevokeApiKeyRequest, context: Context
    ) -> pb.RevokeApiKeyResponse:
        account_id = _meant(request.account_id)
        async with account_transaction(self._pool, account_id) as connection:
            key = await admin.revoke(connection, account_id, UUID(request.key_id))
        return pb.RevokeApiKeyResponse(key=_key(key))

    async def SetProvider(self, request: pb.SetProviderRequest, context: Context) -> pb.SetProviderResponse:
        account_id = _meant(request.account_id)
        settings = convert.plain(request.settings, "settings")
        await self._providers.put(
            account_id, request.channel, request.provider, settings, dict(request.credentials)
        )
        await self._go_on(account_id)
        return pb.SetProviderResponse()

    async def ListProviders(
        self, request: pb.ListProvidersRequest, context: Context
    ) -> pb.ListProvidersResponse:
        listed = await self._providers.list(_meant(request.account_id))
        return pb.ListProvidersResponse(providers=listed)

    async def RemoveProvider(
        self, request: pb.RemoveProviderRequest, context: Context
    ) -> pb.RemoveProviderResponse:
        account_id = _meant(request.account_id)
        await self._providers.remove(account_id, request.channel)
        await self._go_on(account_id)
        return pb.RemoveProviderResponse()

    async def _go_on(self, account_id: int) -> None:
        """What waits for new credentials tries again."""
        if await reauthorisation.wake(self._pool, account_id):
            self._due.tell(account_id)


def _require(role: Role) -> None:
    if caller().role < role:
        raise RoleRequired(role.name)


def _meant(account_id: int) -> int:
    """The account that is meant. Raises RoleRequired; NotFound for another's without a PLATFORM key."""
    _require(Role.ADMIN)
    own = caller().account_id
    if account_id in (0, own):
        return own
    if caller().role < Role.PLATFORM:
        raise NotFound("account", str(account_id))
    return account_id


def _merged(before: dict[str, Any], given: dict[str, Any], paths: list[str]) -> dict[str, Any]:
    """The settings with the parts that the mask names replaced, or taken away. Raises InvalidValue."""
    settings = dict(before)
    for path in paths:
        head, _, part = path.partition(".")
        if path in ("name", "active_limit"):
            continue
        if head != "settings" or (part and part not in account_settings.PARTS):
            known = ", ".join(["name", "active_limit", "settings", *account_settings.PARTS])
            raise InvalidValue("update_mask", "path", f"{path!r} cannot be updated (there are {known})")
        for name in [part] if part else account_settings.PARTS:
            settings.pop(name, None)
            if name in given:
                settings[name] = given[name]
    return settings


def _stored(given: account_pb2.AccountSettings) -> dict[str, Any]:
    """The parts that are given, as the engine keeps them."""
    parts: dict[str, Any] = {}
    if given.time_zone:
        parts["time_zone"] = given.time_zone
    if given.HasField("business_hours"):
        hours = given.business_hours
        named = {"days": list(hours.days), "from": getattr(hours, "from"), "to": hours.to}
        parts["business_hours"] = {name: value for name, value in named.items() if value}
    if given.holidays:
        parts["holidays"] = list(given.holidays)
    if given.rates:
        parts["rates"] = {
            lane: {"per_second": rate.per_second, "per_day": rate.per_day}
            for lane, rate in given.rates.items()
        }
    if given.HasField("notifications"):
        told = given.notifications
        parts["notifications"] = {
            "on_failure": not told.off,
            **{kind: list(getattr(told, kind)) for kind in ("email", "webhook", "slack")},
            **(
                {"digest_seconds": told.digest.ToTimedelta().total_seconds()}
                if told.HasField("digest")
                else {}
            ),
        }
    if given.HasField("retention"):
        kept = given.retention
        days = {"history_days": kept.history_days, "event_days": kept.event_days}
        parts["retention"] = {name: number for name, number in days.items() if number}
    if given.HasField("sending"):
        parts["sending"] = sending_settings.stored(given.sending)
    return parts


def _account(view: AccountView) -> account_pb2.Account:
    return account_pb2.Account(
        id=view.account_id,
        name=view.name,
        active_limit=view.active_limit,
        settings=_shown(view.settings),
        create_time=convert.timestamp(view.created_at),
        update_time=convert.timestamp(view.updated_at),
    )


def _shown(settings: dict[str, Any]) -> account_pb2.AccountSettings:
    shown = account_pb2.AccountSettings(
        time_zone=settings.get("time_zone", ""), holidays=settings.get("holidays", ())
    )
    if "business_hours" in settings:
        shown.business_hours.CopyFrom(account_pb2.BusinessHours(**settings["business_hours"]))
    for lane, rate in settings.get("rates", {}).items():
        shown.rates[lane].CopyFrom(
            account_pb2.Rate(per_second=rate.get("per_second", 0), per_day=rate.get("per_day", 0))
        )
    if "notifications" in settings:
        told = settings["notifications"]
        shown.notifications.off = not told.get("on_failure", True)
        for kind in ("email", "webhook", "slack"):
            getattr(shown.notifications, kind).extend(told.get(kind, ()))
        if "digest_seconds" in told:
            shown.notifications.digest.FromMilliseconds(int(told["digest_seconds"] * 1000))
    if "retention" in settings:
        shown.retention.CopyFrom(account_pb2.Retention(**settings["retention"]))
    if "sending" in settings:
        shown.sending.CopyFrom(sending_settings.shown(settings["sending"]))
    return shown


def _key(view: KeyView) -> account_pb2.ApiKey:
    return account_pb2.ApiKey(
        id=str(view.key_id),
        actor=view.actor,
        role=int(view.role),  # type: ignore[arg-type]
        create_time=convert.timestamp(view.created_at),
        expire_time=convert.timestamp(view.expires_at),
        revoke_time=convert.timestamp(view.revoked_at),
    )
