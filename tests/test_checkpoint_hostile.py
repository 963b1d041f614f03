"""Hostile checkpoints cause one line of error, and no memory is allocated for tensors that are only described."""

from __future__ import annotations

import resource
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from conftest import tiny_tasks
from democlass.errors import CheckpointError, UsageError
from democlass.networks.checkpoints import Checkpoint, load
from democlass.networks.locations import Location
from democlass.tasks import TASKS

pytestmark = pytest.mark.slow

GENDER = tiny_tasks()[0]
STATE = GENDER.network(2).state_dict()
BIAS, WEIGHT = STATE["fc.bias"], STATE["fc.weight"]


def read(file: Path, content: Any) -> Checkpoint:
    torch.save(content, file)
    checkpoint = load(Location(file), GENDER)
    checkpoint.build(GENDER)
    return checkpoint


def refusal(tmp_path: Path, content: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        read(tmp_path / "mine.pth", content)
    text = str(caught.value)
    assert text.isprintable() and len(text) < 500
    return text


def quantized() -> torch.Tensor:
    return torch.quantize_per_tensor(WEIGHT, 0.1, 0, torch.qint8)


@pytest.mark.filterwarnings("ignore")  # torch warns about deprecated kinds of tensors
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (lambda: WEIGHT.long(), "has integers"),
        (lambda: WEIGHT.to_sparse(), "sparse"),
        (lambda: WEIGHT.to_sparse_csr(), "sparse"),
        (lambda: WEIGHT.to("meta"), "without values"),
        (quantized, "quantized"),
        (lambda: WEIGHT.to(torch.complex64), "of the type complex64"),
        (lambda: WEIGHT > 0, "of the type bool"),
        (lambda: WEIGHT.to(torch.float8_e4m3fn), "of the type float8_e4m3fn"),
        (lambda: torch.tensor(1.0), "is (), expected (2, 3)"),
        (lambda: torch.zeros(()).expand(20_000, 20_000), "larger than the file"),
        (lambda: torch.zeros(2, 3, 0), "is (2, 3, 0), expected (2, 3)"),
        (lambda: torch.zeros((0,) * 60), "is (0, 0, 0"),
        (lambda: WEIGHT.double() * 1e300, "NaN or infinite"),
        (lambda: WEIGHT * float("nan"), "NaN or infinite"),
        (lambda: WEIGHT / 0, "NaN or infinite"),
        (lambda: {"fc.weight": WEIGHT}, "no model_state_dict of tensors"),
        (lambda: WEIGHT.tolist(), "no model_state_dict of tensors"),
    ],
)
def test_unusable_weights_are_refused(value: Any, expected: str, tmp_path: Path) -> None:
    assert expected in refusal(tmp_path, {"model_state_dict": {**STATE, "fc.weight": value()}})


@pytest.mark.parametrize(
    "bias", [torch.tensor(1.0), torch.zeros(0), torch.zeros(3), torch.zeros(2, 2), torch.zeros(2).long()]
)
def test_wrong_last_layer_is_refused(bias: torch.Tensor, tmp_path: Path) -> None:
    assert "fc.bias" in refusal(tmp_path, {"model_state_dict": {**STATE, "fc.bias": bias}})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([1, 2], "it contains a list"),
        (None, "it contains a NoneType"),
        ({}, "no model_state_dict of tensors"),
        ({"model_state_dict": {}}, "no model_state_dict of tensors"),
        ({"model_state_dict": {"model_state_dict": STATE}}, "no model_state_dict of tensors"),
        ({"a": 1}, "no model_state_dict of tensors"),
        ({"model_state_dict": {7: WEIGHT}}, "a tensor has the name 7"),
        ({"model_state_dict": {10**400: WEIGHT}}, "has the name (int)"),
        ({"model_state_dict": {("a", "b"): WEIGHT}}, "has the name a,b"),
        ({"model_state_dict": {"module.fc.bias": BIAS, **STATE}}, "has a tensor twice"),
        ({"model_state_dict": {"line\nbreak\x1b[31m" + "x" * 10**6: WEIGHT, **STATE}}, "line\\nbreak\\x1b[31mxxx"),
        ({"labels": ["Female"] * 10**5, **STATE}, "no model_state_dict of tensors"),
    ],
)
def test_file_without_weights_is_refused(content: Any, expected: str, tmp_path: Path) -> None:
    assert expected in refusal(tmp_path, content)


@pytest.mark.parametrize(
    "labels",
    [
        *([], ["Female"], ["Female", "Female"], ["Female", "Male", "Other"], ["Female", 2], ["Female", ["Male"]]),
        *("Female,Male", 7, {"Female": 0, "Male": 1}, BIAS, [BIAS, BIAS], [10**400, 1], ["Female"] * 10**5),
    ],
    ids=lambda labels: str(type(labels)),
)
def test_wrong_labels_are_refused(labels: Any, tmp_path: Path) -> None:
    assert "each of Female,Male once" in refusal(tmp_path, {"model_state_dict": STATE, "labels": labels})


@pytest.mark.filterwarnings("ignore")  # torch warns about sparse tensors
@pytest.mark.parametrize(
    "temperature",
    [
        *(0, -1, 1e-9, 1e9, float("nan"), float("inf"), 10**400, -(10**400), "warm", "nan", "", None, True, [1.0]),
        *(torch.ones(2), torch.ones(0), torch.ones(1).to_sparse(), torch.ones(1, device="meta"), torch.ones(1) * 1j),
    ],
    ids=lambda temperature: str(type(temperature)),
)
def test_wrong_temperature_is_refused(temperature: Any, tmp_path: Path) -> None:
    assert "has a temperature of" in refusal(tmp_path, {"model_state_dict": STATE, "temperature": temperature})


@pytest.mark.parametrize("temperature", [2, 2.0, "2", torch.tensor(2.0), nn.Parameter(torch.tensor([2.0]))])
def test_temperature_can_have_several_types(temperature: Any, tmp_path: Path) -> None:
    assert read(tmp_path / "mine.pth", {"model_state_dict": STATE, "temperature": temperature}).temperature == 2


@pytest.mark.parametrize("card", ["text", 7, None, [1, 2], BIAS])
def test_card_that_is_not_a_dict_is_ignored(card: Any, tmp_path: Path) -> None:
    assert read(tmp_path / "mine.pth", {"model_state_dict": STATE, "card": card}).card == {}


def test_too_large_card_is_ignored_with_a_warning(tmp_path: Path) -> None:
    content = {"model_state_dict": STATE, "labels": ["Female", "Male"], "card": {"text": "x" * 2**21}}
    checkpoint = read(tmp_path / "mine.pth", content)
    (warning,) = checkpoint.warnings
    assert checkpoint.card == {} and "is ignored: it is too large" in warning


def test_the_error_for_a_card_that_can_not_be_read_does_not_blame_the_weights(tmp_path: Path) -> None:
    error = refusal(tmp_path, {"model_state_dict": STATE, "card": {"number": 10**5000}})
    assert "never unpickled, for example integers of more than 255 bytes" in error
    assert "is not a checkpoint" not in error


def test_unusual_but_valid_weights_are_used(tmp_path: Path) -> None:
    unusual = OrderedDict({"fc.weight": nn.Parameter(WEIGHT.t().contiguous().t()), "fc.bias": BIAS.double()})
    unusual["fc.weight"].own_attribute = 7
    network = read(tmp_path / "mine.pth", unusual).build(GENDER)
    for name, value in network.state_dict().items():
        assert value.dtype is torch.float32 and not value.requires_grad
        torch.testing.assert_close(value, STATE[name])


@contextmanager
def memory_limit(extra: int) -> Iterator[None]:
    """Let this process allocate no more than `extra` bytes of address space."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + extra, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_tensor_that_describes_40_gigabytes_allocates_nothing(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(1).expand(100_000, 100_000), "fc.bias": BIAS}, tmp_path / "mine.pth")
    with memory_limit(2**28), pytest.raises(CheckpointError, match="larger than the file"):
        load(Location(tmp_path / "mine.pth"), TASKS[0])


def test_error_for_too_many_given_labels_is_short(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "mine.pth")
    with pytest.raises(UsageError, match="gender labels Female,") as caught:
        load(Location(tmp_path / "mine.pth"), GENDER, labels=["Female"] * 10_000)
    assert len(str(caught.value)) < 300
