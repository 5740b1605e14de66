"""Counts what a worker does, for Prometheus; worker.py feeds it once per batch.

Own histogram: prometheus_client searches its buckets one by one, at 2 µs an observation.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

_BUCKETS = [0.0005 * 1.2**n for n in range(60)]
"""Seconds, 0.5 ms to 24 s in steps of 20 %."""


class Latency(Collector):
    """A histogram of seconds."""

    def __init__(self, name: str, text: str, registry: CollectorRegistry | None) -> None:
        self._name, self._text = name, text
        self._counts = [0] * (len(_BUCKETS) + 1)
        self._sum = 0.0
        if registry is not None:
            registry.register(self)

    def observe_all(self, values: Iterable[float]) -> None:
        """Adds observations, in seconds."""
        counts = self._counts
        for value in values:
            counts[bisect_left(_BUCKETS, value)] += 1
            self._sum += value

    def collect(self) -> Iterator[Metric]:
        """What Prometheus scrapes."""
        total, buckets = 0, []
        for bound, count in zip([*_BUCKETS, float("inf")], self._counts, strict=True):
            total += count
            buckets.append(("+Inf" if bound == float("inf") else f"{bound:.6f}", float(total)))
        yield HistogramMetricFamily(self._name, self._text, buckets=buckets, sum_value=self._sum)


class WorkerMetrics:
    """The metrics of one worker process."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        self.overhead = Latency(
            "wayfarer_action_seconds", "From dispatch of an action to its durable outcome", registry
        )
        self.lateness = Latency(
            "wayfarer_wake_lateness_seconds", "From an execution's due time to its claim", registry
        )
        self.actions = Counter("wayfarer_actions", "Attempts ended durably", registry=registry)
        self.commits = Counter("wayfarer_commits", "Transactions that moved runs", registry=registry)
        self.claimed = Counter("wayfarer_claims", "Executions claimed", registry=registry)
        self.lost = Counter(
            "wayfarer_leases_lost", "Runs dropped because their fence was raised", registry=registry
        )
        self.held = Gauge("wayfarer_runs_held", "Executions this worker drives", registry=registry)
