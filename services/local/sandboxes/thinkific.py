"""Thinkific's public API as it looks over HTTP: `thinkific_app(...)` keeps users and enrollments of its own.

GET /users and /enrollments show what there is, DELETE forgets. `POST /_control/next` makes it misbehave
(misbehaviour.py); what `match` is held against reads "POST enrollments ada@example.test". A 429 asked for
says in RateLimit-Reset, as a Unix time, to come back in `code` seconds.
"""

import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any, Final

from aiohttp import web

from services.local.sandboxes.misbehaviour import Misbehaviour

SUBDOMAIN: Final = "sandbox"
API_KEY: Final = "sandbox-api-key"
"""What the sandbox takes unless told otherwise; nobody else does."""
COURSES: Final = {101: "Masterclass", 102: "Course X"}

_ROOT: Final = "/api/public/v1"
_AT_A_TIME: Final = 10
_MINUTE_S: Final = 60.0
_PAGE: Final = 25
_MOST_KEPT: Final = 10_000

Resource = dict[str, Any]


@dataclass(slots=True)
class _Site:
    subdomain: str
    api_key: str
    per_minute: int
    misbehaviour: Misbehaviour
    users: dict[int, Resource] = field(default_factory=dict)
    enrollments: dict[int, Resource] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: count(1001))
    _came: deque[float] = field(default_factory=deque)
    _under_way: list[web.Request] = field(default_factory=list)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(f"{_ROOT}/users", self.find_users),
            web.post(f"{_ROOT}/users", self.add_user),
            web.get(f"{_ROOT}/enrollments", self.find_enrollments),
            web.post(f"{_ROOT}/enrollments", self.enroll),
            web.put(f"{_ROOT}/enrollments/{{id}}", self.change),
            web.get("/users", partial(self.show, self.users)),
            web.get("/enrollments", partial(self.show, self.enrollments)),
            web.delete("/users", partial(self.forget, self.users)),
            web.delete("/enrollments", partial(self.forget, self.enrollments)),
            web.post("/_control/next", self.misbehaviour.asked),
            web.delete("/_control/next", self.misbehaviour.forgotten),
        ]

    async def find_users(self, request: web.Request) -> web.StreamResponse:
        email = request.query.get("query[email]", "")
        found = [one for one in self.users.values() if not email or _same(one["email"], email)]
        return await self.misbehaviour.answer(request, f"GET users {email}", lambda: _page(request, found))

    async def add_user(self, request: web.Request) -> web.StreamResponse:
        asked = await _object(request)
        email = str(asked.get("email", ""))
        return await self.misbehaviour.answer(request, f"POST users {email}", lambda: self._added(asked))

    def _added(self, asked: Resource) -> web.Response:
        faults = {
            name: ["can't be blank"] for name in ("first_name", "last_name", "email") if not asked.get(name)
        }
        email = str(asked.get("email", ""))
        if email and "@" not in email:
            faults["email"] = ["is invalid"]
        if any(_same(one["email"], email) for one in self.users.values()):
            faults["email"] = ["has already been taken"]
        if faults:
            return web.json_response({"errors": faults}, status=422)
        user = {
            "id": next(self._ids),
            "created_at": _now(),
            "first_name": asked["first_name"],
            "last_name": asked["last_name"],
            "full_name": f"{asked['first_name']} {asked['last_name']}",
            "email": email,
            "roles": [],
            "external_source": None,
        }
        # Told apart from Thinkific's own fields: for people to look at.
        _keep(self.users, user | {"_welcomed": bool(asked.get("send_welcome_email"))})
        return web.json_response(user, status=201)

    async def find_enrollments(self, request: web.Request) -> web.StreamResponse:
        wanted = {name: request.query.get(f"query[{name}]") for name in ("user_id", "course_id")}
        found = [
            one
            for one in self.enrollments.values()
            if all(value is None or str(one[name]) == value for name, value in wanted.items())
        ]
        subject = f"GET enrollments {self._email(wanted['user_id'])}"
        return await self.misbehaviour.answer(request, subject, lambda: _page(request, found))

    async def enroll(self, request: web.Request) -> web.StreamResponse:
        asked = await _object(request)
        subject = f"POST enrollments {self._email(asked.get('user_id'))}"
        return await self.misbehaviour.answer(request, subject, lambda: self._enrolled(asked))

    def _enrolled(self, asked: Resource) -> web.Response:
        user, course = self.users.get(asked.get("user_id", 0)), COURSES.get(asked.get("course_id", 0))
        if user is None or course is None:
            return _refused(404)
        pair = user["id"], asked["course_id"]
        if any((one["user_id"], one["course_id"]) == pair for one in self.enrollments.values()):
            return web.json_response({"errors": {"user_id": ["has already been taken"]}}, status=422)
        if (faults := _time_faults(asked)) is not None:
            return faults
        enrollment = {
            "id": next(self._ids),
            "user_id": pair[0],
            "user_email": user["email"],
            "user_name": user["full_name"],
            "course_id": pair[1],
            "course_name": course,
            "percentage_completed": "0.0",
            "is_free_trial": False,
            "completed": False,
            "started_at": None,
            "activated_at": asked.get("activated_at"),
            "completed_at": None,
            "updated_at": _now(),
            "expiry_date": asked.get("expiry_date"),
        }
        _keep(self.enrollments, enrollment)
        return web.json_response(_shown(enrollment), status=201)

    async def change(self, request: web.Request) -> web.StreamResponse:
        asked = await _object(request)
        found = self.enrollments.get(int(request.match_info["id"]))
        if found is None:
            return _refused(404)
        subject = f"PUT enrollments {found['user_email']}"
        return await self.misbehaviour.answer(request, subject, lambda: _changed(found, asked))

    async def show(self, kind: Mapping[int, Resource], _request: web.Request) -> web.Response:
        return web.json_response([_shown(one) for one in kind.values()])

    async def forget(self, kind: dict[int, Resource], _request: web.Request) -> web.Response:
        kind.clear()
        return web.json_response({})

    @web.middleware
    async def admit(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Ask who it is, and hold to the limits; what is not Thinkific's own is free."""
        if _ROOT not in request.path:  # wherever it is mounted
            free: web.StreamResponse = await handler(request)
            return free
        login = request.headers.get("X-Auth-API-Key"), request.headers.get("X-Auth-Subdomain")
        if login != (self.api_key, self.subdomain):
            return _refused(401)
        now = time.monotonic()
        while self._came and self._came[0] <= now - _MINUTE_S:
            self._came.popleft()
        if len(self._came) >= self.per_minute or self._busy() >= _AT_A_TIME:
            return _refused(429, self._wait_s(now))
        self._came.append(now)
        self._under_way.append(request)
        try:
            answer: web.StreamResponse = await handler(request)
        finally:
            self._under_way.remove(request)
        answer.headers.setdefault("RateLimit-Limit", str(self.per_minute))
        answer.headers.setdefault("RateLimit-Remaining", str(self.per_minute - len(self._came)))
        answer.headers.setdefault("RateLimit-Reset", str(int(time.time() + self._wait_s(now))))
        return answer

    def _busy(self) -> int:
        """How many wait for their answer; those whose caller has gone do not."""
        return sum(request.transport is not None for request in self._under_way)

    def _wait_s(self, now: float) -> int:
        return int(self._came[0] + _MINUTE_S - now) + 1 if self._came else 1

    def _email(self, user_id: object) -> str:
        known = str(user_id).isdigit() and self.users.get(int(str(user_id)))
        return str(known["email"]) if known else ""


def thinkific_app(
    subdomain: str = SUBDOMAIN, api_key: str = API_KEY, *, per_minute: int = 120
) -> web.Application:
    """Make the application; `per_minute` is how many requests it answers in a minute."""
    site = _Site(subdomain, api_key, per_minute, Misbehaviour(lambda status, code, _: _refused(status, code)))
    application = web.Application(middlewares=[site.admit])
    application.add_routes(site.routes())

    async def shut_down(_application: web.Application) -> None:
        site.misbehaviour.end()

    application.on_shutdown.append(shut_down)
    return application


async def _object(request: web.Request) -> Resource:
    try:
        asked = await request.json()
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        raise web.HTTPBadRequest(text='{"error":"Bad request"}', content_type="application/json")
    return asked


def _changed(enrollment: Resource, asked: Resource) -> web.Response:
    if (faults := _time_faults(asked)) is not None:
        return faults
    times: Resource = {name: asked[name] for name in ("activated_at", "expiry_date") if name in asked}
    enrollment.update(times, updated_at=_now())
    return web.Response(status=204)


def _time_faults(asked: Resource) -> web.Response | None:
    for name in ("activated_at", "expiry_date"):
        try:
            if asked.get(name) is not None:
                datetime.fromisoformat(asked[name])
        except (ValueError, TypeError):
            return web.json_response({"errors": {name: ["is invalid"]}}, status=422)
    return None


def _page(request: web.Request, found: list[Resource]) -> web.Response:
    page, limit = int(request.query.get("page", "1")), int(request.query.get("limit", str(_PAGE)))
    pages = max(1, -(-len(found) // limit))
    pagination = {
        "current_page": page,
        "next_page": page + 1 if page < pages else None,
        "prev_page": page - 1 if page > 1 else None,
        "total_pages": pages,
        "total_items": len(found),
    }
    items = [
        {name: value for name, value in _shown(one).items() if not name.startswith("_")}
        for one in found[(page - 1) * limit : page * limit]
    ]
    return web.json_response({"items": items, "meta": {"pagination": pagination}})


def _shown(one: Resource) -> Resource:
    if "course_id" not in one:
        return one
    ends = one["expiry_date"]
    return one | {"expired": ends is not None and datetime.fromisoformat(ends) <= datetime.now(UTC)}


def _refused(status: int, reset_s: int = 0) -> web.Response:
    texts = {401: "Access is denied", 404: "Record not found.", 429: "You have reached your rate limit."}
    answer = web.json_response({"error": texts.get(status, "Something went wrong.")}, status=status)
    if status == 429:
        answer.headers["RateLimit-Reset"] = str(int(time.time()) + reset_s)
    return answer


def _keep(kind: dict[int, Resource], one: Resource) -> None:
    kind[one["id"]] = one
    if len(kind) > _MOST_KEPT:
        kind.pop(next(iter(kind)))


def _same(one: str, other: str) -> bool:
    return one.lower() == other.lower()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
