"""The fast form: the same algebra in C++, block by block in the cache, compiled for the CPU at hand.

``cpp/`` holds the text, in the order of ``PARTS``; the one-dimensional transforms are written by ``straight_line.py`` from the
exact matrices of ``points.py``. The first use on a machine compiles it (some seconds), later ones load it.

The two kernels are operators of torch (``torch.ops.trainloop``), so that a graph that is being captured sees one opaque call.
"""

from __future__ import annotations

import ctypes
import functools
import platform
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trainloop.manual.compiler import FUSED, chosen_compiler, library
from trainloop.manual.conv.layout import new_image
from trainloop.manual.conv.winograd.plan import STREAM_BYTES, Case, plan
from trainloop.manual.conv.winograd.points import POINTS, SUBSETS, TAPS, transforms, transposed, weight_transform
from trainloop.manual.conv.winograd.straight_line import cpp_function
from trainloop.manual.errors import CompilerError
from trainloop.manual.windows import Sizes

PARTS = ("vectors.h", "tiles.h", "product.h", "weights.h", "forward.cpp", "grad_weight.cpp")
SMALL = 1 << 20
"""multiplications that one thread does faster than two can share them"""
Pair = tuple[int, int]


class Kernels(NamedTuple):
    """The compiled functions.

    Args:
        forward: see ``cpp/forward.cpp``.
        grad_weight: see ``cpp/grad_weight.cpp``.
        lanes: floats of one vector.
    """

    forward: Any
    grad_weight: Any
    lanes: int


@functools.cache
def kernels() -> Kernels | CompilerError:
    """Return the compiled functions, or why there are none."""
    try:
        loaded = library(source(), chosen_compiler(), FUSED)
    except CompilerError as error:
        return error
    forward, grad_weight = loaded.forward, loaded.grad_weight
    numbers = ctypes.POINTER(ctypes.c_int64)
    forward.argtypes = [*(ctypes.c_void_p,) * 5, *(numbers,) * 3]
    grad_weight.argtypes = [*(ctypes.c_void_p,) * 4, *(numbers,) * 3]
    forward.restype = grad_weight.restype = None
    return Kernels(forward, grad_weight, int(loaded.lanes()))


def why_not(dtype: torch.dtype, device: str) -> str | None:
    """Return why the compiled form cannot be had for such tensors, or None."""
    if device != "cpu":
        return f"compiled for the CPU, not {device}"
    if dtype != torch.float32:
        return f"compiled for float32, not {str(dtype).removeprefix('torch.')}"
    found = kernels()
    return f"no C++ compiler ({found.command})" if isinstance(found, CompilerError) else None


def instructions() -> str:
    """Return what the vectors are called on this CPU."""
    found = kernels()
    lanes = 0 if isinstance(found, CompilerError) else found.lanes
    return {16: "AVX-512", 8: "AVX2"}.get(lanes, platform.machine())


def source() -> str:
    """Return the whole C++ text."""
    parts = [_points_table(), *_transforms()]
    parts += [(Path(__file__).parent / "cpp" / part).read_text(encoding="utf-8") for part in PARTS]
    return "\n".join([parts[0], *parts[1:], 'extern "C" int lanes() { return LANES; }\n'])


def forward(input: Tensor, weight: Tensor, bias: Tensor | None, padding: Sizes, *, backwards: bool = False) -> Tensor:
    """Return the convolution.

    Args:
        input: shape (N, C, H, W), float32 on the CPU.
        weight: shape (O, C, 3, 3); where it is used ``backwards`` (O', C', 3, 3) with O' = C, as by grad_input.
        bias: shape (O,), or None.
        padding: zeros on both sides; may be negative.
        backwards: convolve with the weight flipped, in_channels and out_channels exchanged.

    Returns:
        y, shape (N, O, P, Q), channels_last.
    """
    _register()
    result: Tensor = torch.ops.trainloop.winograd(input, weight, bias, list(padding), backwards)
    return result


def grad_input(grad_output: Tensor, weight: Tensor, padding: Sizes) -> Tensor:
    """Return grad_input, shape (N, C, H, W), channels_last.

    Args:
        grad_output: shape (N, O, P, Q), float32 on the CPU.
        weight: shape (O, C, 3, 3).
        padding: of the forward convolution.
    """
    return forward(grad_output, weight, None, tuple(TAPS - 1 - pad for pad in padding), backwards=True)


def grad_weight(grad_output: Tensor, input: Tensor, padding: Sizes) -> Tensor:
    """Return the weight's gradient, shape (O, C, 3, 3), in the input's memory format.

    Args:
        grad_output: shape (N, O, P, Q), float32 on the CPU.
        input: shape (N, C, H, W).
        padding: zeros on both sides.
    """
    _register()
    result: Tensor = torch.ops.trainloop.winograd_grad_weight(grad_output, input, list(padding))
    return result


def workspace(case: Case, direction: str) -> int:
    """Return the bytes that a call needs beside arguments and result; none without images, which nothing is planned for."""
    if not case.num:
        return 0
    found = kernels()
    lanes = 16 if isinstance(found, CompilerError) else found.lanes
    return 4 * plan(case, direction, torch.get_num_threads(), lanes).floats


# The operators


@functools.cache
def _register() -> Any:
    """Make the operators known to torch, once."""
    operators: Any = torch.library.Library("trainloop", "DEF")  # type: ignore[no-untyped-call]
    operators.define("winograd(Tensor input, Tensor weight, Tensor? bias, int[] padding, bool backwards) -> Tensor")
    operators.define("winograd_grad_weight(Tensor grad_output, Tensor input, int[] padding) -> Tensor")
    operators.impl("winograd", _forward, "CPU")
    operators.impl("winograd_grad_weight", _grad_weight, "CPU")
    torch.library.register_fake("trainloop::winograd", _fake_forward, lib=operators)
    torch.library.register_fake("trainloop::winograd_grad_weight", _fake_grad_weight, lib=operators)
    return operators


def _forward(input: Tensor, weight: Tensor, bias: Tensor | None, padding: list[int], backwards: bool) -> Tensor:
    found = _loaded()
    input = input.contiguous(memory_format=torch.channels_last)
    y = _fake_forward(input, weight, bias, padding, backwards)
    if not y.numel():
        return y
    case = _case(input, y.shape[1], padding)
    cut = plan(case, "forward", _threads(case), found.lanes)
    space = input.new_empty(cut.floats)
    o, c, k, l = weight.stride()  # noqa: E741  # K L kernel
    strides, first = (o, c, k, l), weight.data_ptr()
    if backwards:
        strides, first = (c, o, -k, -l), first + 4 * (TAPS - 1) * (k + l)
    streams = 4 * y.numel() >= STREAM_BYTES and y.shape[1] % found.lanes == 0 and y.data_ptr() % (4 * found.lanes) == 0
    bias = None if bias is None else bias.contiguous()
    pointers = (input.data_ptr(), first, None if bias is None else bias.data_ptr(), y.data_ptr(), space.data_ptr())
    found.forward(*pointers, _shape(case), (ctypes.c_int64 * 4)(*strides), cut.numbers(streams=streams))
    return y


def _grad_weight(grad_output: Tensor, input: Tensor, padding: list[int]) -> Tensor:
    found = _loaded()
    grad = _fake_grad_weight(grad_output, input, padding)
    if not grad.numel() or not grad_output.numel():
        return grad.zero_()
    input = input.contiguous(memory_format=torch.channels_last)
    grad_output = grad_output.contiguous(memory_format=torch.channels_last)
    case = _case(input, grad.shape[0], padding)
    cut = plan(case, "grad_weight", _threads(case), found.lanes)
    space = input.new_empty(cut.floats)
    pointers = (input.data_ptr(), grad_output.data_ptr(), grad.data_ptr(), space.data_ptr())
    found.grad_weight(*pointers, _shape(case), (ctypes.c_int64 * 4)(*grad.stride()), cut.numbers(streams=False))
    return grad


def _fake_forward(input: Tensor, weight: Tensor, bias: Tensor | None, padding: list[int], backwards: bool) -> Tensor:
    del bias
    num, _, height, width = input.shape
    shape = (num, weight.shape[int(backwards)], height + 2 * padding[0] - TAPS + 1, width + 2 * padding[1] - TAPS + 1)
    return torch.empty(shape, dtype=input.dtype, device=input.device, memory_format=torch.channels_last)


def _fake_grad_weight(grad_output: Tensor, input: Tensor, padding: list[int]) -> Tensor:
    del padding
    return new_image((grad_output.shape[1], input.shape[1], TAPS, TAPS), input)


def _loaded() -> Kernels:
    found = kernels()
    if isinstance(found, CompilerError):
        raise found
    return found


def _case(input: Tensor, out_channels: int, padding: list[int]) -> Case:
    num, channels, *sizes = input.shape
    return Case(num, channels, out_channels, tuple(sizes), tuple(padding))


def _threads(case: Case) -> int:
    height, width = case.output_sizes
    multiplications = case.num * height * width * case.channels * case.out_channels
    return 1 if multiplications < SMALL else torch.get_num_threads()


def _shape(case: Case) -> Any:
    numbers = (case.num, case.channels, *case.sizes, case.out_channels, *case.output_sizes, *case.padding)
    return (ctypes.c_int64 * len(numbers))(*numbers)


# The generated text


def _points_table() -> str:
    """Return, for tiles of 0 to 4 outputs, which points they use."""
    rows = ", ".join(f"{{{', '.join(map(str, SUBSETS.get(size, ())))}}}" for size in range(max(SUBSETS) + 1))
    return f"constexpr int POINTS[{max(SUBSETS) + 1}][{len(POINTS)}] = {{{rows}}};\n"


def _transforms() -> list[str]:
    functions = []
    for size in SUBSETS:
        matrices = transforms(size)
        functions.append(cpp_function(f"input_{size}", matrices.input))
        functions.append(cpp_function(f"output_{size}", matrices.output))
        functions.append(cpp_function(f"grad_{size}", transposed(matrices.output)))
    functions.append(cpp_function("weight_1d", weight_transform()))
    functions.append(cpp_function("taps_1d", transposed(weight_transform())))
    return functions
