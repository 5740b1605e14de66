"""Views of the executions' list that somebody keeps: filters by name, in a cookie of the browser."""

import base64
import binascii
from dataclasses import dataclass
from typing import Final

import orjson
from starlette.requests import Request

from services.gateway.console.api import Api
from services.gateway.console.forms import Done, Field, Form, Question, ask
from services.gateway.console.rendering import Page, link, query_of

COOKIE: Final = "wayfarer_views"
MOST: Final = 12
_MOST_BYTES: Final = 3_000
_LIST: Final = "/console/executions"
_FILTERS: Final = ("status", "workflow", "contact", "step", "error", "reason", "since")
_CRUMBS: Final = (("Executions", _LIST),)


@dataclass(frozen=True, slots=True)
class View:
    """A filter with a name."""

    name: str
    query: dict[str, str]

    @property
    def href(self) -> str:
        """Where it is shown."""
        return link(_LIST, **self.query)


def views_of(request: Request) -> list[View]:
    """What this browser keeps; what cannot be read is not there."""
    raw = request.cookies.get(COOKIE, "")
    try:
        told = orjson.loads(base64.b64decode(raw, altchars=b"-_", validate=True)) if raw else {}
        return [View(str(name)[:60], _known(query)) for name, query in told.items()][:MOST]
    except (binascii.Error, ValueError, AttributeError):
        return []


def _known(query: dict[str, str]) -> dict[str, str]:
    return {name: str(query[name])[:200] for name in _FILTERS if query.get(name)}


def _cookie(views: list[View]) -> dict[str, str]:
    told = orjson.dumps({view.name: view.query for view in views})
    return {COOKIE: base64.urlsafe_b64encode(told).decode()}


async def save(request: Request, api: Api, form: Form) -> Page | Done:
    """Keeps the filter of the list under a name."""
    query = _known(query_of(request.query_params.items()))
    views = views_of(request)
    if form.sent:
        name = form.need("name", "Give it a name.")
        if len(name) > 60:
            form.refuse("name", "At most 60 characters.")
        views = [view for view in views if view.name != name] + [View(name, query)]
        if len(views) > MOST or len(_cookie(views)[COOKIE]) > _MOST_BYTES:
            form.refuse("name", f"There are {len(views) - 1} saved views already: forget one first.")
    if form.sound:
        return Done(link(_LIST, **query), f"Saved: {form.get('name')}.", cookies=_cookie(views))
    told = [(name, value) for name, value in query.items()] or [("filter", "none: all executions")]
    question = Question(
        title="Save this view",
        button="Save",
        back=link(_LIST, **query),
        lines=["It is kept in this browser, beside the list."],
        facts=told,
        fields=[Field("name", "Name", required=True, placeholder="e.g. Partner failures today")],
        crumbs=_CRUMBS,
    )
    return ask(form, question)


async def forget(request: Request, api: Api, form: Form) -> Page | Done:
    """Forgets one view."""
    name = request.query_params.get("name", "")
    if form.sound:
        rest = [view for view in views_of(request) if view.name != name]
        return Done(_LIST, f"Forgotten: {name}.", cookies=_cookie(rest))
    return ask(form, Question(title=f"Forget {name}", button="Forget", back=_LIST, crumbs=_CRUMBS))
