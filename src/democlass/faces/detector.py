"""Detector: finds the faces in the reduced image of a photo."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from democlass.errors import CheckpointError, DemoclassError
from democlass.faces.centerface import INPUT_MULTIPLE, OUTPUT_STRIDE, CenterFace
from democlass.faces.maps import read_maps
from democlass.networks.batcher import Batcher
from democlass.networks.checkpoint_files import read
from democlass.networks.determinism import deterministic_cudnn
from democlass.networks.fused_convolution import is_available
from democlass.networks.locations import built_in_folder
from democlass.settings import Precision

CHECKPOINT = "centerface.pth"

_BATCH_PIXELS = 16 * 640 * 640
"""Pixels of a batch on a GPU, so that larger images need no more memory."""

_MAX_WAIT = 0.002
"""Seconds that a photo waits for others to fill its batch on a GPU."""

_MAX_CLOSING = 5.0
"""Seconds that the end of a detector waits for its thread."""

_CHECK_SIDE = 64
_TOLERANCES = {torch.float32: 1e-3, torch.bfloat16: 0.2}
"""Maximum difference of the maps of fused convolutions from the others, relative to the largest value."""


class Detector:
    """CenterFace on one device. Threads may share it.

    On a CPU each image is a batch of its own, in one thread. On a GPU, or with `batched`, the images of several threads
    share batches of a fixed size and shape, in which each is padded. So the faces found in an image do not depend on
    other images. The thread that runs the batches ends with this object.

    `sha256` is the hash of the file with the weights, in hex, and `location` its path.
    """

    def __init__(
        self,
        network: CenterFace,
        device: torch.device,
        precision: Precision,
        face_size: int,
        *,
        location: Path,
        sha256: str,
        batched: bool | None = None,
    ) -> None:
        self.device, self.location, self.sha256 = device, location, sha256
        # float16 would be no faster than float32 here: on most CPUs it is emulated, and GPUs have little to do.
        self._dtype = torch.bfloat16 if precision is Precision.BFLOAT16 else torch.float32
        network.eval().requires_grad_(False)
        self._network = network.to(device, self._dtype).to(memory_format=torch.channels_last)
        self._network.head.float()
        if device.type == "cpu":
            _fuse_if_correct(self._network, self._dtype, face_size)
        self._batcher: Batcher[NDArray[np.uint8], torch.Tensor] | None = None
        if batched if batched is not None else device.type != "cpu":
            batches = _Batches(self._network, device, self._dtype, _padded(face_size))
            self._batcher = Batcher(batches.run, max_size=batches.size, threads=1, max_wait=_MAX_WAIT)
            # Also at the end of the process, which a thread that still uses a GPU would abort.
            weakref.finalize(self, self._batcher.close, timeout=_MAX_CLOSING)

    @classmethod
    def load(
        cls, device: torch.device, precision: Precision, face_size: int, *, batched: bool | None = None
    ) -> Detector:
        """Load the built-in detector for images with a longest side of at most `face_size` pixels.

        Raises CheckpointError.
        """
        path = built_in_folder() / CHECKPOINT
        contents = read(path)
        network = CenterFace()
        try:
            network.load_state_dict(contents.state)
        except RuntimeError as error:
            raise CheckpointError(f"{path} is not the face detector: {str(error).splitlines()[0]}") from None
        return cls(network, device, precision, face_size, location=path, sha256=contents.sha256, batched=batched)

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the faces in an RGB image, uint8 H x W x 3: float32 N x 15, as `maps.read_maps` describes them.

        Raises DemoclassError if a GPU has too little memory.
        """
        # Functions such as sigmoid give other last digits at the ends of the parts that threads divide a tensor into.
        with _one_thread():
            maps = self._run_alone(image) if self._batcher is None else self._batcher.submit(image).result()
            height, width = (-(-side // OUTPUT_STRIDE) for side in image.shape[:2])
            return read_maps(maps[:, :height, :width])  # without the padding

    @torch.inference_mode()
    def _run_alone(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """Return the maps of one image, 15 x H x W, with padding."""
        height, width = image.shape[:2]
        pixels = _pad([image], 1, _padded(height), _padded(width))
        maps: torch.Tensor = self._network(pixels.to(self.device, self._dtype))[0]
        return maps


class _Batches:
    """Runs the network on batches of one size and shape: `size` images of `side` x `side` pixels."""

    def __init__(self, network: CenterFace, device: torch.device, dtype: torch.dtype, side: int) -> None:
        self.network, self.device, self.dtype, self.side = network, device, dtype, side
        self.size = max(1, _BATCH_PIXELS // side**2)

    @torch.inference_mode()
    def run(self, images: Sequence[NDArray[np.uint8]]) -> list[torch.Tensor]:
        """Return the maps of at most `size` images, each 15 x H x W, with padding. Raises DemoclassError."""
        pixels = _pad(images, self.size, self.side, self.side)
        try:
            with deterministic_cudnn():
                maps = self.network(pixels.to(self.device).to(self.dtype)).cpu()
        except torch.OutOfMemoryError:
            advice = "try a smaller face size, or the device cpu"
            raise DemoclassError(f"{self.device} has too little memory to find faces: {advice}") from None
        return list(maps[: len(images)])


def _pad(images: Sequence[NDArray[np.uint8]], count: int, height: int, width: int) -> torch.Tensor:
    """Return the images in the left top corners of `count` black ones, uint8 count x 3 x height x width."""
    pixels = torch.zeros((count, height, width, 3), dtype=torch.uint8)
    for place, image in enumerate(images):
        pixels.numpy()[place, : image.shape[0], : image.shape[1]] = image
    return pixels.permute(0, 3, 1, 2)


def _padded(side: int) -> int:
    return -(-side // INPUT_MULTIPLE) * INPUT_MULTIPLE


def _fuse_if_correct(network: CenterFace, dtype: torch.dtype, face_size: int) -> None:
    """Use fused convolutions if this CPU has them and they give the same maps."""
    if not is_available(torch.device("cpu")):
        return
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (1, 3, _CHECK_SIDE, _CHECK_SIDE), generator=generator).to(dtype)
    noise = noise.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), _one_thread():
        expected = network(noise)
        try:
            network.fuse(torch.Size((1, 3, _padded(face_size * 3 // 4), _padded(face_size))))
            found = network(noise)
        except RuntimeError:
            network.unfuse()
            return
    tolerance = _TOLERANCES[dtype] * max(1.0, float(expected.abs().max()))
    if not torch.allclose(found, expected, rtol=0, atol=tolerance):
        network.unfuse()


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
