"""The objective: the loss of a training, with the knowledge distillation from a teacher."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torchvision.models.feature_extraction import create_feature_extractor

from democlass.train.recipe import Recipe
from democlass.train.teacher import TeacherOutputs

_FEATURES = "flatten"  # torchvision's name for the input of a ResNet's last layer


class StudentNetwork(nn.Module):
    """A ResNet with one more linear layer, which predicts the teacher's features from the network's own.

    After Romero et al., "FitNets: hints for thin deep nets", ICLR 2015, with the input of the last layer as the hint.
    """

    def __init__(self, network: nn.Module, teacher_width: int) -> None:
        super().__init__()
        self.network = network
        self.body = create_feature_extractor(network, [_FEATURES])
        self.projection = nn.Linear(network.fc.in_features, teacher_width)  # type: ignore[union-attr, arg-type]

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits (N x labels) and predicted teacher features (N x width) for images N x 3 x H x W."""
        features = self.body(images)[_FEATURES]
        return self.network.fc(features), self.projection(features)  # type: ignore[operator]


class Objective:
    """The loss of a recipe: cross-entropy with the labels, and the distances to a teacher's logits and features.

    `frequencies` is each label's share of the examples, float32. `teacher` is None without a teacher.
    """

    def __init__(
        self, recipe: Recipe, frequencies: torch.Tensor, teacher: TeacherOutputs | None, device: torch.device
    ) -> None:
        self._recipe, self._device = recipe, device
        self._logit_adjustment = recipe.prior * frequencies.log().to(device)
        weights = 1 / frequencies if recipe.balanced else torch.ones_like(frequencies)
        self._label_weights = (weights / weights.mean()).to(device)
        self._teacher_logits = None if teacher is None else teacher.logits
        self._teacher_features = None if teacher is None or not recipe.feature_weight else teacher.features
        if self._teacher_features is not None:
            self._mean_features = self._teacher_features.mean(0, dtype=torch.float32).to(device)

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the module to train: the network, or a StudentNetwork around it if features are distilled."""
        if self._teacher_features is None:
            return network
        return StudentNetwork(network, self._teacher_features.shape[1]).to(self._device)

    def loss(self, output: Any, targets: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of a batch, a scalar.

        `output` is what the module of `wrap` returned; `targets` (int64 N) are the labels; `indices` (int64 N) select
        the examples' rows in the teacher's outputs.
        """
        recipe = self._recipe
        logits = (output if self._teacher_features is None else output[0]).float()
        loss = self._label_loss(logits, targets)
        if self._teacher_logits is not None:
            distance = self._distillation_loss(logits, self._teacher_logits[indices])
            loss = (1 - recipe.teacher_weight) * loss + recipe.teacher_weight * distance
        if self._teacher_features is not None:
            loss = loss + recipe.feature_weight * self._feature_loss(output[1], self._teacher_features[indices])
        return loss

    def _label_loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(
            logits + self._logit_adjustment,
            targets.to(self._device),
            self._label_weights,
            label_smoothing=self._recipe.smoothing,
        )

    def _distillation_loss(self, logits: torch.Tensor, teacher_logits: torch.Tensor) -> torch.Tensor:
        """Return the Kullback-Leibler divergence from the teacher's probabilities, scaled as Hinton et al. do."""
        temperature = self._recipe.teacher_temperature
        teacher = functional.softmax(teacher_logits.to(self._device) / temperature, 1)
        student = functional.log_softmax(logits / temperature, 1)
        return temperature**2 * functional.kl_div(student, teacher, reduction="batchmean")

    def _feature_loss(self, predicted: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Return the mean cosine distance to the teacher's features, which are centred first."""
        centred = features.to(self._device).float() - self._mean_features
        return (1 - functional.cosine_similarity(predicted.float(), centred)).mean()
