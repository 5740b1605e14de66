"""The last check before an effect leaves; an action passes it, the runtime's Cancel and deadline close it.

It is what makes an interrupted attempt's certainty known: not passed means the effect did not happen.
"""

from asyncio import get_running_loop


class AttemptStoppedError(Exception):
    """The attempt was cancelled, or its budget ended, before its effect began; `code` says which."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class SendGate:
    """One attempt's gate: open until it is passed or closed; single-threaded like its loop."""

    __slots__ = ("_begun", "_closed", "_deadline")

    def __init__(self, deadline: float) -> None:
        """`deadline` is the loop time after which no effect may begin."""
        self._deadline = deadline
        self._begun = False
        self._closed = False

    @property
    def begun(self) -> bool:
        """Whether the effect may have begun."""
        return self._begun

    def begin(self) -> None:
        """Pass, right before the first byte of the effect leaves. Raises AttemptStoppedError.

        There must be no await between this and the write.
        """
        if self._closed:
            raise AttemptStoppedError("CANCELLED")
        if get_running_loop().time() >= self._deadline:
            raise AttemptStoppedError("PAST_DEADLINE")
        self._begun = True

    def close(self) -> bool:
        """Close it; True if the effect had not begun and now never will."""
        if not self._begun:
            self._closed = True
        return self._closed
