"""The data loader: batches of labelled images. A seed determines their order."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from democlass.errors import ImageError, UsageError
from democlass.inputs.labels import Example
from democlass.train.heads import Heads
from democlass.train.image_reader import ImageReader
from democlass.train.pixel_changes import compress
from democlass.train.process_group import ProcessGroup


class Batch(NamedTuple):
    """This process's part of a batch.

    `pixels` is uint8 N x SIDE x SIDE x 3, `targets` the label indices int64 N x tasks, `indices` the examples' indices
    int64 N.
    """

    pixels: torch.Tensor
    targets: torch.Tensor
    indices: torch.Tensor


def check_batch_size(examples: Sequence[Example], batch_size: int, group: ProcessGroup) -> None:
    """Raise UsageError if the examples do not fill one batch, or the processes can't share it equally."""
    if batch_size % group.world_size:
        raise UsageError(f"--batch {batch_size} can't be divided among {group.world_size} processes")
    if len(examples) < batch_size:
        raise UsageError(f"{len(examples)} images are fewer than one batch of {batch_size}: use a smaller --batch")


class TrainLoader:
    """Loads the batches of a training by step. Raises UsageError as `check_batch_size` does.

    An epoch has `steps_per_epoch` steps. Examples that do not fill its last batch are left out of that epoch. `jpeg` is
    the probability that an image is replaced by a lossy JPEG copy. `targets` are those of all examples, int64 N x
    tasks.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        heads: Heads,
        batch_size: int,
        seed: int,
        group: ProcessGroup,
        reader: ImageReader,
        *,
        jpeg: float = 0.0,
    ) -> None:
        check_batch_size(examples, batch_size, group)
        self.examples = examples
        self.steps_per_epoch = len(examples) // batch_size
        self._batch_size, self._seed, self._group = batch_size, seed, group
        self._reader, self._jpeg = reader, jpeg
        self.targets = heads.encode(examples)
        self._epoch_order = lru_cache(maxsize=2)(self._shuffle)

    def batches(self, steps: int, first_step: int) -> Generator[Batch]:
        """Yield the batch of each step from `first_step` up to the number of `steps`.

        Raises UsageError if an image can't be read any more.
        """

        def load(position: tuple[int, int]) -> NDArray[np.uint8]:
            step, index = position
            return self._load(index, epoch=step // self.steps_per_epoch)

        positions = ((step, index) for step in range(first_step, steps) for index in self._batch_indices(step))
        ahead = 2 * self._batch_size // self._group.world_size
        with closing(self._reader.map(load, positions, ahead=ahead)) as images:
            for step in range(first_step, steps):
                indices = self._batch_indices(step)
                pixels = np.stack([next(images) for _ in indices])
                if step == steps - 1:
                    next(images, None)  # run the generator to its end: closing it earlier would close the reader
                yield Batch(torch.from_numpy(pixels), self.targets[indices], torch.tensor(indices))

    def _load(self, index: int, epoch: int) -> NDArray[np.uint8]:
        path = self.examples[index].path
        try:
            pixels = self._reader(path)
        except ImageError as error:
            raise UsageError(f"{path} can't be read any more: {error}; restore it, then use --resume") from None
        rng = np.random.default_rng((self._seed, epoch, index))
        return compress(pixels, rng) if rng.random() < self._jpeg else pixels

    def _batch_indices(self, step: int) -> list[int]:
        """Return the indices of the examples in this process's part of a batch. Each epoch has its own order."""
        epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
        start = step_in_epoch * self._batch_size
        batch = self._epoch_order(epoch)[start : start + self._batch_size]
        return [int(index) for index in batch[self._group.rank :: self._group.world_size]]

    def _shuffle(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng((self._seed, epoch)).permutation(len(self.examples))
