"""Both forms beside the library in float64, over sizes that meet every tile and border; and what the kernel says of itself."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.fx.experimental.proxy_tensor import make_fx

from trainloop.manual.compiler import library
from trainloop.manual.conv import CONV2D, Geometry, Job
from trainloop.manual.conv.winograd import compiled, eager, forward, grad_input, grad_weight

WINOGRAD = CONV2D["winograd"]
ONES = (1, 1)
SHAPES = [
    # N, C, O, H, W, padding
    (1, 1, 1, 3, 3, (0, 0)),
    (2, 3, 5, 1, 2, (1, 1)),
    (3, 17, 33, 4, 5, (1, 1)),
    (2, 16, 16, 6, 7, (0, 1)),
    (2, 5, 40, 8, 9, (2, 2)),
    (1, 33, 3, 15, 13, (1, 1)),
    (2, 4, 4, 5, 6, (3, 4)),
    (64, 20, 24, 7, 7, (1, 1)),
]
needs_compiler = pytest.mark.skipif(
    compiled.why_not(torch.float32, "cpu") is not None, reason="no C++ compiler: the compiled form cannot be had"
)


def drawn(*shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def case(num, channels, out_channels, height, width, padding, layout=torch.channels_last):
    x = drawn(num, channels, height, width, seed=1).contiguous(memory_format=layout)
    w = drawn(out_channels, channels, 3, 3, seed=2).contiguous(memory_format=layout)
    sizes = (height + 2 * padding[0] - 2, width + 2 * padding[1] - 2)
    return x, w, drawn(out_channels, seed=3), drawn(num, out_channels, *sizes, seed=4).contiguous(memory_format=layout)


def oracle(x, w, b, dy, padding):
    x, w, b, dy = (tensor.double() for tensor in (x, w, b, dy))
    shape = (ONES, padding, ONES, False, (0, 0), 1)
    grads = torch.ops.aten.convolution_backward(dy, x, w, None, *shape, (True, True, False))
    return F.conv2d(x, w, b, padding=padding), grads[0], grads[1]


def relative(found, wanted):
    return float((found.double() - wanted).norm() / wanted.norm())


def computed(form, x, w, b, dy, padding):
    if form is eager:
        return (
            eager.forward(x, w, b, padding),
            eager.grad_input(dy, w, padding),
            eager.grad_weight(dy, x, padding),
        )
    rest = (ONES, padding, ONES, 1)
    return forward(x, w, b, *rest), grad_input(dy, w, x.shape, *rest), grad_weight(dy, x, w.shape, *rest)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=["channels_last", "nchw"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("form", [eager, pytest.param(compiled, marks=needs_compiler)], ids=["eager", "compiled"])
def test_each_form_is_a_convolution(form, shape, layout):
    tensors = case(*shape, layout=layout)
    for found, wanted in zip(computed(form, *tensors, shape[-1]), oracle(*tensors, shape[-1]), strict=True):
        assert found.dtype == torch.float32
        assert relative(found, wanted) < 3e-6


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_readable_form_is_exact_in_float64(shape):
    tensors = [tensor.double() for tensor in case(*shape)]
    for found, wanted in zip(computed(eager, *tensors, shape[-1]), oracle(*tensors, shape[-1]), strict=True):
        assert relative(found, wanted) < 1e-14


@needs_compiler
@pytest.mark.parametrize("shape", [SHAPES[7], (4, 130, 140, 9, 9, (1, 1)), (40, 24, 16, 13, 12, (1, 1))], ids=str)
def test_bits_depend_on_nothing_but_the_number_of_threads(shape):
    """Forward not even on that; the weight's gradient is a sum over images, whose order the threads give."""
    tensors, before, seen = case(*shape), torch.get_num_threads(), {}
    try:
        for threads in (1, 2, 3, 1, 2, 3):
            torch.set_num_threads(threads)
            y, grad_x, grad_w = computed(compiled, *tensors, shape[-1])
            for key, found in ((("y",), y), (("x",), grad_x), (("w", threads), grad_w)):
                assert torch.equal(seen.setdefault(key, found), found), key
    finally:
        torch.set_num_threads(before)


@needs_compiler
@pytest.mark.parametrize("channels", [16, 160], ids=["each thread alone", "threads share a block"])
def test_several_blocks_are_joined(monkeypatch, channels):
    """Small budgets make many blocks of a case that is quick."""
    for name in ("SHARED_BYTES", "WHOLE_BYTES"):
        monkeypatch.setattr(f"trainloop.manual.conv.winograd.plan.{name}", 1 << 18)
    monkeypatch.setattr("trainloop.manual.conv.winograd.plan.ALONE_BYTES", {"forward": 1 << 16, "grad_weight": 1 << 16})
    from trainloop.manual.conv.winograd.plan import plan

    plan.cache_clear()
    shape = (9, channels, 32, 11, 10, (1, 1))
    tensors = case(*shape)
    try:
        found = computed(compiled, *tensors, shape[-1])
    finally:
        plan.cache_clear()
    for one, wanted in zip(found, oracle(*tensors, shape[-1]), strict=True):
        assert relative(one, wanted) < 3e-6


@needs_compiler
def test_a_graph_sees_one_opaque_call():
    x, w, b, _ = case(2, 3, 4, 6, 6, (1, 1))
    graph = make_fx(lambda x, w, b: forward(x, w, b, ONES, ONES, ONES, 1), tracing_mode="fake")(x, w, b)
    called = [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]
    assert "trainloop.winograd.default" in called
    assert torch.equal(graph(x, w, b), forward(x, w, b, ONES, ONES, ONES, 1))


JOB = Job((2, 4, 15, 15), (8, 4, 3, 3), Geometry(ONES, ONES, ONES, 1))


def test_the_products_at_the_points_are_counted():
    assert WINOGRAD.multiplications(JOB, "forward") == 2 * 23 * 23 * 8 * 4
    assert JOB.direct_multiplications == 2 * 15 * 15 * 9 * 8 * 4


@needs_compiler
def test_the_kernel_says_which_tiles_and_which_form():
    assert WINOGRAD.kernel(JOB, "forward").startswith("F(4)+F(3), C++ ")
    wide = Job(JOB.input_shape, JOB.weight_shape, JOB.geometry, torch.float64)
    assert WINOGRAD.kernel(wide, "grad_weight") == "F(4)+F(3), tensor operations: compiled for float32, not float64"


@pytest.fixture
def no_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    library.cache_clear()
    compiled.kernels.cache_clear()
    yield
    library.cache_clear()
    compiled.kernels.cache_clear()


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_the_readable_form_runs_and_the_kernel_says_so():
    shape = SHAPES[2]
    x, w, b, _ = case(*shape)
    assert WINOGRAD.kernel(JOB, "forward") == "F(4)+F(3), tensor operations: no C++ compiler (no-such-compiler)"
    assert torch.equal(WINOGRAD.forward(x, w, b, ONES, shape[-1], ONES, 1), eager.forward(x, w, b, shape[-1]))
    assert WINOGRAD.workspace(JOB, "forward") > 0


@pytest.mark.parametrize(
    ("weight_shape", "geometry", "dtype", "reason"),
    [
        ((8, 4, 1, 1), Geometry(ONES, ONES, ONES, 1), torch.float32, "the kernel must be 3×3, found 1×1"),
        ((8, 4, 3, 3), Geometry((2, 1), ONES, ONES, 1), torch.float32, "stride must be 1, found 2×1"),
        ((8, 4, 3, 3), Geometry(ONES, ONES, (1, 2), 1), torch.float32, "dilation must be 1, found 1×2"),
        (
            (8, 4, 3, 3),
            Geometry(ONES, ONES, ONES, 1),
            torch.bfloat16,
            "the dtype must be float32 or float64, found bfloat16: half types lose too much",
        ),
    ],
)
def test_what_it_cannot_do_it_says(weight_shape, geometry, dtype, reason):
    assert WINOGRAD.refuses(Job((2, 4, 15, 15), weight_shape, geometry, dtype)) == reason


FAULTS = {
    "tiles.h": [
        ("y[i * MW + j] + shift : y", "y[i * MW + j] - shift : y", "a bias with the wrong sign"),
        ("inside = h >= 0 &&", "inside = h > 0 &&", "the first row taken for the border"),
        ("both_ways<MH, MW, H, W>(dy, z, grad_1d<MH>, grad_1d<MW>)", "std::fill(z, z + H * W, dy[0])", "no transform"),
    ],
    "forward.cpp": [("a + r * v_pitch, v_pitch", "a, v_pitch", "the first tiles for all")],
    "weights.h": [("row[l] = all[I];", "row[2 - l] = all[I];", "a kernel mirrored along its rows")],
    "grad_weight.cpp": [("copy > 0, reduced", "false, reduced", "the sum of the last thread alone")],
}


@needs_compiler
@pytest.mark.parametrize(
    ("part", "right", "wrong"),
    [
        # Each compiles the kernel anew, which takes seconds: one of each file is enough for every day.
        pytest.param(part, *fault[:2], marks=[pytest.mark.long] if index else [])
        for part, faults in FAULTS.items()
        for index, fault in enumerate(faults)
    ],
    ids=[fault[2] for faults in FAULTS.values() for fault in faults],
)
def test_a_seeded_fault_is_noticed(monkeypatch, part, right, wrong):
    text = compiled.source()
    assert text.count(right) == 1, part
    monkeypatch.setattr(compiled, "source", lambda: text.replace(right, wrong))
    compiled.kernels.cache_clear()
    shape = (16, 5, 18, 7, 9, (1, 1))
    tensors = case(*shape)
    before = torch.get_num_threads()
    monkeypatch.setattr(compiled, "SMALL", 0)
    try:
        torch.set_num_threads(2)
        found = computed(compiled, *tensors, shape[-1])
    finally:
        torch.set_num_threads(before)
        compiled.kernels.cache_clear()
    errors = [relative(one, wanted) for one, wanted in zip(found, oracle(*tensors, shape[-1]), strict=True)]
    assert max(errors) > 1e-3
