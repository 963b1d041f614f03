"""The same networks behind LitServe, whose batching is an alternative to ours: `pip install litserve`."""

import sys
from typing import Any

import litserve
from fastapi import Request

from democlass.classifier import Classifier
from democlass.results import to_document


class Served(litserve.LitAPI):  # type: ignore[misc]
    """LitServe gathers what comes within `batch_timeout`; one process of its own decodes and answers."""

    def setup(self, device: str) -> None:
        """Load the networks."""
        self.classifier = Classifier.load(device="cpu")

    def decode_request(self, request: Request) -> bytes:
        """Take the image as it came; LitServe has read the form by now."""
        content: bytes = request["file"].file.read()
        return content

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        """Leave a list a list."""
        return inputs

    def predict(self, images: list[bytes]) -> list[dict[str, Any]]:
        """Classify a batch."""
        return [to_document(prediction, labels=False) for prediction in self.classifier.classify(images)]

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Leave a list a list."""
        return output


if __name__ == "__main__":
    served = Served(max_batch_size=8, batch_timeout=0.005)
    litserve.LitServer(served, accelerator="cpu").run(
        port=int(sys.argv[1]), host="127.0.0.1", generate_client_file=False
    )
