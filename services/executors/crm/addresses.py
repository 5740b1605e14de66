"""Whose e-mail address or phone number it is, by keyed hashes; create_contact asks, all who know tell.

The addresses themselves are the orchestrator's. The same address may be several contacts'.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import asyncpg

from services.executors.crm.ids import ContactKey
from services.executors.crm.statements import own
from services.runtime.keyring import Keyring

_PURPOSE: Final = "crm.address"


class Address(NamedTuple):
    """An address as it is compared."""

    account_id: int
    kind: str
    """email or phone."""
    mac: bytes


class Addresses:
    """Reads and writes the hashes."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._lock = own("lock_addresses")
        self._get = own("get_addresses")
        self._put = own("put_addresses")
        self._drop = own("drop_addresses")

    def of(self, account_id: int, kind: str, text: str) -> Address:
        """Give an address as it is compared: letters' case does not count."""
        key = self._keyring.mac_key(_PURPOSE, account_id)
        told = f"{kind}|{text.strip().casefold()}".encode()
        return Address(account_id, kind, hmac.digest(key, told, hashlib.sha256))

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
