"""The HTTP API. docs/service-performance.md describes how a request passes through these modules."""
