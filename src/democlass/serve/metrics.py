"""The metrics of the service in the Prometheus text format. They contain nothing about the content of images."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST

_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)
_SECONDS_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8)


class Metrics:
    """Counters and gauges of one service."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "democlass_requests", "Requests by endpoint and status.", ["endpoint", "status"], registry=registry
        )
        self.errors = Counter(
            "democlass_errors", "Failed requests, and failed images of batch requests.", ["kind"], registry=registry
        )
        self.seconds = Histogram(
            "democlass_request_seconds",
            "Seconds from the start of a request to the end of its response.",
            ["endpoint"],
            buckets=_SECONDS_BUCKETS,
            registry=registry,
        )
        self.batch_images = Histogram(
            "democlass_batch_images", "Images per batch of the networks.", buckets=_BATCH_BUCKETS, registry=registry
        )
        self._queue = Gauge("democlass_queue_images", "Images accepted and not finished yet.", registry=registry)
        self._connections = Gauge("democlass_connections", "Open connections.", registry=registry)

    def set_queue_source(self, count: Callable[[], int]) -> None:
        """Set the function that returns the number of images in the queue. It is called for each scrape."""
        self._queue.set_function(count)

    def set_connections_source(self, count: Callable[[], int]) -> None:
        """Set the function that returns the number of open connections. It is called for each scrape."""
        self._connections.set_function(count)

    def to_text(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self._registry)
