"""Stops WebAssembly that runs too long, wherever it is; interpreter.py puts each script under it."""

from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Self

from wasmtime import Engine


class Deadline:
    """A thread that moves the engine's epoch on when the time is up; one script at a time.

    Leaving waits for the thread, so that no late move can hit the next script.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._armed: SimpleQueue[float] = SimpleQueue()
        self._ended: SimpleQueue[None] = SimpleQueue()
        self._seen: SimpleQueue[None] = SimpleQueue()
        self._seconds = 0.0
        Thread(target=self._watch, name="deadline", daemon=True).start()

    def of(self, seconds: float) -> Self:
        """Set the time for the next `with`."""
        self._seconds = seconds
        return self

    def __enter__(self) -> None:
        self._armed.put(self._seconds)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.put(None)
        self._seen.get()

    def _watch(self) -> None:
        while True:
            try:
                self._ended.get(timeout=self._armed.get())
            except Empty:
                self._engine.increment_epoch()
                self._ended.get()
            self._seen.put(None)
