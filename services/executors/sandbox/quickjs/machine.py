"""One fresh instance of QuickJS: its memory, its handles, its errors; interpreter.py makes one per script.

A handle is the address of a JavaScript value in the instance. None is freed: the instance goes with its
script.
"""

import struct
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from wasmtime import Caller, Engine, Func, FuncType, Linker, Memory, Module, Store

PAGE: Final = 64 * 1024
STACK_BYTES: Final = 256 * 1024
"""Of QuickJS's 1 MiB: deep enough for 1,000 calls, and its own check comes before WebAssembly's trap."""

_WORD: Final = struct.Struct("<I")
_CLOCK: Final = struct.Struct("<Q")
_INTRINSICS: Final = 0x1FFF & ~1024  # all of the language but performance.now
_PARSE_ONLY: Final = 1 << 5
_BAD_FILE: Final = 8
_REFUSALS: Final = dict.fromkeys(("fd_close", "fd_fdstat_get", "fd_seek", "fd_write"), _BAD_FILE)
_FUNCTIONS: Final = """
    _initialize wasm_malloc qjs_init2 qjs_set_max_stack_size qjs_eval qjs_call qjs_new_string
    qjs_get_undefined qjs_get_prop_string qjs_get_float64 qjs_get_string_len qjs_get_exception
    qjs_is_exception qjs_is_error qjs_is_function qjs_is_null qjs_is_string qjs_is_promise qjs_promise_state
    qjs_promise_result qjs_promise_mark_as_handled qjs_is_job_pending qjs_execute_pending_job
""".split()  # noqa: SIM905 - a list of 23 literals reads worse
_NEAR: Final = 16 * PAGE


class ThrownError(Exception):
    """A script threw; `name` is empty if it was no Error."""

    def __init__(self, name: str, message: str, stack: str) -> None:
        super().__init__(message)
        self.name = name
        self.message = message
        self.stack = stack


class OutOfMemoryError(Exception):
    """The instance has used up its memory."""


class TooLongError(Exception):
    """A text is longer than its reader takes."""


class Machine:
    """QuickJS with its own memory; enter it to use it.

    Whatever runs code raises ThrownError, OutOfMemoryError, or Trap when the deadline or the stack ends it.
    """

    def __init__(self, engine: Engine, module: Module, memory_bytes: int, seed: int) -> None:
        self._limit = memory_bytes
        self._clock_ns = seed * 1000  # QuickJS seeds Math.random with the microseconds of its start
        self._module = module
        self._linker = self._linked(engine)
        self._store = Store(engine)
        self._store.set_limits(memory_size=memory_bytes, instances=1, memories=1, tables=1)
        self._store.set_epoch_deadline(1)

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _begin(self) -> None:
        exports = self._linker.instantiate(self._store, self._module).exports(self._store)
        self._exports = {name: _bound(self._store, exports[name]) for name in _FUNCTIONS}
        memory = exports["memory"]
        assert isinstance(memory, Memory)
        self._memory = memory
        self._exports["_initialize"]()
        if self._exports["qjs_init2"](_INTRINSICS):
            raise OutOfMemoryError
        self._exports["qjs_set_max_stack_size"](STACK_BYTES)

    def _close(self) -> None:
        """Give the memory back now: it is too much to wait for the garbage collector."""
        self._store.close()
        self._linker.close()

    def set_clock(self, now_ms: int) -> None:
        """Let Date say this from now on."""
        self._clock_ns = now_ms * 1_000_000

    def parse(self, source: str, name: str) -> None:
        """Check the syntax, run nothing."""
        self._evaluate(source, name, _PARSE_ONLY)

    def evaluate(self, source: str, name: str) -> int:
        """Run a script; its value."""
        return self._evaluate(source, name, 0)

    def call(self, function: int, *arguments: int) -> int:
        """Call a function; its value, waited for if it is a promise's."""
        places = self._put(b"".join(_WORD.pack(one) for one in arguments))
        nothing = self._exports["qjs_get_undefined"]()
        return self._settled(
            self._checked(self._exports["qjs_call"](function, nothing, len(arguments), places))
        )

    def field(self, handle: int, name: str) -> int:
        """Give a property's value."""
        return self._checked(self._exports["qjs_get_prop_string"](handle, self._put(name.encode())))

    def string(self, text: str) -> int:
        """Make a string."""
        raw = text.encode()
        return self._checked(self._exports["qjs_new_string"](self._put(raw), len(raw)))

    def is_function(self, handle: int) -> bool:
        """Tell whether it can be called."""
        return bool(self._exports["qjs_is_function"](handle))

    def is_string(self, handle: int) -> bool:
        """Tell whether it is a primitive string."""
        return bool(self._exports["qjs_is_string"](handle))

    def text(self, handle: int, most: int) -> str:
        """Give a string as text. Raises TooLongError above `most` characters, without having copied it."""
        if self._exports["qjs_get_float64"](self.field(handle, "length")) > most:
            raise TooLongError
        return self._shown(handle)

    def _evaluate(self, source: str, name: str, flags: int) -> int:
        raw = source.encode()
        return self._checked(
            self._exports["qjs_eval"](self._put(raw), len(raw), self._put(name.encode()), flags)
        )

    def _settled(self, handle: int) -> int:
        if not self._exports["qjs_is_promise"](handle):
            return handle
        self._exports["qjs_promise_mark_as_handled"](handle)
        while self._exports["qjs_is_job_pending"]():
            if self._exports["qjs_execute_pending_job"]() < 0:
                raise self._thrown(self._exports["qjs_get_exception"]())
        match self._exports["qjs_promise_state"](handle):
            case 0:
                raise ThrownError("", "the promise that main returned is never settled", "")
            case 1:
                return self._checked(self._exports["qjs_promise_result"](handle))
            case _:
                raise self._thrown(self._exports["qjs_promise_result"](handle))

    def _checked(self, handle: int) -> int:
        if not handle:
            raise OutOfMemoryError
        if self._exports["qjs_is_exception"](handle):
            raise self._thrown(self._exports["qjs_get_exception"]())
        return handle

    def _thrown(self, handle: int) -> ThrownError | OutOfMemoryError:
        """Read an error; its fields may be traps themselves, so whatever they throw is left out."""
        full = self._memory.data_len(self._store) > self._limit - _NEAR
        if not handle or (full and self._exports["qjs_is_null"](handle)):
            return OutOfMemoryError()  # there was no room left for an error object
        if not self._exports["qjs_is_error"](handle):
            return ThrownError("", self._shown(handle), "")
        name, message, stack = (self._told(handle, field) for field in ("name", "message", "stack"))
        if (name, message) == ("InternalError", "out of memory"):
            return OutOfMemoryError()
        return ThrownError(name, message, stack)

    def _told(self, handle: int, name: str) -> str:
        value = self._exports["qjs_get_prop_string"](handle, self._put(name.encode()))
        return self._shown(value) if value and self.is_string(value) else ""

    def _shown(self, handle: int) -> str:
        """Give String(value), or a part of it if it is huge."""
        length = self._put(bytes(_WORD.size))
        start = self._exports["qjs_get_string_len"](handle, length)
        if not start:
            return ""  # it cannot be made a string of
        (size,) = _WORD.unpack(self._memory.read(self._store, length, length + _WORD.size))
        size = min(size, _NEAR)
        return self._memory.read(self._store, start, start + size).decode("utf-8", "replace")

    def _put(self, raw: bytes) -> int:
        place = self._exports["wasm_malloc"](len(raw) + 1)
        if not place:
            raise OutOfMemoryError
        self._memory.write(self._store, raw + b"\0", place)
        return place

    def _linked(self, engine: Engine) -> Linker:
        """Give QuickJS what it asks for: a clock that we set, and refusals."""
        linker = Linker(engine)
        for wanted in self._module.imports:
            assert isinstance(wanted.type, FuncType)
            assert wanted.name is not None
            if wanted.name == "clock_time_get":
                linker.define_func(
                    wanted.module, wanted.name, wanted.type, self._tell_time, access_caller=True
                )
            else:
                refusal = _REFUSALS.get(wanted.name, 0) if wanted.type.results else None
                linker.define_func(wanted.module, wanted.name, wanted.type, _always(refusal))
        return linker

    def _tell_time(self, caller: Caller, clock: int, precision: int, place: int) -> int:
        memory = caller["memory"]
        assert isinstance(memory, Memory)
        memory.write(caller, _CLOCK.pack(self._clock_ns), place)
        return 0


def _always(answer: int | None) -> Callable[..., int | None]:
    return lambda *_: answer


def _bound(store: Store, function: object) -> Callable[..., int]:
    assert isinstance(function, Func)

    def call(*arguments: int) -> int:
        answer: int = function(store, *arguments)
        return answer

    return call
