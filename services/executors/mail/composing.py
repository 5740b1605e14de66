"""The policy that outgoing messages are written under; the SMTP providers of e-mail and notifications use it.

`email` parses every header it is given into a tree and folds that: nine tenths of what making a short message
costs. What is ASCII and fits its line is written as it is; everything else is the library's. That decodes
what looks like an encoded word (RFC 2047), line ends in it too, and Python 3.11 then writes them: a header of
the contact's own. What is given here is text, so that it does not get to look like one.
"""

import re
from email.headerregistry import Address, HeaderRegistry
from email.policy import SMTP, Policy
from functools import lru_cache
from typing import Any, Final

_PLAIN: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_BREAK: Final = re.compile(r"[\r\n]")
_OF_ADDRESSES: Final = frozenset({"to", "cc", "reply-to"})
"""Hold addresses alone, checked before: = and ? are allowed in them, and changed they would be others'."""
_LINE_MAX: Final = 78  # RFC 5322, 2.1.1


class _AsIs(str):
    """A header's value that needs no folding or encoding; `email` asks for its `name` and `fold`."""

    __slots__ = ("name",)

    name: str

    def fold(self, *, policy: Policy) -> str:
        """Give the header's line."""
        return f"{self.name}: {self}{policy.linesep}"


class _Headers(HeaderRegistry):
    """Makes values of headers: as they are where that is enough."""

    def __getitem__(self, name: str) -> Any:
        return _kind(name.lower())

    def __call__(self, name: str, value: Any) -> Any:
        value = value if name.lower() in _OF_ADDRESSES else _without_encoded_words(value)
        text = str(value) if isinstance(value, str | Address) else ""
        if len(name) + 2 + len(text) <= _LINE_MAX and _PLAIN.fullmatch(text):
            plain = _AsIs(text)
            plain.name = name
            return plain
        made = super().__call__(name, value)
        if _BREAK.search(str(made)):
            raise ValueError(f"the header {name} may not contain linefeed or carriage return characters")
        return made


def _without_encoded_words(value: Any) -> Any:
    if isinstance(value, Address) and "=?" in value.display_name:
        return Address(value.display_name.replace("=?", "= ?"), addr_spec=value.addr_spec)
    return value.replace("=?", "= ?") if isinstance(value, str) else value


@lru_cache(maxsize=256)  # accounts add headers with names of their own
def _kind(name: str) -> Any:
    return HeaderRegistry()[name]


POLICY: Final = SMTP.clone(header_factory=_Headers())
