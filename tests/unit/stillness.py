"""A loop whose clock moves only while nothing is to be done, for unit tests of what waits for a time."""

import asyncio
import selectors
from collections.abc import Callable
from typing import Any


class StillLoop(asyncio.SelectorEventLoop):
    """Its time is the sum of what was waited for."""

    def __init__(self) -> None:
        super().__init__(_Selector(self._pass_on))
        self._moment = 0.0

    def time(self) -> float:
        """Seconds since it was made."""
        return self._moment

    def _pass_on(self, seconds: float) -> None:
        self._moment += seconds


async def passing(seconds: float) -> None:
    """Returns once so much of the loop's time has passed."""
    loop = asyncio.get_running_loop()
    passed: asyncio.Future[None] = loop.create_future()
    loop.call_later(seconds, passed.set_result, None)
    await passed


class _Selector(selectors.SelectSelector):
    def __init__(self, passed: Callable[[float], None]) -> None:
        super().__init__()
        self._passed = passed

    def select(self, timeout: float | None = None) -> Any:
        if timeout:
            self._passed(timeout)
        return super().select(0)
