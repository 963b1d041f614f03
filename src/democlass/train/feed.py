"""The feed: batches of labelled views, decoded ahead; which images, in which order and cut how, a seed decides."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from functools import lru_cache

import numpy as np
import torch

from democlass.errors import ImageError, UsageError
from democlass.inputs.labels import Example
from democlass.tasks import Task
from democlass.train.judge import targets_of
from democlass.train.reader import Reader
from democlass.train.together import Share
from democlass.train.views import crop


def check_batch(examples: Sequence[Example], batch: int, share: Share) -> None:
    """Raise UsageError where there is no whole batch, or where it can't be divided among the processes."""
    if batch % share.world:
        raise UsageError(f"--batch {batch} can't be shared by {share.world} processes")
    if len(examples) < batch:
        raise UsageError(f"{len(examples)} images are less than one batch of {batch}: see --batch")


class Feed:
    """All views of a data set, by the step in which they are learned from. Raises UsageError, as `check_batch` does."""

    def __init__(
        self, examples: Sequence[Example], task: Task, batch: int, seed: int, share: Share, read: Reader
    ) -> None:
        check_batch(examples, batch, share)
        self.examples = examples
        self.steps_a_pass = len(examples) // batch
        self._task, self._batch, self._seed, self._share = task, batch, seed, share
        self._read = read
        self._targets = targets_of(examples, task)
        self._order = lru_cache(maxsize=2)(self._shuffled)

    @property
    def frequencies(self) -> torch.Tensor:
        """Each label's share of the examples: float32, in the task's order."""
        counts = torch.bincount(self._targets, minlength=len(self._task.labels)).float()
        return counts.clamp(min=1) / counts.sum()

    def batches(self, sizes: Sequence[int], start: int) -> Generator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Yield, for each step from `start` on, views uint8 N x size x size x 3, targets N, and which examples N.

        `sizes` are the image sizes of all steps. Raises UsageError where an image can't be read any more.
        """
        share = self._share
        chosen = ((step, place) for step in range(start, len(sizes)) for place in self._chosen(step))

        def view(asked: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
            step, place = asked
            chance = np.random.default_rng((self._seed, step // self.steps_a_pass, place))
            path = self.examples[place].path
            try:
                return crop(self._read(path), sizes[step], chance)
            except ImageError as error:
                raise UsageError(f"{path} can't be read any more: {error}; restore it, then use --resume") from None

        with closing(self._read.each(view, chosen, ahead=2 * self._batch // share.world)) as views:
            for step in range(start, len(sizes)):
                places = self._chosen(step)
                pixels = np.stack([next(views) for _ in places])
                if step == len(sizes) - 1:
                    next(views, None)  # ends it, which leaves the reader open
                yield torch.from_numpy(pixels), self._targets[places], torch.tensor(places)

    def _chosen(self, step: int) -> list[int]:
        """Return the places of the examples of a step: each pass has all of them once, in an order of its own."""
        number, within = divmod(step, self.steps_a_pass)
        batch = self._order(number)[within * self._batch : (within + 1) * self._batch]
        return [int(place) for place in batch[self._share.rank :: self._share.world]]

    def _shuffled(self, number: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        return np.random.default_rng((self._seed, number)).permutation(len(self.examples))
