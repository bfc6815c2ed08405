"""The specification: numbers worked out by hand in each direction, and jobs that would take too long."""

from __future__ import annotations

import math

import torch

from trainloop.manual.conv import CONV2D, Geometry, Job, loops

LOOPS = CONV2D["loops"]
PLAIN = ((1, 1), (0, 0), (1, 1), 1)
X = torch.arange(9.0).view(1, 1, 3, 3)
WEIGHT = torch.tensor([[[[1.0, 0.0], [0.0, -1.0]]]])
DY = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])


def test_forward_by_hand():
    # 0·1 − 4·1, 1 − 5, 3 − 7, 4 − 8, each plus the bias
    assert LOOPS.forward(X, WEIGHT, torch.tensor([0.5]), *PLAIN).tolist() == [[[[-3.5, -3.5], [-3.5, -3.5]]]]


def test_grad_input_by_hand():
    # dy moved by the tap (0, 0), minus dy moved by the tap (1, 1)
    assert LOOPS.grad_input(DY, WEIGHT, (1, 1, 3, 3), *PLAIN).tolist() == [
        [[[1.0, 2.0, 0.0], [3.0, 4.0 - 1.0, -2.0], [0.0, -3.0, -4.0]]]
    ]


def test_grad_weight_by_hand():
    # 1·0 + 2·1 + 3·3 + 4·4 = 27, and 10 more for each step to the right, 30 for each step down
    assert LOOPS.grad_weight(DY, X, (1, 1, 2, 2), *PLAIN).tolist() == [[[[27.0, 37.0], [57.0, 67.0]]]]


def test_each_product_is_visited_once_and_none_on_padding():
    job = Job((1, 2, 3, 3), (2, 1, 3, 3), Geometry((2, 2), (1, 1), (1, 1), 2))
    seen = list(loops.products(job))
    assert len(seen) == len(set(seen)) == 2 * 4 * 4
    assert {channel for (_, o, _, _), _, (channel, _, _) in seen if o == 1} == {1}


LARGE = Job((128, 64, 32, 32), (64, 64, 3, 3), Geometry((1, 1), (1, 1), (1, 1), 1))


def test_a_long_job_is_refused_with_its_time_and_the_way_to_do_it():
    assert LOOPS.refuses(LARGE) == (
        "4,831,838,208 products would take about 28 minutes, and the limit is 10 s; to do it all the same: "
        "`with loops.time_limit(math.inf):`, or --force of benchmark-conv"
    )


def test_the_limit_is_another_inside_the_block_only():
    with loops.time_limit(math.inf):
        assert LOOPS.refuses(LARGE) is None
    assert LOOPS.refuses(LARGE) is not None
    with loops.time_limit(0):
        assert "limit is 0 s" in LOOPS.refuses(Job((1, 1, 3, 3), (1, 1, 3, 3), LARGE.geometry))
