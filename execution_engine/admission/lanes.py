"""Which rate lanes an action uses: from what its type declares and its rendered config; the gate asks.

A declared lane is a name, like `email`, or `webhook:{url}`: the name and the host and port of the config's
field `url`.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

import orjson

_PORTS = {"http": 80, "https": 443}


def lane_keys(declared: Sequence[str], config: bytes) -> tuple[str, ...]:
    """The lanes of one action. Where the field cannot be read, the name alone."""
    return tuple(_key(lane, config) if "{" in lane else lane for lane in declared)


def _key(lane: str, config: bytes) -> str:
    name, _, field = lane.partition(":{")
    try:
        url = urlsplit(str(orjson.loads(config).get(field.rstrip("}"), "")))
        port = url.port or _PORTS.get(url.scheme, 0)
    except (ValueError, AttributeError):
        return name
    return f"{name}:{url.hostname}:{port}" if url.hostname else name
