"""The baseline for our service: FastAPI with the reference pipeline, which classifies each request alone.

uvicorn --app-dir benchmarks plain_service:app
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, File
from reference import Reference

app = FastAPI()
_reference = Reference()


@app.post("/predict")
def predict(file: Annotated[bytes, File()]) -> list[float]:
    """Classify one image in a thread of FastAPI."""
    with tempfile.NamedTemporaryFile() as copy:
        Path(copy.name).write_bytes(file)
        return _reference.classify([Path(copy.name)])[0]


@app.get("/health")
def health() -> str:
    """Return 200 when the networks are loaded."""
    return "ready"
