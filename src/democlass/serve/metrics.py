"""What the service counts, as Prometheus text. Nothing of an image is in it."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST

_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8)


class Metrics:
    """Counters of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        here = self._registry
        self.requests = Counter("democlass_requests", "Requests answered.", ["endpoint", "status"], registry=here)
        self.errors = Counter("democlass_errors", "Requests, and images of batches, refused.", ["kind"], registry=here)
        self.seconds = Histogram(
            "democlass_request_seconds",
            "Time from a request to its answer.",
            ["endpoint"],
            buckets=_SECONDS,
            registry=here,
        )
        self.batch_images = Histogram(
            "democlass_batch_images", "Images that went through the networks at once.", buckets=_BATCHES, registry=here
        )
        self._queue = Gauge("democlass_queue_images", "Images taken on and not answered yet.", registry=here)
        self._connections = Gauge("democlass_connections", "Connections that are open.", registry=here)

    def watch_images(self, count: Callable[[], int]) -> None:
        """Ask this for the number of images that wait, whenever someone looks."""
        self._queue.set_function(count)

    def watch_connections(self, count: Callable[[], int]) -> None:
        """Ask this for the number of open connections, whenever someone looks."""
        self._connections.set_function(count)

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self._registry)
