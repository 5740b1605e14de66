"""The only client of executor families: deadlines, connect-level retries, batches; dispatch.py uses it.

Retries here cover connect-level UNAVAILABLE alone, within the attempt's own budget (tenacity, at
most three tries). Everything else is an outcome, and the durable engine decides on it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence

import grpc
import orjson
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter
from wayfarer.action.v1 import action_executor_pb2 as executor_pb
from wayfarer.action.v1 import action_pb2 as pb
from wayfarer.action.v1.action_executor_pb2_grpc import ActionExecutorStub

from execution_engine.errors import ExecutorUnavailable

_TRIES = 3
_OF_THE_CALL = (
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNIMPLEMENTED,
)
"""What Execute says of a call it does not take, before anything is done."""
_MARGIN_S = 2.0
"""What the transport may add to the longest action of a batch."""
_RECONCILE_S = 10.0
_DESCRIBE_S = 5.0
_VALIDATE_S = 12.0
"""A family may have to start what checks a config."""


class PreviewRefused(Exception):
    """The executor would not take the action; says why."""


def _refused(error: BaseException) -> bool:
    return isinstance(error, grpc.aio.AioRpcError) and error.code() is grpc.StatusCode.UNAVAILABLE


class ExecutorClient:
    """Talks to one family over one channel."""

    def __init__(self, family: str, channel: grpc.aio.Channel) -> None:
        self.family = family
        self._stub = ActionExecutorStub(channel)

    async def describe(self) -> executor_pb.DescribeResponse:
        """What the family serves. Raises AioRpcError."""
        return await self._stub.Describe(executor_pb.DescribeRequest(), timeout=_DESCRIBE_S)

    async def validate(
        self, action_type: str, config: Mapping[str, object]
    ) -> Sequence[executor_pb.ConfigFault]:
        """Every fault of a config, merge fields unrendered. Raises ExecutorUnavailable."""
        request = executor_pb.ValidateRequest(action_type=action_type, config=orjson.dumps(config))
        try:
            return (await self._stub.Validate(request, timeout=_VALIDATE_S)).faults
        except grpc.aio.AioRpcError as error:
            raise ExecutorUnavailable(self.family) from error

    async def preview(self, action: pb.Action) -> bytes:
        """What an action would do, a JSON object; nothing is done.

        Raises PreviewRefused if its config or contact cannot be read, ExecutorUnavailable.
        """
        try:
            return (
                await self._stub.Preview(executor_pb.PreviewRequest(action=action), timeout=_VALIDATE_S)
            ).preview
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
                raise PreviewRefused(error.details() or "") from error
            raise ExecutorUnavailable(self.family) from error

    async def execute_batch(
        self, actions: Sequence[pb.Action]
    ) -> AsyncIterator[Sequence[executor_pb.IndexedResult]]:
        """Results in the portions that became ready together, each naming its action by position.

        Raises AioRpcError when the stream breaks: the outcomes not yet given are then in doubt. It
        is tried again only while no result has come and the family cannot be connected to; the
        ledger makes a second delivery harmless.
        """
        budget = max(action.budget_ms for action in actions) / 1000 + _MARGIN_S
        given: list[bool] = []
        try:
            async for results in self._executed(actions, budget):
                given.append(True)
                yield results
            return
        except grpc.aio.AioRpcError as error:
            if given or not _refused(error):
                raise
            refused = error
        # Only now, for making ready to try again takes a tenth of a call; the first try counts, and is over.
        async for attempt in AsyncRetrying(
            stop=stop_after_attempt(_TRIES),
            wait=wait_exponential_jitter(multiplier=0.05, max=0.5),
            retry=retry_if_exception(lambda error: not given and _refused(error)),
            reraise=True,
        ):
            with attempt:
                if attempt.retry_state.attempt_number == 1:
                    raise refused
                async for results in self._executed(actions, budget):
                    given.append(True)
                    yield results

    async def _executed(
        self, actions: Sequence[pb.Action], budget: float
    ) -> AsyncIterator[Sequence[executor_pb.IndexedResult]]:
        if len(actions) == 1:  # one answer needs no stream, which takes half as long again
            single = await self._single(actions[0], budget)
            if single is not None:
                yield [executor_pb.IndexedResult(index=0, result=single)]
                return
        request = executor_pb.ExecuteBatchRequest(actions=actions)
        async for response in self._stub.ExecuteBatch(request, timeout=budget):
            yield response.results

    async def _single(self, action: pb.Action, budget: float) -> pb.ActionResult | None:
        """None where the call is refused as a whole: in a batch the action gets its own result."""
        try:
            request = executor_pb.ExecuteRequest(action=action)
            return (await self._stub.Execute(request, timeout=budget)).result
        except grpc.aio.AioRpcError as error:
            if error.code() in _OF_THE_CALL:
                return None
            raise

    async def reconcile(
        self, items: Sequence[executor_pb.ReconcileItem]
    ) -> Sequence[executor_pb.ReconcileFinding]:
        """One finding per item, same order. Raises AioRpcError."""
        response = await self._stub.Reconcile(executor_pb.ReconcileRequest(items=items), timeout=_RECONCILE_S)
        return response.findings
