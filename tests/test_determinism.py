"""The context in which cuDNN is deterministic, shared by threads."""

from __future__ import annotations

import pytest
import torch

from democlass.networks.determinism import deterministic_cudnn


def flags() -> tuple[bool, bool, bool]:
    cudnn = torch.backends.cudnn
    return cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32


def test_the_flags_are_set_and_restored() -> None:
    before = flags()
    with deterministic_cudnn():
        assert flags() == (False, True, False)
    assert flags() == before != (False, True, False)


def test_the_first_to_leave_does_not_change_the_flags_of_the_others() -> None:
    before = flags()
    first, second = deterministic_cudnn(), deterministic_cudnn()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert flags() == (False, True, False)
    second.__exit__(None, None, None)
    assert flags() == before


def test_an_error_restores_them() -> None:
    before = flags()
    with pytest.raises(ValueError, match="no"), deterministic_cudnn():
        raise ValueError("no")
    assert flags() == before
