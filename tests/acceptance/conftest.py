"""One running stack for the acceptance tests of a process."""

from collections.abc import AsyncIterator

import pytest

from services.local.stack import Stack
from tests.support.stacks import Cli, fresh_stack


@pytest.fixture(scope="session")
async def stack() -> AsyncIterator[Stack]:
    async with fresh_stack() as running:
        yield running


@pytest.fixture
def cli(stack: Stack) -> Cli:
    return Cli(stack)
