"""Whether the API knows who calls, asked before a body is read; `api` asks.

Only the API knows keys. A key it knew is believed for a few seconds, as it does itself; the call that follows
is judged by it all the same.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import grpc
from wayfarer.execution.v1 import execution_service_pb2 as pb
from wayfarer.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub

from services.gateway.rest.problems import ProblemError, of_rpc

_TIMEOUT_S: Final = 10.0
_KEPT_S: Final = 5.0
_MOST_KEPT: Final = 10_000


class Callers:
    """The credentials that the API knew a moment ago."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ExecutionServiceStub(channel)
        self._known: OrderedDict[bytes, float] = OrderedDict()

    async def check(self, metadata: Sequence[tuple[str, str]]) -> None:
        """Raises ProblemError for a caller the API does not know, and if it cannot be asked."""
        credential = next(value for name, value in metadata if name == "authorization")
        hashed, now = hashlib.sha256(credential.encode()).digest(), time.monotonic()
        if self._known.get(hashed, -_KEPT_S) > now - _KEPT_S:
            return
        try:
            # Without an id it is at fault: whoever is known is told so, before anything is looked at.
            await self._stub.GetExecution(
                pb.GetExecutionRequest(), timeout=_TIMEOUT_S, metadata=tuple(metadata)
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                raise ProblemError(of_rpc(error, lambda path: path)) from error
        self._known[hashed] = now
        self._known.move_to_end(hashed)
        while len(self._known) > _MOST_KEPT:
            self._known.popitem(last=False)
