"""Where a redirect leads, as RFC 9110 says; delivery.py asks after each answer. Pure."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from yarl import URL

from services.executors.integrations.target import target
from services.executors.integrations.webhook_auth import CredentialHeaders, no_headers

MAX_REDIRECTS: Final = 5
FOLLOWED: Final = frozenset({301, 302, 303, 307, 308})

# What a person wrote into other headers may be a key of theirs.
_TELLING_NOTHING: Final = frozenset({"accept", "accept-language"})


class RedirectRefusedError(Exception):
    """The place a redirect names may not be called."""


class Hop(NamedTuple):
    """One request on the way, before it is signed."""

    method: str
    url: URL
    body: bytes
    content_type: str
    headers: Mapping[str, str]
    """Those of the config."""
    credentials: CredentialHeaders


def next_hop(hop: Hop, status: int, location: str) -> Hop:
    """Give the request a redirect asks for. Raises RedirectRefusedError.

    307 and 308 repeat it; 303 makes it a GET, and so do 301 and 302 of a POST, as every client does.
    """
    url = _place(hop.url, location)
    if url.origin() != hop.url.origin():
        kept = {name: value for name, value in hop.headers.items() if name.lower() in _TELLING_NOTHING}
        hop = hop._replace(headers=kept, credentials=no_headers)
    if status == 303 or (status in (301, 302) and hop.method == "POST"):
        hop = hop._replace(method="GET", body=b"", content_type="")
    return hop._replace(url=url)


def _place(base: URL, location: str) -> URL:
    try:
        url = base.join(URL(location))
        target(str(url))
    except ValueError as error:
        raise RedirectRefusedError(f"the redirect's URL {error}") from None
    if base.scheme == "https" and url.scheme == "http":
        raise RedirectRefusedError("the redirect leads from https to http")
    return url
