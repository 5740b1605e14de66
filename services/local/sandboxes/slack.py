"""Slack as it looks over HTTP: `slack_app(...)` takes what a webhook or a bot posts, and shows it.

GET /messages shows what came; DELETE forgets. `POST /_control/next` makes it misbehave (misbehaviour.py): the
subject is the message's text, the code an error's name, `{"status": 200, "code": "is_archived"}`. A channel
takes a message per second, as Slack says; more are answered 429 with Retry-After.
"""

import math
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from services.local.sandboxes.misbehaviour import Misbehaviour

BOT_TOKEN = "xoxb-sandbox-bot-token"
HOOK = "/services/T00000000/B00000000/sandboxsandboxsandbox0000"
"""What the sandbox takes unless told otherwise: a bot's token, an incoming webhook's path."""
HOOK_CHANNEL = "C0HOOK"

_MOST_KEPT = 10_000
_MOST_TEXT = 40_000
_CHANNEL = re.compile(r"[#@]?[A-Za-z0-9._-]{1,80}")
_MISSING = "#missing"
_ARCHIVED = "#archived"


@dataclass(slots=True)
class _Slack:
    bot_token: str
    pace_s: float
    now: Callable[[], float]
    messages: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_MOST_KEPT))
    last: dict[str, float] = field(default_factory=dict)
    by_hook: Misbehaviour = field(
        default_factory=lambda: Misbehaviour(lambda status, code, _: _hook_fault(status, str(code or "")))
    )
    by_api: Misbehaviour = field(
        default_factory=lambda: Misbehaviour(lambda status, code, _: _api_fault(status, str(code or "")))
    )

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/chat.postMessage", self.post_message),
            web.post("/services/{team}/{service}/{secret}", self.hook),
            web.get("/messages", self.show),
            web.delete("/messages", self.forget),
            web.post("/_control/next", self.asked),
            web.delete("/_control/next", self.forgotten),
        ]

    async def post_message(self, request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not given:
            return _api_error("not_authed")
        if given != self.bot_token:
            return _api_error("invalid_auth")
        body = await _object(request)
        channel, text = body.get("channel"), body.get("text")
        if not isinstance(channel, str) or not _CHANNEL.fullmatch(channel) or channel == _MISSING:
            return _api_error("channel_not_found")
        if channel == _ARCHIVED:
            return _api_error("is_archived")
        if not isinstance(text, str) or not text:
            return _api_error("no_text")
        if len(text) > _MOST_TEXT:
            return _api_error("msg_too_long")
        wait_s = self._wait_s(channel)
        if wait_s:
            return _too_many(wait_s, _api_error("ratelimited", 429))
        return await self.by_api.answer(request, text, lambda: self._posted(channel, body))

    async def hook(self, request: web.Request) -> web.StreamResponse:
        if not request.path.endswith(HOOK):
            return web.Response(status=404, text="no_service")
        body = await _object(request)
        text = body.get("text")
        if not isinstance(text, str) or not text:
            return web.Response(status=400, text="no_text" if body else "invalid_payload")
        wait_s = self._wait_s(HOOK_CHANNEL)
        if wait_s:
            return _too_many(wait_s, web.Response(status=429, text="rate_limited"))

        def take() -> web.Response:
            self._posted(HOOK_CHANNEL, body)
            return web.Response(text="ok")

        return await self.by_hook.answer(request, text, take)

    async def asked(self, request: web.Request) -> web.Response:
        """Take a rule; both ways in misbehave by it."""
        await self.by_hook.asked(request)
        return await self.by_api.asked(request)

    async def forgotten(self, request: web.Request) -> web.Response:
        await self.by_hook.forgotten(request)
        return await self.by_api.forgotten(request)

    async def show(self, _request: web.Request) -> web.Response:
        return web.json_response(list(self.messages))

    async def forget(self, _request: web.Request) -> web.Response:
        self.messages.clear()
        return web.json_response({})

    async def shut_down(self, _application: web.Application) -> None:
        self.by_hook.end()
        self.by_api.end()

    def _posted(self, channel: str, body: Mapping[str, Any]) -> web.Response:
        stamp = f"{time.time():.6f}"
        self.last[channel] = self.now()
        self.messages.append({**body, "ts": stamp, "to": channel})
        return web.json_response({"ok": True, "channel": channel, "ts": stamp, "message": dict(body)})

    def _wait_s(self, channel: str) -> int:
        """Give how long a channel takes nothing more, in whole seconds; 0 if it does."""
        since = self.now() - self.last.get(channel, -math.inf)
        return math.ceil(self.pace_s - since) if since < self.pace_s else 0


def slack_app(
    bot_token: str = BOT_TOKEN, *, pace_s: float = 1.0, now: Callable[[], float] = time.monotonic
) -> web.Application:
    """Make the application. `pace_s` is the time between two messages of a channel."""
    state = _Slack(bot_token, pace_s, now)
    application = web.Application()
    application.add_routes(state.routes())
    application.on_shutdown.append(state.shut_down)
    return application


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _too_many(wait_s: int, response: web.Response) -> web.Response:
    response.headers["Retry-After"] = str(wait_s)
    return response


def _api_error(error: str, status: int = 200) -> web.Response:
    return web.json_response({"ok": False, "error": error}, status=status)


def _hook_fault(status: int, error: str) -> web.Response:
    return web.Response(status=status, text=error)


def _api_fault(status: int, error: str) -> web.Response:
    if error:
        return _api_error(error, status)
    return web.Response(status=status, text="<html>upstream failed</html>")
