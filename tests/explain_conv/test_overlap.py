"""The pattern of the overlap: its phases, its score, and parameters that avoid it."""

from __future__ import annotations

import itertools

import pytest
import torch

from trainloop.explain_conv.explain import explain_conv
from trainloop.explain_conv.overlap import phase_counts, unreached
from trainloop.explain_conv.parse import parse_problem


def test_the_phases_are_what_is_counted_far_from_the_border():
    for kernel, stride, dilation in itertools.product(range(1, 8), range(1, 6), range(1, 5)):
        prove_phases(kernel, stride, dilation)


def prove_phases(kernel, stride, dilation):
    size = 2 * (dilation * (kernel - 1) // stride) + 6
    explanation = explain_conv(
        parse_problem(f"ConvTranspose1d(1, 1, {kernel}, stride={stride}, dilation={dilation})", str(size))
    )
    start = dilation * (kernel - 1)
    start += -start % stride
    inner = explanation.overlap.counts[0, start : start + stride].tolist()
    phases = explanation.overlap.phases[0]
    assert inner == list(phases.counts) == list(phase_counts(kernel, stride, dilation))
    assert phases.even == (len(set(inner)) == 1)
    assert explanation.overlap.score == pytest.approx(1 - min(inner) / max(inner))
    assert (explanation.overlap.ways == ()) == phases.even


@pytest.mark.parametrize(
    ("text", "score", "why"),
    [
        (
            "ConvTranspose2d(1, 1, 3, stride=2)",
            0.75,
            "kernel 3 = 1·2 + 1: along the axis 1 of every 2 places is written twice, 1 once",
        ),
        (
            "ConvTranspose2d(1, 1, 4, stride=2)",
            0.0,
            "kernel 4 = 2·stride 2: along the axis every output is written twice",
        ),
        ("ConvTranspose2d(1, 1, 4, stride=2, dilation=2)", 1.0, "stride 2 and dilation 2 are both multiples of 2"),
        (
            "ConvTranspose2d(1, 1, 2, stride=3)",
            1.0,
            "kernel 2 = 0·3 + 2: along the axis 2 of every 3 places are written once, 1 never",
        ),
        ("ConvTranspose2d(1, 1, 3)", 0.0, "stride 1: along the axis every output is written 3 times"),
        (
            "Conv2d(1, 1, 3, stride=2)",
            0.75,
            "kernel 3 = 1·2 + 1: along the axis 1 of every 2 places is read twice, 1 once",
        ),
    ],
)
def test_the_score_and_its_reason(conv, text, score, why):
    overlap = conv.explained(text).overlap
    assert overlap.score == score
    assert overlap.phases[0].why.startswith(why)


def test_the_ways_have_no_pattern_and_the_same_size(conv):
    tried = 0
    for problem in conv.random_problems(60, seed=7):
        overlap = explain_conv(problem).overlap
        for way in overlap.ways:
            tried += 1
            other = explain_conv(parse_problem(way.text, problem.size_text))
            assert other.overlap.score == 0
            assert other.output_sizes == problem.output_sizes == way.output_sizes
    assert tried > 30


def test_no_way_keeps_outputs_behind_the_last_stamp(conv):
    """Its last row would be empty: worse than the pattern that it is to cure."""
    for text in (
        "ConvTranspose2d(1, 1, 3, stride=2)",
        "ConvTranspose2d(1, 1, 5, stride=3)",
        "ConvTranspose1d(1, 1, 1, stride=4)",
    ):
        ways = conv.explained(text).overlap.ways
        assert ways
        for way in ways:
            assert int(conv.explained(way.text).overlap.counts.min()) > 0


def test_how_many_outputs_lie_behind_the_last_stamp(conv):
    some = 0
    for problem in conv.random_problems(120, seed=21):
        counts = explain_conv(problem).overlap.counts
        for axis, along in ((0, counts.amax(1)), (1, counts.amax(0))):
            behind = unreached(problem.padding[axis], problem.output_padding[axis]) if problem.transposed else 0
            if behind and along.any():
                some += 1
                assert len(along) - 1 - int(along.nonzero().max()) == behind
    assert some > 10


def test_the_nearest_way_comes_first(conv):
    first = conv.explained().overlap.ways[0]
    assert first.text == "ConvTranspose2d(1, 1, 4, stride=2, padding=1)"
    assert first.changed == {"kernel_size": ((3, 3), (4, 4)), "output_padding": ((1, 1), (0, 0))}


def test_counts_of_two_axes_multiply(conv):
    explanation = conv.explained("ConvTranspose2d(1, 1, (3, 2), stride=2)", "3x2")
    assert torch.equal(
        explanation.overlap.counts, torch.tensor([1, 1, 2, 1, 2, 1, 1]).outer(torch.tensor([1, 1, 1, 1]))
    )
