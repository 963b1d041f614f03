"""The network CenterFace, with random weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from democlass.faces import fused_block
from democlass.faces.centerface import INPUT_MULTIPLE, OUTPUT_STRIDE, OUTPUTS, CenterFace, ConvReLU, InvertedResidual
from democlass.networks.fused_convolution import is_available

SHAPE = (1, 3, 64, 96)

needs_fused = pytest.mark.skipif(not is_available(torch.device("cpu")), reason="this CPU has no fused convolutions")


@pytest.fixture
def network() -> CenterFace:
    torch.manual_seed(0)
    network = CenterFace().eval().requires_grad_(False)
    for layer in network.modules():  # outputs that neither vanish nor explode
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    return network


def image(*shape: int) -> torch.Tensor:
    values = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(1)).float()
    return values.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("height", [INPUT_MULTIPLE, 96])
def test_maps_have_a_cell_for_each_four_pixels(network: CenterFace, height: int) -> None:
    assert network(image(2, 3, height, 64)).shape == (2, OUTPUTS, height // OUTPUT_STRIDE, 64 // OUTPUT_STRIDE)


def test_it_has_the_layers_of_the_original(network: CenterFace) -> None:
    """The original has 60 convolutions, four of which are one layer here, and three transposed ones."""
    assert sum(isinstance(layer, nn.Conv2d) for layer in network.modules()) == 57
    assert sum(isinstance(layer, nn.ConvTranspose2d) for layer in network.modules()) == 3
    assert sum(value.numel() for value in network.parameters()) == 1_819_927


def test_a_face_moves_with_its_image(network: CenterFace) -> None:
    """Moved by the largest stride, the maps move too, except near the borders."""
    side, move = 512, INPUT_MULTIPLE
    wide = image(1, 3, side, side + move)
    cells, margin = move // OUTPUT_STRIDE, 60
    left, right = network(wide[..., :side])[..., cells:], network(wide[..., move:])[..., : side // 4 - cells]
    inside = slice(margin, -margin)
    assert torch.allclose(left[..., inside, inside], right[..., inside, inside], rtol=1e-3, atol=1e-2)


@needs_fused
def test_fused_convolutions_give_the_same_maps(network: CenterFace) -> None:
    network.to(memory_format=torch.channels_last)
    with torch.inference_mode():
        network.fuse(torch.Size(SHAPE))
        assert sum(layer.fused is not None for layer in network.modules() if isinstance(layer, ConvReLU)) == 56
        for shape in (SHAPE, (1, 3, 32, 160), (2, 3, 64, 64)):  # other shapes than the usual one too
            network.unfuse()
            expected = network(image(*shape))
            network.fuse(torch.Size(SHAPE))
            found = network(image(*shape))
            assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    network.unfuse()
    assert all(layer.fused is None for layer in network.modules() if isinstance(layer, ConvReLU))


@needs_fused
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_blocks_in_groups_of_channels_give_the_same_maps(
    network: CenterFace, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_block, "GROUP_BYTES", 20_000)
    network.to(dtype).to(memory_format=torch.channels_last)
    pixels = image(*SHAPE).to(dtype)
    with torch.inference_mode():
        expected = network(pixels)
        try:
            network.fuse(torch.Size(SHAPE))
        except RuntimeError:
            pytest.skip("this CPU has no fused convolutions for this number format")
        blocks = [layer for layer in network.modules() if isinstance(layer, InvertedResidual)]
        in_groups = [block.is_residual for block in blocks if block.fused is not None]
        assert set(in_groups) == {True, False} and 3 < len(in_groups) < len(blocks)
        found = network(pixels)
    tolerance = 1e-4 if dtype == torch.float32 else 0.1
    assert torch.allclose(found, expected, rtol=0, atol=tolerance * float(expected.abs().max()))
    network.unfuse()
    assert all(block.fused is None for block in blocks)


@pytest.mark.parametrize(
    ("channels", "side", "dtype", "groups"),
    [
        (96, 240, torch.float32, 3),  # 22 MB
        (96, 240, torch.bfloat16, 2),
        (96, 40, torch.float32, 1),
        (96, 2000, torch.float32, 6),  # no fewer than 16 channels
        (8, 2000, torch.float32, 1),
    ],
)
def test_large_blocks_are_divided(channels: int, side: int, dtype: torch.dtype, groups: int) -> None:
    assert fused_block.count_groups(channels, torch.Size((1, 16, side, side)), dtype) == groups


def test_the_head_may_be_more_exact_than_the_rest(network: CenterFace) -> None:
    expected = network(image(*SHAPE))
    network.to(torch.bfloat16).head.float()
    found = network(image(*SHAPE).bfloat16())
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, rtol=0, atol=0.1 * float(expected.abs().max()))


def test_a_block_adds_its_input_only_if_the_shapes_allow_it() -> None:
    x = torch.rand(1, 8, 4, 4)
    for block, shape in (
        (InvertedResidual(8, 8, stride=1, expansion=6), (1, 8, 4, 4)),
        (InvertedResidual(8, 16, stride=1, expansion=6), (1, 16, 4, 4)),
        (InvertedResidual(8, 8, stride=2, expansion=1), (1, 8, 2, 2)),
    ):
        for value in block.parameters():
            nn.init.zeros_(value)
        with torch.no_grad():
            found = block(x.clone())
        assert found.shape == shape
        assert torch.equal(found, x if block.is_residual else torch.zeros(shape))
        assert block.is_residual == (shape == x.shape)
