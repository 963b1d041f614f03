"""The endpoints of the HTTP API."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, File, Request, Response, UploadFile, params
from fastapi.responses import HTMLResponse, JSONResponse

from democlass import __version__
from democlass.nested import face_document, to_document
from democlass.serve.errors import ApiError, disconnected_error
from democlass.serve.metrics import CONTENT_TYPE
from democlass.serve.pages import home_page
from democlass.serve.schemas import BATCH_EXAMPLE, Answer, Classified, FacesAnswer, Health, Refused, Unreadable
from democlass.serve.service import Service

Result = TypeVar("Result")

_ERRORS = {
    400: "The form can't be parsed",
    401: "The API key is missing or wrong",
    403: "Sent by a web page of another origin",
    408: "The upload took too long",
    413: "Too many bytes or files",
    415: "Not an image, or an unsupported encoding",
    422: "No file, an image that can't be read, or a photo with too many faces",
    431: "Too many header fields",
    503: "Busy, starting or stopping: see Retry-After",
}

_ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": Refused, "description": description} for status, description in _ERRORS.items()
}


def add_predict_routes(app: FastAPI, service: Service, dependencies: Sequence[params.Depends]) -> None:
    """Add the endpoints that classify images, and the web page."""

    @app.post(
        "/predict",
        responses={200: {"model": Answer}, **_ERROR_RESPONSES},
        dependencies=dependencies,
        tags=["classify"],
    )
    async def predict(
        request: Request, file: Annotated[UploadFile, File(description="An image in any format that Pillow reads.")]
    ) -> Response:
        """Classify one image and return every probability of perceived gender and perceived race."""
        await _refuse_several(request, "send one, or send them to /predict/batch in fields named 'files'")
        with service.reserve(1):
            images = [(None, await _read_and_close(file))]
            (prediction,) = await _cancel_on_disconnect(request, service.classify(images))
        if prediction.error is not None:
            raise ApiError.from_image_error(prediction.error)
        document = to_document(prediction)
        return JSONResponse({name: document[name] for name in document if name.endswith("_probabilities")})

    @app.post(
        "/predict/batch",
        responses={
            200: {
                "model": list[Classified | Unreadable],  # type: ignore[valid-type]
                "content": {"application/json": {"example": BATCH_EXAMPLE}},
            },
            **_ERROR_RESPONSES,
        },
        dependencies=dependencies,
        tags=["classify"],
    )
    async def predict_batch(
        request: Request, files: Annotated[list[UploadFile], File(description="One or more images.")]
    ) -> Response:
        """Classify several images and return an entry for each, in their order, also for those that can't be read."""
        if len(files) > service.queue_size:
            detail = f"the request has {len(files)} files: at most {service.queue_size} are allowed"
            raise ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too many files", detail)
        with service.reserve(len(files)):
            images = [(file.filename or "", await _read_and_close(file)) for file in files]
            predictions = await _cancel_on_disconnect(request, service.classify(images))
        for prediction in predictions:
            if prediction.reason is not None:
                service.metrics.errors.labels(prediction.reason).inc()
        return JSONResponse([to_document(prediction) for prediction in predictions])

    @app.post(
        "/faces",
        responses={200: {"model": FacesAnswer}, **_ERROR_RESPONSES},
        dependencies=dependencies,
        tags=["classify"],
    )
    async def faces(
        request: Request, file: Annotated[UploadFile, File(description="A photo in any format that Pillow reads.")]
    ) -> Response:
        """Find the faces in one photo and return where they are, with every probability of each.

        A photo without a face has an empty list.
        """
        await _refuse_several(request, "send one photo per request")
        with service.reserve(1):
            size, prediction = await _cancel_on_disconnect(request, service.classify_faces(await _read_and_close(file)))
        if prediction.error is not None:
            raise ApiError.from_image_error(prediction.error)
        found = [face_document(face, number) for number, face in enumerate(prediction.faces)]
        return JSONResponse({"width": size[0], "height": size[1], "faces": found})

    @app.get("/", response_class=HTMLResponse, tags=["classify"])
    async def page() -> Response:
        """Return a web page on which a person can try one picture."""
        return home_page()


def add_monitoring_routes(app: FastAPI, service: Service) -> None:
    """Add the endpoints for health checks and metrics."""

    @app.get("/health", responses={503: {"model": Health}}, response_model=Health, tags=["operate"])
    async def health() -> Response:
        """Return 200 if the service classifies images now, else 503 and why not."""
        status = service.status
        return JSONResponse({"status": status, "version": __version__}, 200 if status == "ready" else 503)

    @app.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}, "description": "Metrics in the Prometheus text format."}},
        tags=["operate"],
    )
    async def metrics() -> Response:
        """Return requests, errors by kind, batch sizes, response times, queue length and connections."""
        return Response(service.metrics.to_text(), media_type=CONTENT_TYPE)


async def _refuse_several(request: Request, advice: str) -> None:
    """Raise ApiError if the form has several files in the field `file`."""
    if len(form := (await request.form()).getlist("file")) > 1:
        detail = f"the form has {len(form)} files: {advice}"
        raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "too many files", detail)


async def _read_and_close(file: UploadFile) -> bytes:
    """Return the bytes of a file, and free the copy that the form holds."""
    content = await file.read()
    await file.close()
    return content


async def _cancel_on_disconnect(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of `work`. If the client disconnects first, cancel it and raise ApiError."""

    async def wait_for_disconnect() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, disconnected = asyncio.ensure_future(work), asyncio.ensure_future(wait_for_disconnect())
    try:
        await asyncio.wait((working, disconnected), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise disconnected_error()
        return working.result()
    finally:
        working.cancel()
        disconnected.cancel()
