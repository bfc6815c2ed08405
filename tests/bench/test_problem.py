"""Problems: what they say of themselves."""

from __future__ import annotations

import pytest
import torch

from trainloop.bench.problem import Problem
from trainloop.bench.words import parse_words
from trainloop.manual.conv import Geometry, Job, TransposedGeometry, TransposedJob

TEXTS = (
    "n128 c64 o256 h15 k3 p1",
    "n1 c4 o8 h5 w6 k3 l2 s2x1 p1x0 d2 g2 bias",
    "transpose n1 c4 o8 h5 k4 s2 p1 op1 g2",
    "transpose n1 c4 o8 h5 k4 s3x2 op2x1 d2x1 bias",
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_problem_is_written_as_it_is_read(text):
    assert parse_words(text).text() == text


def test_a_problem_is_a_job_of_any_type():
    problem = Problem((2, 4, 9, 9), (8, 2, 3, 3), Geometry((1, 1), (1, 1), (1, 1), 2))
    assert problem.job(torch.float64) == Job((2, 4, 9, 9), (8, 2, 3, 3), problem.geometry, torch.float64)


def test_a_transposed_problem_is_a_transposed_job():
    geometry = TransposedGeometry((2, 2), (1, 1), (1, 1), 2, (1, 1))
    problem = Problem((2, 4, 9, 9), (4, 3, 3, 3), geometry)
    assert problem.transposed
    assert problem.out_channels == 6
    assert problem.job() == TransposedJob((2, 4, 9, 9), (4, 3, 3, 3), geometry)


@pytest.mark.parametrize("text", TEXTS)
def test_a_job_is_a_problem_again(text):
    problem = parse_words(text)
    assert Problem.of(problem.job(), bias=problem.bias) == problem
