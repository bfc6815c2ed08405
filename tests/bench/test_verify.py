"""Every way in which a result can be wrong, and the errors of right ones."""

from __future__ import annotations

import math

import pytest
import torch

from trainloop.bench import verify
from trainloop.bench.operands import NUM_SETS, Operands, draw
from trainloop.bench.verify import Right, allowed_error, fault_of_operands, fault_of_type, fault_of_values
from trainloop.bench.words import parse_words
from trainloop.manual.conv import CONV2D
from trainloop.tolerance import tolerance

SHAPE = (3, 6, 5, 7)


def operands(text="n3 c4 o6 h5 w7 k3 p1", direction="forward"):
    job = parse_words(text).job()
    return Operands(job, direction, [draw(job, direction, n, seed=0, bias=False) for n in range(NUM_SETS)], "nchw")


@pytest.fixture
def exact():
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_a_tensor_of_the_right_kind_passes():
    assert fault_of_type(torch.zeros(SHAPE), operands()) is None


@pytest.mark.parametrize("result", [None, (torch.zeros(SHAPE),), 3.0])
def test_what_is_no_tensor_is_a_fault(result):
    assert fault_of_type(result, operands()) == f"it returned a {type(result).__name__} instead of a tensor"


def test_a_parameter_is_not_a_plain_tensor():
    assert fault_of_type(torch.nn.Parameter(torch.zeros(SHAPE)), operands()) == (
        "it returned a Parameter instead of a tensor"
    )


def test_a_wrong_shape_is_told_with_the_arithmetic():
    assert fault_of_type(torch.zeros(3, 6, 3, 5), operands()) == (
        "it returned the shape (3, 6, 3, 5), expected (3, 6, 5, 7); "
        "(H + 2·p − d·(k − 1) − 1) / s + 1 = (5 + 2·1 − 1·(3 − 1) − 1) / 1 + 1 = 5; "
        "(W + 2·p − d·(k − 1) − 1) / s + 1 = (7 + 2·1 − 1·(3 − 1) − 1) / 1 + 1 = 7"
    )


def test_the_arithmetic_of_a_square_is_told_once():
    text = fault_of_type(torch.zeros(1), operands("n3 c4 o6 h5 k3 s2"))
    assert text.count("(5 + 2·0 − 1·(3 − 1) − 1) / 2 + 1 = 2") == 1
    assert "W" not in text


def test_the_arithmetic_of_a_transposed_convolution_is_its_own():
    text = fault_of_type(torch.zeros(1), operands("transpose n3 c4 o6 h5 k3 s2 op1"))
    assert "(5 − 1)·2 − 2·0 + 1·(3 − 1) + 1 + 1 = 12" in text


def test_the_shape_of_a_gradient_needs_no_arithmetic():
    text = fault_of_type(torch.zeros(1), operands(direction="grad_weight"))
    assert text == "it returned the shape (1,), expected (6, 4, 3, 3)"


def test_a_wrong_type_is_a_fault():
    assert fault_of_type(torch.zeros(SHAPE).double(), operands()) == "it returned float64, expected float32"


def test_a_wrong_device_is_a_fault():
    assert fault_of_type(torch.zeros(SHAPE, device="meta"), operands()) == "it returned a tensor on meta, expected cpu"


def test_a_changed_operand_is_a_fault():
    made = operands()
    assert fault_of_operands(made) is None
    made.bound(CONV2D["im2col"]).args[0][0, 0, 0, 0] = 7
    assert fault_of_operands(made) == "it changed its input, which belongs to the caller"


@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
@pytest.mark.parametrize("chunk", [1, 50, 1 << 20])
def test_the_error_is_that_of_the_whole_tensor(exact, layout, chunk, monkeypatch):
    monkeypatch.setattr(verify, "CHUNK", chunk)
    off = 1e-3 * torch.randn(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    right = Right(exact, exact, layout)
    wanted = float(off.norm() / exact.norm())
    assert right.relative_error(exact + off) == pytest.approx(wanted)
    assert right.relative_error(-3 * (exact + off), -3.0) == pytest.approx(wanted)


def test_the_error_of_a_rounded_result_is_its_rounding(exact):
    assert Right(exact, exact.float(), "nchw").relative_error(exact.float()) == 0
    assert 1e-4 < Right(exact, exact.half(), "nchw").relative_error(exact.half()) < 5e-4


def test_where_zeros_are_right_the_error_is_absolute():
    right = Right(torch.zeros(SHAPE, dtype=torch.float64), torch.zeros(1), "nchw")
    assert right.relative_error(torch.zeros(SHAPE)) == 0
    assert right.relative_error(torch.full(SHAPE, 0.5)) == pytest.approx(0.5 * math.sqrt(math.prod(SHAPE)))


def test_one_wrong_element_of_a_million_is_far_beyond_what_is_allowed():
    exact = torch.ones(1, 1, 1000, 1000, dtype=torch.float64)
    wrong = exact.float()
    wrong[0, 0, 999, 999] = 0
    assert Right(exact, wrong, "nchw").relative_error(wrong) == pytest.approx(1e-3)
    assert fault_of_values(wrong, 1e-3) is not None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_a_fault(exact, value):
    result = exact.float()
    result[1, 2, 3, 4] = value
    error = Right(exact, result, "nchw").relative_error(result)
    assert fault_of_values(result, error) == "1 of 630 elements are NaN or infinite"


def test_zeros_are_called_zeros(exact):
    result = torch.zeros(SHAPE)
    text = fault_of_values(result, Right(exact, result, "nchw").relative_error(result))
    assert text == "relative error 1.0e+00, at most 2e-05 is allowed, all elements are 0"


@pytest.mark.parametrize("name", ["float32", "float64", "float16", "bfloat16"])
def test_what_is_allowed_stands_in_the_table(name):
    dtype = getattr(torch, name)
    allowed = allowed_error(dtype)
    assert allowed == tolerance(name, "timed convolution").rtol
    assert fault_of_values(torch.ones(1, dtype=dtype), allowed) is None
    assert fault_of_values(torch.ones(1, dtype=dtype), 1.01 * allowed) is not None
