"""Every algorithm of ``CONV2D`` in every direction beside the library in float64: by registration, over a table of jobs.

What an algorithm refuses it gives a reason for; what it does not refuse is right, in the memory format that it came in.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools

import pytest
import torch
import torch.nn.functional as F

from trainloop.manual.conv import CONV2D, DIRECTIONS, Geometry, Job
from trainloop.manual.conv.sizes import check_job
from trainloop.manual.errors import ConvShapeError
from trainloop.tolerance import tolerance

SHAPES = {
    # N, channels and outputs of a group, (H, W), (K, L)
    "3x3": (2, 2, 3, (6, 5), (3, 3)),
    "3x3 depthwise": (2, 1, 1, (7, 4), (3, 3)),
    "3x3 on one window": (3, 2, 1, (3, 3), (3, 3)),
    "3x3 without images": (0, 2, 3, (5, 5), (3, 3)),
    "1x1": (2, 3, 2, (4, 3), (1, 1)),
    "1x3": (1, 2, 2, (3, 6), (1, 3)),
    "even": (2, 1, 2, (5, 6), (2, 4)),
    "5x2": (1, 2, 1, (6, 4), (5, 2)),
}
STRIDES, PADDINGS, DILATIONS, GROUPS = ((1, 1), (2, 2), (1, 3)), ((0, 0), (1, 1), (2, 0)), ((1, 1), (2, 1)), (1, 3)
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
LAYOUTS = {"usual": torch.contiguous_format, "channels_last": torch.channels_last}


def jobs(shape, dtype):
    """Return the jobs of a shape whose numbers fit together."""
    num, channels, out_channels, sizes, kernel = SHAPES[shape]
    for stride, padding, dilation, groups in itertools.product(STRIDES, PADDINGS, DILATIONS, GROUPS):
        geometry = Geometry(stride, padding, dilation, groups)
        job = Job(
            (num, channels * groups, *sizes), (out_channels * groups, channels, *kernel), geometry, dtype, device="cpu"
        )
        try:
            check_job(job)
        except ConvShapeError:
            continue
        yield job


@functools.cache
def operands(job):
    """Return input, weight, bias and grad_output in the job's dtype."""
    generator = torch.Generator().manual_seed(sum(job.input_shape) + sum(job.weight_shape))
    shapes = (job.input_shape, job.weight_shape, job.weight_shape[:1], job.output_shape)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(job.dtype) for shape in shapes]


def run(algorithm, direction, job, x, weight, bias, grad_output):
    if direction == "forward":
        return algorithm.forward(x, weight, bias, *job.geometry)
    if direction == "grad_input":
        return algorithm.grad_input(grad_output, weight, job.input_shape, *job.geometry)
    return algorithm.grad_weight(grad_output, x, job.weight_shape, *job.geometry)


@functools.cache
def right(job, direction):
    return run(CONV2D["aten"], direction, job, *(tensor.double() for tensor in operands(job)))


def formats(image):
    """Return the memory formats in which an image lies; both, where one of its axes has less than two elements."""
    return {layout for layout in LAYOUTS.values() if image.is_contiguous(memory_format=layout)}


def fault(algorithm, direction, job, layout):
    """Return what is wrong with an algorithm's result for a job that it does not refuse, or None."""
    given = [
        tensor.contiguous(memory_format=layout) if tensor.dim() == 4 else tensor.clone() for tensor in operands(job)
    ]
    found, wanted = run(algorithm, direction, job, *given), right(job, direction)
    if (found.shape, found.dtype) != (wanted.shape, job.dtype):
        return f"{job.text}: {found.dtype} of shape {tuple(found.shape)}, expected {job.dtype} of {tuple(wanted.shape)}"
    if direction != "grad_weight" and not formats(given[0 if direction == "forward" else 3]) & formats(found):
        return f"{job.text}: strides {found.stride()}, expected {layout}"
    error = float((found.double() - wanted).norm() / (wanted.norm() if wanted.any() else 1))
    family = "winograd" if algorithm.name == "winograd" else "convolution"
    allowed = tolerance(str(job.dtype).removeprefix("torch."), family).rtol
    if not error <= allowed:
        return f"{job.text}: an error of {error:.2g} where {allowed:g} is allowed"
    return None


def faults(algorithm, direction, shape, dtype):
    """Return all that is wrong over the jobs of a shape and both memory formats, and how many the algorithm has done."""
    found, num_done = [], 0
    for job in jobs(shape, dtype):
        reason = algorithm.refuses(job)
        if reason is None:
            num_done += 1
            found += [one for layout in LAYOUTS.values() if (one := fault(algorithm, direction, job, layout))]
        elif not (isinstance(reason, str) and reason.strip()):
            found.append(f"{job.text}: refused without a reason ({reason!r})")
    return found, num_done


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", CONV2D)
def test_it_is_the_library_in_float64_or_says_why_not(name, direction, shape, dtype):
    if name == "aten" and direction == "forward" and torch_is_wrong(shape, dtype):
        # Seen with torch 2.14.1 for bfloat16, strides (1, 3) and padding on one axis alone, on a processor with AMX.
        pytest.skip(f"torch.conv2d itself is wrong on this machine for {shape} in {dtype}")
    assert faults(CONV2D[name], direction, shape, dtype)[0] == []


def torch_is_wrong(shape, dtype):
    """Say whether the library's own call is off by more than rounding for a job of this shape."""
    for job in jobs(shape, dtype):
        for layout in LAYOUTS.values():
            x, weight, bias, _ = (
                tensor.contiguous(memory_format=layout) if tensor.dim() == 4 else tensor for tensor in operands(job)
            )
            wanted = right(job, "forward")
            off = (torch.conv2d(x, weight, bias, *job.geometry).double() - wanted).norm()
            error = float(off / (wanted.norm() if wanted.any() else 1))
            if not error <= tolerance(str(dtype).removeprefix("torch."), "convolution").rtol:
                return True
    return False


@pytest.mark.parametrize("dtype", DTYPES[:2], ids=["float32", "float64"])
@pytest.mark.parametrize("name", CONV2D)
def test_no_algorithm_refuses_the_layer_that_most_of_a_cnn_consists_of(name, dtype):
    job = Job((2, 2, 6, 5), (3, 2, 3, 3), Geometry((1, 1), (1, 1), (1, 1), 1), dtype)
    assert job in list(jobs("3x3", dtype))
    assert CONV2D[name].refuses(job) is None
    assert CONV2D[name].supports(*operands(job)[:2], padding=1) is None


def test_the_table_has_a_job_for_each_word():
    table = [job for shape in SHAPES for job in jobs(shape, torch.float32)]
    geometries = [job.geometry for job in table]
    assert len(table) == len(set(table)) > 200
    assert {job.kernel_size for job in table} >= {(3, 3), (1, 1), (1, 3), (2, 4), (5, 2)}
    for numbers, tried in zip(zip(*geometries, strict=True), (STRIDES, PADDINGS, DILATIONS, GROUPS), strict=True):
        assert set(numbers) == set(tried)


X = torch.arange(1.0, 10.0, dtype=torch.float64).view(1, 1, 3, 3)
WEIGHT = torch.tensor([[[[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, -1.0]]]], dtype=torch.float64)
CORNERS = torch.tensor([[[[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 2.0]]]], dtype=torch.float64)
BY_HAND = Job((1, 1, 3, 3), (1, 1, 3, 3), Geometry((1, 1), (1, 1), (1, 1), 1), torch.float64)
"""padding 1, so that the output is as large as the image"""


def is_by_hand(found, rows, dtype="float64"):
    expected = torch.tensor([[rows]], dtype=torch.float64)
    return float((found - expected).norm() / expected.norm()) <= tolerance(dtype, "winograd").rtol


@pytest.mark.parametrize("name", CONV2D)
def test_forward_by_hand(name):
    # above left + 2 · itself − below right, and the bias of 1: in the middle 1 + 2·5 − 9 + 1
    y = CONV2D[name].forward(X, WEIGHT, torch.ones(1, dtype=torch.float64), *BY_HAND.geometry)
    assert is_by_hand(y, [[-2.0, -1.0, 7.0], [1.0, 3.0, 15.0], [15.0, 21.0, 24.0]])


@pytest.mark.parametrize("name", CONV2D)
def test_grad_input_by_hand(name):
    # the other way round: below right + 2 · itself − above left, in the middle 9 + 2·5 − 1
    grad = CONV2D[name].grad_input(X, WEIGHT, (1, 1, 3, 3), *BY_HAND.geometry)
    assert is_by_hand(grad, [[7.0, 10.0, 6.0], [16.0, 18.0, 10.0], [14.0, 12.0, 13.0]])


@pytest.mark.parametrize("name", CONV2D)
def test_grad_weight_by_hand(name):
    # the window around the first corner, 0 0 0 | 0 1 2 | 0 4 5, and twice that around the last, 5 6 0 | 8 9 0 | 0 0 0
    grad = CONV2D[name].grad_weight(CORNERS, X, (1, 1, 3, 3), *BY_HAND.geometry)
    assert is_by_hand(grad, [[10.0, 12.0, 0.0], [16.0, 19.0, 2.0], [0.0, 4.0, 5.0]])


# A fault is a wrong forward; its gradients are what autograd makes of it, wrong in the same way.


def flipped(x, weight, stride, padding, dilation, groups):
    return F.conv2d(x, weight.flip(2, 3), None, stride, padding, dilation, groups)


def without_the_last_tap(x, weight, stride, padding, dilation, groups):
    kept = torch.ones_like(weight)
    kept[..., -1, -1] = 0
    return F.conv2d(x, weight * kept, None, stride, padding, dilation, groups)


def with_stride_1(x, weight, _stride, padding, dilation, groups):
    return F.conv2d(x, weight, None, 1, padding, dilation, groups)


def padded_on_one_side(x, weight, stride, padding, dilation, groups):
    down, across = padding
    return F.conv2d(F.pad(x, (2 * across, 0, 2 * down, 0)), weight, None, stride, 0, dilation, groups)


def with_dilation_1(x, weight, stride, padding, _dilation, groups):
    return F.conv2d(x, weight, None, stride, padding, 1, groups)


def with_the_next_group(x, weight, stride, padding, dilation, groups):
    return F.conv2d(x.roll(x.shape[1] // groups, 1), weight, None, stride, padding, dilation, groups)


def nearly_right(x, weight, *geometry):
    return (1 + 1e-4) * F.conv2d(x, weight, None, *geometry)


FAULTS = {
    # a wrong forward, and the jobs on which it is wrong
    "a flipped kernel": (flipped, lambda job: job.kernel_size != (1, 1)),
    "a missing tap": (without_the_last_tap, lambda _job: True),
    "a stride ignored": (
        with_stride_1,
        lambda job: any(s > 1 and size > 1 for s, size in zip(job.geometry.stride, job.output_sizes, strict=True)),
    ),
    "padding on one side only": (padded_on_one_side, lambda job: any(job.geometry.padding)),
    "a dilation ignored": (
        with_dilation_1,
        lambda job: any(d > 1 and k > 1 for d, k in zip(job.geometry.dilation, job.kernel_size, strict=True)),
    ),
    "the next group's channels": (with_the_next_group, lambda job: job.geometry.groups > 1),
    "a factor of 1.0001": (nearly_right, lambda _job: True),
}


def seeded(wrong, job):
    """Return the library's algorithm with another forward, and the gradients of that."""

    def forward(x, weight, bias, *geometry):
        y = wrong(x, weight, *geometry)[:, :, : job.output_sizes[0], : job.output_sizes[1]]
        return y if bias is None else y + bias.view(-1, 1, 1)

    def grad_input(grad_output, weight, input_shape, *geometry):
        x = grad_output.new_zeros(input_shape).requires_grad_()
        return torch.autograd.grad(forward(x, weight, None, *geometry), x, grad_output)[0]

    def grad_weight(grad_output, x, weight_shape, *geometry):
        weight = x.new_zeros(weight_shape).requires_grad_()
        return torch.autograd.grad(forward(x, weight, None, *geometry), weight, grad_output)[0]

    return dataclasses.replace(CONV2D["aten"], forward=forward, grad_input=grad_input, grad_weight=grad_weight)


@pytest.mark.parametrize(("wrong", "matters"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_seeded_fault_is_noticed(direction, wrong, matters):
    noticed = {}
    for job in jobs("3x3", torch.float32):
        found = fault(seeded(wrong, job), direction, job, torch.contiguous_format)
        noticed.setdefault(bool(matters(job)), []).append(found is not None and "an error of" in found)
    assert all(noticed[True])
    assert not any(noticed.get(False, []))


def test_the_wrong_memory_format_is_noticed():
    job = next(jobs("3x3", torch.float32))
    aten = CONV2D["aten"]
    turned = dataclasses.replace(aten, forward=lambda *args: aten.forward(*args).contiguous())
    assert fault(turned, "forward", job, torch.contiguous_format) is None
    assert "strides" in fault(turned, "forward", job, torch.channels_last)


def test_the_wrong_type_is_noticed():
    job = next(jobs("3x3", torch.float32))
    aten = CONV2D["aten"]
    wide = dataclasses.replace(aten, grad_weight=lambda *args: aten.grad_weight(*args).double())
    assert "expected torch.float32" in fault(wide, "grad_weight", job, torch.contiguous_format)


@pytest.mark.parametrize("reason", ["", " ", True])
def test_a_refusal_without_a_reason_is_noticed(reason):
    silent = dataclasses.replace(CONV2D["aten"], refuses=lambda _job: reason)
    found, num_done = faults(silent, "forward", "1x1", torch.float32)
    assert num_done == 0
    assert found
    assert "refused without a reason" in found[0]


def test_nan_is_noticed():
    job = next(jobs("3x3", torch.float32))
    empty = dataclasses.replace(CONV2D["aten"], forward=lambda *_: torch.full(job.output_shape, torch.nan))
    assert "an error of nan" in fault(empty, "forward", job, torch.contiguous_format)
