"""Twilio as it looks over HTTP: `twilio_app(...)` takes messages and calls, and reaches nobody.

GET /messages and /calls show what came, GET /callbacks what was told; DELETE forgets. `POST /_control/next`
makes it misbehave (misbehaviour.py), `/_control/callbacks {"repeat": 2, "reverse": true}` tells twice and
backwards, `/_control/inbound {"from", "to", "body", "opt_out_type", "url"}` lets somebody write to us. What a
number does is in twilio_numbers.py.
"""

import base64
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from typing import Any

from aiohttp import web

from services.local.sandboxes import twilio_calls, twilio_messages
from services.local.sandboxes.misbehaviour import Misbehaviour
from services.local.sandboxes.twilio_callbacks import Courier
from services.local.sandboxes.twilio_numbers import REFUSED_CALLS

ACCOUNT_SID = "AC00000000000000000000000000000007"
AUTH_TOKEN = "sandbox-auth-token"
"""What the sandbox takes unless told otherwise; nobody else does."""

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_MOST_KEPT = 10_000
_OURS = ("asked", "said", "media_url")
"""What is kept for people to look at and is not Twilio's."""
_NAMES = {20003: "Authenticate", 20404: "The requested resource was not found", 20429: "Too Many Requests"}

Resource = dict[str, Any]


@dataclass(slots=True)
class _Twilio:
    account_sid: str
    logins: frozenset[str]
    courier: Courier
    pace_s: float
    inbound_url: str
    misbehaviour: Misbehaviour
    messages: dict[str, Resource] = field(default_factory=dict)
    calls: dict[str, Resource] = field(default_factory=dict)

    def routes(self) -> list[web.RouteDef]:
        root = f"/2010-04-01/Accounts/{self.account_sid}"
        return [
            web.post(f"{root}/Messages.json", self.send),
            web.get(f"{root}/Messages.json", self.search),
            web.get(f"{root}/Messages/{{sid}}.json", partial(self.fetch, self.messages)),
            web.post(f"{root}/Calls.json", self.call),
            web.get(f"{root}/Calls/{{sid}}.json", partial(self.fetch, self.calls)),
            web.get("/messages", partial(self.show, self.messages)),
            web.get("/calls", partial(self.show, self.calls)),
            web.delete("/messages", partial(self.forget, self.messages)),
            web.delete("/calls", partial(self.forget, self.calls)),
            web.get("/callbacks", self.told),
            web.post("/_control/next", self.misbehaviour.asked),
            web.delete("/_control/next", self.misbehaviour.forgotten),
            web.post("/_control/callbacks", self.tell_so),
            web.post("/_control/inbound", self.inbound),
        ]

    async def send(self, request: web.Request) -> web.StreamResponse:
        data = await request.post()
        form = {name: str(value) for name, value in data.items()}
        media = [str(url) for url in data.getall("MediaUrl", [])]
        to = form.get("To", "")
        fault = twilio_messages.message_fault(form, media, to) or _fault_of_to(to)
        if fault is not None:
            return _refused(400, *fault)
        return await self.misbehaviour.answer(request, to, lambda: self._taken(form, media))

    def _taken(self, form: Mapping[str, str], media: list[str]) -> web.Response:
        body = form.get("Body", "")
        message = self._new(("MM" if media else "SM"), "Messages", form) | {
            "messaging_service_sid": form.get("MessagingServiceSid"),
            "body": body,
            "num_segments": str(twilio_messages.segments(body)),
            "num_media": str(len(media)),
            "media_url": media,
            "status": "accepted" if form.get("MessagingServiceSid") else "queued",
            "error_code": None,
            "error_message": None,
            "date_sent": None,
        }
        self._keep(self.messages, message)
        answer = _resource(message, 201)
        callback = form.get("StatusCallback", "")
        self.courier.start(twilio_messages.go_on(message, callback, self.courier, self.pace_s, _now))
        return answer

    async def call(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        to = form.get("To", "")
        fault = twilio_calls.call_fault(form) or _fault_of_to(to) or REFUSED_CALLS.get(to)
        if fault is None and not _E164.fullmatch(form.get("From", "")):
            fault = 21213, "Caller phone number is required"
        if fault is not None:
            return _refused(400, *fault)
        return await self.misbehaviour.answer(request, to, lambda: self._placed(form))

    def _placed(self, form: Mapping[str, str]) -> web.Response:
        call = self._new("CA", "Calls", form) | {
            "status": "queued",
            "answered_by": None,
            "duration": None,
            "asked": dict(form),
            "said": "",
        }
        self._keep(self.calls, call)
        answer = _resource(call, 201)
        self.courier.start(twilio_calls.go_on(call, form, self.courier, self.pace_s))
        return answer

    async def fetch(self, kind: Mapping[str, Resource], request: web.Request) -> web.Response:
        found = kind.get(request.match_info["sid"])
        return _resource(found) if found is not None else _refused(404, 20404)

    async def search(self, request: web.Request) -> web.Response:
        found = twilio_messages.listed(self.messages.values(), request.query)
        size = int(request.query.get("PageSize", "50"))
        following = f"{request.path}?Page=1" if len(found) > size else None
        return web.json_response(
            {"messages": found[:size], "page": 0, "page_size": size, "next_page_uri": following}
        )

    async def inbound(self, request: web.Request) -> web.Response:
        """Let somebody write to us."""
        asked = await request.json()
        sid = asked.get("sid") or f"SM{secrets.token_hex(16)}"
        fields = {
            "ToCountry": "US",
            "MessageSid": sid,
            "SmsSid": sid,
            "SmsMessageSid": sid,
            "SmsStatus": "received",
            "NumMedia": "0",
            "NumSegments": "1",
            "AccountSid": self.account_sid,
            "From": asked["from"],
            "To": asked.get("to", "+15005550006"),
            "Body": asked.get("body", ""),
            "ApiVersion": "2010-04-01",
        }
        if asked.get("opt_out_type"):
            fields["OptOutType"] = asked["opt_out_type"]
        status, _ = await self.courier.post(asked.get("url", self.inbound_url), fields)
        return web.json_response({"sid": sid, "status": status})

    async def tell_so(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.courier.repeat = int(asked.get("repeat", 1))
        self.courier.reverse = bool(asked.get("reverse", False))
        return web.json_response({})

    async def told(self, _request: web.Request) -> web.Response:
        return web.json_response(list(self.courier.sent))

    async def show(self, kind: Mapping[str, Resource], _request: web.Request) -> web.Response:
        return web.json_response(list(kind.values()))

    async def forget(self, kind: dict[str, Resource], _request: web.Request) -> web.Response:
        kind.clear()
        return web.json_response({})

    def _new(self, prefix: str, kind: str, form: Mapping[str, str]) -> Resource:
        sid = f"{prefix}{secrets.token_hex(16)}"
        return {
            "sid": sid,
            "account_sid": self.account_sid,
            "api_version": "2010-04-01",
            "to": form["To"],
            "from": form.get("From"),
            "direction": "outbound-api",
            "date_created": _now(),
            "date_updated": _now(),
            "price": None,
            "price_unit": "USD",
            "uri": f"/2010-04-01/Accounts/{self.account_sid}/{kind}/{sid}.json",
        }

    def _keep(self, kind: dict[str, Resource], resource: Resource) -> None:
        kind[resource["sid"]] = resource
        if len(kind) > _MOST_KEPT:
            kind.pop(next(iter(kind)))

    @web.middleware
    async def log_in(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if "/2010-04-01/" in request.path:
            if request.headers.get("Authorization", "") not in self.logins:
                return _refused(401, 20003)
            if f"/2010-04-01/Accounts/{self.account_sid}/" not in request.path:
                return _refused(404, 20404)
        answer: web.StreamResponse = await handler(request)
        return answer


def twilio_app(
    account_sid: str = ACCOUNT_SID,
    auth_token: str = AUTH_TOKEN,
    *,
    api_keys: Mapping[str, str] | None = None,
    pace_s: float = 0.2,
    inbound_url: str = "",
) -> web.Application:
    """Make the application. `api_keys` are secrets by sid; `pace_s` is the time between two statuses."""
    courier = Courier(auth_token)
    logins = {account_sid: auth_token, **(api_keys or {})}
    state = _Twilio(
        account_sid,
        frozenset(_basic(user, password) for user, password in logins.items()),
        courier,
        pace_s,
        inbound_url,
        Misbehaviour(lambda status, code, _: _refused(status, code)),
    )
    application = web.Application(middlewares=[state.log_in])
    application.add_routes(state.routes())

    async def shut_down(_application: web.Application) -> None:
        state.misbehaviour.end()
        await courier.close()

    application.on_shutdown.append(shut_down)
    return application


def _fault_of_to(to: str) -> tuple[int, str] | None:
    if not to:
        return 21604, "A 'To' phone number is required"
    return None if _E164.fullmatch(to) else (21211, f"The 'To' number {to[:20]} is not a valid phone number.")


def _refused(status: int, code: int, message: str = "") -> web.Response:
    if not code:
        return web.Response(status=status, text="<html>upstream failed</html>", content_type="text/html")
    more = f"https://www.twilio.com/docs/errors/{code}"
    text = message or _NAMES.get(code, "refused")
    return web.json_response(
        {"code": code, "message": text, "more_info": more, "status": status}, status=status
    )


def _resource(kept: Mapping[str, Any], status: int = 200) -> web.Response:
    """Answer with what Twilio shows of a message or call."""
    shown = {name: value for name, value in kept.items() if name not in _OURS}
    return web.json_response(shown, status=status)


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _now() -> str:
    return format_datetime(datetime.now(UTC))
