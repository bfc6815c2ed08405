"""Each operation with a Python number and with a 0-d tensor: same bits, and the bits of the torch call it stands for."""

from __future__ import annotations

import pytest
import torch

from trainloop.manual.optim.arithmetic import (
    add_scaled,
    addcdiv_scaled,
    addcmul_scaled,
    as_state,
    choose,
    scalar_tensors,
)

SCALES = (-0.1, 0.9, 1 - 0.999, 1.0, -3e-4, 1e-30, 0.0)
TWINS = {
    "add_scaled": (2, add_scaled, lambda a, b, s: torch.add(a, b, alpha=s)),
    "addcmul_scaled": (3, addcmul_scaled, lambda a, b, c, s: torch.addcmul(a, b, c, value=s)),
    "addcdiv_scaled": (3, addcdiv_scaled, lambda a, b, c, s: torch.addcdiv(a, b, c, value=s)),
    "lerp": (2, torch.lerp, torch.lerp),
    "multiply": (1, lambda a, s: a * s, torch.mul),
    "divide": (1, lambda a, s: a / (s + 2), lambda a, s: torch.div(a, s + 2)),
}
"""how many operands; ours, which takes a tensor too; torch's with a Python number"""


def operands(dtype, size=10_007):
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(size, generator=generator, dtype=dtype) for _ in range(3)]


@pytest.mark.parametrize("scale", SCALES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", TWINS)
def test_number_and_tensor_give_the_same_bits(optim, name, dtype, scale):
    count, ours, torchs = TWINS[name]
    given = operands(dtype)[:count]
    expected = torchs(*given, scale)
    assert optim.same_bits(ours(*given, scale), expected)
    assert optim.same_bits(ours(*given, torch.tensor(scale, dtype=dtype)), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_written_as_two_operations_the_sum_rounds_twice(optim, dtype):
    a, b, _ = operands(dtype)
    assert not optim.same_bits(a + b * -0.1, add_scaled(a, b, -0.1))


@pytest.mark.parametrize("flag", [True, False])
def test_choose_takes_a_bool_or_a_tensor(flag):
    yes, no = torch.tensor([1.0, 2.0]), torch.tensor([3.0, float("nan")])
    expected = yes if flag else no
    assert choose(flag, yes, no) is expected
    assert torch.equal(choose(torch.tensor(flag), yes, no).nan_to_num(), expected.nan_to_num())


@pytest.mark.parametrize("value", [0.1, torch.tensor(0.1), torch.tensor(0.1, dtype=torch.float64)], ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_as_state_keeps_the_dtype_of_the_state(value, dtype):
    state = as_state(value, torch.tensor(1.0, dtype=dtype))
    assert state.dtype == dtype
    assert state.shape == ()
    assert state.item() == pytest.approx(0.1)


def test_scalar_tensors_have_the_dtype_of_the_parameter_and_flags_are_bool():
    wide = torch.tensor(0.1, dtype=torch.float64)
    tensors = scalar_tensors({"lr": 0.1, "first": True, "wide": wide}, torch.zeros(2, dtype=torch.float32))
    assert {name: (tensor.dtype, tensor.item()) for name, tensor in tensors.items()} == {
        "lr": (torch.float32, torch.tensor(0.1).item()),
        "first": (torch.bool, True),
        "wide": (torch.float64, 0.1),
    }
