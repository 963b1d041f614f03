"""The plain pipeline that speed and exactness are compared with. It shares no code with the package.

PIL opens the file, `convert("RGB")`, torchvision's transforms on the PIL image, batches of one image, float32, softmax
of the logits divided by the checkpoint's temperature.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from PIL import Image
from torchvision import models, transforms

WEIGHTS = Path(__file__).parents[1] / "weights"
NORMALISE = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
TRANSFORMS = (
    transforms.Compose([transforms.Resize(224), transforms.CenterCrop(224), transforms.ToTensor(), NORMALISE]),
    transforms.Compose([transforms.Resize((224, 224)), transforms.ToTensor(), NORMALISE]),
)


class Reference:
    """Both networks, one image at a time."""

    def __init__(self) -> None:
        self.temperatures: list[float] = []
        self.networks = (models.resnet18(num_classes=2), models.resnet50(num_classes=6))
        for network, file in zip(self.networks, ("model_checkpoint.pth", "best_model.pth"), strict=True):
            checkpoint = torch.load(WEIGHTS / file, weights_only=True)
            network.load_state_dict({name: value.float() for name, value in checkpoint["model_state_dict"].items()})
            network.eval()
            self.temperatures.append(checkpoint.get("temperature", 1.0))

    @torch.inference_mode()
    def classify(self, paths: Iterable[Path]) -> list[list[float]]:
        """Return the probabilities of each image: two of perceived gender, then six of perceived race."""
        rows = []
        for path in paths:
            with Image.open(path) as image:
                rgb = image.convert("RGB")
            row: list[float] = []
            for network, temperature, transform in zip(self.networks, self.temperatures, TRANSFORMS, strict=True):
                row += torch.softmax(network(transform(rgb)[None]) / temperature, dim=1)[0].tolist()
            rows.append(row)
        return rows
