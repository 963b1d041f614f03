"""Detector: finds the faces in the reduced image of a photo."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from democlass.errors import CheckpointError
from democlass.faces.centerface import INPUT_MULTIPLE, OUTPUT_STRIDE, CenterFace
from democlass.faces.maps import read_maps
from democlass.networks.batcher import Batcher
from democlass.networks.checkpoint_files import read
from democlass.networks.fused_convolution import is_available
from democlass.networks.locations import built_in_folder
from democlass.networks.networks import DTYPES, deterministic_cudnn
from democlass.settings import Precision

CHECKPOINT = "centerface.pth"

_GPU_BATCH = 16
_MAX_WAIT = 0.002
"""Seconds that a photo waits for others to fill its batch on a GPU."""

_CHECK_SIDE = 64
_TOLERANCES = {torch.float32: 1e-3, torch.bfloat16: 0.2}
"""Maximum difference of the maps of fused convolutions from the others, relative to the largest value."""


class Detector:
    """CenterFace on one device. Threads may share it.

    On a CPU each image is a batch of its own, in one thread. On a GPU the images of several threads share batches of
    a fixed size and shape, in which each is padded. So the faces found in an image do not depend on other images.
    """

    def __init__(self, network: CenterFace, device: torch.device, precision: Precision, face_size: int) -> None:
        self.device = device
        self._dtype = DTYPES[precision]
        network.eval().requires_grad_(False)
        self._network = network.to(device, self._dtype).to(memory_format=torch.channels_last)
        self._network.head.float()
        self._canvas = _padded(face_size), _padded(face_size)
        self._batcher: Batcher[NDArray[np.uint8], torch.Tensor] | None = None
        if device.type == "cpu":
            self._fuse_if_correct(face_size)
        else:
            self._batcher = Batcher(self._run_batch, max_size=_GPU_BATCH, threads=1, max_wait=_MAX_WAIT)

    @classmethod
    def load(cls, device: torch.device, precision: Precision, face_size: int) -> Detector:
        """Load the built-in detector for images with a longest side of at most `face_size` pixels.

        Raises CheckpointError.
        """
        path = location()
        network = CenterFace()
        try:
            network.load_state_dict({name: value.float() for name, value in read(path).state.items()})
        except RuntimeError as error:
            raise CheckpointError(f"{path} is not the face detector: {str(error).splitlines()[0]}") from None
        return cls(network, device, precision, face_size)

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the faces in an RGB image, uint8 H x W x 3: float32 N x 15, as `maps.read_maps` describes them."""
        maps = self._run_alone(image) if self._batcher is None else self._batcher.submit(image).result()
        height, width = (-(-side // OUTPUT_STRIDE) for side in image.shape[:2])
        return read_maps(maps[:, :height, :width])  # without the padding

    def close(self) -> None:
        """End the thread that runs the network on a GPU."""
        if self._batcher is not None:
            self._batcher.close()

    @torch.inference_mode()
    def _run_alone(self, image: NDArray[np.uint8]) -> torch.Tensor:
        height, width, _ = image.shape
        pixels = torch.zeros((1, _padded(height), _padded(width), 3), dtype=torch.uint8)
        pixels.numpy()[0, :height, :width] = image
        with _one_thread():
            maps: torch.Tensor = self._network(pixels.permute(0, 3, 1, 2).to(self._dtype))[0]
        return maps

    @torch.inference_mode()
    def _run_batch(self, images: Sequence[NDArray[np.uint8]]) -> list[torch.Tensor]:
        pixels = torch.zeros((_GPU_BATCH, *self._canvas, 3), dtype=torch.uint8)
        for place, image in enumerate(images):
            height, width, _ = image.shape
            pixels.numpy()[place, :height, :width] = image
        with deterministic_cudnn():
            moved = pixels.to(self.device).permute(0, 3, 1, 2).to(self._dtype)
            maps = self._network(moved).cpu()
        return list(maps[: len(images)])

    def _fuse_if_correct(self, face_size: int) -> None:
        """Use fused convolutions if this CPU has them and they give the same maps."""
        if not is_available(self.device) or self._dtype not in _TOLERANCES:
            return
        generator = torch.Generator().manual_seed(0)
        noise = torch.randint(0, 256, (1, 3, _CHECK_SIDE, _CHECK_SIDE), generator=generator).to(self._dtype)
        noise = noise.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), _one_thread():
            expected = self._network(noise)
            try:
                self._network.fuse(torch.Size((1, 3, _padded(face_size * 3 // 4), _padded(face_size))))
                found = self._network(noise)
            except RuntimeError:
                self._network.unfuse()
                return
        tolerance = _TOLERANCES[self._dtype] * max(1.0, float(expected.abs().max()))
        if not torch.allclose(found, expected, rtol=0, atol=tolerance):
            self._network.unfuse()


def location() -> Path:
    """Return the path of the built-in detector."""
    return built_in_folder() / CHECKPOINT


def _padded(side: int) -> int:
    return -(-side // INPUT_MULTIPLE) * INPUT_MULTIPLE


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let the calling thread use one CPU core: the loader's threads each have a photo, and do not wait for others."""
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
