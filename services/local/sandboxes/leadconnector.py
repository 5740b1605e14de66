"""LeadConnector's API 2.0 as it looks over HTTP: `leadconnector_app(...)` keeps a location of its own.

GET /_control/state shows all there is, DELETE forgets it. `POST /_control/next` makes it misbehave
(misbehaviour.py); what `match` is held against reads "POST tags ada@example.test": the method, what is
asked for (contacts, contact, upsert, duplicate, tags, notes, tasks, campaigns, workflow, opportunities,
opportunity, search, pipelines), and the contact's address.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from aiohttp import web

from services.local.sandboxes import leadconnector_fields as fields
from services.local.sandboxes.leadconnector_records import (
    LOCATION,
    TOKEN,
    Records,
    Refused,
    Resource,
    checked,
    pipelines,
)
from services.local.sandboxes.misbehaviour import Misbehaviour

VERSION: Final = "2021-07-28"

_INTERVAL_S: Final = 10.0
_A_DAY: Final = 200_000
_FREE: Final = "/_control/"

Take = Callable[[], web.Response]


@dataclass(slots=True)
class _Location:
    records: Records
    token: str
    per_interval: int
    misbehaviour: Misbehaviour
    _came: deque[float] = field(default_factory=deque)
    _today: int = 0

    def routes(self) -> list[web.RouteDef]:
        contact, one = "/contacts/{contact}", "/opportunities/{opportunity}"
        return [
            web.get("/contacts/search/duplicate", self.duplicate),
            web.post("/contacts/upsert", self.upsert),
            web.post("/contacts/", self.create),
            web.get(contact, self.contact),
            web.put(contact, self.update),
            web.post(f"{contact}/tags", self.tags),
            web.delete(f"{contact}/tags", self.tags),
            *(web.get(f"{contact}/{name}", partial(self.items, name)) for name in ("notes", "tasks")),
            *(web.post(f"{contact}/{name}", partial(self.add_item, name)) for name in ("notes", "tasks")),
            *(
                web.route(method, f"{contact}/{kind}/{{entered}}", partial(self.enter, kind))
                for method in ("POST", "DELETE")
                for kind in ("campaigns", "workflow")
            ),
            web.get("/opportunities/search", self.search),
            web.get("/opportunities/pipelines", self.pipelines),
            web.post("/opportunities/", self.open),
            web.get(one, self.opportunity),
            web.put(one, self.change),
            web.get("/_control/state", self.show),
            web.delete("/_control/state", self.forget),
            web.post("/_control/next", self.misbehaviour.asked),
            web.get("/_control/next", self.misbehaviour.left),
            web.delete("/_control/next", self.misbehaviour.forgotten),
        ]

    async def duplicate(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        self.records.of_here(query.get("locationId"))
        email, number = query.get("email", ""), query.get("number", "")

        def take() -> web.Response:
            return _told({"contact": self.records.duplicate(email, number), "traceId": "sandbox"})

        return await self._answer(request, "duplicate", email or number, take)

    async def create(self, request: web.Request) -> web.StreamResponse:
        asked = await self._body(request, fields.CREATE_CONTACT)

        def take() -> web.Response:
            return _told({"contact": self.records.create(asked), "traceId": "sandbox"}, 201)

        return await self._answer(request, "contacts", _address(asked), take)

    async def upsert(self, request: web.Request) -> web.StreamResponse:
        asked = await self._body(request, fields.UPSERT_CONTACT)

        def take() -> web.Response:
            contact, made = self.records.upsert(asked)
            return _told({"new": made, "contact": contact, "traceId": "sandbox"})

        return await self._answer(request, "upsert", _address(asked), take)

    async def contact(self, request: web.Request) -> web.StreamResponse:
        return await self._about(
            request, "contact", lambda one: _told({"contact": self.records.contact(one)})
        )

    async def update(self, request: web.Request) -> web.StreamResponse:
        asked = await self._body(request, fields.UPDATE_CONTACT)

        def take(one: str) -> web.Response:
            return _told({"succeded": True, "contact": self.records.update(one, asked)})

        return await self._about(request, "contact", take)

    async def tags(self, request: web.Request) -> web.StreamResponse:
        asked = await self._body(request, fields.TAGS)
        if request.method == "POST":
            return await self._about(
                request, "tags", lambda one: _told(self.records.add_tags(one, asked["tags"]), 201)
            )
        return await self._about(
            request, "tags", lambda one: _told(self.records.remove_tags(one, asked["tags"]))
        )

    async def items(self, name: str, request: web.Request) -> web.StreamResponse:
        return await self._about(request, name, lambda one: _told({name: self.records.items_of(name, one)}))

    async def add_item(self, name: str, request: web.Request) -> web.StreamResponse:
        asked = await self._body(request, fields.NOTE if name == "notes" else fields.TASK)

        def take(one: str) -> web.Response:
            return _told({name.removesuffix("s"): self.records.add_item(name, one, asked)}, 201)

        return await self._about(request, name, take)

    async def enter(self, kind: str, request: web.Request) -> web.StreamResponse:
        await self._body(request, fields.WORKFLOW if kind == "workflow" else fields.CAMPAIGN)
        entered, created = request.match_info["entered"], (kind, request.method) == ("campaigns", "POST")

        def take(one: str) -> web.Response:
            self.records.enter(request.method, kind, one, entered)
            return _told({"succeded": True}, 201 if created else 200)

        return await self._about(request, kind, take)

    async def search(self, request: web.Request) -> web.StreamResponse:
        self.records.of_here(request.query.get("location_id"))

        def take() -> web.Response:
            found = self.records.search(request.query)
            return _told({"opportunities": found, "meta": {"total": len(found)}, "aggregations": {}})

        contact_id = request.query.get("contact_id", "")
        return await self._answer(request, "search", self._address(contact_id), take)

    async def pipelines(self, request: web.Request) -> web.StreamResponse:
        self.records.of_here(request.query.get("locationId"))
        told = {"pipelines": pipelines(self.records.location_id)}
        return await self._answer(request, "pipelines", "", lambda: _told(told))

    async def open(self, request: web.Request) -> web.StreamResponse:
        asked = await self._body(request, fields.CREATE_OPPORTUNITY)

        def take() -> web.Response:
            return _told({"opportunity": self.records.open(asked)}, 201)

        return await self._answer(request, "opportunities", self._address(asked["contactId"]), take)

    async def opportunity(self, request: web.Request) -> web.StreamResponse:
        found = self.records.opportunity(request.match_info["opportunity"])
        address = self._address(found["contactId"])
        return await self._answer(request, "opportunity", address, lambda: _told({"opportunity": found}))

    async def change(self, request: web.Request) -> web.StreamResponse:
        asked = await self._body(request, fields.UPDATE_OPPORTUNITY)
        found = self.records.opportunity(request.match_info["opportunity"])

        def take() -> web.Response:
            return _told({"opportunity": self.records.change(found["id"], asked)})

        return await self._answer(request, "opportunity", self._address(found["contactId"]), take)

    async def show(self, _request: web.Request) -> web.Response:
        return web.json_response(self.records.shown())

    async def forget(self, _request: web.Request) -> web.Response:
        self.records.forget()
        return web.json_response({})

    @web.middleware
    async def admit(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Ask who it is, hold to the limits, tell of them; what is not LeadConnector's own is free."""
        if _FREE in request.path:  # wherever it is mounted
            free: web.StreamResponse = await handler(request)
            return free
        try:
            self._let_in(request)
            answer: web.StreamResponse = await handler(request)
        except Refused as refused:
            answer = _told(refused.body, refused.status)
        answer.headers.update(
            {
                "X-RateLimit-Limit-Daily": str(_A_DAY),
                "X-RateLimit-Daily-Remaining": str(_A_DAY - self._today),
                "X-RateLimit-Interval-Milliseconds": str(int(_INTERVAL_S * 1000)),
                "X-RateLimit-Max": str(self.per_interval),
                "X-RateLimit-Remaining": str(self.per_interval - len(self._came)),
            }
        )
        return answer

    def _let_in(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            raise Refused(401, "Invalid token: access token is invalid", error="Unauthorized")
        if request.headers.get("Version") != VERSION:
            raise Refused(401, "version header was not found.", error="Unauthorized")
        now = time.monotonic()
        while self._came and self._came[0] <= now - _INTERVAL_S:
            self._came.popleft()
        if len(self._came) >= self.per_interval:
            raise Refused(429, "Too Many Requests")
        self._came.append(now)
        self._today += 1

    async def _about(
        self, request: web.Request, name: str, take: Callable[[str], web.Response]
    ) -> web.StreamResponse:
        contact_id = request.match_info["contact"]
        return await self._answer(request, name, self._address(contact_id), lambda: take(contact_id))

    async def _answer(self, request: web.Request, name: str, whose: str, take: Take) -> web.StreamResponse:
        def taken() -> web.Response:
            try:
                return take()
            except Refused as refused:
                return _told(refused.body, refused.status)

        return await self.misbehaviour.answer(request, f"{request.method} {name} {whose}", taken)

    async def _body(self, request: web.Request, allowed: fields.Fields) -> Resource:
        """Read a body; a request without one has none of its fields."""
        try:
            asked = await request.json() if request.body_exists else {}
        except ValueError:
            asked = None
        if not isinstance(asked, dict):
            raise Refused(400, "Unexpected token in JSON")
        body = checked(allowed, asked)
        if "locationId" in allowed.kinds:
            self.records.of_here(body.get("locationId"))
        return body

    def _address(self, contact_id: str) -> str:
        known = self.records.contacts.get(contact_id)
        return _address(known) if known is not None else ""


def leadconnector_app(
    location_id: str = LOCATION, token: str = TOKEN, *, per_interval: int = 100
) -> web.Application:
    """Make the application; `per_interval` is how many requests it answers in ten seconds."""

    def refuse(status: int, _code: int, _subcode: int) -> web.Response:
        text = {429: "Too Many Requests", 422: ["Unprocessable Entity"]}.get(status, "Something went wrong")
        return _told({"statusCode": status, "message": text}, status)

    location = _Location(Records(location_id), token, per_interval, Misbehaviour(refuse))
    application = web.Application(middlewares=[location.admit])
    application.add_routes(location.routes())

    async def shut_down(_application: web.Application) -> None:
        location.misbehaviour.end()

    application.on_shutdown.append(shut_down)
    return application


def _told(body: Resource, status: int = 200) -> web.Response:
    return web.json_response(body, status=status)


def _address(one: Resource) -> str:
    return str(one.get("email") or one.get("phone") or "")
