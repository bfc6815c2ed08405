"""What a kernel is given, what is right, how errors are measured, and that new memory is full of NaN meanwhile."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from trainloop.bench.check.memory import filled_with_nan
from trainloop.bench.check.shape import Shape
from trainloop.bench.check.trial import LAYOUTS, Case, Right, Trial, draw, errors, laid_out, num_terms, right
from trainloop.manual.conv import DIRECTIONS

SHAPE = Shape(2, 3, 4, (5, 6), (3, 2), groups=2)


def case_of(direction="forward", **changed):
    settings = {"operator": "conv2d", "dtype": torch.float32, "layout": "NCHW", "shape": SHAPE, **changed}
    return Case(direction=direction, **settings)


@pytest.mark.parametrize("operator", ["conv2d", "conv_transpose2d"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_what_is_right_is_autograds_in_float64(operator, direction):
    case = case_of(direction, operator=operator)
    operands = {name: tensor.double() for name, tensor in draw(case, 0).items()}
    shapes = {"input": case.job.input_shape, "weight": case.job.weight_shape}
    leaves = {name: operands.get(name, torch.zeros(shape).double()).requires_grad_() for name, shape in shapes.items()}
    y = getattr(F, operator)(*leaves.values(), groups=2)
    expected = y
    if direction != "forward":
        y.backward(operands["grad_output"])
        expected = leaves[direction.removeprefix("grad_")].grad
    found = right(case, draw(case, 0)).result
    assert found.dtype == torch.float64
    assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_the_two_calls_of_a_trial_have_the_same_shapes_and_other_values():
    first, second = Trial(case_of(bias=True)).operands
    assert first.keys() == second.keys() == {"input", "weight", "bias"}
    for name, tensor in first.items():
        assert tensor.shape == second[name].shape
        assert not torch.equal(tensor, second[name])


def test_the_operands_are_the_same_for_the_same_case_and_others_for_another_seed():
    assert torch.equal(draw(case_of(), 0)["input"], draw(case_of(), 0)["input"])
    assert not torch.equal(draw(case_of(), 0)["input"], draw(case_of(seed=1), 0)["input"])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_changes_the_place_and_not_the_values(layout):
    tensor = torch.arange(120.0).view(2, 3, 4, 5)
    found = laid_out(tensor, layout)
    assert torch.equal(found, tensor)
    assert found.data_ptr() != tensor.data_ptr()
    assert found.is_contiguous() == (layout == "NCHW")
    assert found.is_contiguous(memory_format=torch.channels_last) == (layout == "channels_last")


def test_around_a_sliced_tensor_there_is_nan():
    found = laid_out(torch.zeros(1, 1, 2, 2), "sliced")
    whole = torch.empty(0).set_(found.untyped_storage())
    assert int(whole.isnan().sum()) == 3 * 4 - 4


@pytest.mark.parametrize(("direction", "terms"), [("forward", 18), ("grad_input", 24), ("grad_weight", 2 * 3 * 5)])
def test_the_terms_of_a_sum_are_counted(direction, terms):
    assert num_terms(case_of(direction)) == terms


def test_an_error_is_relative_to_the_result():
    reference = Right(torch.tensor([3.0, 4.0]).double(), scale=5.0, largest=4.0, library_err=0.0)
    assert errors(torch.tensor([3.0, 4.5]), reference) == (0.1, 0.125)


def test_where_all_is_zero_the_error_is_absolute():
    reference = Right(torch.zeros(2).double(), scale=0.0, largest=0.0, library_err=0.0)
    assert errors(torch.tensor([0.0, 0.25]), reference) == (0.25, 0.25)


def test_where_terms_cancel_the_scale_is_that_of_such_sums():
    """Two terms, 1 and −1 + 1e-9: the result is no measure of the rounding, their size is."""
    case = case_of(shape=Shape(channels=2))
    operands = {
        "input": torch.ones(1, 2, 1, 1).double(),
        "weight": torch.tensor([1.0, -1.0 + 1e-9], dtype=torch.float64).view(1, 2, 1, 1),
    }
    found = right(case, operands)
    assert float(found.result) == pytest.approx(1e-9)
    assert found.scale == pytest.approx(2 / math.sqrt(2))


def test_the_librarys_own_error_is_known_in_float32_and_not_in_float64():
    assert 0 < right(case_of(), draw(case_of(), 0)).library_err < 1e-6
    double = case_of(dtype=torch.float64)
    assert math.isnan(right(double, draw(double, 0)).library_err)


def test_new_memory_is_nan_meanwhile_and_only_then():
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    with filled_with_nan():
        assert torch.empty(5).isnan().all()
        assert torch.zeros(2).new_empty(3).isnan().all()
    with pytest.raises(KeyError), filled_with_nan():
        raise KeyError
    assert before == (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
