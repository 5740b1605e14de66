"""Serves the console: who is signed in, which page, what an error becomes; the gateway mounts it."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from urllib.parse import quote, urlsplit

import grpc
import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from wayfarer.admin.v1.admin_service_pb2 import GetAccountRequest
from wayfarer.execution.v1.workflow_service_pb2 import ListWorkflowsRequest

from services.gateway.console import (
    account_pages,
    bulk_actions,
    bulk_enrolments,
    bulk_migrations,
    bulk_pages,
    contact_actions,
    contact_pages,
    document_pages,
    event_actions,
    event_pages,
    execution_actions,
    execution_pages,
    forms,
    live,
    overview_pages,
    provider_actions,
    sandbox_pages,
    saved_views,
    settings_actions,
    step_pages,
    trial_pages,
    workflow_actions,
    workflow_pages,
)
from services.gateway.console.api import Api, Stubs, Trouble, permitted
from services.gateway.console.attempts import Attempts
from services.gateway.console.forms import Done, Form
from services.gateway.console.rendering import Assets, Page, Renderer
from services.gateway.console.sandbox_pages import Sandboxes
from services.gateway.console.sessions import Session, Sessions
from services.runtime.keyring import Keyring

log = structlog.get_logger(__name__)
Handler = Callable[[Request, Api], Awaitable[Page]]
_HOME: Final = "/console/"
_SIGN_IN: Final = "/console/sign-in"
_MOST_SIGN_IN_BYTES: Final = 8_192
_STATUS: Final = {
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 503,
}
_SILENT: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_AWAY: Final = Trouble(
    grpc.StatusCode.UNAVAILABLE, "The platform does not answer just now. Try again in a moment.", "", ()
)
_OURS: Final = Trouble(
    grpc.StatusCode.INTERNAL, "This page failed, and changed nothing. The gateway's log says why.", "", ()
)
_PAGES: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("/", "overview", overview_pages.overview),
    ("/workflows", "workflows", workflow_pages.listed),
    ("/workflows/{workflow}", "workflows", workflow_pages.one),
    ("/executions", "executions", execution_pages.listed),
    ("/executions/{execution}", "executions", execution_pages.one),
    ("/contacts", "contacts", contact_pages.listed),
    ("/contacts/{contact}", "contacts", contact_pages.one),
    ("/events", "events", event_pages.listed),
    ("/events/{event}", "events", event_pages.one),
    ("/refusals", "refusals", event_pages.refusals),
    ("/set-aside", "refusals", event_pages.set_aside),
    ("/bulk", "bulk", bulk_pages.listed),
    ("/bulk/{operation}", "bulk", bulk_pages.one),
    ("/settings", "settings", account_pages.settings),
)
_FORMS: Final[tuple[tuple[str, str, forms.Handler], ...]] = (
    ("/new-workflow", "workflows", document_pages.new),
    ("/workflows/{workflow}/document", "workflows", document_pages.edit),
    ("/workflows/{workflow}/add-step", "workflows", step_pages.add),
    ("/workflows/{workflow}/steps/{step}", "workflows", step_pages.change),
    ("/workflows/{workflow}/steps/{step}/remove", "workflows", step_pages.remove),
    ("/workflows/{workflow}/test", "workflows", trial_pages.run),
    ("/workflows/{workflow}/enrol", "workflows", bulk_enrolments.enrol),
    ("/workflows/{workflow}/migrate", "workflows", bulk_migrations.migrate),
    ("/save-view", "executions", saved_views.save),
    ("/forget-view", "executions", saved_views.forget),
    ("/executions/many/retry", "executions", bulk_actions.retry_many),
    ("/executions/many/cancel", "executions", bulk_actions.cancel_many),
    ("/bulk/{operation}/pause", "bulk", bulk_actions.pause),
    ("/bulk/{operation}/resume", "bulk", bulk_actions.resume),
    ("/bulk/{operation}/cancel", "bulk", bulk_actions.cancel),
    ("/workflows/{workflow}/publish", "workflows", workflow_actions.publish),
    ("/workflows/{workflow}/pause", "workflows", workflow_actions.pause),
    ("/workflows/{workflow}/resume", "workflows", workflow_actions.resume),
    ("/workflows/{workflow}/archive", "workflows", workflow_actions.archive),
    ("/contacts/{contact}/consent", "contacts", contact_actions.consent),
    ("/contacts/{contact}/event", "contacts", contact_actions.publish_event),
    ("/contacts/{contact}/delete", "contacts", contact_actions.delete),
    ("/events/{event}/replay", "events", event_actions.replay),
    ("/set-aside/{place:int}/replay", "refusals", event_actions.take_in),
    ("/settings/provider", "settings", provider_actions.offered),
    ("/settings/provider/{channel}/remove", "settings", provider_actions.remove),
    ("/settings/provider/{channel}/{provider}", "settings", provider_actions.choose),
    ("/settings/{part}", "settings", settings_actions.change),
    ("/executions/{execution}/retry", "executions", execution_actions.retry),
    ("/executions/{execution}/cancel", "executions", execution_actions.cancel),
    ("/executions/{execution}/pause", "executions", execution_actions.pause),
    ("/executions/{execution}/resume", "executions", execution_actions.resume),
)


@dataclass(frozen=True, slots=True)
class Console:
    """The console's routes. `sandboxes` are the local profile's, if there are any; `stop` ends streams."""

    stubs: Stubs
    sessions: Sessions
    assets: Assets
    renderer: Renderer
    sandboxes: Sandboxes | None
    stop: asyncio.Event
    attempts: Attempts = field(default_factory=Attempts)

    @classmethod
    def of(
        cls,
        channel: grpc.aio.Channel,
        keyring: Keyring,
        stop: asyncio.Event,
        *,
        public_url: str,
        sandboxes: Sandboxes | None,
        trace_url: str = "",
    ) -> "Console":
        """A console that asks the API at `channel`. Behind HTTPS its cookie goes over nothing else.

        `trace_url` is where a trace is shown, with `{trace_id}` in it; without it there are no such links.
        """
        assets = Assets()
        return cls(
            Stubs(channel),
            Sessions(keyring, secure=urlsplit(public_url).scheme == "https"),
            assets,
            Renderer(assets, sandboxes=sandboxes is not None, trace_url=trace_url),
            sandboxes,
            stop,
        )

    def routes(self) -> list[BaseRoute]:
        """What is served."""
        pages = [
            Route(path, partial(self._page, name, handler), methods=["GET"]) for path, name, handler in _PAGES
        ]
        if self.sandboxes is not None:
            pages += [
                Route(path, partial(self._page, name, handler), methods=["GET"])
                for path, name, handler in sandbox_pages.pages(self.sandboxes)
            ]
            pages.append(Route("/mailbox/{message}/body", self._mail_body, methods=["GET"]))
        return [
            Route("/", _to_home, methods=["GET"]),
            Mount(
                "/console",
                routes=[
                    Route("/static/{name}", self._asset, methods=["GET"]),
                    Route("/sign-in", self._sign_in_page, methods=["GET"]),
                    Route("/sign-in", self._sign_in, methods=["POST"]),
                    Route("/sign-out", self._sign_out, methods=["POST"]),
                    *(
                        Route(path, partial(self._form, name, handler), methods=["GET", "POST"])
                        for path, name, handler in _FORMS
                    ),
                    *pages,
                    Route("/{rest:path}", partial(self._page, "", _nowhere), methods=["GET"]),
                ],
            ),
        ]

    async def _page(self, name: str, handler: Handler, request: Request) -> Response:
        session = self.sessions.of(request)
        if session is None:
            return self._away(request)
        api = Api(self.stubs, session.key)
        if "text/event-stream" in request.headers.get("accept", ""):
            frame: dict[str, Any] = {"here": name, "session": session}

            async def render() -> str:
                return self.renderer.part(await handler(request, api), **frame)

            return live.stream(render, self.stop)
        return await self._answered(request, name, session, handler(request, api))

    async def _form(self, name: str, handler: forms.Handler, request: Request) -> Response:
        session = self.sessions.of(request)
        if session is None:
            return self._away(request)
        form = Form()
        if request.method == "POST":
            fields = forms.parsed(await _body(request, forms.MOST_BYTES))
            if fields is None:
                return Response("This form is too large.\n", status_code=413)
            form = Form(fields, sent=True, checks="x-check" in request.headers)
            if not session.proves(form.get("csrf")):
                return Response("This form was not sent from a page of the console.\n", status_code=403)
        return await self._answered(
            request, name, session, handler(request, Api(self.stubs, session.key), form)
        )

    async def _answered(
        self, request: Request, name: str, session: Session, asked: Awaitable[Page | Done]
    ) -> Response:
        """The page, or where a form that was done leads; what an error becomes."""
        try:
            page = await asked
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                return self._away(request)
            trouble = _AWAY if error.code() in _SILENT else Trouble.of(error)
            page = Page("error.html", {"trouble": trouble}, status=_STATUS.get(error.code(), 500))
        except Exception:
            log.exception("page_failed", page=name)
            page = Page("error.html", {"trouble": _OURS}, status=500)
        if isinstance(page, Done):
            done = RedirectResponse(page.to, status_code=303)
            self.sessions.tell(done, page.told)
            for cookie, value in page.cookies.items():
                self.sessions.remember(done, cookie, value)
            return done
        told = self.sessions.told(request)
        answer = self.renderer.response(page, here=name, session=session, told=told)
        if told:
            self.sessions.forget_told(answer)
        return answer

    def _away(self, request: Request) -> Response:
        """To the sign-in, and back here after it."""
        there = _address(request)
        query = "" if there == _HOME else f"?next={quote(there, safe='/?=')}"
        answer = RedirectResponse(f"{_SIGN_IN}{query}", status_code=303)
        self.sessions.end(answer)
        return answer

    async def _asset(self, request: Request) -> Response:
        return self.assets.serve(request.path_params["name"])

    async def _sign_in_page(self, request: Request) -> Response:
        if self.sessions.of(request) is not None:
            return RedirectResponse(_HOME, status_code=303)
        return self._asked(_next(request.query_params.get("next", "")), "")

    async def _sign_in(self, request: Request) -> Response:
        form = await _sign_in_form(request)
        there, key = _next(form.get("next", "")), form.get("key", "").strip()
        if not _same_origin(request):
            return self._asked(there, "This form was sent from another site.", 403)
        if not key or not key.isascii() or len(key) > 500:
            return self._asked(there, "Give an API key of your account.", 400)
        address = request.client.host if request.client else ""
        attempt = self.attempts.take(address, key)
        if attempt.wait_s:
            return self._too_often(there, attempt.wait_s, address)
        api = Api(self.stubs, key)
        try:
            await api.call(self.stubs.workflows.ListWorkflows, ListWorkflowsRequest(page_size=1))
            account = await permitted(api.call(self.stubs.admin.GetAccount, GetAccountRequest()))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                return self._asked(there, "This key is not known, or was revoked.", 401)
            self.attempts.give_back(attempt)
            return self._asked(there, "The platform does not answer just now. Try again in a moment.", 503)
        self.attempts.give_back(attempt)
        answer = RedirectResponse(there, status_code=303)
        self.sessions.keep(answer, Session.begin(key, account.account.name if account else ""))
        return answer

    async def _sign_out(self, request: Request) -> Response:
        session = self.sessions.of(request)
        if session is not None and not session.proves((await _sign_in_form(request)).get("csrf", "")):
            return Response("This form was not sent from a page of the console.\n", status_code=403)
        answer = RedirectResponse(_SIGN_IN, status_code=303)
        self.sessions.end(answer)
        return answer

    def _too_often(self, there: str, wait_s: float, address: str) -> Response:
        log.warning("sign_in_too_often", address=address)
        wait = math.ceil(wait_s)
        answer = self._asked(there, f"Too many keys were tried. Try again in {wait} s.", 429)
        answer.headers["retry-after"] = str(wait)
        return answer

    def _asked(self, there: str, problem: str, status: int = 200) -> Response:
        page = Page("sign_in.html", {"next": there, "problem": problem}, status=status)
        return self.renderer.response(page, here="", session=None, told="")

    async def _mail_body(self, request: Request) -> Response:
        if self.sessions.of(request) is None or self.sandboxes is None:
            return Response(status_code=404)
        return await sandbox_pages.mail_body(self.sandboxes, request.path_params["message"])


async def _to_home(request: Request) -> Response:
    return RedirectResponse(_HOME, status_code=307)


async def _nowhere(request: Request, api: Api) -> Page:
    trouble = Trouble(grpc.StatusCode.NOT_FOUND, "There is no such page.", "", ())
    return Page("error.html", {"trouble": trouble}, status=404)


def _address(request: Request) -> str:
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{request.url.path}{query}"


def _next(there: str) -> str:
    """Where to go after the sign-in: a page of ours, whatever was asked."""
    return there if there.startswith(_HOME) and "\\" not in there and "//" not in there else _HOME


def _same_origin(request: Request) -> bool:
    """Whether a browser sent the form from a page of ours; other programs say nothing of it."""
    site = request.headers.get("sec-fetch-site", "")
    if site:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin", "")
    return not origin or urlsplit(origin).netloc == request.headers.get("host", "")


async def _sign_in_form(request: Request) -> dict[str, str]:
    """A small form's fields; of a larger one, none."""
    fields = forms.parsed(await _body(request, _MOST_SIGN_IN_BYTES)) or {}
    return {name: values[-1] for name, values in fields.items()}


async def _body(request: Request, most: int) -> bytes | None:
    """What was sent; None if it is more than so many bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            return None
    return bytes(body)
