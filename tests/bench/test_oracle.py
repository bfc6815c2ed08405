"""What is right is made a few images at a time, and is what the library makes of all of them in float64."""

from __future__ import annotations

import pytest
import torch

from trainloop.bench import oracle
from trainloop.bench.operands import draw
from trainloop.bench.oracle import images_at_once, right
from trainloop.bench.words import parse_words
from trainloop.manual.conv import CONV2D, CONV_TRANSPOSE2D, DIRECTIONS

TEXTS = ("n7 c4 o6 h5 w6 k3 s2 p1 g2", "transpose n7 c4 o6 h5 w6 k3 s2 p1 op1 g2")


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("columns", [1, 32 << 20])
def test_the_images_together_are_the_images_one_by_one(text, direction, columns, monkeypatch):
    monkeypatch.setattr(oracle, "COLUMN_BYTES", columns)
    problem = parse_words(text)
    job = problem.job()
    values = draw(job, direction, 0, seed=0, bias=True)
    library = CONV_TRANSPOSE2D["aten"] if problem.transposed else CONV2D["aten"]
    third = values.bias.double() if direction == "forward" else None
    third = {"grad_input": job.input_shape, "grad_weight": job.weight_shape}.get(direction, third)
    whole = getattr(library, direction)(values.first.double(), values.second.double(), third, *job.geometry)
    found = right(job, direction, values.first, values.second, values.bias)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, whole, rtol=1e-12, atol=1e-12)


def test_large_images_come_one_at_a_time():
    assert images_at_once(parse_words("n7 c512 o64 h200 k3").job()) == 1


def test_the_columns_are_those_of_the_convolution_behind_a_transposed_one():
    num_taps, num_windows = 1 * 3 * 3, 2 * 2
    job = parse_words("transpose n7 c8 o1 h2 k3 s2").job()
    assert images_at_once(job) == oracle.COLUMN_BYTES // (8 * num_taps * num_windows)
