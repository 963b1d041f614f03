"""Augmentation: what each setting changes, and that a seed determines all of it."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch

from democlass.errors import UsageError
from democlass.train.augmentation import Augmentation, augment
from democlass.train.framing import frame
from democlass.train.mixing import mix
from democlass.train.pixel_changes import blur, compress, erase, jitter_colours

OFF = Augmentation(**{field.name: 0.0 for field in fields(Augmentation)})
EVERYTHING = Augmentation(0.2, 0.3, 0.1, 10.0, 0.3, 0.5, 0.5, 0.5, 0.4, 1.0)


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 6, height: int = 40, width: int = 40) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=random(7))


def smooth_images(count: int = 6) -> torch.Tensor:
    return torch.nn.functional.interpolate(images(count, 4, 4), (64, 64), mode="bilinear")


def test_the_seed_determines_everything() -> None:
    one, how = augment(images(), 32, EVERYTHING, 1)
    two, _ = augment(images(), 32, EVERYTHING, 1)
    other, _ = augment(images(), 32, EVERYTHING, 2)
    assert one.shape == (6, 3, 32, 32) and how is not None
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_without_augmentation_images_are_only_mirrored_and_stretched_a_little() -> None:
    before = smooth_images(100)
    after, how = augment(before, 64, OFF, 0)
    assert how is None
    to_image = (after - before).abs().mean((1, 2, 3))
    to_mirror = (after - before.flip(3)).abs().mean((1, 2, 3))
    assert torch.minimum(to_image, to_mirror).max() < 0.03
    assert 30 < int((to_mirror < to_image).sum()) < 70


def test_a_crop_shows_a_part_of_the_image_and_a_zoom_out_more_than_it() -> None:
    column = torch.linspace(0, 1, 100).expand(200, 3, 100, 100)
    cropped = frame(column, 100, Augmentation(crop=0.4, zoom_out=0.0, shift=0.0, rotation=0.0), random())
    widths = cropped[:, 0, 50].amax(1) - cropped[:, 0, 50].amin(1)
    assert 0.55 < widths.min() < 0.65 and widths.max() > 0.95
    zoomed = frame(column, 100, Augmentation(crop=0.0, zoom_out=1.0, shift=0.0, rotation=0.0), random())
    is_edge = ((zoomed[:, 0, 50] == 0) | (zoomed[:, 0, 50] >= 0.99)).float().mean(1)
    assert is_edge.max() > 0.4  # up to half of the frame is outside the image


def test_outside_an_image_is_its_edge_or_a_part_of_another_image() -> None:
    colours = torch.arange(200.0).view(200, 1, 1, 1).expand(200, 3, 20, 20)
    zoomed = frame(colours, 20, Augmentation(crop=0.0, zoom_out=1.0, shift=0.0, rotation=0.0), random())
    others = (colours.roll(1, 0) - zoomed).abs().amin((1, 2, 3)) < 1e-3
    own = (colours - zoomed).abs().amax((1, 2, 3)) < 1e-3
    assert torch.logical_xor(others, own).all() and 60 < int(others.sum()) < 140


def test_a_smaller_size_is_antialiased() -> None:
    stripes = (torch.arange(96) % 2).float().expand(4, 3, 96, 96)
    assert (frame(stripes, 24, OFF, random()) - 0.5).abs().max() < 0.2


def test_colours_keep_their_places_and_some_images_become_grey() -> None:
    before = images(400)
    after = jitter_colours(before, 0.3, random())
    is_grey = (after - after.mean(1, keepdim=True)).abs().amax((1, 2, 3)) < 1e-6
    assert 10 < int(is_grey.sum()) < 60
    assert not torch.allclose(after, before) and jitter_colours(before, 0.0, random()) is before


def test_blur_removes_detail_and_keeps_the_mean() -> None:
    before = images(8)
    after = blur(before, 1.0, random())
    assert (after.std((2, 3)) < before.std((2, 3))).all()
    assert torch.allclose(after.mean((2, 3)), before.mean((2, 3)), atol=0.05)
    assert torch.equal(blur(before, 0.0, random()), before)
    flat = torch.full((3, 3, 16, 16), 0.25)
    assert torch.allclose(blur(flat, 1.0, random()), flat, atol=1e-6)


def test_an_erased_rectangle_has_the_mean_colour() -> None:
    before = torch.ones(300, 3, 50, 50)
    after = erase(before, 0.5, random())
    shares = (after == 0).float().mean((1, 2, 3))
    assert 100 < int((shares > 0).sum()) < 200 and shares[shares > 0].min() > 0.005 and shares.max() < 0.14
    is_erased = (after[shares > 0][0, 0] == 0).float()
    assert torch.equal(is_erased, is_erased.amax(1, keepdim=True) * is_erased.amax(0, keepdim=True))


def test_jpeg_copies_differ_a_little() -> None:
    pixels = np.random.default_rng(0).integers(100, 120, (32, 32, 3), dtype=np.uint8)
    copy = compress(pixels, np.random.default_rng(1))
    assert copy.shape == pixels.shape and copy.dtype == np.uint8
    assert 0 < np.abs(copy.astype(int) - pixels).mean() < 20
    assert np.array_equal(copy, compress(pixels, np.random.default_rng(1)))


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0.0), (0.0, 1.0)])
def test_mixed_images_have_the_share_of_their_partner(mixup: float, cutmix: float) -> None:
    numbers = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 3, 64, 64)
    mixed, how = mix(numbers, mixup, cutmix, random(3))
    assert sorted(how.partners.tolist()) == list(range(8)) and 0 <= how.share <= 1
    expected = (1 - how.share) * torch.arange(8.0) + how.share * how.partners
    assert torch.allclose(mixed.mean((1, 2, 3)), expected, atol=1e-3)


def test_with_both_each_batch_uses_mixup_or_cutmix() -> None:
    numbers = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 32, 32)
    kinds = {bool((mix(numbers, 1.0, 1.0, random(seed))[0] % 1).any()) for seed in range(20)}
    assert kinds == {True, False}  # only mixup makes new colours


@pytest.mark.parametrize(
    ("name", "value"), [("crop", 0.95), ("zoom_out", -0.1), ("rotation", float("nan")), ("jpeg", 1.5), ("mixup", 9.0)]
)
def test_numbers_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} {value}: it must be 0 to"):
        Augmentation(**{name: value})
