"""``conv2d``: torch's arguments, words and modes of padding, one image, and what is refused by which name."""

from __future__ import annotations

import inspect

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trainloop.manual import conv2d
from trainloop.manual.conv import CONV2D, Job, choice
from trainloop.manual.conv.padding import MODES, geometry_of
from trainloop.manual.errors import ConvShapeError, UnsupportedConvError
from trainloop.tolerance import tolerance

ARGUMENTS = {
    "positional": ((None, 2, 1, 1, 2), {}),
    "numbers": ((), {"stride": 2, "padding": 2, "dilation": 2}),
    "pairs": ((), {"stride": (2, 1), "padding": (0, 2), "dilation": (1, 2), "groups": 4}),
    "lists": ((), {"stride": [2], "padding": [1, 0]}),
    "same": ((), {"padding": "same", "dilation": (2, 1)}),
    "valid": ((), {"padding": "valid", "stride": (1, 2)}),
    "what every algorithm does": ((), {"padding": 1}),
}
PADDINGS = {"a number": 2, "a pair": (1, 2), "same": "same", "valid": "valid"}
KERNELS = {"3x3": (3, 3), "1x1": (1, 1), "2x5": (2, 5), "4x4": (4, 4)}


@pytest.fixture
def draw():
    def drawn(*shape, dtype=torch.float64):
        return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype)

    return drawn


def close(found, expected):
    assert found.shape == expected.shape
    bound = tolerance("float64", "output").bound(float(expected.abs().max()))
    return float((found - expected).abs().max()) <= bound


def test_its_arguments_are_torchs_and_two_of_its_own():
    parameters = inspect.signature(conv2d).parameters
    assert [*parameters] == [
        *("input", "weight", "bias", "stride", "padding", "dilation", "groups", "padding_mode", "algorithm")
    ]
    assert [name for name, one in parameters.items() if one.kind is one.KEYWORD_ONLY] == ["padding_mode", "algorithm"]
    assert {one.default for one in parameters.values()} == {inspect.Parameter.empty, None, 0, 1, "zeros", "im2col"}


@pytest.mark.parametrize(("args", "options"), ARGUMENTS.values(), ids=ARGUMENTS)
@pytest.mark.parametrize("shape", [(2, 4, 7, 6), (4, 7, 6)], ids=["batch", "one image"])
@pytest.mark.parametrize("name", CONV2D)
def test_it_takes_what_torch_takes(draw, name, shape, args, options):
    groups = args[4] if args else options.get("groups", 1)
    x, weight = draw(*shape), draw(8, 4 // groups, 3, 3)
    reason = CONV2D[name].refuses(job_of(x, weight, args, options))
    if reason is None:
        expected = F.conv2d(x, weight, *args, **options)
        assert close(conv2d(x, weight, *args, **options, algorithm=name), expected)
    else:
        with pytest.raises(UnsupportedConvError) as caught:
            conv2d(x, weight, *args, **options, algorithm=name)
        assert caught.value.reason == reason


def job_of(x, weight, args, options):
    words = ("bias", "stride", "padding", "dilation", "groups")
    given = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, **dict(zip(words, args, strict=False)), **options}
    given.pop("bias", None)
    return Job.of(x if x.dim() == 4 else x.unsqueeze(0), weight, geometry_of(weight, **given))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("kernel_size", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize("padding", PADDINGS.values(), ids=PADDINGS)
@pytest.mark.parametrize("mode", MODES)
def test_a_mode_of_padding_is_that_of_the_module(draw, mode, padding, kernel_size):
    module = nn.Conv2d(4, 6, kernel_size, padding=padding, padding_mode=mode, groups=2, dtype=torch.float64)
    with torch.no_grad():
        x = draw(2, 4, 6, 5)
        module.weight.copy_(draw(*module.weight.shape))
        expected = module(x)
    given = (module.weight, module.bias)
    assert close(conv2d(x, *given, padding=padding, groups=2, padding_mode=mode), expected)
    assert close(conv2d(x[0], *given, padding=padding, groups=2, padding_mode=mode), expected[0])


def test_an_even_kernel_gets_the_last_zero_at_the_end():
    x, weight = torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([[[[10.0, 1.0]]]])
    assert conv2d(x, weight, padding="same").tolist() == [[[12.0, 23.0, 30.0]]]
    assert conv2d(x, weight, padding="same", padding_mode="circular").tolist() == [[[12.0, 23.0, 31.0]]]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CONV2D)
def test_an_empty_batch_has_an_empty_result(draw, name, mode):
    y = conv2d(draw(0, 3, 5, 4), draw(2, 3, 3, 3), draw(2), padding=1, padding_mode=mode, algorithm=name)
    assert y.shape == (0, 2, 5, 4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["usual", "channels_last"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CONV2D)
def test_the_result_lies_in_memory_as_the_input_does(draw, name, mode, layout):
    x = draw(2, 3, 5, 4).contiguous(memory_format=layout)
    weight = draw(2, 3, 3, 3).contiguous(memory_format=layout)
    y = conv2d(x, weight, padding=1, padding_mode=mode, algorithm=name)
    assert y.is_contiguous(memory_format=layout)


def test_nothing_is_left_for_autograd(draw):
    for name in CONV2D:
        weight = draw(2, 3, 3, 3).requires_grad_()
        assert not conv2d(draw(1, 3, 5, 4), weight, draw(2).requires_grad_(), algorithm=name).requires_grad


def test_the_operands_are_left_alone(draw):
    x, weight, bias = draw(1, 3, 5, 4), draw(2, 3, 3, 3), draw(2)
    before = [tensor.clone() for tensor in (x, weight, bias)]
    for name in CONV2D:
        conv2d(x, weight, bias, padding=1, algorithm=name)
        assert all(torch.equal(now, then) for now, then in zip((x, weight, bias), before, strict=True))


def spied(monkeypatch):
    called = []
    for name, algorithm in CONV2D.items():
        changed = {
            "forward": lambda *args, name=name, run=algorithm.forward: called.append(name) or run(*args),
        }
        monkeypatch.setitem(CONV2D, name, type(algorithm)(**{**vars(algorithm), **changed}))
    return called


def test_of_several_names_the_first_that_can(draw, monkeypatch):
    called = spied(monkeypatch)
    x, weight = draw(1, 3, 5, 4), draw(2, 3, 3, 3)
    conv2d(x, weight)
    conv2d(x, weight, algorithm="winograd, aten")
    conv2d(x, weight, stride=2, algorithm="winograd,aten")
    assert called == ["im2col", "winograd", "aten"]


def test_auto_asks_the_rule_for_the_fastest(draw, monkeypatch):
    called = spied(monkeypatch)
    monkeypatch.setattr(choice, "fastest", lambda _job, direction: CONV2D[{"forward": "shifts"}[direction]])
    conv2d(draw(1, 3, 5, 4), draw(2, 3, 3, 3), algorithm="auto")
    assert called == ["shifts"]


def test_an_unknown_algorithm_lists_those_there_are(draw):
    with pytest.raises(UnsupportedConvError) as caught:
        conv2d(draw(1, 2, 3, 3), draw(2, 2, 3, 3), algorithm="im2co")
    assert str(caught.value) == (
        "algorithm 'im2co' cannot do this convolution: there is none of this name; did you mean im2col? known: "
        f"{', '.join(CONV2D)}, auto"
    )


def test_what_an_algorithm_cannot_do_it_refuses_by_name(draw):
    with pytest.raises(UnsupportedConvError) as caught:
        conv2d(draw(1, 2, 7, 7), draw(2, 2, 5, 3), algorithm="winograd")
    assert str(caught.value) == (
        "algorithm 'winograd' cannot do this convolution: the kernel must be 3×3, found 5×3; name another algorithm, or auto"
    )


REFUSED = {
    "weight type": ({"weight": torch.zeros(2, 2, 3, 3)}, "weight is torch.float32 on cpu and input is torch.float64"),
    "bias type": ({"bias": torch.zeros(3)}, "bias is torch.float32 on cpu and input is torch.float64 on cpu"),
    "bias shape": (
        {"bias": torch.zeros(4).double()},
        "bias of shape (4,) does not fit 3 output channels: expected (3,)",
    ),
    "channels": (
        {"weight": torch.zeros(3, 3, 3, 3).double()},
        "input of 2 channels does not fit weight of shape (3, 3, 3, 3) with groups (=1): expected 3·1 = 3 channels",
    ),
    "groups": ({"groups": 2}, "out_channels (=3) must be divisible by groups (=2): 3 = 1·2 + 1"),
    "axes of the input": ({"input": torch.zeros(5, 5).double()}, "input of shape (5, 5) has 2 axes"),
    "axes of the weight": ({"weight": torch.zeros(3, 2, 3).double()}, "weight of shape (3, 2, 3) has 3 axes"),
    "an empty axis": ({"input": torch.zeros(1, 2, 0, 4).double()}, "input of shape (1, 2, 0, 4) has an axis of size 0"),
    "a kernel too large": (
        {"input": torch.zeros(2, 2, 5).double(), "stride": 2},
        "the kernel is larger than the padded input along H: (H + 2·p − d·(k − 1) − 1) / s + 1 = "
        "(2 + 2·0 − 1·(3 − 1) − 1) / 2 + 1, rounded down, = 0, expected at least 1",
    ),
    "stride": ({"stride": 0}, "stride (=0) must be at least 1 along every spatial axis"),
    "padding below 0": ({"padding": (0, -1)}, "padding (=(0, -1)) must be at least 0 along every spatial axis"),
    "three numbers": (
        {"dilation": (1, 1, 1)},
        "dilation (=(1, 1, 1)) must be one number, or one for each of the 2 spatial axes",
    ),
    "a word": (
        {"padding": "smae"},
        "padding (='smae') must be a number, one number for each axis, 'same' or 'valid'",
    ),
    "same with a stride": (
        {"padding": "same", "stride": (1, 2)},
        "padding='same' is not supported with stride (=(1, 2)); it needs stride 1, or a padding in numbers",
    ),
    "a mode": (
        {"padding_mode": "zero"},
        "padding_mode (='zero') is not known: expected one of zeros, reflect, replicate, circular",
    ),
    "reflect beyond the image": (
        {"padding": (1, 5), "padding_mode": "reflect"},
        "padding_mode 'reflect' cannot add 5 elements along W: it has the neighbours of the edge to fill the border with, and "
        "there are 5 − 1 = 4; use a smaller padding, or padding_mode 'replicate' or 'zeros'",
    ),
    "circular beyond the image": (
        {"padding": 6, "padding_mode": "circular"},
        "padding_mode 'circular' cannot add 6 elements along H: it has the elements of the other end to fill the border with, "
        "and there are 5; use a smaller padding",
    ),
}


@pytest.mark.parametrize(("changed", "message"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused(draw, changed, message):
    with pytest.raises(ConvShapeError) as caught:
        conv2d(**{"input": draw(1, 2, 5, 5), "weight": draw(3, 2, 3, 3), **changed})
    assert message in str(caught.value)


@pytest.mark.parametrize(("mode", "most"), [("reflect", 4), ("circular", 5), ("replicate", 9)])
def test_the_widest_border_that_a_mode_can_fill_is_filled(draw, mode, most):
    x, weight = draw(1, 2, 5, 5), draw(3, 2, 3, 3)
    found = conv2d(x, weight, padding=most, padding_mode=mode)
    assert close(found, F.conv2d(F.pad(x, [most] * 4, mode=mode), weight))
