"""What a sandbox process is asked and what it answers, and their frames; both ends of its pipes import it.

A frame is a length (4 bytes, big-endian) and as many bytes. Nothing but the standard library here: the
process behind the pipes starts quicker and has less in it.
"""

import json
import struct
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final, Self

MAX_RESULT_BYTES: Final = 16 * 1024
MAX_LOG_BYTES: Final = 4 * 1024
MAX_LOG_LINES: Final = 200
MAX_MESSAGE: Final = 500
MAX_ANSWER_BYTES: Final = 128 * 1024
"""More than any answer has: a frame announced larger is a broken process's."""

LENGTH: Final = struct.Struct(">I")


class Ending(StrEnum):
    """How a script ended."""

    RESULT = "RESULT"
    SYNTAX_ERROR = "SYNTAX_ERROR"
    EXCEPTION = "EXCEPTION"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    OUTPUT_INVALID = "OUTPUT_INVALID"
    OUTPUT_TOO_LARGE = "OUTPUT_TOO_LARGE"
    TIMEOUT = "TIMEOUT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One run of somebody's code."""

    source: str
    inputs: str = "{}"
    """What `main` is given, as JSON."""
    seed: int = 0
    """Decides Math.random; 0 to 2**53 - 1."""
    now_ms: int = 0
    """What Date says during the whole run, as Unix time."""
    timeout_s: float = 5.0
    memory_mb: int = 64
    only_parse: bool = False

    def encoded(self) -> bytes:
        """Give it as the body of a frame."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decoded(cls, body: bytes) -> Self:
        """Read the body of a frame."""
        return cls(**json.loads(body))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a script."""

    ending: Ending
    text: str = ""
    """The result as JSON, or what was wrong."""
    line: int = 0
    """Of the source, from 1; 0 if unknown."""
    logs: tuple[str, ...] = ()
    worn: bool = False
    """The process wants to be replaced."""

    def encoded(self) -> bytes:
        """Give it as the body of a frame."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decoded(cls, body: bytes) -> Self:
        """Read the body of a frame. Raises ValueError for anything that is no verdict: it may be forged."""
        told = json.loads(body)
        match told:
            case {
                "ending": str(ending),
                "text": str(text),
                "line": int(line),
                "logs": list(logs),
                "worn": bool(worn),
            } if all(isinstance(one, str) for one in logs):
                return cls(Ending(ending), text, line, tuple(logs), worn)
        raise ValueError("not a verdict")


def framed(body: bytes) -> bytes:
    """Give the frame of a body."""
    return LENGTH.pack(len(body)) + body
