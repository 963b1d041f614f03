"""The objective: the loss of a training, with the knowledge distillation from a teacher."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torchvision.models.feature_extraction import create_feature_extractor

from democlass.train.heads import MISSING, Heads
from democlass.train.mixing import Mix
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
        """Return logits (N x outputs) and predicted teacher features (N x width) for images N x 3 x H x W."""
        features = self.body(images)[_FEATURES]
        return self.network.fc(features), self.projection(features)  # type: ignore[operator]


class Objective:
    """The loss of a recipe: cross-entropy with the labels, and the distances to a teacher's logits and features.

    `targets` is int64 N x tasks, as `Heads.encode` returns it for all examples. `teacher` is None without a teacher; it
    teaches the main task.
    """

    def __init__(
        self, recipe: Recipe, heads: Heads, targets: torch.Tensor, teacher: TeacherOutputs | None, device: torch.device
    ) -> None:
        self._recipe, self._heads, self._device = recipe, heads, device
        self._label_losses = [
            _LabelLoss(recipe, targets[:, column], len(task.labels), device) for column, task in enumerate(heads.tasks)
        ]
        self._teacher_logits = None if teacher is None else teacher.logits
        self._teacher_features = None if teacher is None or not recipe.feature_weight else teacher.features
        if self._teacher_features is not None:
            self._mean_features = self._teacher_features.mean(0, dtype=torch.float32).to(device)

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the module to train: the network, or a StudentNetwork around it if features are distilled."""
        if self._teacher_features is None:
            return network
        return StudentNetwork(network, self._teacher_features.shape[1]).to(self._device)

    def loss(self, output: Any, targets: torch.Tensor, indices: torch.Tensor, mix: Mix | None = None) -> torch.Tensor:
        """Return the mean loss of a batch, a scalar.

        `output` is what the module of `wrap` returned; `targets` (int64 N x tasks) are the labels; `indices` (int64 N)
        select the examples' rows in the teacher's outputs. The loss of mixed images is the mean of the losses for
        both of their examples, weighed by their shares.
        """
        logits = self._heads.split((output if self._teacher_features is None else output[0]).float())
        features = None if self._teacher_features is None else output[1].float()
        loss = self._unmixed_loss(logits, features, targets, indices)
        if mix is None:
            return loss
        partners = self._unmixed_loss(logits, features, targets[mix.partners], indices[mix.partners])
        return (1 - mix.share) * loss + mix.share * partners

    def _unmixed_loss(
        self,
        logits: dict[str, torch.Tensor],
        features: torch.Tensor | None,
        targets: torch.Tensor,
        indices: torch.Tensor,
    ) -> torch.Tensor:
        recipe = self._recipe
        losses = [
            label_loss(part, targets[:, column].to(self._device))
            for column, (part, label_loss) in enumerate(zip(logits.values(), self._label_losses, strict=True))
        ]
        if self._teacher_logits is not None:
            distance = self._distillation_loss(logits[self._heads.main.name], self._teacher_logits[indices])
            losses[0] = (1 - recipe.teacher_weight) * losses[0] + recipe.teacher_weight * distance
        if features is not None and self._teacher_features is not None:
            losses.append(recipe.feature_weight * self._feature_loss(features, self._teacher_features[indices]))
        return torch.stack(losses).sum()

    def _distillation_loss(self, logits: torch.Tensor, teacher_logits: torch.Tensor) -> torch.Tensor:
        """Return the Kullback-Leibler divergence from the teacher's probabilities, scaled as Hinton et al. do."""
        temperature = self._recipe.teacher_temperature
        teacher = functional.softmax(teacher_logits.to(self._device) / temperature, 1)
        student = functional.log_softmax(logits / temperature, 1)
        return temperature**2 * functional.kl_div(student, teacher, reduction="batchmean")

    def _feature_loss(self, predicted: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Return the mean cosine distance to the teacher's features, which are centred first."""
        centred = features.to(self._device).float() - self._mean_features
        return (1 - functional.cosine_similarity(predicted, centred)).mean()


class _LabelLoss:
    """The cross-entropy with the labels of one task; `targets` (int64 N) are those of all examples."""

    def __init__(self, recipe: Recipe, targets: torch.Tensor, labels: int, device: torch.device) -> None:
        # A label that no example has counts once, so that all numbers are finite.
        counts = torch.bincount(targets[targets != MISSING], minlength=labels).float().clamp(min=1)
        frequencies = counts / counts.sum()
        self._logit_adjustment = recipe.prior * frequencies.log().to(device)
        weights = 1 / frequencies if recipe.balanced else torch.ones_like(frequencies)
        self._label_weights = (weights / weights.mean()).to(device)
        self._smoothing = recipe.smoothing

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of the examples that have a label, 0 if none has."""
        if not bool((targets != MISSING).any()):
            return logits.sum() * 0
        return functional.cross_entropy(
            logits + self._logit_adjustment,
            targets,
            self._label_weights,
            ignore_index=MISSING,
            label_smoothing=self._smoothing,
        )
