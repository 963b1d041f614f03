"""A lesson: what a network is to learn from a batch, and how far its answers are from it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torchvision.models.feature_extraction import create_feature_extractor

from democlass.train.recipe import Recipe
from democlass.train.teacher import Teaching

_FEATURES = "flatten"  # torchvision's name for what a ResNet's last layer answers from


class Pupil(nn.Module):
    """A ResNet that also guesses a teacher's features, through one more layer, from its own.

    After Romero et al., "FitNets: hints for thin deep nets", ICLR 2015, with the last features as the hint.
    """

    def __init__(self, network: nn.Module, width: int) -> None:
        super().__init__()
        self.network = network
        self.body = create_feature_extractor(network, [_FEATURES])
        self.guess = nn.Linear(network.fc.in_features, width)  # type: ignore[union-attr, arg-type]

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits of images N x 3 x H x W, and the features that the teacher is guessed to have."""
        features = self.body(images)[_FEATURES]
        return self.network.fc(features), self.guess(features)  # type: ignore[operator]


class Lesson:
    """The loss by a recipe: of the true labels, a teacher's soft labels, and a teacher's features.

    `frequencies` is each label's share of the examples, float32.
    """

    def __init__(
        self, recipe: Recipe, frequencies: torch.Tensor, teaching: Teaching | None, device: torch.device
    ) -> None:
        self._recipe, self._device = recipe, device
        self._prior = recipe.prior * frequencies.log().to(device)
        weights = 1 / frequencies if recipe.balanced else torch.ones_like(frequencies)
        self._weights = (weights / weights.mean()).to(device)
        self._soft = None if teaching is None else teaching.logits
        self._features = None if teaching is None or not recipe.feature_weight else teaching.features
        if self._features is not None:
            self._centre = self._features.mean(0, dtype=torch.float32).to(device)

    def pupil(self, network: nn.Module) -> nn.Module:
        """Return what is trained so that the network learns: itself, or a Pupil around it."""
        return network if self._features is None else Pupil(network, self._features.shape[1]).to(self._device)

    def loss(self, answer: Any, targets: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Return the loss of what the pupil answered for the examples at `places`, whose true labels are `targets`."""
        recipe = self._recipe
        logits = (answer if self._features is None else answer[0]).float()
        loss = functional.cross_entropy(
            logits + self._prior, targets.to(self._device), self._weights, label_smoothing=recipe.smoothing
        )
        if self._soft is not None:
            heat = recipe.teacher_temperature
            taught = functional.softmax(self._soft[places].to(self._device) / heat, 1)
            distance = functional.kl_div(functional.log_softmax(logits / heat, 1), taught, reduction="batchmean")
            loss = (1 - recipe.teacher_weight) * loss + recipe.teacher_weight * heat**2 * distance
        if self._features is not None:
            taught = self._features[places].to(self._device).float() - self._centre
            likeness = functional.cosine_similarity(answer[1].float(), taught)
            loss = loss + recipe.feature_weight * (1 - likeness).mean()
        return loss
