"""The HTTP API: the same classifier as a service. See docs/serving.md for the way of a request through these files."""
