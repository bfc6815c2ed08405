"""The adjoint identity, without a reference: it holds for right pairs, and names the smallest job for wrong ones."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from trainloop.bench.check.adjoint import adjoints
from trainloop.bench.check.drawn import drawn
from trainloop.bench.check.shape import CONV_TRANSPOSE2D as TRANSPOSED
from trainloop.bench.check.shape import Shape
from trainloop.manual.conv import CONV2D, CONV_TRANSPOSE2D

IM2COL, SCATTER = CONV2D["im2col"], CONV_TRANSPOSE2D["scatter"]
SHAPES = list(itertools.islice(drawn(TRANSPOSED, 0), 30))


def doubled(*given):
    return 2 * SCATTER.forward(*given)


def no_padding(input, weight, bias, stride, padding, output_padding, groups, dilation):
    y = SCATTER.forward(input, weight, bias, stride, (0, 0), output_padding, groups, dilation)
    height, width = y.shape[2] - 2 * padding[0], y.shape[3] - 2 * padding[1]
    return y[:, :, :height, :width]


def raising(*_given):
    raise RuntimeError("out of luck")


BROKEN = {
    "a factor": (doubled, "transpose n1 c1 o1 h1 k1", "⟨conv(x), y⟩ = "),
    "a padding at the wrong end": (no_padding, "transpose n1 c1 o1 h3 w1 k1 p1x0", "⟨x, conv_transpose(y)⟩ = "),
    "an exception": (raising, "transpose n1 c1 o1 h1 k1", "RuntimeError: out of luck"),
}


def test_it_holds_for_a_right_pair():
    (pair,) = adjoints([IM2COL], [SCATTER], SHAPES, 0)
    assert pair.ok
    assert pair.found == ""
    assert 0 < pair.error <= pair.allowed
    assert pair.jobs == sum(all(map(int.__lt__, shape.output_padding, shape.stride)) for shape in SHAPES)


@pytest.mark.parametrize(("forward", "job", "found"), BROKEN.values(), ids=BROKEN)
def test_a_broken_one_is_found_in_a_small_job(forward, job, found):
    broken = dataclasses.replace(SCATTER, name="broken", forward=forward)
    (pair,) = adjoints([IM2COL], [broken], SHAPES, 0)
    assert not pair.ok
    assert pair.job == job
    assert found in pair.found


def test_jobs_that_one_of_the_two_refuses_are_left_out():
    odd = dataclasses.replace(IM2COL, name="odd", refuses=lambda job: None if job.kernel_size == (3, 3) else "only 3×3")
    (pair,) = adjoints([odd], [SCATTER], SHAPES, 0)
    assert 0 < pair.jobs < len(SHAPES)


def test_an_output_padding_beyond_the_stride_is_left_out():
    (pair,) = adjoints([IM2COL], [SCATTER], [Shape(dilation=(2, 2), output_padding=(1, 1))], 0)
    assert pair.jobs == 0


def test_after_the_deadline_no_job_is_tried():
    (pair,) = adjoints([IM2COL], [SCATTER], SHAPES, 0, deadline=0.0)
    assert (pair.jobs, pair.ok) == (0, True)
