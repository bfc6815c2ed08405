"""The solver against brute force by counting windows and stamps, for all pairs of sizes, and against torch."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest
import torch
from torch import nn

from trainloop.explain_conv import solver
from trainloop.explain_conv.solver import BOUNDS, Parameters, solve, solve_axis

LARGEST = 16


def everything(transposed):
    """Each combination within the bounds that the command states."""
    for kernel in range(1, BOUNDS.kernel_size + 1):
        for dilation in range(1, BOUNDS.dilation + 1 if kernel > 1 else 2):
            for stride in range(1, BOUNDS.stride + 1):
                for padding in range(dilation * (kernel - 1) + 1):
                    for more in range(max(stride, dilation) if transposed else 1):
                        yield Parameters(kernel, stride, padding, dilation, more)


def counted(size, numbers, transposed):
    """The output's size without its formula: how many windows there is room for, or how far the last stamp reaches."""
    kernel, stride, padding, dilation, more = numbers
    taps = range(0, dilation * kernel, dilation)
    if transposed:
        return max(stride * (size - 1) + tap for tap in taps) + 1 + more - 2 * padding
    return len(range(0, size + 2 * padding - taps[-1], stride))


@pytest.mark.parametrize("transposed", [False, True], ids=["convolution", "transposed"])
def test_the_solver_is_complete_and_correct_for_all_pairs_up_to_16(transposed):
    brute = defaultdict(set)
    for numbers in everything(transposed):
        for size in range(1, LARGEST + 1):
            brute[size, counted(size, numbers, transposed)].add(numbers)
    for size in range(1, LARGEST + 1):
        for wanted in range(1, LARGEST + 1):
            found = solve_axis(size, wanted, transposed=transposed)
            assert set(found) == brute[size, wanted]
            assert len(set(found)) == len(found)
            assert [one.simplicity for one in found] == sorted(one.simplicity for one in found)


def test_a_solver_that_forgets_something_is_noticed(monkeypatch):
    whole = solver._combinations(False)
    monkeypatch.setattr(solver, "_combinations", lambda _transposed: [one for one in whole if one.padding != 3])
    with pytest.raises(AssertionError):
        test_the_solver_is_complete_and_correct_for_all_pairs_up_to_16(False)


@pytest.mark.parametrize("transposed", [False, True], ids=["convolution", "transposed"])
def test_torch_agrees_with_solutions_drawn_at_random(transposed):
    source = random.Random(5)
    for _ in range(40):
        size, wanted = source.randint(1, LARGEST), source.randint(1, LARGEST)
        solutions = solve_axis(size, wanted, transposed=transposed)
        for kernel, stride, padding, dilation, more in source.sample(solutions, min(3, len(solutions))):
            named = {"stride": stride, "padding": padding, "dilation": dilation, "device": "meta"}
            if transposed:
                module = nn.ConvTranspose1d(1, 1, kernel, output_padding=more, **named)
            else:
                module = nn.Conv1d(1, 1, kernel, **named)
            assert module(torch.empty(1, 1, size, device="meta")).shape[-1] == wanted


def test_the_simplest_comes_first():
    first, second, *_ = solve((7, 7), (14, 14), transposed=True).solutions
    assert first == Parameters(kernel_size=2, stride=2, padding=0, dilation=1, output_padding=0)
    assert second == Parameters(kernel_size=4, stride=2, padding=1, dilation=1, output_padding=0)


def test_two_axes_share_their_numbers_or_are_solved_alone():
    shared = solve((8, 6), (4, 3), transposed=False)
    assert shared.per_axis == ()
    assert Parameters(2, 2, 0, 1, 0) in shared.solutions
    apart = solve((7, 9), (14, 9), transposed=False)
    assert apart.solutions == ()
    alone = [solve_axis(7, 14, transposed=False), solve_axis(9, 9, transposed=False)]
    assert [list(axis) for axis in apart.per_axis] == alone


def test_what_cannot_be_reached_is_told_with_the_nearest_that_can():
    solved = solve((14,), (700,), transposed=False)
    assert (solved.solutions, solved.reachable) == ((), {0: (54,)})
    assert solve((4,), (4,), transposed=False).reachable == {}
