"""Takes what providers call back and what recipients click: verified by the family that sent, then an event.

The family knows the provider's signatures; this process holds no credential of anybody's. A callback is
answered once its events are durable: a provider that is not answered calls again, harmlessly by its ids.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import grpc
import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from wayfarer.action.v1 import provider_service_pb2 as pb
from wayfarer.action.v1.provider_service_pb2_grpc import ProviderServiceStub

from dispatcher.intake import Intake
from execution_engine import ports
from execution_engine.errors import WayfarerError
from execution_engine.sending.channels import address_hash, normal
from execution_engine.sending.effects import Deny, Suppress, effect_of
from execution_engine.store import consents, contacts
from execution_engine.store.accounts import account_transaction
from execution_engine.store.events import Arrival

log = structlog.get_logger(__name__)

MAX_BODY_BYTES: Final = 1024 * 1024
_TIMEOUT_S: Final = 10.0
_OURS, _MAIL = "wayfarer", "email"
_STATUS: Final = {
    grpc.StatusCode.UNAUTHENTICATED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
}
"""Anything else is our trouble: 503, and the provider calls again."""


class Callbacks:
    """The routes for providers and recipients."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        vault: ports.Vault,
        intake: Intake,
        family: grpc.aio.Channel,
        public_url: str,
    ) -> None:
        """`family` sends messages and verifies callbacks; `public_url` is where the world reaches us."""
        self._pool = pool
        self._vault = vault
        self._intake = intake
        self._stub = ProviderServiceStub(family)
        self._public = public_url.rstrip("/")

    def routes(self) -> list[Route]:
        """What is served."""
        return [
            Route(
                "/callbacks/{provider}/{channel}/accounts/{account:int}",
                self._of_account,
                methods=["GET", "POST"],
            ),
            Route("/callbacks/{provider}/{channel}/{token}", self._of_effect, methods=["GET", "POST"]),
            Route("/u/{token}", self._of_recipient, methods=["GET", "POST"]),
            Route("/c/{token}", self._of_recipient, methods=["GET"]),
            Route("/o/{token}", self._of_recipient, methods=["GET"]),
        ]

    async def _of_account(self, request: Request) -> Response:
        named = request.path_params
        if not 0 < named["account"] < 2**63:
            return Response(status_code=404)
        return await self._take(request, named["provider"], named["channel"], named["account"])

    async def _of_effect(self, request: Request) -> Response:
        named = request.path_params
        account_id = _account_of(named["token"])
        if account_id is None or named["provider"] == _OURS:
            return Response(status_code=404)
        return await self._take(request, named["provider"], named["channel"], account_id)

    async def _of_recipient(self, request: Request) -> Response:
        return await self._take(request, _OURS, _MAIL, 0)

    async def _take(self, request: Request, provider: str, channel: str, account_id: int) -> Response:
        body = await _body(request)
        if body is None:
            return Response(status_code=413)
        query = f"?{request.url.query}" if request.url.query else ""
        asked = pb.TakeCallbackRequest(
            channel=channel,
            provider=provider,
            account_id=account_id,
            method=request.method,
            url=f"{self._public}{request.url.path}{query}",
            headers=dict(request.headers),
            body=body,
        )
        asked.receive_time.FromDatetime(datetime.now(UTC))
        try:
            taken = await self._stub.TakeCallback(asked, timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            status = _STATUS.get(error.code(), 503)
            log.warning("callback_refused", provider=provider, channel=channel, code=error.code().name)
            return Response(status_code=status)
        try:
            await self._publish(provider, channel, taken.happenings)
        except Exception:
            # Nothing is lost: the provider calls again, and what was taken in is known by its id.
            log.exception("callback_not_taken_in", provider=provider, channel=channel)
            return Response(status_code=503)
        headers = {"location": taken.location} if taken.location else {}
        if taken.content_type:
            headers["content-type"] = taken.content_type
        return Response(taken.body, status_code=taken.status or 200, headers=headers)

    async def _publish(self, provider: str, channel: str, happenings: Sequence[pb.Happening]) -> None:
        by_account: dict[int, list[Arrival]] = {}
        for one in happenings:
            arrivals = [_arrival(one, provider, channel, contact) for contact in await self._contacts(one)]
            by_account.setdefault(one.account_id, []).extend(arrivals)
            if not arrivals:
                await self._of_nobody(one, f"{provider}/{one.id}")
        for account_id, arrivals in by_account.items():
            for arrival, answer in zip(
                arrivals, await self._intake.publish(account_id, arrivals), strict=True
            ):
                if isinstance(answer, WayfarerError):
                    log.warning("happening_refused", type=arrival.type, reason=answer.reason)

    async def _of_nobody(self, one: pb.Happening, source: str) -> None:
        """No contact has the address (now): what it says of the address holds all the same."""
        effect = effect_of(one.type, orjson.loads(one.attributes or b"{}"))
        log.info("happening_of_nobody", type=one.type, account_id=one.account_id)
        if not one.address or effect is None or isinstance(effect, Deny):
            return
        address = normal(effect.channel, one.address)
        hashed = address_hash(self._vault, one.account_id, address)
        async with account_transaction(self._pool, one.account_id) as connection:
            if isinstance(effect, Suppress):
                await consents.suppress(connection, one.account_id, hashed, effect, source[:200])
            else:
                await consents.lift(connection, one.account_id, hashed, effect.channel, None)

    async def _contacts(self, one: pb.Happening) -> list[UUID]:
        """Whose it is: the contact the message went to, or everybody who has the address."""
        if one.contact_id:
            return [UUID(bytes=one.contact_id)]
        if not one.address:
            return []
        hashed = address_hash(self._vault, one.account_id, one.address)
        async with account_transaction(self._pool, one.account_id) as connection:
            return await contacts.of_address(connection, one.account_id, hashed)


def _arrival(one: pb.Happening, provider: str, channel: str, contact_id: UUID) -> Arrival:
    data: dict[str, Any] = orjson.loads(one.attributes or b"{}")
    data |= {"provider": provider, "channel": channel}
    if one.address:
        data["address"] = one.address
    if one.HasField("effect_key"):
        key = one.effect_key
        data |= {
            "execution_id": str(UUID(bytes=key.execution_id)),
            "step_id": key.step_id,
            "visit": key.visit,
        }
    name = f"{provider}/{one.id}"[:150]
    source_id = name if one.contact_id else f"{name}/{contact_id}"
    payload = hashlib.sha256(f"{one.type}\n{contact_id}\n{source_id}".encode()).digest()
    return Arrival(source_id, contact_id, one.type, one.occur_time.ToDatetime(UTC), data, payload)


async def _body(request: Request) -> bytes | None:
    """The body; None if it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


def _account_of(token: str) -> int | None:
    """Which account a token says it is of; its family finds out whether that is true."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    account_id = int.from_bytes(raw[:8], "big") if len(raw) > 8 else 0
    return account_id if 0 < account_id < 2**63 else None
