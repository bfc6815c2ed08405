"""Which algorithm is chosen, and what is remembered and refused."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from trainloop.manual.conv import CONV2D, DIRECTIONS, Geometry, Job
from trainloop.manual.conv.choice import Choice, fastest
from trainloop.manual.conv.winograd import compiled
from trainloop.manual.errors import UnsupportedConvError

ONES = (1, 1)
PLAIN = Geometry(ONES, ONES, ONES, 1)
STRIDED = Geometry((2, 2), ONES, ONES, 1)


def job(num=128, channels=64, out_channels=64, size=16, kernel=3, geometry=PLAIN, dtype=torch.float32):
    weight = (out_channels, channels // geometry.groups, kernel, kernel)
    return Job((num, channels, size, size), weight, geometry, dtype)


def test_a_name_is_taken():
    choose = Choice("im2col", CONV2D)
    assert choose(job(), "forward") is CONV2D["im2col"]
    assert choose.chosen == {(job(), "forward"): "im2col"}


def test_of_several_the_first_that_can():
    choose = Choice("winograd, aten", CONV2D)
    assert choose(job(), "grad_input").name == "winograd"
    assert choose(job(geometry=STRIDED), "grad_input").name == "aten"
    assert choose(job(geometry=STRIDED), "grad_input").name == "aten"


def test_none_that_can_is_refused_with_the_reason():
    with pytest.raises(UnsupportedConvError) as caught:
        Choice("winograd", CONV2D)(job(geometry=STRIDED), "forward")
    assert str(caught.value) == (
        "algorithm 'winograd' cannot do this convolution: stride must be 1, found 2×2; name another algorithm, or auto"
    )


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(UnsupportedConvError) as caught:
        Choice("aten,winogrd", CONV2D)
    assert caught.value.reason == "there is none of this name"
    assert caught.value.instead == f"did you mean winograd? known: {', '.join(CONV2D)}, auto"


@pytest.mark.skipif(compiled.why_not(torch.float32, "cpu") is not None, reason="no C++ compiler")
def test_auto_takes_the_compiled_winograd_where_it_pays():
    assert {fastest(job(), direction).name for direction in DIRECTIONS} == {"winograd"}


@pytest.mark.parametrize(
    "other",
    [
        job(channels=16),
        job(channels=24, out_channels=24),
        job(num=2, size=8),
        job(kernel=1),
        job(geometry=STRIDED),
        job(geometry=Geometry(ONES, ONES, ONES, 4)),
        job(dtype=torch.float64),
    ],
    ids=lambda job: f"{job.text} {job.dtype}",
)
def test_auto_takes_the_library_where_it_does_not(other):
    assert {fastest(other, direction).name for direction in DIRECTIONS} == {"aten"}


def test_auto_takes_the_library_without_a_compiler(monkeypatch):
    monkeypatch.setattr(compiled, "why_not", lambda *_: "no C++ compiler (g++)")
    assert Choice("auto", CONV2D)(job(), "forward").name == "aten"


def test_a_job_in_words():
    assert job().text == "n128 c64 o64 h16 k3 p1"
    odd = Job((2, 4, 5, 6), (8, 2, 3, 1), Geometry((2, 1), (0, 1), (2, 2), 2))
    assert odd.text == "n2 c4 o8 h5 w6 k3 l1 s2x1 p0x1 d2 g2"


def test_a_direction_that_an_algorithm_lacks_is_the_next_ones():
    own = dataclasses.replace(CONV2D["im2col"], name="own", lacks={"grad_input": "it has no grad_input"})
    table = {**CONV2D, "own": own}
    assert Choice("own,aten", table)(job(), "forward").name == "own"
    assert Choice("own,aten", table)(job(), "grad_input").name == "aten"
    with pytest.raises(UnsupportedConvError, match="it has no grad_input"):
        Choice("own", table)(job(), "grad_input")


def test_a_copy_in_float64_is_done_by_the_algorithm_of_the_run_or_not_at_all():
    single = dataclasses.replace(
        CONV2D["im2col"], name="single", refuses=lambda job: None if job.dtype == torch.float32 else "float32 alone"
    )
    double, table = job(dtype=torch.float64), {**CONV2D, "single": single}
    assert Choice("single,aten", table)(double, "forward").name == "aten"
    with pytest.raises(UnsupportedConvError, match="'single' cannot do this convolution: float32 alone"):
        Choice("single,aten", table, decide_as=torch.float32)(double, "forward")
    assert Choice("winograd,aten", table, decide_as=torch.float32)(double, "forward").name == "winograd"


def test_a_copy_in_float64_of_auto_is_done_by_what_is_fastest_in_float32():
    chosen = Choice("auto", CONV2D, decide_as=torch.float32)(job(dtype=torch.float64), "forward")
    assert chosen is fastest(job(), "forward")
