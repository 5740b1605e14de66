"""Lists by page and limit: what is asked for when nothing is, and what an answer says of its page.

Lists that know their total are read by page and limit, and by token; the others by limit and token. What
is told of the total and its pages is left out where the API does not tell the total.
"""

import math
from typing import Any, Final, Protocol, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from services.gateway.rest import naming

DEFAULT_LIMIT: Final = 50


class _Paged(Protocol):
    page_size: int
    page: int
    page_token: str


def is_paged(request: Descriptor) -> bool:
    """Whether it asks for a page of a list."""
    return "page_size" in request.fields_by_name


def is_numbered(request: Descriptor) -> bool:
    """Whether its pages have numbers, beside tokens."""
    return is_paged(request) and "page" in request.fields_by_name


def ask(request: Message) -> None:
    """Sets the limit of a page nobody set one for; the first of a numbered list is asked for by number."""
    kind = naming.kind(request)
    if not is_paged(kind):
        return
    asked = cast(_Paged, request)
    asked.page_size = asked.page_size or DEFAULT_LIMIT
    if is_numbered(kind) and not asked.page_token:
        asked.page = asked.page or 1


def tell(request: Message, answer: dict[str, Any]) -> None:
    """Adds limit, and page and total_pages where pages have numbers, to a list's answer."""
    if not is_paged(naming.kind(request)):
        return
    asked = cast(_Paged, request)
    answer["limit"] = asked.page_size
    if not is_numbered(naming.kind(request)):
        return
    if "total" in answer:
        answer["total_pages"] = math.ceil(answer["total"] / asked.page_size)
    if not asked.page_token:
        answer["page"] = asked.page
