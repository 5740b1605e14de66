"""The account's pipelines with their ordered stages in PostgreSQL; the opportunity actions ask for stages."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import asyncpg

from services.executors.action import Failed
from services.executors.crm.refusals import PIPELINE_UNKNOWN, STAGE_UNKNOWN
from services.executors.crm.statements import own
from services.runtime.keyring import Keyring

_PURPOSE: Final = "crm.pipeline"

PipelineKey: TypeAlias = tuple[int, str]
"""Account and pipeline."""
Stages: TypeAlias = Mapping[str, int]
"""Positions by stage, from 0."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage."""

    key: str
    name: str


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One pipeline."""

    key: str
    name: str
    stages: tuple[Stage, ...]
    """In order; at least one."""


class Pipelines:
    """Reads and writes pipelines."""

    def __init__(self, pool: asyncpg.Pool, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring
        self._put = own("put_pipeline")
        self._drop_stages = own("drop_stages")
        self._put_stages = own("put_stages")
        self._page = own("page_pipelines")
        self._get_stages = own("get_stages")

    async def put(self, account_id: int, pipeline: Pipeline) -> None:
        """Write a whole pipeline. Opportunities in a stage that is gone stay there until they are moved."""
        stages = [stage.key for stage in pipeline.stages]
        names = [self._sealed(account_id, stage.name) for stage in pipeline.stages]
        async with self._pool.acquire() as connection, connection.transaction():
            name = self._sealed(account_id, pipeline.name)
            await connection.execute(self._put, account_id, pipeline.key, name)
            await connection.execute(self._drop_stages, account_id, pipeline.key, stages)
            await connection.execute(self._put_stages, account_id, pipeline.key, stages, names)

    async def page(self, account_id: int, after: str, size: int) -> list[Pipeline]:
        """Give an account's pipelines by key, those after `after`."""
        return [
            Pipeline(
                row["pipeline"],
                self._opened(account_id, row["name_sealed"]),
                tuple(
                    Stage(key, self._opened(account_id, name))
                    for key, name in zip(row["stages"], row["stage_names"], strict=True)
                ),
            )
            for row in await self._pool.fetch(self._page, account_id, after, size)
        ]

    async def stages(
        self, connection: asyncpg.Connection, keys: Iterable[PipelineKey]
    ) -> dict[PipelineKey, dict[str, int]]:
        """Give the stages of those of the pipelines that exist."""
        asked = list(keys)
        rows = await connection.fetch(self._get_stages, [key[0] for key in asked], [key[1] for key in asked])
        found: dict[PipelineKey, dict[str, int]] = {}
        for row in rows:
            found.setdefault((row["account_id"], row["pipeline"]), {})[row["stage"]] = row["position"]
        return found

    def _sealed(self, account_id: int, name: str) -> bytes:
        return self._keyring.seal(_PURPOSE, account_id, name.encode())

    def _opened(self, account_id: int, sealed: bytes) -> str:
        return self._keyring.open(_PURPOSE, account_id, sealed).decode()


def stage_fault(stages: Mapping[PipelineKey, Stages], pipeline: PipelineKey, stage: str) -> Failed | None:
    """Tell why an opportunity cannot stand in this stage, or None."""
    if pipeline not in stages:
        return PIPELINE_UNKNOWN
    return None if stage in stages[pipeline] else STAGE_UNKNOWN
