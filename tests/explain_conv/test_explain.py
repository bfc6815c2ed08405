"""Every number of an explanation against torch, for problems drawn at random; and that a wrong number is noticed."""

from __future__ import annotations

import itertools
import random

import pytest
import torch
import torch.nn.functional as F

from trainloop.errors import UsageError
from trainloop.explain_conv import axis as axis_module
from trainloop.explain_conv import explain as explain_module
from trainloop.explain_conv import views as views_module
from trainloop.explain_conv.explain import explain_conv
from trainloop.explain_conv.limits import too_large
from trainloop.explain_conv.parse import parse_problem


def by_torch(problem, x, weight, bias=None):
    """The problem by torch's functions, on planes: independent of the module that the explanation itself asks."""
    x, weight = x.double().unsqueeze(0), weight.double()
    bias = None if bias is None else bias.double()
    if problem.transposed:
        return F.conv_transpose2d(
            *(
                x,
                weight,
                bias,
                problem.stride,
                problem.padding,
                problem.output_padding,
                problem.groups,
                problem.dilation,
            )
        )[0]
    amounts = [n for pair in zip(problem.padding[::-1], problem.padding_after[::-1], strict=True) for n in pair]
    mode = "constant" if problem.padding_mode == "zeros" else problem.padding_mode
    if mode != "constant" and problem.num_axes == 1:  # torch pads what is not a plane by itself
        x = F.pad(x.squeeze(2), amounts[:2], mode=mode).unsqueeze(2)
    else:
        x = F.pad(x, amounts, mode=mode)
    return F.conv2d(x, weight, bias, problem.stride, 0, problem.dilation, problem.groups)[0]


def dense_by_taps(explanation):
    """d output / d input of one channel with weights that tell the taps apart, from the tap lists alone."""
    problem = explanation.problem
    kernel = torch.arange(1.0, 1 + problem.kernel_size[0] * problem.kernel_size[1]).view(problem.kernel_size).double()
    total = torch.zeros(*problem.output_sizes, *problem.input_sizes, dtype=torch.float64)
    down, across = (axis.taps for axis in explanation.axes)
    for p, q in itertools.product(range(len(down)), range(len(across))):
        for one, other in itertools.product(down[p], across[q]):
            if one.source is not None and other.source is not None:
                total[p, q, one.source, other.source] += kernel[one.tap, other.tap]
    return kernel, total


def prove(problem):
    explanation = explain_conv(problem)
    assert explanation.same
    expected = by_torch(problem, explanation.input, explanation.weight, explanation.bias)
    assert torch.equal(explanation.output.double(), expected)
    assert explanation.output_sizes == tuple(expected.shape[1:]) == tuple(axis.size.value for axis in explanation.axes)
    for view in explanation.views:
        assert view.same
        assert torch.equal((view.output + explanation.bias.view(-1, 1, 1)).double(), expected), view.name
    prove_taps(explanation)
    prove_overlap(explanation)
    cell = explanation.cell
    assert sum(term.product for term in cell.terms) + cell.bias == cell.value
    pixel = explanation.pixel
    for effect in pixel.effects:
        assert explanation.axes[0].output_size > effect.place[0]
        assert (effect.place[0], effect.tap[0]) in {tuple(touch) for touch in explanation.axes[0].reach[pixel.place[0]]}


def prove_taps(explanation):
    single = explanation.problem.replaced(in_channels=1, out_channels=1, groups=1)
    kernel, by_taps = dense_by_taps(explanation)
    x = torch.zeros(1, *single.input_sizes, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(
        lambda image: by_torch(single, image, kernel.view(1, 1, *kernel.shape)), x
    )
    assert torch.equal(jacobian[0, :, :, 0], by_taps)


def prove_overlap(explanation):
    problem = explanation.problem
    single = problem.replaced(in_channels=1, out_channels=1, groups=1)
    ones = torch.ones(1, 1, *problem.kernel_size)
    x = torch.ones(1, *problem.input_sizes, dtype=torch.float64, requires_grad=True)
    output = by_torch(single, x, ones)
    (gradient,) = torch.autograd.grad(output.sum(), x)
    counts = output.detach() if problem.transposed else gradient
    assert torch.equal(explanation.overlap.counts.double(), counts[0])


def test_every_number_is_torchs(conv):
    for problem in conv.random_problems(40, seed=1):
        prove(problem)


@pytest.mark.long
def test_every_number_of_500_problems_is_torchs(conv):
    for problem in conv.random_problems(500, seed=2):
        prove(problem)


@pytest.mark.parametrize(
    ("module", "name", "wrong", "text"),
    [
        (
            axis_module,
            "border_source",
            lambda at, size, _mode: (size - 1) if at < 0 else 0,
            "Conv2d(1, 1, 3, padding=1)",
        ),
        (
            axis_module,
            "_transposed_tap",
            lambda axis, output, tap: axis_module.Tap(tap, output, min(output // 2, axis.input_size - 1), "input"),
            "ConvTranspose2d(1, 1, 3, stride=2)",
        ),
        (views_module, "conv2d", lambda *_args, **_named: torch.zeros(1, 1, 3, 3), "Conv2d(1, 1, 3)"),
        (explain_module, "count_overlap", lambda *_args, **_named: torch.zeros(3, 3), "Conv2d(1, 1, 3)"),
    ],
    ids=["border", "tap", "kernel", "overlap"],
)
def test_a_wrong_number_is_noticed(monkeypatch, module, name, wrong, text):
    monkeypatch.setattr(module, name, wrong)
    assert not explain_conv(parse_problem(text, None)).same


def test_a_stamp_lies_where_it_is_said_to(conv):
    explanation = conv.explained("ConvTranspose2d(2, 3, (2, 3), stride=(3, 2), dilation=(1, 2), padding=1)", "2x3")
    scatter = explanation.views[0]
    stamps, total = scatter.arrays["stamps"], torch.zeros_like(scatter.arrays["uncropped"])
    for c, h, w, o, row, column in itertools.product(*map(range, stamps.shape)):
        total[o, 3 * h + row, 2 * w + 2 * column] += stamps[c, h, w, o, row, column]
    assert torch.equal(total, scatter.arrays["uncropped"])
    top, left = scatter.offset
    rows, columns = explanation.output_sizes
    assert torch.equal(total[:, top : top + rows, left : left + columns], scatter.output)


def test_the_spread_input_and_the_turned_kernel_give_the_output(conv):
    explanation = conv.explained("ConvTranspose2d(2, 4, 3, stride=2, padding=1, output_padding=1, groups=2)", "3x4")
    view = explanation.views[1]
    spread, turned = (view.arrays[name].double() for name in ("spread", "turned"))
    assert torch.equal(F.conv2d(spread.unsqueeze(0), turned, groups=2)[0].long(), view.output)


@pytest.mark.parametrize(
    ("text", "multiply"),
    [
        ("ConvTranspose2d(2, 3, 3, stride=2, padding=1)", lambda m, x: m.T @ x),
        ("Conv2d(2, 3, 3, stride=2, padding=1, padding_mode='reflect')", lambda m, x: m @ x),
    ],
)
def test_the_matrix_gives_the_output(conv, text, multiply):
    explanation = conv.explained(text, "4x5")
    view = explanation.views[-1]
    assert torch.equal(multiply(view.arrays["matrix"], explanation.input.flatten()), view.output.flatten())


def test_the_matrix_is_that_of_the_manual_path(conv):
    from trainloop.manual.conv.transpose.matrix import convolution_matrix

    explanation = conv.explained()
    matrix = convolution_matrix(explanation.weight.double(), (5, 5), explanation.problem.patches)[0]
    assert torch.equal(explanation.views[2].arrays["matrix"], matrix.long())


def test_large_arrays_are_left_out_and_said_to_be(conv):
    explanation = conv.explained("ConvTranspose2d(1, 1, 11, stride=2)", "24x24")
    assert explanation.views[0].left_out == {"stamps": (1, 24, 24, 1, 11, 11)}
    assert explanation.views[2].left_out == {"matrix": (576, 3249)}
    assert all(view.same for view in explanation.views)


def test_a_view_that_takes_too_long_is_left_out_and_said_to_be(conv, monkeypatch):
    monkeypatch.setattr(views_module, "MOST_INSERTED", 10)
    monkeypatch.setattr(views_module, "MOST_ENTRIES", 10)
    explanation = explain_conv(conv.explained().problem)
    assert [view.same for view in explanation.views] == [True, None, None]
    assert [check.what for check in explanation.checks] == ["scatter", "tap lists", "overlap counts", "sizes"]


def test_the_cell_and_the_pixel_can_be_chosen(conv):
    explanation = conv.explained("Conv2d(2, 4, 3, groups=2)", "5x5", cell=(3, 0, 1), pixel=(1, 4, 4))
    assert {term.channel for term in explanation.cell.terms} == {1}
    assert explanation.cell.value == explanation.output[3, 0, 1]
    assert {(effect.channel, effect.place, effect.tap) for effect in explanation.pixel.effects} == {
        (2, (2, 2), (2, 2)),
        (3, (2, 2), (2, 2)),
    }


@pytest.mark.parametrize(
    ("text", "size", "what"),
    [
        (
            "Conv2d(512, 512, 3)",
            "64x64",
            "9,069,133,824 multiplications are too many to explain: expected at most 400,000,000",
        ),
        (
            "Conv2d(1, 1, 1)",
            "5000x5000",
            "an input of 25,000,000 numbers is too large to explain: expected at most 20,000,000",
        ),
    ],
)
def test_what_is_too_large_is_refused(text, size, what):
    with pytest.raises(UsageError) as caught:
        explain_conv(parse_problem(text, size))
    assert caught.value.faults[0].what == what
    offer, _, size = caught.value.faults[0].expected.removeprefix("nearest: ").partition(" --input ")
    near = parse_problem(offer, size)
    assert not too_large(near)


def test_the_widest_stride_of_the_largest_usual_problem_is_explained():
    explanation = explain_conv(parse_problem("ConvTranspose2d(1, 1, 11, stride=64)", "64x64"))
    assert explanation.same
    assert explanation.output_sizes == (4043, 4043)
    assert {check.what for check in explanation.checks} >= {"scatter", "matrix", "tap lists", "overlap counts"}


def test_random_texts_that_do_not_fit_name_the_nearest_that_do(conv):
    source, refused = random.Random(3), 0
    while refused < 30:
        text, size = conv.random_text(source)
        try:
            parse_problem(text, size)
        except UsageError as error:
            refused += 1
            offer, _, offered_size = error.faults[0].expected.removeprefix("nearest: ").partition(" --input ")
            parse_problem(offer, offered_size)
