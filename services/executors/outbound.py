"""Executes actions whose effects are outside our databases; called by the servicer.

Every attempt is announced in the ledger before its first byte leaves and written back before it is answered.
A delivery of a key that is under way here joins it. Attempts outlive the rpc that brought them.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final

import structlog
from wayfarer.action.v1 import action_pb2

from services.executors.action import Call, Certainty, EffectKey, ErrorClass, Failed, Result
from services.executors.decisions import Decision, Refuse, Replay, Run
from services.executors.gate import AttemptStoppedError
from services.executors.gathering import Gathering
from services.executors.intake import Answer, Item
from services.executors.ledger import Attempt, Ledger, Written
from services.executors.outcome_log import OutcomeLog
from services.executors.places import Places
from services.executors.providers.provider import CredentialsRefusedError
from services.executors.results import Encoded, ResultCodec, refusal
from services.runtime import telemetry

log = structlog.get_logger(__name__)

MAX_CONCURRENT: Final = 64
"""Attempts under way at one time in this process, over all rpcs."""

_WRITERS: Final = 4
"""Announcements under way at one time: one that waits for a lock holds up those of a few calls only."""

Deliver = Callable[[list[Answer]], None]


class Flight:
    """One attempt this process has taken on: who waits for it, and whether it may still be stopped."""

    __slots__ = ("admitted", "item", "result", "started", "task")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.admitted = False
        self.started = False
        self.result: asyncio.Future[action_pb2.ActionResult] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """Stop the attempt unless its effect has begun."""
        # A task cancelled before its first step would never run, and so never record that nothing was sent.
        if self.item.call.gate.close() and self.started and self.task is not None:
            self.task.cancel()


class Outbound:
    """Executes one family's provider calls; enter it to run, leave it to drain."""

    def __init__(
        self, ledger: Ledger, codec: ResultCodec, tools: object, *, max_concurrent: int = MAX_CONCURRENT
    ) -> None:
        self._ledger = ledger
        self._codec = codec
        self._tools = tools
        self._places = Places(max_concurrent)
        self._flights: dict[EffectKey, Flight] = {}
        self._announcements: Gathering[Flight] = Gathering(self._take_off, writers=_WRITERS)
        self._outcomes = OutcomeLog(ledger, lambda: len(self._flights))

    @property
    def under_way(self) -> int:
        """Attempts taken on and not yet answered."""
        return len(self._flights)

    async def execute(self, items: Sequence[Item], deliver: Deliver) -> None:
        """Make the attempts; `deliver` gets the answers as they are ready, all before this returns."""
        mine: list[Flight] = []
        joining: list[Coroutine[Any, Any, None]] = []
        for item in items:
            flight = self._flights.get(item.call.key)
            if flight is None:
                flight = self._flights[item.call.key] = Flight(item)
                flight.result.add_done_callback(partial(_answer, item.place, deliver))
                mine.append(flight)
            else:
                joining.append(self._join(item, flight, deliver))
        self._announcements.add(mine)
        joined = asyncio.gather(*joining)
        if mine:
            # Waited for, not gathered: a caller that gives up must not cancel what others may join.
            await asyncio.wait([flight.result for flight in mine])
        await joined

    def cancel(self, execution_key: tuple[bytes, str, int]) -> bool:
        """Stop the attempt at an effect (raw execution id, step, visit) if it has not begun to send.

        True if one was under way; if it had begun, its outcome still comes.
        """
        for key, flight in self._flights.items():
            if (key.execution_id.bytes, key.step_id, key.visit) == execution_key:
                flight.stop()
                return True
        return False

    async def drain(self, grace_s: float) -> None:
        """Let attempts under way end; those that have not begun are stopped, those left then are cut off."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.stop()
        await self._announcements.close()
        tasks = [flight.task for flight in flights if flight.task is not None and not flight.task.done()]
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=grace_s)
            for task in left:
                # Its row stays SENDING and is UNKNOWN after its deadline, which is the truth.
                task.cancel()
        await self._outcomes.close()

    async def _take_off(self, flights: list[Flight]) -> None:
        """Announce the attempts and start those that may be made; land the others."""
        now = asyncio.get_running_loop().time()
        decisions: dict[EffectKey, Decision] = {}
        try:
            decisions = await self._ledger.begin([_announced(flight.item.call, now) for flight in flights])
        except Exception as error:  # whatever it is, nobody may wait for these flights for ever
            if len(flights) > 1 and (getattr(error, "sqlstate", None) or "")[:2] in ("22", "23", "54"):
                middle = len(flights) // 2
                await self._take_off(flights[:middle])
                await self._take_off(flights[middle:])
                return
            log.warning("announce_failed", error=type(error).__name__, items=len(flights))
        for flight in flights:
            try:
                self._decided(flight, decisions.get(flight.item.call.key))
            except Exception as error:  # one must not keep the others, of other calls, from being answered
                log.error("not_taken_off", effect=str(flight.item.call.key), exc_info=error)
                text = "the executor failed before the attempt began"
                self._land(flight, refusal(ErrorClass.SERVER_ERROR, "NOT_TAKEN_OFF", text))

    def _decided(self, flight: Flight, decision: Decision | None) -> None:
        match decision:
            case Run():
                flight.admitted = True
                flight.task = asyncio.create_task(self._fly(flight))
            case Replay(stored):
                self._land(flight, self._codec.replay(flight.item.call.key.account_id, stored))
            case Refuse(result):
                self._land(flight, result)
            case None:
                text = "the family's ledger could not be written; nothing was sent"
                self._land(flight, refusal(ErrorClass.DATABASE, "LEDGER_UNAVAILABLE", text))

    async def _fly(self, flight: Flight) -> None:
        flight.started = True
        call = flight.item.call
        try:
            encoded = self._codec.encode(await self._outcome(flight.item))
            await self._record(flight, encoded)
            self._land(flight, encoded.message)
        finally:
            if not flight.result.done():  # cut off at the end of a drain
                text = "the executor stopped while the attempt was under way"
                certainty = Certainty.INDETERMINATE if call.gate.begun else Certainty.NOT_DONE
                self._land(flight, refusal(ErrorClass.INDETERMINATE, "EXECUTOR_STOPPED", text, certainty))

    async def _outcome(self, item: Item) -> Result:
        """Make the attempt within its budget; whatever happens becomes a result."""
        call, run = item.call, item.definition.outside
        assert run is not None  # not TX, or diverted
        try:
            async with asyncio.timeout_at(call.deadline) as budget:
                async with self._places.taken(call.key.account_id):
                    with telemetry.start_span(f"action {item.definition.name}", call.traceparent):
                        result: Result = await run(call, self._tools)
                        return result
        except AttemptStoppedError as stopped:
            return _stopped(stopped.code)
        except CredentialsRefusedError as refused:
            return refused.deferred()
        except TimeoutError as error:
            if not budget.expired():
                return _raised(item, error)
            if call.gate.close():
                return _stopped("PAST_DEADLINE")
            text = "the attempt's budget ended while it was under way"
            return Failed(ErrorClass.TIMEOUT, "TIMEOUT", text, Certainty.INDETERMINATE)
        except asyncio.CancelledError:
            if call.gate.close():
                return _stopped("CANCELLED")
            raise
        except Exception as error:
            return _raised(item, error)

    async def _record(self, flight: Flight, encoded: Encoded) -> None:
        call = flight.item.call
        stored = self._codec.stored(call.key.account_id, encoded)
        await self._outcomes.record(Written(call.key, call.fence, call.attempt, encoded.state, stored))

    def _land(self, flight: Flight, result: action_pb2.ActionResult) -> None:
        self._flights.pop(flight.item.call.key, None)
        if flight.item.definition.run is None:
            result = _elsewhere(result)
        if not flight.result.done():
            flight.result.set_result(result)

    async def _join(self, item: Item, flight: Flight, deliver: Deliver) -> None:
        result = await asyncio.shield(flight.result)
        if not flight.admitted:
            # That delivery was itself turned away, by its own fence or budget: this one has its own.
            await self.execute([item], deliver)
            return
        joined = action_pb2.ActionResult()
        joined.CopyFrom(result)
        joined.replayed = True
        deliver([Answer(item.place, joined)])


def _announced(call: Call[Any], now: float) -> Attempt:
    return Attempt(call.key, call.fence, call.attempt, int(max(0.0, call.deadline - now) * 1000))


def _answer(place: int, deliver: Deliver, landed: "asyncio.Future[action_pb2.ActionResult]") -> None:
    deliver([Answer(place, landed.result())])


def _elsewhere(result: action_pb2.ActionResult) -> action_pb2.ActionResult:
    """Mark a result as that of a diverted action; constants are shared, so a copy of it."""
    marked = action_pb2.ActionResult()
    marked.CopyFrom(result)
    marked.elsewhere = True
    return marked


def _stopped(code: str) -> Failed:
    if code == "PAST_DEADLINE":
        text = "the attempt's budget ended before its effect began"
        return Failed(ErrorClass.TIMEOUT, code, text, Certainty.NOT_DONE)
    return Failed(
        ErrorClass.SERVER_ERROR, code, "the attempt was stopped before its effect began", Certainty.NOT_DONE
    )


def _raised(item: Item, error: Exception) -> Failed:
    log.error("action_raised", action=item.definition.name, effect=str(item.call.key), exc_info=error)
    text = f"the action failed with {type(error).__name__}"
    return Failed(ErrorClass.SERVER_ERROR, "HANDLER_RAISED", text, Certainty.INDETERMINATE)
