"""What a client may send and how long it may take."""

from __future__ import annotations

from dataclasses import dataclass

FORM_OVERHEAD = 2**12
"""Bytes that a form may have around its files."""

MIN_RATE = 2**10
"""Bytes a second that an upload must bring, and that a client must read of an answer, on average over `idle_timeout`
seconds."""


@dataclass(frozen=True)
class Limits:
    """The limits of one service. Sizes are in bytes, times in seconds.

    `max_upload` is for the body of one request, `upload_memory` for the bodies of all requests together.
    `idle_timeout` is how long a connection may stay without a request, how long the header of a request may take, and
    the time over which `MIN_RATE` is measured. `upload_timeout` is how long a whole body may take. `api_key` is what
    requests that classify must carry, if anything. `allow_hosts` are names under which web pages may use a service
    without a key, besides localhost and IP addresses.
    """

    max_upload: int
    upload_memory: int
    connections: int
    idle_timeout: float
    upload_timeout: float
    api_key: str | None = None
    allow_hosts: tuple[str, ...] = ()

    @property
    def uploads(self) -> int:
        """Requests with a body that are served at once. The other connections are kept for /health and the like."""
        return max(1, self.connections - max(1, self.connections // 8))
