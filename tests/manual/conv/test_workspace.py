"""The workspace that an algorithm states is an upper bound of what it allocates, measured by torch's own memory events.

It is no absurd one either: of what it states the hungriest direction uses a fair part. Who has no part of its own in the work,
because a call is one call of the library's kernel, is not held to a bound: what that kernel takes is its own affair.
"""

from __future__ import annotations

import dataclasses
import functools

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from trainloop.manual.conv import CONV2D, DIRECTIONS, Geometry, Job, im2col, loops

ONES = (1, 1)
PLAIN = Geometry(ONES, ONES, ONES, 1)
MEDIUM = Job((40, 32, 16, 16), (48, 32, 3, 3), PLAIN)
STEM = Job((100, 3, 32, 32), (64, 3, 3, 3), PLAIN)
"""its output is larger than a block and all that belongs to it, so that whoever makes a second one is noticed"""
JOBS = [
    Job((3, 4, 9, 7), (8, 4, 3, 3), PLAIN),
    Job((3, 4, 9, 7), (8, 4, 3, 3), PLAIN, torch.float64),
    Job((3, 4, 9, 7), (8, 2, 3, 3), Geometry(ONES, ONES, ONES, 2)),
    Job((4, 8, 10, 10), (6, 8, 1, 1), Geometry(ONES, (0, 0), ONES, 1)),
    Job((2, 3, 12, 12), (5, 3, 5, 3), Geometry((2, 1), (2, 0), ONES, 1)),
    Job((0, 4, 9, 7), (8, 4, 3, 3), PLAIN),
    MEDIUM,
    STEM,
    # Several blocks of several groups, and blocks in which the padded images are nearly all: what a block leaves for the next
    # counts, too.
    Job((3, 32, 17, 40), (16, 8, 7, 7), Geometry(ONES, ONES, (1, 3), 4)),
    Job((40, 320, 33, 40), (8, 40, 5, 2), Geometry((3, 1), (0, 0), ONES, 8)),
]
LAYOUTS = {"channels_last": torch.channels_last, "nchw": torch.contiguous_format}
SMALLEST = 4096
"""bytes that small tensors of numbers and indices may take besides"""
LOOSEST, ROUNDING = 4, 1 << 20
"""how many times what the hungriest direction uses a bound may be, and by how many bytes more where whole tiles are counted"""
PATIENCE_S = 0.35
"""estimated seconds from which on a job is too slow to be measured, for an algorithm that refuses by its time"""
KERNEL = {"convolution", "convolution_backward", "empty", "new_empty"}
"""operators of a call that leaves all work to the library's kernel"""


def call_of(algorithm, job, direction, layout):
    """Return a call of the algorithm on ones: how much memory it takes does not depend on what is in it."""
    shapes = (job.input_shape, job.weight_shape, job.output_shape)
    x, weight, dy = (torch.ones(shape, dtype=job.dtype).contiguous(memory_format=layout) for shape in shapes)
    bias = torch.ones(job.weight_shape[0], dtype=job.dtype)
    return {
        "forward": lambda: algorithm.forward(x, weight, bias, *job.geometry),
        "grad_input": lambda: algorithm.grad_input(dy, weight, job.input_shape, *job.geometry),
        "grad_weight": lambda: algorithm.grad_weight(dy, x, job.weight_shape, *job.geometry),
    }[direction]


def peak_bytes(call):
    """Return the most bytes that were allocated at a time, less the result's."""
    call()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = call()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most - result.untyped_storage().nbytes()


@functools.cache
def measured(algorithm, job, direction, layout):
    return peak_bytes(call_of(algorithm, job, direction, layout))


class Operators(TorchDispatchMode):
    """Take down the names of the operators that run."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


def leaves_all_to_the_library(algorithm):
    """Say whether a call is a call of the library's kernel and nothing else, in each direction."""
    with Operators() as seen:
        calls = [call_of(algorithm, JOBS[0], direction, torch.channels_last) for direction in DIRECTIONS]
        seen.names.clear()
        for call in calls:
            call()
    return seen.names <= KERNEL


def can_do(algorithm, job):
    """Say whether an algorithm does a job, and soon."""
    with loops.time_limit(PATIENCE_S):
        return algorithm.refuses(job) is None


def too_small(algorithm, direction, layout, jobs=JOBS):
    """Return the jobs for which an algorithm allocates more than it states."""
    found = []
    for job in filter(functools.partial(can_do, algorithm), jobs):
        peak, stated = measured(algorithm, job, direction, layout), algorithm.workspace(job, direction)
        if peak > stated + SMALLEST:
            found.append(f"{job.text} {job.dtype}: {peak:,} bytes, and {stated:,} stated")
    return found


def too_large(algorithm, jobs=JOBS):
    """Return the jobs for which an algorithm states far more than its hungriest direction allocates."""
    found = []
    for job in filter(functools.partial(can_do, algorithm), jobs):
        peak = max(measured(algorithm, job, way, layout) for way in DIRECTIONS for layout in LAYOUTS.values())
        stated = max(algorithm.workspace(job, direction) for direction in DIRECTIONS)
        if stated > LOOSEST * peak + ROUNDING:
            found.append(f"{job.text} {job.dtype}: {peak:,} bytes at most, and {stated:,} stated")
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", CONV2D)
def test_the_workspace_is_an_upper_bound(name, direction, layout):
    algorithm = CONV2D[name]
    if leaves_all_to_the_library(algorithm):
        assert {algorithm.workspace(job, direction) for job in JOBS} == {0}
    else:
        assert too_small(algorithm, direction, LAYOUTS[layout]) == []


@pytest.mark.parametrize("name", CONV2D)
def test_the_workspace_is_no_absurd_bound(name):
    assert leaves_all_to_the_library(CONV2D[name]) or too_large(CONV2D[name]) == []


@pytest.mark.parametrize("name", CONV2D)
def test_every_algorithm_is_measured_on_several_jobs(name):
    assert sum(can_do(CONV2D[name], job) for job in JOBS) >= 4


def test_the_library_alone_leaves_all_to_the_library():
    assert [name for name, algorithm in CONV2D.items() if leaves_all_to_the_library(algorithm)] == ["aten"]


@pytest.mark.parametrize("threads", [1, 4])
def test_the_sums_that_threads_have_of_a_half_type_are_in_the_bound(monkeypatch, threads):
    """Two images, of which the columns are little, and a weight of 590,000 elements, of which each thread has a sum."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    job = Job((2, 256, 4, 4), (256, 256, 3, 3), PLAIN, torch.bfloat16)
    peak = peak_bytes(call_of(CONV2D["im2col"], job, "grad_weight", torch.channels_last))
    assert 4 * 590_000 * threads <= peak <= CONV2D["im2col"].workspace(job, "grad_weight")


# The checks can fail


def test_the_measurement_sees_what_is_allocated():
    assert peak_bytes(lambda: (torch.ones(1_000_000) + 1)[:2].clone()) >= 8_000_000 - 16


def second_output(input, weight, bias, *geometry):
    return im2col.forward(input, weight, None, *geometry) + bias.view(-1, 1, 1)


def test_an_output_that_is_made_twice_is_noticed():
    faulty = dataclasses.replace(CONV2D["im2col"], forward=second_output)
    assert too_small(CONV2D["im2col"], "forward", torch.channels_last, [STEM]) == []
    (found,) = too_small(faulty, "forward", torch.channels_last, [MEDIUM, STEM])
    assert found.startswith("n100 c3 o64 h32 k3 p1 torch.float32: 26,214,400 bytes, and ")


def test_a_workspace_that_is_stated_wrong_is_noticed():
    right = CONV2D["im2col"]
    small = dataclasses.replace(right, workspace=lambda job, direction: right.workspace(job, direction) // LOOSEST)
    large = dataclasses.replace(right, workspace=lambda job, direction: right.workspace(job, direction) * LOOSEST)
    assert too_small(small, "forward", torch.channels_last, [MEDIUM]) != []
    assert too_large(right, [MEDIUM]) == []
    assert too_large(large, [MEDIUM]) != []


def test_who_states_nothing_and_allocates_is_noticed():
    silent = dataclasses.replace(CONV2D["shifts"], workspace=lambda _job, _direction: 0)
    assert not leaves_all_to_the_library(silent)
    assert too_small(silent, "forward", torch.channels_last, [MEDIUM]) != []
