"""Messenger as it looks over HTTP: `meta_app(...)` takes a page's messages, and reaches nobody.

GET /messages shows what came, GET /callbacks what was told; DELETE forgets. `POST /_control/next` makes it
misbehave (misbehaviour.py), `/_control/callbacks {"repeat": 2, "reverse": true}` tells twice and backwards,
`/_control/inbound {"from", "text", "mid", "url"}` lets somebody write to us, `/_control/verify` asks whether
it is us. What a recipient does is in meta_messages.py.
"""

import asyncio
import hashlib
import hmac
import json
import secrets
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from services.local.sandboxes.meta_messages import message_fault
from services.local.sandboxes.misbehaviour import Misbehaviour

PAGE_ID = "100200300"
PAGE_TOKEN = "sandbox-page-token"
APP_SECRET = "sandbox-app-secret"
VERIFY_TOKEN = "sandbox-verify-token"
"""What the sandbox takes and signs with unless told otherwise."""

_MOST_KEPT = 10_000
_PATIENCE_S = 15.0


@dataclass(slots=True)
class _Meta:
    page_id: str
    page_token: str
    app_secret: str
    verify_token: str
    webhook_url: str
    pace_s: float
    misbehaviour: Misbehaviour
    repeat: int = 1
    reverse: bool = False
    messages: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_MOST_KEPT))
    told: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_MOST_KEPT))
    session: aiohttp.ClientSession | None = None
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(r"/{version:v\d+\.\d+}/{page}/messages", self.send),
            web.get("/messages", self.show),
            web.delete("/messages", self.forget),
            web.get("/callbacks", self.show_told),
            web.post("/_control/next", self.misbehaviour.asked),
            web.delete("/_control/next", self.misbehaviour.forgotten),
            web.post("/_control/callbacks", self.tell_so),
            web.post("/_control/inbound", self.inbound),
            web.post("/_control/verify", self.verify),
        ]

    async def send(self, request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if (given or request.query.get("access_token", "")) != self.page_token:
            return refused(401, 190, 0, "Invalid OAuth access token - Cannot parse access token")
        if request.match_info["page"] != self.page_id:
            return refused(400, 100, 33, "Unsupported post request. Object does not exist")
        try:
            body = await request.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            return refused(400, 100, 0, "(#100) The body is no JSON object")
        fault = message_fault(body)
        if fault is not None:
            return refused(400, *fault)
        person: str = body["recipient"]["id"]
        return await self.misbehaviour.answer(request, person, lambda: self._taken(person, body))

    def _taken(self, person: str, body: Mapping[str, Any]) -> web.Response:
        mid = f"m_{secrets.token_urlsafe(24)}"
        self.messages.append({"mid": mid, "to": person, **body})
        task = asyncio.create_task(self._go_on(person, mid))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return web.json_response({"recipient_id": person, "message_id": mid})

    async def _go_on(self, person: str, mid: str) -> None:
        """Deliver a message and have it read, and tell so."""
        await asyncio.sleep(self.pace_s)
        now = int(time.time() * 1000)
        events = [
            self._event(person, now, delivery={"mids": [mid], "watermark": now}),
            self._event(person, now, read={"watermark": now}),
        ]
        for event in reversed(events) if self.reverse else events:
            for _ in range(self.repeat):
                await self._tell(event)

    def _event(self, person: str, now: int, **what: object) -> dict[str, object]:
        return {"sender": {"id": person}, "recipient": {"id": self.page_id}, "timestamp": now, **what}

    async def _tell(self, event: Mapping[str, object], url: str = "") -> int:
        """Call the webhook, or another at `url`, signed; 0 if nobody answered."""
        url = url or self.webhook_url
        if not url:
            return 0
        entry = {"id": self.page_id, "time": int(time.time() * 1000), "messaging": [event]}
        body = json.dumps({"object": "page", "entry": [entry]}).encode()
        signature = hmac.new(self.app_secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": f"sha256={signature}", "Content-Type": "application/json"}
        try:
            async with self._client().post(url, data=body, headers=headers) as response:
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            status = 0
        self.told.append({"url": url, "body": body.decode(), "headers": headers, "status": status})
        return status

    def _client(self) -> aiohttp.ClientSession:
        if self.session is None:
            self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PATIENCE_S))
        return self.session

    async def inbound(self, request: web.Request) -> web.Response:
        """Let somebody write to the page."""
        asked = await request.json()
        mid = asked.get("mid") or f"m_{secrets.token_urlsafe(24)}"
        message = {"mid": mid, "text": asked.get("text", ""), "is_echo": bool(asked.get("is_echo"))}
        event = self._event(asked["from"], int(time.time() * 1000), message=message)
        status = await self._tell(event, asked.get("url", ""))
        return web.json_response({"mid": mid, "status": status})

    async def verify(self, request: web.Request) -> web.Response:
        """Ask the webhook whether it is ours, as when a page is subscribed."""
        asked = await request.json()
        query = {
            "hub.mode": "subscribe",
            "hub.verify_token": asked.get("token", self.verify_token),
            "hub.challenge": "1158201444",
        }
        async with self._client().get(self.webhook_url, params=query) as response:
            answer = {"status": response.status, "body": await response.text()}
        return web.json_response(answer)

    async def tell_so(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.repeat, self.reverse = int(asked.get("repeat", 1)), bool(asked.get("reverse", False))
        return web.json_response({})

    async def show(self, _request: web.Request) -> web.Response:
        return web.json_response(list(self.messages))

    async def show_told(self, _request: web.Request) -> web.Response:
        return web.json_response(list(self.told))

    async def forget(self, _request: web.Request) -> web.Response:
        self.messages.clear()
        return web.json_response({})

    async def shut_down(self, _application: web.Application) -> None:
        self.misbehaviour.end()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        if self.session is not None:
            await self.session.close()


def meta_app(
    page_id: str = PAGE_ID,
    page_token: str = PAGE_TOKEN,
    *,
    app_secret: str = APP_SECRET,
    verify_token: str = VERIFY_TOKEN,
    webhook_url: str = "",
    pace_s: float = 0.2,
) -> web.Application:
    """Make the application. `webhook_url` is told of deliveries, readings and what people write."""
    misbehaviour = Misbehaviour(lambda status, code, subcode: refused(status, code, subcode))
    state = _Meta(page_id, page_token, app_secret, verify_token, webhook_url, pace_s, misbehaviour)
    application = web.Application()
    application.add_routes(state.routes())
    application.on_shutdown.append(state.shut_down)
    return application


def refused(status: int, code: int, subcode: int = 0, message: str = "") -> web.Response:
    """Give Meta's error answer; without a code, what stands before it answers."""
    if not code:
        return web.Response(status=status, text="<html>upstream failed</html>", content_type="text/html")
    error: dict[str, object] = {
        "message": message or f"(#{code}) refused",
        "type": "OAuthException",
        "code": code,
        "fbtrace_id": secrets.token_urlsafe(8),
    }
    if subcode:
        error["error_subcode"] = subcode
    return web.json_response({"error": error}, status=status)
