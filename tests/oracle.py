"""The reference behaviour, implemented without code of the package.

PIL opens the file, `convert("RGB")`, torchvision's transforms of the PIL image, a batch of one, float32, softmax of
the logits divided by the checkpoint's temperature.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from PIL import Image
from torch import nn
from torchvision import models, transforms

WEIGHTS = Path(__file__).parents[1] / "weights"
NORMALISE = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
GENDER = transforms.Compose([transforms.Resize(224), transforms.CenterCrop(224), transforms.ToTensor(), NORMALISE])
RACE = transforms.Compose([transforms.Resize((224, 224)), transforms.ToTensor(), NORMALISE])


@cache
def networks() -> list[tuple[nn.Module, float]]:
    """Return both networks with their temperatures."""
    loaded = []
    architectures = (models.resnet18(num_classes=2), models.resnet50(num_classes=6))
    for network, file in zip(architectures, ("model_checkpoint.pth", "best_model.pth"), strict=True):
        checkpoint = torch.load(WEIGHTS / file, weights_only=True)
        network.load_state_dict({name: value.float() for name, value in checkpoint["model_state_dict"].items()})
        loaded.append((network.eval(), checkpoint.get("temperature", 1.0)))
    return loaded


def probabilities(image: Image.Image) -> list[float]:
    """Return the probabilities of Female, Male, then of the six race labels in alphabetical order."""
    rgb = image.convert("RGB")
    result: list[float] = []
    with torch.no_grad():
        for (network, temperature), transform in zip(networks(), (GENDER, RACE), strict=True):
            result += torch.softmax(network(transform(rgb)[None]) / temperature, dim=1)[0].tolist()
    return result
