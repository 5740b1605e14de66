"""Serves a process's Prometheus metrics and liveness, and defines the rpc durations both gRPC ends record.

Every `python -m services.…` enters `serve` on its stack; the port comes from WAYFARER_METRICS_PORT.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Literal

from prometheus_client import REGISTRY, CollectorRegistry, Histogram
from prometheus_client.exposition import choose_encoder

from services.runtime.telemetry import current_ids

_BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_POLL_S: Final = 0.1


class RpcDurations:
    """The histogram of rpc durations of one side; one per process, handed to every server or channel."""

    def __init__(self, side: Literal["server", "client"], registry: CollectorRegistry = REGISTRY) -> None:
        self._histogram = Histogram(
            f"wayfarer_rpc_{side}_duration_seconds",
            f"Duration of rpcs on the {side} side, by method and gRPC status code.",
            ("method", "code"),
            buckets=_BUCKETS_S,
            registry=registry,
        )
        # Bound by (methods we serve or call) × (17 codes): `labels()` costs more than the observation itself.
        self._children: dict[tuple[str, str], Histogram] = {}

    def observe(self, method: str, code: str, seconds: float) -> None:
        """Record one rpc: `method` as in "/package.Service/Method", `code` as in "OK"."""
        child = self._children.get((method, code))
        if child is None:
            child = self._children[method, code] = self._histogram.labels(method, code)
        ids = current_ids()
        child.observe(seconds, {"trace_id": ids[0]} if ids else None)


@asynccontextmanager
async def serve(
    port: int,
    registry: CollectorRegistry = REGISTRY,
    *,
    host: str = "127.0.0.1",
    healthy: Callable[[], bool] = lambda: True,
) -> AsyncIterator[int]:
    """Answer GET /metrics and GET /healthz (200, or 503 when not `healthy`) on a thread; give the port bound.

    Port 0 means off. `healthy` is called on that thread. Raises OSError if the port is taken.
    """
    if port == 0:
        yield 0
        return
    server = _MetricsServer((host, port), registry, healthy)
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_S,), name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()


class _MetricsServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], registry: CollectorRegistry, healthy: Callable[[], bool]
    ) -> None:
        super().__init__(address, _Handler)
        self.registry = registry
        self.healthy = healthy


class _Handler(BaseHTTPRequestHandler):
    server: _MetricsServer
    timeout = 5  # seconds a client may take to send its request

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/metrics":
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                self._answer(200, content_type, encode(self.server.registry))
            case "/healthz":
                healthy = self.server.healthy()
                self._answer(200 if healthy else 503, "text/plain", b"ok\n" if healthy else b"not healthy\n")
            case _:
                self._answer(404, "text/plain", b"/metrics or /healthz\n")

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a scrape every few seconds is no news."""
