"""A program under a pseudo-terminal of a given size: what it shows is awaited, keys are typed."""

import asyncio
import fcntl
import os
import pty
import re
import struct
import termios
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.support.stacks import ROOT

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[()][A-Z0-9])")


@dataclass
class Terminal:
    """A running program, and all it has written so far."""

    process: asyncio.subprocess.Process
    descriptor: int
    written: str = ""
    _grown: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def text(self) -> str:
        """What was written, without colors and moves."""
        return _ESCAPES.sub("", self.written).replace("\r\n", "\n")

    async def shows(self, words: str, timeout_s: float = 30) -> None:
        """Waits until the words have been written."""
        async with asyncio.timeout(timeout_s):
            while words not in self.text:
                self._grown.clear()
                await self._grown.wait()

    def press(self, keys: str) -> None:
        """Types keys."""
        os.write(self.descriptor, keys.encode())

    async def ended(self, timeout_s: float = 30) -> int:
        """The exit code, once it has ended and all it wrote is read."""
        async with asyncio.timeout(timeout_s):
            return await self.process.wait()

    def _read(self) -> None:
        try:
            self.written += os.read(self.descriptor, 65_536).decode(errors="replace")
        except OSError:  # the program has closed its side
            asyncio.get_running_loop().remove_reader(self.descriptor)
        self._grown.set()


@asynccontextmanager
async def terminal(
    *words: str, environment: Mapping[str, str], columns: int = 80, rows: int = 24
) -> AsyncIterator[Terminal]:
    """Runs a program as somebody at a terminal would; it is killed if it still runs at the end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=ROOT,
        env={**inherited, "TERM": "xterm-256color", **environment},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    loop = asyncio.get_running_loop()
    shown = Terminal(process, ours)
    loop.add_reader(ours, shown._read)
    try:
        yield shown
    finally:
        loop.remove_reader(ours)
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)
