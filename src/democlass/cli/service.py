"""The options of `classify serve`, and how a server is created from them."""

from __future__ import annotations

import ipaddress
import logging
import math
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

from democlass.cli import console
from democlass.cli.option import FACES, IMAGES, option
from democlass.cli.options import SettingsOptions
from democlass.errors import MissingExtraError, UsageError
from democlass.settings import FACE_SIZE, MAX_FACE_SIZE, MIN_FACE, MIN_FACE_SIZE, Settings

if TYPE_CHECKING:
    from democlass.classifier import Classifier
    from democlass.serve.limits import Limits
    from democlass.serve.server import Server

_MIN_KEY_LENGTH = 16
_MIN_CONNECTIONS = 8
_BACKLOG = 1024
_MAX_FACES = 100
"""Faces of one photo. More would keep the networks busy for long."""

_KEY_VARIABLE = "DEMOCLASS_API_KEY"

_option = partial(option, panel="Service")


@dataclass(frozen=True)
class ServeSettings(SettingsOptions):
    """The shared options of networks and images, and those of /faces. The default of --decode-timeout is shorter."""

    decode_timeout: Annotated[
        float,
        option("--decode-timeout", panel=IMAGES, env="DECODE_TIMEOUT", metavar="SECONDS",
               help="Time limit for decoding one image, in seconds. A slower image is an error (422)."),
    ] = 10.0  # fmt: skip
    face_size: Annotated[
        int,
        option("--face-size", panel=FACES, env="FACE_SIZE", metavar="PX", min=MIN_FACE_SIZE, max=MAX_FACE_SIZE,
               help="For /faces: longest side in pixels of the reduced image in which faces are searched. 960 finds "
               "smaller faces and takes longer."),
    ] = FACE_SIZE  # fmt: skip
    min_face: Annotated[
        int,
        option("--min-face", panel=FACES, env="MIN_FACE", metavar="PX", min=1,
               help="For /faces: smallest side of a face to classify, in pixels of the image. Smaller faces get the "
               "status too_small and no probabilities."),
    ] = MIN_FACE  # fmt: skip

    def settings(self) -> Settings:
        """Return the options that affect results. Raises UsageError."""
        return replace(super().settings(), face_size=self.face_size, min_face=self.min_face)


@dataclass(frozen=True)
class ServiceOptions:
    """Who may use the service, and its limits."""

    host: Annotated[
        str,
        _option(
            env="HOST", help="Address to listen at. The default accepts only this machine, 0.0.0.0 accepts everyone."
        ),
    ] = "127.0.0.1"
    port: Annotated[int, _option(env="PORT", min=0, max=65535, help="TCP port. 0 chooses a free port.")] = 8000
    api_key: Annotated[
        str | None,
        _option(env="API_KEY", metavar="KEY",
                help="Key that requests to classify must carry, as X-API-Key or Authorization: Bearer; at least 16 "
                "characters. Prefer the environment variable: other users can see the command line. Default: no key."),
    ] = None  # fmt: skip
    allow_host: Annotated[
        list[str] | None,
        _option(env="ALLOW_HOST", metavar="NAME",
                help="Host name whose web pages may use a service without a key, besides localhost and IP addresses. "
                "Repeatable."),
    ] = None  # fmt: skip
    max_upload: Annotated[
        int,
        _option(
            env="MAX_UPLOAD", metavar="BYTES", min=1, help="Maximum size of one request with all its files, in bytes."
        ),
    ] = 32 * 2**20
    upload_memory: Annotated[
        int,
        _option(env="UPLOAD_MEMORY", metavar="BYTES", min=1,
                help="Maximum memory for the uploads of all requests together, in bytes. Further requests get 503."),
    ] = 256 * 2**20  # fmt: skip
    upload_timeout: Annotated[
        float,
        _option(env="UPLOAD_TIMEOUT", metavar="SECONDS", min=0.1, help="Time limit for one upload, in seconds."),
    ] = 60.0
    idle_timeout: Annotated[
        float,
        _option(env="IDLE_TIMEOUT", metavar="SECONDS", min=0.1,
                help="Time limit in seconds for a connection without a request, for the header of a request, and for "
                "an upload slower than 1 KiB per second."),
    ] = 15.0  # fmt: skip
    connections: Annotated[
        int,
        _option(env="CONNECTIONS", metavar="N", min=_MIN_CONNECTIONS,
                help="Maximum number of open connections. The limit on open files may allow fewer."),
    ] = 256  # fmt: skip
    queue: Annotated[
        int,
        _option(env="QUEUE", metavar="N", min=1,
                help="Maximum number of images that are accepted at once. Further requests get 503."),
    ] = 64  # fmt: skip
    wait: Annotated[
        float,
        _option(env="WAIT", metavar="MS", min=0, max=1000,
                help="Maximum time that an image waits for others to fill its batch, in milliseconds."),
    ] = 5.0  # fmt: skip
    grace: Annotated[
        float,
        _option(env="GRACE", metavar="SECONDS", min=0, max=3600,
                help="Time to finish accepted requests after SIGTERM or Ctrl-C, in seconds. The others get 503."),
    ] = 5.0  # fmt: skip

    def check(self) -> None:
        """Raise UsageError if an option has an invalid value or contradicts another."""
        self._check_key()
        for name, seconds in (("upload", self.upload_timeout), ("idle", self.idle_timeout)):
            if not math.isfinite(seconds):
                raise UsageError(f"--{name}-timeout {seconds}: use a finite number of seconds")
        if self.upload_memory < self.max_upload:
            raise UsageError(
                f"--upload-memory {self.upload_memory} is less than --max-upload {self.max_upload}: "
                "no request of the maximum size could be accepted"
            )

    def _check_key(self) -> None:
        name = "--api-key" if self.api_key is not None else _KEY_VARIABLE
        key = os.environ.get(_KEY_VARIABLE) if self.api_key is None else self.api_key  # Typer ignores an empty variable
        if key is None:
            return
        if len(key) < _MIN_KEY_LENGTH:
            raise UsageError(f"{name} has {len(key)} characters: use at least {_MIN_KEY_LENGTH}, or do not set it")
        if key != key.strip() or not key.isprintable():
            raise UsageError(f"{name} starts or ends with a space or has control characters: no request can carry it")

    def listen(self) -> socket.socket:
        """Return a listening socket. Raises UsageError if the address or port can't be used."""
        try:
            family, *_, address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0]
            listening = socket.create_server(address, family=family, backlog=_BACKLOG)
        except (OSError, UnicodeError) as error:  # UnicodeError: no host can have this name
            reason = error.strerror if isinstance(error, OSError) else "not a valid host name"
            raise UsageError(f"can't listen at --host {self.host} --port {self.port}: {reason}") from None
        if self.api_key is None and not _is_loopback(listening):
            console.warn(
                f"everyone who can reach {self.host} can use this service: set {_KEY_VARIABLE} to require a key"
            )
        return listening

    def create_server(
        self,
        load_classifier: Callable[[], Classifier],
        listening: socket.socket,
        batch_size: int | None,
        log: Callable[[str], object],
        on_startup_error: Callable[[BaseException], object],
    ) -> Server:
        """Load the classifier and return its server. None as `batch_size` chooses a size for the device.

        If the networks fail at start, the server calls `on_startup_error` and ends. Raises MissingExtraError,
        UsageError.
        """
        try:
            from democlass.serve.app import create_app
            from democlass.serve.server import Server
        except ImportError:
            raise MissingExtraError("classify serve", "serve") from None
        from democlass.faces.finder import FaceFinder
        from democlass.serve.service import Service

        for name in ("python_multipart", "uvicorn.error"):  # both log every invalid request
            logging.getLogger(name).setLevel(logging.ERROR)
        classifier = load_classifier()
        networks, settings = classifier.networks, classifier.settings
        find = FaceFinder.load(networks.device, networks.precision, settings, max_faces=_MAX_FACES)
        service = Service(
            classifier,
            find,
            queue_size=self.queue,
            max_wait=self.wait / 1000,
            batch_size=batch_size,
        )
        limits = self._limits(classifier.workers)

        def stop(error: BaseException) -> None:
            on_startup_error(error)
            server.should_exit = True

        server = Server(create_app(service, limits, log, stop), listening, service, limits, self.grace, log)
        return server

    def _limits(self, workers: int) -> Limits:
        from democlass.serve.limits import Limits

        return Limits(
            max_upload=self.max_upload,
            upload_memory=self.upload_memory,
            connections=self._reduced_connections(workers),
            idle_timeout=self.idle_timeout,
            upload_timeout=self.upload_timeout,
            api_key=self.api_key,
            allow_hosts=tuple(name.lower() for name in self.allow_host or ()),
        )

    def _reduced_connections(self, workers: int) -> int:
        """Return --connections, or fewer if the limit on open files requires it, with a warning."""
        from democlass.serve.server import max_connections

        possible = max_connections(workers)
        if possible < _MIN_CONNECTIONS:
            raise UsageError("the limit on open files is too low for any connections: raise it (ulimit -n 1024)")
        if possible < self.connections:
            console.warn(f"the limit on open files allows only {possible} connections: raise it with ulimit -n")
        return min(possible, self.connections)


def _is_loopback(listening: socket.socket) -> bool:
    address = ipaddress.ip_address(listening.getsockname()[0].partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
