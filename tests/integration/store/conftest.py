"""The store that the tests of leases and of commits write to, in both ways that a commit is written."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.runtime.keyring import Keyring
from services.worker.__main__ import PLANNER
from tests.integration.store.store_world import Store
from tests.support.stacks import fresh_stack


@pytest.fixture(scope="module", params=["many", "few"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async with fresh_stack(workers=0, postgres_settings={"shared_buffers": "64MB"}) as stack:
        dsns = stack.prepared.dsns
        owner = await asyncpg.connect(dsns["wayfarer_owner"])
        worker = await asyncpg.connect(dsns["wayfarer_worker"], server_settings=PLANNER)
        async with asyncpg.create_pool(dsns["wayfarer_api"], min_size=1, max_size=2) as api:
            yield Store(
                stack, owner, worker, api, Keyring.load(stack.prepared.keyring), request.param == "few"
            )
        await owner.close()
        await worker.close()
