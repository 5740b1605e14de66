"""Goals and exits of published versions, for events to be held against; versions never change, so cached."""

from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import orjson

from execution_engine import ports
from execution_engine.definition.triggers import Watch, watches_of
from execution_engine.store.workflows import version_document


@dataclass(frozen=True, slots=True)
class Watched:
    """What a version watches for, and the position of each of its steps."""

    watches: tuple[Watch, ...]
    places: dict[str, int]


class Definitions:
    """A bounded cache over the versions' documents."""

    def __init__(self, vault: ports.Vault, most: int = 5_000) -> None:
        self._vault = vault
        self._most = most
        self._cache: OrderedDict[tuple[int, UUID, int], Watched] = OrderedDict()

    async def of(
        self, connection: asyncpg.Connection, account_id: int, workflow_id: UUID, version: int
    ) -> Watched:
        """What one version watches for. Raises NotFound."""
        key = (account_id, workflow_id, version)
        if key not in self._cache:
            document = await version_document(connection, self._vault, account_id, workflow_id, version)
            data = orjson.loads(document)
            places = {step["id"]: place for place, step in enumerate(data["steps"])}
            self._cache[key] = Watched(tuple(watches_of(data)), places)
            while len(self._cache) > self._most:
                self._cache.popitem(last=False)
        return self._cache[key]
