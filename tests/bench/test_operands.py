"""What kernels are given: the same memory, new values, and what that does to the right result."""

from __future__ import annotations

import random

import pytest
import torch

from trainloop.bench.operands import LAYOUTS, NUM_SETS, Operands, draw, random_factors, result_shape
from trainloop.bench.oracle import right
from trainloop.bench.words import parse_words
from trainloop.manual.conv import CONV2D, DIRECTIONS

JOB = parse_words("n3 c4 o6 h5 w7 k3 p1").job()


def operands(direction, layout="nchw", *, bias=True, job=JOB):
    sets = [draw(job, direction, number, seed=0, bias=bias) for number in range(NUM_SETS)]
    return Operands(job, direction, sets, layout), sets


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_values_are_the_same_for_the_same_seed_and_others_for_another(direction):
    one, same, other = (draw(JOB, direction, 0, seed=seed, bias=True) for seed in (0, 0, 1))
    assert torch.equal(one.first, same.first)
    assert torch.equal(one.second, same.second)
    assert not torch.equal(one.first, other.first)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("text", ["n8 c16 o32 h16 k3 p1", "transpose n8 c16 o32 h8 k4 s2 p1"])
def test_results_are_about_one(text, direction):
    job = parse_words(text).job()
    values = draw(job, direction, 0, seed=0, bias=False)
    result = right(job, direction, values.first, values.second, None)
    assert tuple(result.shape) == result_shape(job, direction)
    assert 0.5 < float(result.std()) < 2


def test_only_a_forward_has_a_bias():
    assert [draw(JOB, direction, 0, seed=0, bias=True).bias is None for direction in DIRECTIONS] == [False, True, True]
    assert draw(JOB, "forward", 0, seed=0, bias=False).bias is None


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tensors_lie_as_asked(layout):
    made, _ = operands("forward", layout)
    call = made.bound(CONV2D["im2col"])
    assert all(tensor.is_contiguous(memory_format=LAYOUTS[layout]) for tensor in call.args[:2])


def test_the_memory_stays_and_the_values_change():
    made, _ = operands("forward")
    first = made.bound(CONV2D["im2col"]).args[0]
    place, before = first.data_ptr(), first.clone()
    made.refill(1)
    assert made.bound(CONV2D["im2col"]).args[0].data_ptr() == place
    assert not torch.equal(first, before)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("number", [0, 1, 5])
def test_factors_on_the_operands_are_a_factor_on_the_result(direction, number):
    made, sets = operands(direction)
    factor = made.refill(number, (-0.7, 1.3))
    values = sets[number % NUM_SETS]
    wanted = factor * right(JOB, direction, values.first, values.second, values.bias)
    torch.testing.assert_close(made.bound(CONV2D["im2col"])().double(), wanted, rtol=1e-4, atol=1e-5)


def test_operands_that_nobody_touched_are_unchanged():
    made, _ = operands("forward")
    made.refill(1, (-0.7, 1.3))
    assert made.changed() is None


@pytest.mark.parametrize(("place", "name"), [(0, "input"), (1, "weight"), (2, "bias")])
def test_one_changed_bit_is_noticed(place, name):
    made, _ = operands("forward")
    made.refill(0, (0.9, 1.1))
    tensor = made.bound(CONV2D["im2col"]).args[place].flatten()
    bits = tensor.view(torch.int32)
    bits[-1] ^= 1
    assert made.changed() == name


def test_each_direction_is_called_with_what_it_takes():
    kernel = CONV2D["im2col"]
    for direction, third in (("grad_input", JOB.input_shape), ("grad_weight", JOB.weight_shape)):
        made, _ = operands(direction)
        assert made.bound(kernel).args[2:] == (third, *JOB.geometry)


def test_random_factors_are_neither_tiny_nor_huge_and_have_both_signs():
    source = random.Random(0)
    numbers = [factor for _ in range(100) for factor in random_factors(source)]
    assert all(0.5 <= abs(number) <= 2 for number in numbers)
    assert min(numbers) < 0 < max(numbers)
    assert len(set(numbers)) == len(numbers)
