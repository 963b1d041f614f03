"""The FastAPI app: middleware, endpoints and error responses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus

from fastapi import FastAPI, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser

from democlass import __version__
from democlass.serve.errors import ApiError
from democlass.serve.limits import Limits
from democlass.serve.middleware import RequestMiddleware
from democlass.serve.routes import add_monitoring_routes, add_predict_routes
from democlass.serve.service import Service

_DESCRIPTION = """Classifies photos of faces by *perceived* gender and *perceived* race, with every probability. The
networks reproduce how annotators perceived faces. They know nothing of identity, ancestry or ability. Do not use them
for decisions about one person, for identification or for surveillance. In the EU, Art. 5(1)(g) of the AI Act prohibits
biometric categorisation of individuals to infer their race; labelling or filtering of lawfully acquired data sets is
exempt. Images are not stored."""


def create_app(
    service: Service,
    limits: Limits,
    log: Callable[[str], object] = lambda _: None,
    on_startup_error: Callable[[BaseException], object] = lambda _: None,
) -> FastAPI:
    """Return the app of a service. The app warms up the service when it starts and closes it when it ends.

    If the warm-up fails, the service never becomes ready and `on_startup_error` is called with the exception.
    """
    MultiPartParser.spool_max_size = 0  # no limit: uploads of any size stay in memory
    app = FastAPIOffline(
        title="democlass",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=_create_lifespan(service, on_startup_error),
        redoc_url=None,
        redirect_slashes=False,  # a redirect would go to the host that the request names, which may be any
    )
    app.add_middleware(RequestMiddleware, service=service, limits=limits, log=log)
    _add_error_handlers(app, service)

    # The middleware checks the key before it reads the body. Here it is only declared, for the OpenAPI document.
    dependencies = [Security(APIKeyHeader(name="X-API-Key", auto_error=False))] if limits.api_key else []

    add_predict_routes(app, service, dependencies)
    add_monitoring_routes(app, service)
    return app


def _create_lifespan(
    service: Service, on_startup_error: Callable[[BaseException], object]
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    def report_error(warm_up: asyncio.Task[None]) -> None:
        if not warm_up.cancelled() and (error := warm_up.exception()) is not None:
            on_startup_error(error)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        warm_up = asyncio.create_task(service.warm_up())
        warm_up.add_done_callback(report_error)
        yield
        warm_up.cancel()
        await asyncio.wait((warm_up,))
        service.close()

    return lifespan


def _add_error_handlers(app: FastAPI, service: Service) -> None:
    """Convert every error to the JSON shape of ApiError, and count it."""

    def respond(error: ApiError) -> JSONResponse:
        service.metrics.errors.labels(error.kind).inc()
        return error.to_response()

    @app.exception_handler(ApiError)
    async def handle_api_error(_: Request, error: ApiError) -> Response:
        return respond(error)

    @app.exception_handler(RequestValidationError)
    async def handle_validation_error(_: Request, error: RequestValidationError) -> Response:
        return respond(_missing_file_error(error))

    @app.exception_handler(HTTPException)
    async def handle_http_error(_: Request, error: HTTPException) -> Response:
        kind = HTTPStatus(error.status_code).phrase.lower()
        headers = dict(error.headers or {})
        if headers.get("Allow") == "GET":
            headers["Allow"] = "GET, HEAD"
        return respond(ApiError(error.status_code, kind, str(error.detail), headers))

    @app.exception_handler(Exception)
    async def handle_bug(_: Request, __: Exception) -> Response:  # uvicorn logs the traceback
        return respond(ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, "failed", "internal error: see the server's log"))


def _missing_file_error(error: RequestValidationError) -> ApiError:
    """Return the error for a form without a file in the expected field."""
    field = next((str(each["loc"][1]) for each in error.errors() if len(each["loc"]) > 1), "file")
    is_text = any(isinstance(each.get("input"), str) for each in error.errors())
    problem = f"the form field '{field}' is text, not a file" if is_text else f"the form has no file in '{field}'"
    detail = f"{problem}: with curl, use -F {field}=@face.jpg, with an @"
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "no file", detail)
