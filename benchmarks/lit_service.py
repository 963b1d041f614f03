"""The same networks in LitServe, an alternative to our own batching. Needs `pip install litserve`."""

import sys
from typing import Any

import litserve
from fastapi import Request

from democlass.classifier import Classifier
from democlass.nested import to_document


class LitClassifier(litserve.LitAPI):  # type: ignore[misc]
    """LitServe collects requests within `batch_timeout`. One worker process decodes and classifies them."""

    def setup(self, device: str) -> None:
        """Load the networks."""
        self.classifier = Classifier.load(device="cpu")

    def decode_request(self, request: Request) -> bytes:
        """Return the bytes of the image. LitServe has already parsed the form."""
        content: bytes = request["file"].file.read()
        return content

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        """Return the batch unchanged."""
        return inputs

    def predict(self, images: list[bytes]) -> list[dict[str, Any]]:
        """Classify a batch."""
        return [to_document(prediction, labels=False) for prediction in self.classifier.classify(images)]

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the results unchanged."""
        return output


if __name__ == "__main__":
    api = LitClassifier(max_batch_size=8, batch_timeout=0.005)
    litserve.LitServer(api, accelerator="cpu").run(port=int(sys.argv[1]), host="127.0.0.1", generate_client_file=False)
