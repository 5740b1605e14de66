"""The channels and categories of messages, and what a message is to the gate; the gate's modules use it."""

import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from typing import Any

import orjson

from execution_engine import ports


class Channel(IntEnum):
    """How a message goes; the numbers are stored."""

    EMAIL = 1
    SMS = 2
    VOICE = 3
    MESSENGER = 4


class Category(IntEnum):
    """What a message is for; the numbers are stored."""

    MARKETING = 1
    TRANSACTIONAL = 2


_BETWEEN_DIGITS = str.maketrans("", "", " -().\u00a0")
_COPIES = {Channel.EMAIL: ("cc", "bcc")}
"""Lists of a config whose addresses get copies."""
MESSENGER_FIELD = "messenger_id"
"""The contact's field that holds its page-scoped id."""
CHANNELS = {channel.name.lower(): channel for channel in Channel}
CATEGORIES = {category.name.lower(): category for category in Category}


@dataclass(frozen=True, slots=True)
class Message:
    """What is about to be sent."""

    channel: Channel
    category: Category
    address: str
    copies: tuple[str, ...] = ()
    """Who else gets it: an e-mail's cc and bcc, each once."""


def message_of(channel: Channel, config: bytes, contact: dict[str, Any]) -> Message:
    """What a step's rendered config and its contact make of it."""
    given = orjson.loads(config)
    category = CATEGORIES.get(str(given.get("category") or ""), Category.MARKETING)
    named = str(given.get("to") or given.get("recipient") or "").strip()
    named = normal(channel, named)
    return Message(channel, category, named or address_of(channel, contact), _copies(channel, given))


def without(channel: Channel, config: bytes, addresses: Collection[str]) -> bytes:
    """A rendered config whose copies do not go to these addresses."""
    given = orjson.loads(config)
    for name in _COPIES.get(channel, ()):
        if isinstance(given.get(name), list):
            given[name] = [one for one in given[name] if _copy(channel, one) not in addresses]
    return orjson.dumps(given)


def _copies(channel: Channel, given: Mapping[str, Any]) -> tuple[str, ...]:
    listed = [given.get(name) for name in _COPIES.get(channel, ())]
    found = (_copy(channel, one) for copies in listed if isinstance(copies, list) for one in copies)
    return tuple(dict.fromkeys(filter(None, found)))


def _copy(channel: Channel, one: object) -> str:
    return normal(channel, one) if isinstance(one, str) else ""


def address_of(channel: Channel, contact: dict[str, Any]) -> str:
    """The contact's address of a channel; empty if there is none."""
    match channel:
        case Channel.EMAIL:
            found = contact.get("email")
        case Channel.SMS | Channel.VOICE:
            found = contact.get("phone")
        case Channel.MESSENGER:
            found = (contact.get("fields") or {}).get(MESSENGER_FIELD)
    return normal(channel, str(found or ""))


def normal(channel: Channel, address: str) -> str:
    """An address as it is compared: telephone numbers without what people put between the digits."""
    bare = address.strip()
    return bare.translate(_BETWEEN_DIGITS) if channel in (Channel.SMS, Channel.VOICE) else bare


def address_hash(vault: ports.Vault, account_id: int, address: str) -> bytes:
    """By which an address is found without being readable: keyed, the same in upper and lower case."""
    key = vault.mac_key(ports.ADDRESS_HASH, account_id)
    return hmac.digest(key, address.strip().casefold().encode(), sha256)[:16]
