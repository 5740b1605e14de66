"""The metrics of an executor process; the servicer records into them once per request."""

from collections import Counter as Tally
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge
from wayfarer.action.v1 import action_pb2

from services.executors.intake import Answer, Item


class ExecutorMetrics:
    """Results by action type and outcome, replays, and attempts under way."""

    def __init__(self, registry: CollectorRegistry, under_way: Callable[[], int]) -> None:
        self._results = Counter(
            "wayfarer_executor_results",
            "Results answered, by action type, outcome, and whether an earlier delivery's was replayed.",
            ("action_type", "outcome", "replayed"),
            registry=registry,
        )
        self._refused = Counter(
            "wayfarer_executor_refused",
            "Actions that could not be read, by code.",
            ("code",),
            registry=registry,
        )
        gauge = Gauge(
            "wayfarer_executor_attempts_under_way", "Provider attempts not yet answered.", registry=registry
        )
        gauge.set_function(under_way)
        self._children: dict[tuple[str, int, bool], Counter] = {}  # bounded: types × 6 outcomes × 2

    def answered(self, items: Sequence[Item], answers: Sequence[Answer]) -> None:
        """Count a request's answers to the items it was read into."""
        names = {item.place: item.definition.name for item in items}
        tally = Tally(
            [(names[index], result.outcome, result.replayed) for index, result in answers if index in names]
        )
        for key, count in tally.items():
            child = self._children.get(key)
            if child is None:
                name, outcome, replayed = key
                label = action_pb2.Outcome.Name(action_pb2.Outcome.ValueType(outcome)).removeprefix(
                    "OUTCOME_"
                )
                child = self._children[key] = self._results.labels(name, label, str(replayed).lower())
            child.inc(count)

    def refused(self, answers: Sequence[Answer]) -> None:
        """Count actions that never became an attempt."""
        for _, result in answers:
            self._refused.labels(result.failure.code).inc()
