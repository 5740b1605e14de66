"""Sends begun actions to their families and asks them about interrupted ones; worker.py owns it.

Types whose effect commits in our own database go in large batches, four flights at a time. Types
that wait for a provider fly more often and smaller, so that a slow one does not hold up the rest; so do
those of accounts that keep a family's data at a provider, once a result has said so.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import grpc
import orjson
import structlog

from dispatcher import wire
from dispatcher.flights import Sink
from dispatcher.routing import Routing
from dispatcher.settings import WorkerSettings
from dispatcher.tracing import ActionSpans
from execution_engine.definition.program import ActionStep, DeliveryClass
from execution_engine.model import LogRow
from execution_engine.outcome import Outcome, Unreachable
from execution_engine.run import Run

log = structlog.get_logger(__name__)
_OWN_FLIGHTS = 4
_PROVIDER_FLIGHTS = 32
_PROVIDER_BATCH = 50
_ELSEWHERE_KEPT = 100_000


@dataclass(slots=True, eq=False)
class Sending:
    """One attempt on its way to its executor."""

    run: Run
    step: ActionStep


@dataclass(slots=True, eq=False)
class Asking:
    """One interrupted attempt to be asked about, with log rows that wait to be written."""

    run: Run
    step: ActionStep
    rows: list[LogRow]


class Dispatch:
    """Sinks per family. `ended` gets each outcome; `found` each finding with the rows carried."""

    def __init__(
        self,
        routing: Routing,
        settings: WorkerSettings,
        ended: Callable[[list[tuple[Run, Outcome]]], None],
        found: Callable[[list[tuple[Run, Outcome, list[LogRow]]]], None],
        under_way: Callable[[], int],
    ) -> None:
        self._routing = routing
        self._settings = settings
        self._spans = ActionSpans()
        self._ended = ended
        self._found = found
        self._under_way = under_way
        self._sinks: dict[tuple[str, bool], Sink[Sending]] = {}
        self._elsewhere: set[tuple[int, str]] = set()
        self._askers: dict[str, Sink[Asking]] = {}

    def send(self, begun: Iterable[tuple[Run, ActionStep]]) -> None:
        """Sends the attempts that these runs have open. Their begins must be durable."""
        ready: dict[tuple[str, bool], list[Sending]] = {}
        for run, step in begun:
            own = step.delivery_class is DeliveryClass.TX
            key = (step.family, own and (run.account_id, step.family) not in self._elsewhere)
            if key in ready:
                ready[key].append(Sending(run, step))
            else:
                ready[key] = [Sending(run, step)]
        for key, sendings in ready.items():
            sink = self._sinks.get(key)
            if sink is None:
                sink = self._sinks[key] = self._sink(*key)
            sink.put_all(sendings)

    def ask(self, run: Run, step: ActionStep, rows: list[LogRow]) -> None:
        """Asks what became of the attempt that `run` has open."""
        sink = self._askers.get(step.family)
        if sink is None:
            sink = self._askers[step.family] = Sink(
                lambda batch: self._reconcile(step.family, batch),
                cap=500,
                flights=2,
                name="reconcile",
                dropped=self._not_asked,
            )
        sink.put(Asking(run, step, rows))

    def _sink(self, family: str, own: bool) -> Sink[Sending]:
        return Sink(
            lambda batch: self._execute(family, batch),
            cap=self._settings.action_batch if own else _PROVIDER_BATCH,
            flights=_OWN_FLIGHTS if own else _PROVIDER_FLIGHTS,
            under_way=self._under_way,
            name=f"execute:{family}",
            dropped=lambda batch: self._end([(s.run, Unreachable("the call failed")) for s in batch]),
        )

    async def _execute(self, family: str, batch: list[Sending]) -> None:
        actions = [wire.action(s.run, s.step, _contact(s), self._spans.begin(s.run, s.step)) for s in batch]
        waiting = set(range(len(batch)))
        problem = "the executor gave no result"
        try:
            async for results in self._routing.clients[family].execute_batch(actions):
                ready: list[tuple[Run, Outcome]] = []
                for indexed in results:
                    if indexed.index in waiting:
                        waiting.discard(indexed.index)
                        run = batch[indexed.index].run
                        self._learn(run.account_id, family, elsewhere=indexed.result.elsewhere)
                        ready.append((run, wire.outcome(indexed.result)))
                self._end(ready)
        except grpc.aio.AioRpcError as error:
            problem = f"{error.code().name}: {error.details()}"
            log.warning("execute_failed", family=family, unanswered=len(waiting), problem=problem)
        except KeyError:
            problem = f"no executor family {family} is configured"
        if waiting:
            self._end([(batch[index].run, Unreachable(problem)) for index in sorted(waiting)])

    def _learn(self, account_id: int, family: str, *, elsewhere: bool) -> None:
        if elsewhere:
            if len(self._elsewhere) >= _ELSEWHERE_KEPT:
                self._elsewhere.clear()
            self._elsewhere.add((account_id, family))
        elif self._elsewhere:
            self._elsewhere.discard((account_id, family))

    def _end(self, outcomes: list[tuple[Run, Outcome]]) -> None:
        for run, outcome in outcomes:
            self._spans.end(run, outcome)
        self._ended(outcomes)

    async def _reconcile(self, family: str, batch: list[Asking]) -> None:
        items = [wire.reconcile_item(a.run, a.step) for a in batch]
        outcomes: list[Outcome]
        try:
            findings = await self._routing.clients[family].reconcile(items)
            outcomes = [wire.finding(found) for found in findings]
        except (grpc.aio.AioRpcError, KeyError) as error:
            code = error.code().name if isinstance(error, grpc.aio.AioRpcError) else "not configured"
            log.warning("reconcile_failed", family=family, asked=len(batch), problem=code)
            outcomes = []
        outcomes += [Unreachable("reconcile failed")] * (len(batch) - len(outcomes))
        self._found([(a.run, o, a.rows) for a, o in zip(batch, outcomes, strict=True)])

    def _not_asked(self, batch: list[Asking]) -> None:
        self._found([(asking.run, Unreachable("reconcile failed"), asking.rows) for asking in batch])

    async def drain(self) -> None:
        """Waits until every flight has landed."""
        for sending in self._sinks.values():
            await sending.drain()
        for asking in self._askers.values():
            await asking.drain()

    async def close(self) -> None:
        """Cancels what flies: the ledgers and the leases make that safe."""
        for sending in self._sinks.values():
            await sending.close()
        for asking in self._askers.values():
            await asking.close()


def _contact(sending: Sending) -> bytes:
    fields = sending.step.contact_fields
    contact = sending.run.contact
    if not fields or contact is None:
        return b""
    return orjson.dumps({name: contact.get(name) for name in fields})
