"""One sandbox process, seen from the family that started it: ask, answer, end; pool.py keeps some.

The process is of use only while it answers in time and in form. Whatever else it does ends it.
"""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from typing import Final, Self

from services.executors.sandbox.script import LENGTH, MAX_ANSWER_BYTES, Ending, Script, Verdict, framed

_PROGRAM: Final = (sys.executable, "-I", "-m", "services.executors.sandbox.quickjs")
_START_S: Final = 30.0
_GRACE_S: Final = 2.0
"""The process ends a script itself, on the dot; so long after that it is held to be hung."""


class WorkerDiedError(Exception):
    """The process ended, or said what no sandbox process says."""


async def machine_code() -> bytes:
    """Give QuickJS as machine code, made by a process that never sees a script. Raises WorkerDiedError."""
    process = await _spawn("compile")
    try:
        async with asyncio.timeout(_START_S):
            made, _ = await process.communicate()
    except TimeoutError:
        raise WorkerDiedError("compiling takes too long") from None
    finally:
        await _end(process)
    if process.returncode or not made:
        raise WorkerDiedError(f"compiling ended with {process.returncode}")
    return made


class Worker:
    """A process that is ready for scripts, one at a time."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, code: bytes) -> Self:
        """Start a process. Raises WorkerDiedError."""
        process = await _spawn()
        try:
            async with asyncio.timeout(_START_S):
                await _exchange(process, code)
        except BaseException as error:
            await _end(process)
            if isinstance(error, TimeoutError):
                raise WorkerDiedError("starting takes too long") from None
            raise
        return cls(process)

    @property
    def alive(self) -> bool:
        """Whether it has not ended, as far as is known."""
        return self._process.returncode is None

    async def ask(self, script: Script) -> Verdict:
        """Have a script run. Raises WorkerDiedError, and afterwards only `end` is of use."""
        try:
            async with asyncio.timeout(script.timeout_s + _GRACE_S):
                return Verdict.decoded(await _exchange(self._process, script.encoded()))
        except TimeoutError:
            await self.end()
            return Verdict(Ending.TIMEOUT, f"it had to be killed after {script.timeout_s:g} seconds")
        except (ValueError, RecursionError):
            raise WorkerDiedError("its answer is none") from None

    async def end(self) -> None:
        """Kill the process, whatever it does, and wait until it is gone."""
        await _end(self._process)


async def _spawn(*arguments: str) -> Process:
    # Nothing is inherited: no environment (ours holds the database's password), no files but the pipes.
    return await asyncio.create_subprocess_exec(
        *_PROGRAM, *arguments, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={}, cwd="/", close_fds=True
    )


async def _exchange(process: Process, body: bytes) -> bytes:
    """Send a frame and give the body of the frame that answers it. Raises WorkerDiedError."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(framed(body))
        await process.stdin.drain()
        (size,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
        if size > MAX_ANSWER_BYTES:
            raise WorkerDiedError("its answer is too long")
        return await process.stdout.readexactly(size)
    except (OSError, asyncio.IncompleteReadError):
        raise WorkerDiedError("its pipes are closed") from None


async def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await asyncio.shield(process.wait())
