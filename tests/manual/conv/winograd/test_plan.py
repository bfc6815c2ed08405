"""Tiles cover an axis with few points; blocks hold what they were made for."""

from __future__ import annotations

import pytest

from trainloop.manual.conv.winograd.plan import SHARED_BYTES, WHOLE_BYTES, Case, num_points, plan, tile_sizes


def test_tiles_that_fit():
    assert tile_sizes(15) == (4, 4, 4, 3)
    assert tile_sizes(7) == (4, 3)
    assert tile_sizes(32) == (4,) * 8
    assert tile_sizes(2) == (2,)
    assert tile_sizes(1) == (2,)


@pytest.mark.parametrize("outputs", range(1, 60))
def test_tiles_cover_the_axis_and_never_cost_more_than_tiles_of_four(outputs):
    assert 0 <= sum(tile_sizes(outputs)) - outputs <= 1
    assert num_points(outputs) <= 6 * -(-outputs // 4)


CASES = [
    Case(num, channels, out_channels, (size, size), (1, 1))
    for num in (1, 7, 128)
    for channels, out_channels in ((3, 16), (64, 64), (512, 256))
    for size in (1, 4, 15, 32, 64)
]


@pytest.mark.parametrize("direction", ["forward", "grad_weight"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_plan_is_within_its_bounds(case, direction):
    for threads in (1, 2, 8):
        for lanes in (4, 8, 16):
            cut = plan(case, direction, threads, lanes)
            assert 1 <= cut.threads <= threads
            assert cut.rows_a_block >= 1
            assert cut.share % (2 * lanes if direction == "forward" else 12) == 0
            of_weights = 36 * 4 * (case.channels + 32) * (case.out_channels + 128) * (threads + 1)
            one_row = 36 * len(cut.columns) * (case.channels + case.out_channels + 160) * 4
            assert 4 * cut.floats <= threads * max(SHARED_BYTES, one_row) + WHOLE_BYTES + of_weights


def test_few_channels_are_for_each_thread_alone_and_many_are_shared():
    assert plan(Case(128, 64, 64, (32, 32), (1, 1)), "forward", 2, 16).alone
    assert not plan(Case(128, 512, 512, (4, 4), (1, 1)), "forward", 2, 16).alone
    assert not plan(Case(128, 256, 256, (16, 16), (1, 1)), "grad_weight", 2, 16).alone
