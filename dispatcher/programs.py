"""Compiled programs by workflow version, loaded in batches at claim; bounded; the driver asks it."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import structlog

from dispatcher.accounts import Accounts
from execution_engine import ports
from execution_engine.definition.compile import compile_program, load_document
from execution_engine.definition.program import Catalogue, Program
from execution_engine.run import Run
from execution_engine.store.sql import statement

_LOAD = statement("load_versions")
_MOST = 2_000
Key = tuple[int, UUID, int]
log = structlog.get_logger(__name__)


class Programs:
    """A cache of (program, names that templates may read) by (account, workflow, version)."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        vault: ports.Vault,
        catalogue: Callable[[], Catalogue],
        learned: Callable[[int, Mapping[str, Any]], None] | None = None,
    ) -> None:
        self._pool = pool
        self._vault = vault
        self._catalogue = catalogue
        self._accounts = Accounts(pool, learned)
        self._cache: OrderedDict[Key, tuple[Program, dict[str, Any]]] = OrderedDict()

    async def attach(self, runs: Sequence[Run]) -> None:
        """Gives each run its program and settings; `run.program` stays None where it cannot be had now."""
        missing = {key for run in runs if (key := _key(run)) not in self._cache}
        if missing:
            await self._load(sorted(missing))
        for run in runs:
            entry = self._cache.get(_key(run))
            if entry is not None:
                self._cache.move_to_end(_key(run))
                run.program, run.names = entry
        await self._accounts.attach(runs)
        while len(self._cache) > _MOST:
            self._cache.popitem(last=False)

    async def _load(self, keys: list[Key]) -> None:
        rows = await self._pool.fetch(_LOAD, [k[0] for k in keys], [k[1] for k in keys], [k[2] for k in keys])
        for row in rows:
            account_id = row["account_id"]
            try:
                document = load_document(self._vault.open(ports.DOCUMENT, account_id, row["document_sealed"]))
                program = compile_program(document, self._catalogue())
            except Exception as error:
                # An action type of a family that has not been seen, or a document that cannot be opened: its
                # runs wait, nothing is discarded, and the versions beside it are none the worse.
                log.warning("version_does_not_compile", workflow=str(row["workflow_id"]), problem=str(error))
                continue
            names = {
                "workflow": {"key": row["key"], "name": row["name"], "version": row["version"]},
                "account": {"id": str(account_id), "name": row["account_name"]},
            }
            self._cache[(account_id, row["workflow_id"], row["version"])] = (program, names)


def _key(run: Run) -> Key:
    return (run.account_id, run.workflow_id, run.version)
