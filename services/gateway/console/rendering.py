"""Renders pages: the templates, how moments and numbers are written, and the headers every page has."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response
from wayfarer.crm.v1.contact_pb2 import Contact

from services.gateway.console import words

_HERE: Final = Path(__file__).parent
_SECURITY: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Page:
    """What a page shows: its template and what that reads. `live`: whether it follows changes by itself."""

    template: str
    data: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    live: bool = False


class Assets:
    """The style, the scripts and the icon, read once; named by their content: they may be cached for good."""

    def __init__(self) -> None:
        self._files = {path.name: path.read_bytes() for path in sorted((_HERE / "static").iterdir())}
        self._marks = {name: hashlib.sha256(data).hexdigest()[:12] for name, data in self._files.items()}

    def url(self, name: str) -> str:
        """Where a file is served."""
        return f"/console/static/{name}?v={self._marks[name]}"

    def serve(self, name: str) -> Response:
        """One file, or 404."""
        data = self._files.get(name)
        if data is None:
            return Response(status_code=404)
        headers = {
            "cache-control": "public, max-age=31536000, immutable",
            "x-content-type-options": "nosniff",
        }
        return Response(data, media_type=_TYPES.get(Path(name).suffix), headers=headers)


class Renderer:
    """Makes HTML of pages."""

    def __init__(self, assets: Assets, *, sandboxes: bool, trace_url: str) -> None:
        """`sandboxes`: whether the local ones can be shown; `trace_url`: of a trace, with {trace_id}."""
        self._environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "when": when,
            "ago": ago,
            "span": span,
            "count": count,
            "percent": percent,
            "words": words.words,
            "pretty": pretty,
            "plain": plain,
            "person": person,
            "short": short,
            "field": getattr,
            "sections": sections,
        }
        self._environment.globals |= {
            "asset": assets.url,
            "w": words,
            "sandboxes": sandboxes,
            "link": link,
            "trace_url": trace_url,
        }

    def response(self, page: Page, **frame: Any) -> Response:
        """The whole page, framed."""
        html = self._environment.get_template(page.template).render(page.data, live=page.live, **frame)
        return HTMLResponse(html, status_code=page.status, headers=_SECURITY)

    def part(self, page: Page, **frame: Any) -> str:
        """Only the part of a page that follows changes: its block `main`."""
        template = self._environment.get_template(page.template)
        context = template.new_context({**page.data, **frame, "live": True})
        return "".join(template.blocks["main"](context))


def _moment(at: Timestamp | datetime | str | None) -> datetime | None:
    if isinstance(at, Timestamp):
        return at.ToDatetime(UTC) if at.seconds or at.nanos else None
    return datetime.fromisoformat(at) if isinstance(at, str) else at


def when(at: Timestamp | datetime | str | None, style: str = "full") -> Markup:
    """A moment as an element: in UTC here, in the viewer's zone once the script ran, exact on hover."""
    moment = _moment(at)
    if moment is None:
        return Markup('<span class="faint">–</span>')
    utc = moment.astimezone(UTC)
    exact = utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    shape = "%H:%M:%S" if style == "time" else "%b %-d, %H:%M"
    return Markup('<time datetime="{}" data-style="{}" title="{}">{}</time>').format(
        exact, style, exact, utc.strftime(shape)
    )


def ago(at: Timestamp | datetime | str | None) -> Markup:
    """A moment as its distance from now, exact on hover."""
    moment = _moment(at)
    if moment is None:
        return Markup('<span class="faint">–</span>')
    exact = moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    distance = datetime.now(UTC) - moment
    text = f"{span(distance)} ago" if distance >= timedelta() else f"in {span(-distance)}"
    return Markup('<time datetime="{}" data-style="ago" title="{}">{}</time>').format(exact, exact, text)


_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))


def span(length: Duration | timedelta | float) -> str:
    """A duration in its two greatest units."""
    if isinstance(length, Duration):
        length = length.ToTimedelta()
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    if seconds < 1:
        return f"{round(seconds * 1000)} ms" if seconds >= 0.001 else "0 s"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{round(seconds)} s"
    for place, (size, unit) in enumerate(_UNITS):
        if seconds >= size:
            whole, rest = divmod(round(seconds), size)
            smaller, name = _UNITS[place + 1] if place + 1 < len(_UNITS) else (1, "s")
            return f"{whole} {unit} {rest // smaller} {name}" if rest // smaller else f"{whole} {unit}"
    return f"{round(seconds)} s"


def count(number: int) -> str:
    """A number with its thousands apart."""
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def percent(part: float, whole: float) -> str:
    """A share, with a decimal where it is small."""
    if whole <= 0:
        return "–"
    share = 100 * part / whole
    return f"{share:.1f} %" if 0 < share < 10 else f"{share:.0f} %"


def plain(value: Struct) -> dict[str, Any]:
    """A Struct as a JSON object; whole numbers without a fraction."""
    return {name: _whole(item) for name, item in MessageToDict(value).items()}


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return {name: _whole(item) for name, item in value.items()} if isinstance(value, dict) else value


def pretty(value: Any) -> str:
    """JSON for people."""
    data = plain(value) if isinstance(value, Struct) else value
    return json.dumps(data, indent=2, ensure_ascii=False)


def person(contact: Contact | None, contact_id: str = "") -> str:
    """What a contact is called: by name, else address, else the caller's own id, else ours."""
    if contact is None:
        return short(contact_id)
    name = f"{contact.first_name} {contact.last_name}".strip()
    return name or contact.email or contact.phone or contact.external_id or short(contact.id)


def short(identity: str) -> str:
    """The telling end of a UUIDv7: its beginning is the time."""
    return f"…{identity[-8:]}" if len(identity) > 12 else identity


def link(path: str, **query: str | int | None) -> str:
    """A URL with the parts of the query that are set."""
    set_ = {name: str(value) for name, value in query.items() if value not in ("", None, 0)}
    return f"{path}?{urlencode(set_)}" if set_ else path


def sections(fields: Iterable[Any]) -> list[tuple[str, list[Any]]]:
    """Fields in a row with the same group, together."""
    return [(group, list(members)) for group, members in groupby(fields, key=lambda field: field.group)]


def query_of(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The parts of a query that are set, trimmed."""
    return {name: value.strip() for name, value in pairs if value.strip()}
