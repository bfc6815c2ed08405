"""The workspace that an algorithm states is an upper bound of what it allocates, measured by torch's own memory events."""

from __future__ import annotations

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from trainloop.manual.conv import CONV2D, DIRECTIONS, Geometry, Job

ONES = (1, 1)
JOBS = [
    Job((3, 4, 9, 7), (8, 4, 3, 3), Geometry(ONES, ONES, ONES, 1)),
    Job((3, 4, 9, 7), (8, 2, 3, 3), Geometry(ONES, ONES, ONES, 2)),
    Job((2, 3, 12, 12), (5, 3, 5, 3), Geometry((2, 1), (2, 0), ONES, 1)),
    Job((40, 32, 16, 16), (48, 32, 3, 3), Geometry(ONES, ONES, ONES, 1)),
    # Several blocks of several groups, and blocks in which the padded images are nearly all: what a block leaves for the next
    # counts, too.
    Job((3, 32, 17, 40), (16, 8, 7, 7), Geometry(ONES, ONES, (1, 3), 4)),
    Job((40, 320, 33, 40), (8, 40, 5, 2), Geometry((3, 1), (0, 0), ONES, 8)),
]
SMALLEST = 4096
"""bytes that small tensors of numbers and indices may take besides"""


def drawn(shape, seed, layout):
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return tensor.contiguous(memory_format=layout)


def call_of(algorithm, job, direction, layout):
    shapes = (job.input_shape, job.weight_shape, job.output_shape)
    x, weight, dy = (drawn(shape, seed, layout) for seed, shape in enumerate(shapes))
    return {
        "forward": lambda: algorithm.forward(x, weight, None, *job.geometry),
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


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=["channels_last", "nchw"])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    "name", [name for name, algorithm in CONV2D.items() if algorithm.workspace(JOBS[0], "forward")]
)
def test_the_workspace_is_an_upper_bound(name, direction, layout):
    algorithm = CONV2D[name]
    tried = 0
    for job in JOBS:
        if algorithm.refuses(job) is None and (name != "loops" or job.direct_multiplications < 1e6):
            tried += 1
            peak = peak_bytes(call_of(algorithm, job, direction, layout))
            assert peak <= algorithm.workspace(job, direction) + SMALLEST, job.text
    assert tried


def test_the_measurement_sees_what_is_allocated():
    assert peak_bytes(lambda: (torch.ones(1_000_000) + 1)[:2].clone()) >= 8_000_000 - 16
