"""The plain service that ours is judged by: FastAPI, each request classified alone, as the reference does it.

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
    """Classify one image, in one of FastAPI's threads."""
    with tempfile.NamedTemporaryFile() as kept:
        Path(kept.name).write_bytes(file)
        return _reference.classify([Path(kept.name)])[0]


@app.get("/health")
def health() -> str:
    """Answer once the networks are loaded."""
    return "ready"
