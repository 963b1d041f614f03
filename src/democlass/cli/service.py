"""The options of `classify serve`, and how a service is built from them."""

from __future__ import annotations

import ipaddress
import logging
import math
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from democlass.cli import console
from democlass.cli.options import SettingsOptions
from democlass.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from democlass.classifier import Classifier
    from democlass.serve.server import Server

_LEAST_KEY = 16
_LEAST_CONNECTIONS = 8
_KEY_VARIABLE = "DEMOCLASS_API_KEY"


def _option(env: str, **more: Any) -> Any:
    return typer.Option(envvar=f"DEMOCLASS_{env}", rich_help_panel="Service", **more)


@dataclass(frozen=True)
class ServeSettings(SettingsOptions):
    """How the networks run, and how images are read: as everywhere, but decoding has less time."""

    decode_timeout: Annotated[
        float,
        typer.Option("--decode-timeout", rich_help_panel="Images", envvar="DEMOCLASS_DECODE_TIMEOUT", metavar="SECONDS",
                     help="Time limit for decoding one image; one that takes longer is refused (422)."),
    ] = 10.0  # fmt: skip


@dataclass(frozen=True)
class ServiceOptions:
    """Who may use the service, and how much of it."""

    host: Annotated[
        str, _option("HOST", help="Address to listen at. The default is this machine alone; 0.0.0.0 is everyone.")
    ] = "127.0.0.1"
    port: Annotated[int, _option("PORT", min=0, max=65535, help="TCP port; 0 takes a free one.")] = 8000
    api_key: Annotated[
        str | None,
        _option("API_KEY", metavar="KEY",
                help="What requests that classify must carry as X-API-Key, or as Authorization: Bearer; 16 characters "
                "or more. Better in the environment: all users can read a command line. Default: none is needed."),
    ] = None  # fmt: skip
    allow_host: Annotated[
        list[str] | None,
        _option("ALLOW_HOST", metavar="NAME",
                help="Host name from which web pages may use a service without a key, besides localhost and IP "
                "addresses. Repeatable."),
    ] = None  # fmt: skip
    max_upload: Annotated[
        int,
        _option("MAX_UPLOAD", metavar="BYTES", min=1,
                help="Most bytes that a request may bring, all its files together."),
    ] = 32 * 2**20  # fmt: skip
    upload_memory: Annotated[
        int,
        _option("UPLOAD_MEMORY", metavar="BYTES", min=1,
                help="Most bytes that all requests together may hold in memory; what is above is told to try again "
                "(503)."),
    ] = 256 * 2**20  # fmt: skip
    upload_timeout: Annotated[
        float,
        _option("UPLOAD_TIMEOUT", metavar="SECONDS", min=0.1, help="Time limit for the body of a request to arrive."),
    ] = 60.0  # fmt: skip
    idle_timeout: Annotated[
        float,
        _option("IDLE_TIMEOUT", metavar="SECONDS", min=0.1,
                help="Time limit for the header of a request, for a connection without a request, and for an upload "
                "that brings less than 1 KiB a second."),
    ] = 15.0  # fmt: skip
    connections: Annotated[
        int,
        _option("CONNECTIONS", metavar="N", min=_LEAST_CONNECTIONS,
                help="Most connections at once; the limit on open files may allow fewer."),
    ] = 256  # fmt: skip
    queue: Annotated[
        int,
        _option("QUEUE", metavar="N", min=1,
                help="Most images taken on at once; whoever comes then is told to try again (503)."),
    ] = 64  # fmt: skip
    wait: Annotated[
        float,
        _option("WAIT", metavar="MS", min=0, max=1000,
                help="Milliseconds an image may wait for others to share its batch."),
    ] = 5.0  # fmt: skip
    grace: Annotated[
        float,
        _option("GRACE", metavar="SECONDS", min=0, max=3600,
                help="Time to finish what was taken on, after SIGTERM or Ctrl-C; what is left is refused (503)."),
    ] = 5.0  # fmt: skip

    def check(self) -> None:
        """Raise UsageError where the options can't be right."""
        name = "--api-key" if self.api_key is not None else _KEY_VARIABLE
        key = os.environ.get(_KEY_VARIABLE) if self.api_key is None else self.api_key  # Typer leaves out an empty one
        if key is not None and len(key) < _LEAST_KEY:
            raise UsageError(f"{name} has {len(key)} characters: give it {_LEAST_KEY} or more, or do not set it at all")
        if key is not None and (key != key.strip() or not key.isprintable()):
            raise UsageError(f"{name} begins or ends with a space, or has control characters: no request can carry it")
        for option, seconds in (("upload", self.upload_timeout), ("idle", self.idle_timeout)):
            if not math.isfinite(seconds):
                raise UsageError(f"--{option}-timeout {seconds}: it is a number of seconds")
        if self.upload_memory < self.max_upload:
            raise UsageError(
                f"--upload-memory {self.upload_memory} is less than --max-upload {self.max_upload}: "
                "no request of that size could ever be taken"
            )

    def listen(self) -> socket.socket:
        """Return a socket that listens. Raises UsageError where it can't be had."""
        try:
            family, *_, address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0]
            listening = socket.create_server(address, family=family, backlog=1024)
        except OSError as error:
            raise UsageError(f"can't listen at --host {self.host} --port {self.port}: {error.strerror}") from None
        if self.api_key is None and not _is_loopback(listening):
            console.warn(
                f"everyone who can reach {self.host} can use this service: there is no key; {_KEY_VARIABLE} sets one"
            )
        return listening

    def server(
        self,
        load: Callable[[], Classifier],
        listening: socket.socket,
        batch: int | None,
        log: Callable[[str], object],
        report: Callable[[BaseException], object],
    ) -> Server:
        """Return what serves a classifier, loaded, in batches of at most so many; it reports what ends it too early.

        Raises MissingExtraError, UsageError.
        """
        try:
            from democlass.serve.app import create_app
            from democlass.serve.server import Server
        except ImportError:
            raise MissingExtraError("classify serve", "serve") from None
        from democlass.serve.limits import Limits
        from democlass.serve.service import Service

        for name in ("python_multipart", "uvicorn.error"):  # they have a word on every bad request
            logging.getLogger(name).setLevel(logging.ERROR)
        classifier = load()
        service = Service(classifier, most=self.queue, wait=self.wait / 1000, batch=batch)
        limits = Limits(
            max_upload=self.max_upload,
            upload_memory=self.upload_memory,
            connections=self._affordable_connections(classifier.workers),
            idle_timeout=self.idle_timeout,
            upload_timeout=self.upload_timeout,
            api_key=self.api_key,
            allow_hosts=tuple(name.lower() for name in self.allow_host or ()),
        )

        def fail(error: BaseException) -> None:
            report(error)
            server.should_exit = True

        server = Server(create_app(service, limits, log, fail), listening, service, limits, self.grace, log)
        return server

    def _affordable_connections(self, workers: int) -> int:
        from democlass.serve.server import affordable_connections

        possible = affordable_connections(workers)
        if possible < _LEAST_CONNECTIONS:
            raise UsageError("the limit on open files leaves no room for connections: raise it (ulimit -n 1024)")
        if possible < self.connections:
            console.warn(f"the limit on open files allows {possible} connections at once (ulimit -n raises it)")
        return min(possible, self.connections)


def _is_loopback(listening: socket.socket) -> bool:
    address = ipaddress.ip_address(listening.getsockname()[0].partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
