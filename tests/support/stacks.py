"""Running stacks for tests: a fresh one, and the command line pointed at it."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.local.stack import Stack, scratch_state_dir

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Its output as JSON."""
        return json.loads(self.out)


async def command(*words: str, environment: Mapping[str, str] | None = None, timeout_s: float = 90) -> Done:
    """Runs a program as a user would, from the root of the checkout."""
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), timeout_s)
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


def wayfarer() -> str:
    """The command line of this environment."""
    return str(Path(sys.executable).with_name("wayfarer"))


@asynccontextmanager
async def fresh_stack(**options: Any) -> AsyncIterator[Stack]:
    """A stack of its own on ports of its own, gone afterwards."""
    with scratch_state_dir() as state_dir:
        async with Stack(state_dir, **options) as stack:
            yield stack


class Cli:
    """`wayfarer`, talking to one stack."""

    def __init__(self, stack: Stack) -> None:
        self.access = {"WAYFARER_ADDRESS": stack.address, "WAYFARER_API_KEY": stack.api_key}

    async def __call__(self, *words: str) -> Done:
        environment = {**self.access, "COLUMNS": "200", "NO_COLOR": "1"}
        return await command(wayfarer(), *words, environment=environment)
