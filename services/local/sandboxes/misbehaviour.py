"""Answers of a sandbox that somebody asked for: the next matching request is refused, lost, or kept waiting.

`POST /_control/next {"match": "+1555", "times": 1, "status": 429, "code": 20429, "subcode": 0,
"retry_after": 2}` answers an error; `{"lose": "before"}` cuts the connection and takes nothing,
`{"lose": "after"}` takes the message first; `{"hang": "before" | "after"}` never answers.
`{"delay_s": 1.5}` takes the message and answers that much later.
`GET /_control/next` tells how many requests are still to be answered so, DELETE forgets them.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from services.local.arrivals import Arrivals, Rule


@dataclass(slots=True)
class Misbehaviour:
    """The rules of one sandbox."""

    refuse: Callable[[int, int, int], web.Response]
    """Makes the provider's error answer of (status, code, subcode)."""
    _rules: Arrivals = field(default_factory=lambda: Arrivals(None))
    _never: asyncio.Event = field(default_factory=asyncio.Event)

    async def asked(self, request: web.Request) -> web.Response:
        """Take a rule."""
        try:
            rule = await request.json()
            self._rules.ask(Rule(str(rule.pop("match", "")), int(rule.pop("times", 1)), rule))
        except (ValueError, TypeError, AttributeError) as error:
            raise web.HTTPBadRequest(text=f"not a rule: {error}\n") from error
        return web.json_response({})

    async def left(self, _request: web.Request) -> web.Response:
        """Tell how many requests the rules are still for."""
        return web.json_response({"left": sum(rule.times for rule in self._rules.rules)})

    async def forgotten(self, _request: web.Request) -> web.Response:
        """Drop all rules."""
        self._rules.rules.clear()
        return web.json_response({})

    def end(self) -> None:
        """Let those that were kept waiting go."""
        self._never.set()

    async def answer(
        self, request: web.Request, subject: str, take: Callable[[], web.Response]
    ) -> web.StreamResponse:
        """Answer as asked for this subject, else with what `take` gives."""
        rule = self._rules.rule_for(subject)
        if rule is None:
            return take()
        if "lose" in rule or "hang" in rule:
            return await self._lost(request, rule, take)
        if "delay_s" in rule:
            taken = take()
            await asyncio.sleep(float(rule["delay_s"]))
            return taken
        response = self.refuse(rule.get("status", 500), rule.get("code", 0), rule.get("subcode", 0))
        if "retry_after" in rule:
            response.headers["Retry-After"] = str(rule["retry_after"])
        return response

    async def _lost(
        self, request: web.Request, rule: dict[str, Any], take: Callable[[], web.Response]
    ) -> web.StreamResponse:
        taken = take() if "after" in (rule.get("lose"), rule.get("hang")) else web.Response(status=503)
        if "hang" in rule:
            await self._never.wait()
        if request.transport is not None:
            request.transport.abort()
        return taken
