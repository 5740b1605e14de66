"""Whose e-mail address or phone number it is, by keyed hashes; create_contact asks, all who know tell.

The same address may be several contacts'. The addresses themselves are the orchestrator's; they are kept here
sealed, for accounts whose crm is at a provider, who knows contacts by them.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import asyncpg

from services.executors.crm.ids import ContactKey
from services.executors.crm.statements import own
from services.runtime.keyring import Keyring

_PURPOSE: Final = "crm.address"
_TEXT_PURPOSE: Final = "crm.address_text"


@dataclass(frozen=True, slots=True)
class Address:
    """An address as it is compared."""

    account_id: int
    kind: str
    """email or phone."""
    mac: bytes
    text: str = field(compare=False, repr=False, default="")
    """As it was written."""


class Addresses:
    """Reads and writes the hashes."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._lock = own("lock_addresses")
        self._get = own("get_addresses")
        self._put = own("put_addresses")
        self._drop = own("drop_addresses")
        self._read = own("read_addresses")

    def of(self, account_id: int, kind: str, text: str) -> Address:
        """Give an address as it is compared: letters' case does not count."""
        key = self._keyring.mac_key(_PURPOSE, account_id)
        told = f"{kind}|{text.strip().casefold()}".encode()
        return Address(account_id, kind, hmac.digest(key, told, hashlib.sha256), text.strip())

    async def read(self, connection: asyncpg.Connection, key: ContactKey) -> dict[str, str]:
        """Give a contact's addresses by kind, as they were written."""
        return {
            row["kind"]: self._keyring.open(_TEXT_PURPOSE, key[0], row["text_sealed"]).decode()
            for row in await connection.fetch(self._read, *key)
        }

    async def owners(
        self, connection: asyncpg.Connection, addresses: Sequence[Address]
    ) -> dict[Address, ContactKey]:
        """Give the contacts of those addresses that are known; nobody else decides on them until the end."""
        await connection.execute(self._lock, [one.mac for one in addresses])
        rows = await connection.fetch(
            self._get, [one.account_id for one in addresses], [one.mac for one in addresses]
        )
        found = {(row[0], row[1]): row[2] for row in rows}
        return {
            one: (one.account_id, found[one.account_id, one.mac])
            for one in addresses
            if (one.account_id, one.mac) in found
        }

    async def put(self, connection: asyncpg.Connection, held: Iterable[tuple[ContactKey, Address]]) -> None:
        """Write addresses, one of a kind per contact; the contacts are locked, or new."""
        rows = list(held)
        if rows:
            await connection.execute(
                self._put,
                [key[0] for key, _ in rows],
                [key[1] for key, _ in rows],
                [one.kind for _, one in rows],
                [one.mac for _, one in rows],
                [self._keyring.seal(_TEXT_PURPOSE, one.account_id, one.text.encode()) for _, one in rows],
            )

    async def replace(
        self, connection: asyncpg.Connection, given: Mapping[ContactKey, Mapping[str, str | None]]
    ) -> None:
        """Write what contacts' addresses now are, by kind, none if empty; the contacts are locked."""
        put, dropped = [], []
        for key, kinds in given.items():
            for kind, text in kinds.items():
                if text:
                    put.append((key, self.of(key[0], kind, text)))
                else:
                    dropped.append((key, kind))
        await self.put(connection, put)
        if dropped:
            await connection.execute(
                self._drop,
                [key[0] for key, _ in dropped],
                [key[1] for key, _ in dropped],
                [kind for _, kind in dropped],
            )
