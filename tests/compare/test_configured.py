"""A candidate whose convolutions a kernel does: right, wrong, and wrong where float64 does not see it."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainloop.compare.pipeline import Extras, compare_sides
from trainloop.compare.run import Settings
from trainloop.compare.settings import Plugins, describe_sides
from trainloop.errors import PluginError

NET = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, num_classes):
        convolutions = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=2)
        super().__init__(*convolutions, nn.Flatten(), nn.Linear(36, num_classes))
"""
KERNELS = """
import torch
from torch.nn import grad

def right(*arguments):
    return torch.conv2d(*arguments)

def grad_input(grad_output, weight, input_shape, *geometry):
    return grad.conv2d_input(input_shape, weight, grad_output, *geometry)

def grad_weight(grad_output, input, weight_shape, *geometry):
    return grad.conv2d_weight(input, weight_shape, grad_output, *geometry)

def flipped(input, weight, *rest):
    return right(input, weight.flip(2, 3), *rest)

def in_float32(input, weight, *rest):
    return flipped(input, weight, *rest)

def in_float32_supports(input, *rest):
    return None if input.dtype == torch.float32 else "float32 alone"

def branches(input, weight, *rest):
    return (right if input.dtype == torch.float64 else flipped)(input, weight, *rest)

def raises(*arguments):
    raise ValueError("out of luck")

for name in ("right", "flipped", "in_float32", "branches", "unflipped", "raises"):
    globals()[f"{name}_grad_input"], globals()[f"{name}_grad_weight"] = grad_input, grad_weight
unflipped = right

def unflipped_grad_input(grad_output, weight, *rest):
    return grad_input(grad_output, weight.flip(2, 3), *rest)
"""
OVERRIDES = [
    *("data.dataset=cifar10-mini", "data.image_size=8", "model.name=net.py:Net", "device=cpu", "threads=1"),
    *("optimizer={name: sgd, lr: 0.1}", "train={batch_size: 4, max_steps: 2}"),
]


@pytest.fixture
def verdict_of(tmp_path, monkeypatch):
    """Return what compares with a choice of algorithms."""
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "kernels.py").write_text(KERNELS)
    monkeypatch.chdir(tmp_path)

    def compared(conv):
        sides = describe_sides(None, OVERRIDES, plugins=Plugins(conv=conv), files=[Path("net.py")])
        return compare_sides(sides, Settings(2, cases=False), Extras(0))

    return compared


@pytest.mark.parametrize("conv", ["winograd", "im2col", "fft", "kernels.py:right"])
def test_a_right_kernel_is_equal_up_to_rounding(verdict_of, conv):
    found = verdict_of(conv)
    assert found.passed, found.reason
    assert found.candidate == f"manual, stages.conv={conv},aten"


@pytest.mark.parametrize(
    ("name", "stage", "cause"),
    [
        ("flipped", "forward", "kernel flipped (a true convolution)"),
        ("unflipped", "backward", "kernel flipped in grad_input"),
        ("in_float32", "forward", "kernel flipped (a true convolution)"),
        ("branches", "forward", "kernel flipped (a true convolution)"),
    ],
)
def test_a_wrong_kernel_is_different_in_its_stage_with_its_cause(verdict_of, name, stage, cause):
    found = verdict_of(f"kernels.py:{name}")
    assert (found.verdict, found.first.stage, found.cause.name) == ("different", stage, cause), found.reason


def test_a_copy_in_float64_is_never_done_by_another_algorithm_of_the_order(verdict_of):
    found = verdict_of("kernels.py:in_float32")
    assert any(
        "the candidate does not compute in float64" in remark and "float32 alone" in remark for remark in found.remarks
    )


def test_a_kernel_that_looks_at_the_dtype_is_found_out(verdict_of):
    found = verdict_of("kernels.py:branches")
    assert any("not by the kernel that ran" in remark for remark in found.remarks)


def test_a_kernel_that_raises_is_an_error_and_no_verdict(verdict_of):
    with pytest.raises(PluginError, match="raised in forward of n4 c3 o4 h8 k3 p1") as caught:
        verdict_of("kernels.py:raises")
    assert caught.value.exit_code == 2
