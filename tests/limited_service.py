"""A service with a key, short timeouts and low limits, and requests to it."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from serving import FORM, ServiceProcess, face_jpeg, form_request, header, run_service

IMAGE = face_jpeg()
MAX_UPLOAD = 1_000_000
CONNECTIONS = 100
QUEUE = 64
WORKERS = 2
DECODE_TIMEOUT, UPLOAD_TIMEOUT, GRACE = 6, 3, 5
KEY = "correct horse battery staple"
KEY_HEADER = f"X-API-Key: {KEY}"
FORM_HEADER = header("POST", "/predict", FORM, KEY_HEADER, "Content-Length: 900000")


@contextmanager
def run_limited_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """Run a service with short timeouts, few file descriptors, and a limit on the size of files that it writes."""
    log = tmp_path_factory.mktemp("service") / "log"
    options = f"--connections 1000 --idle-timeout 1.5 --upload-timeout {UPLOAD_TIMEOUT} --queue {QUEUE} "
    options += f"--max-upload {MAX_UPLOAD} --upload-memory {2 * MAX_UPLOAD} "
    options += f"--workers {WORKERS} --decode-timeout {DECODE_TIMEOUT} --grace {GRACE} --host 0.0.0.0"
    limits = {resource.RLIMIT_NOFILE: CONNECTIONS + 64, resource.RLIMIT_FSIZE: 500_000}
    env = {"DEMOCLASS_API_KEY": KEY, "PYTHONDONTWRITEBYTECODE": "1"}  # bytecode may exceed the limit on files
    with run_service(log, *options.split(), tiny=True, env=env, limits=limits) as running:
        yield running


def upload(*contents: bytes, path: str = "/predict", field: str = "file") -> bytes:
    """Return a request with a form and the key."""
    return form_request(*contents, path=path, field=field, fields=[KEY_HEADER])


def classify(service: ServiceProcess) -> int:
    """Return the status of a request with a small image."""
    return service.send(upload(IMAGE)).status
