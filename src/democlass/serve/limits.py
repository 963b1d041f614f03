"""How much a client may send, and how long it may take."""

from __future__ import annotations

from dataclasses import dataclass

FORM_OVERHEAD = 2**12
"""Bytes that a form may add around its files."""

MIN_RATE = 2**10
"""Minimum transfer rate in bytes per second, for uploads and for reading a response. It is measured as an average over
`idle_timeout` seconds."""


@dataclass(frozen=True)
class Limits:
    """The limits of a service. Sizes are in bytes, times in seconds.

    - `max_upload`: largest body of one request.
    - `upload_memory`: total size of the bodies that are held in memory at once.
    - `connections`: open connections.
    - `idle_timeout`: how long a connection may stay without a request, and how long the header of a request may take.
      `MIN_RATE` is measured over the same time.
    - `upload_timeout`: how long the body of a request may take.
    - `api_key`: the key that requests to classify images must carry; None: no key is needed.
    - `allow_hosts`: host names whose web pages may use a service without a key, besides localhost and IP addresses.
    """

    max_upload: int
    upload_memory: int
    connections: int
    idle_timeout: float
    upload_timeout: float
    api_key: str | None = None
    allow_hosts: tuple[str, ...] = ()

    @property
    def max_uploads(self) -> int:
        """Requests with a body that are handled at once. The other connections are kept for /health and /metrics."""
        return max(1, self.connections - max(1, self.connections // 8))
