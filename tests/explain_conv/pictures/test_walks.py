"""The steps: every place once, with its own taps, and at the end the numbers of the explanation."""

from __future__ import annotations

import math
import re

import pytest
import torch

from trainloop.explain_conv.explain import explain_conv
from trainloop.explain_conv.pictures.planes import (
    CHOSEN,
    CUT,
    INSERTED,
    LOST,
    OTHER,
    PADDING,
    READ,
    SCATTER,
    UNREAD,
    ZERO_INSERT,
)
from trainloop.explain_conv.pictures.scene import LOOKS
from trainloop.explain_conv.pictures.stamps import StampFrames
from trainloop.explain_conv.pictures.walks import Walk

PROBLEMS = (
    ("Conv2d(1, 1, 3, stride=2, padding=1)", "6x6", ""),
    ("Conv2d(2, 2, (3, 2), padding=(1, 0), dilation=(1, 2), groups=2)", "4x5", ""),
    ("Conv1d(1, 2, 3, padding=1, padding_mode='reflect')", "5", ""),
    ("ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1)", "3x3", SCATTER),
    ("ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1)", "3x3", ZERO_INSERT),
    ("ConvTranspose2d(2, 2, 3, stride=2, groups=2, dilation=2)", "2x2", SCATTER),
    ("ConvTranspose1d(2, 1, 4, stride=3, padding=2)", "4", SCATTER),
    ("ConvTranspose1d(2, 1, 4, stride=3, padding=2)", "4", ZERO_INSERT),
)


def places(plane, *looks):
    rows, columns = plane.sizes
    return [(r, c) for r in range(rows) for c in range(columns) if plane.look((r, c)) in looks]


def planes(frame, name):
    return [plane for column in frame.columns for plane in column if plane.name == name]


def sum_of_frame(frame, bias):
    """What the marked places of the input and the weights come to, in the order in which both are read."""
    total = bias
    slid = [plane for plane in planes(frame, "input") if places(plane, READ, LOST)]
    for input, weight in zip(slid, planes(frame, "weight"), strict=True):
        window, (rows, columns) = places(input, READ, LOST), weight.sizes
        taps = [(r, c) for r in range(rows) for c in range(columns)]
        products = zip(window, taps, strict=True)
        total += sum(int(input.number(place)) * int(weight.number(tap)) for place, tap in products)
    return total


@pytest.mark.parametrize(("text", "size", "view"), [case for case in PROBLEMS if case[2] != SCATTER])
def test_every_window_gives_the_number_that_it_is_said_to(conv, text, size, view):
    explanation = conv.explained(text, size)
    walk = Walk(explanation, view)
    assert len(walk) == explanation.output.numel()
    for step, expected in enumerate(explanation.output.flatten().tolist()):
        frame = walk.frame(step)
        chosen = [(plane, place) for plane in planes(frame, "output") for place in places(plane, CHOSEN)]
        ((plane, place),) = chosen
        channel = step // explanation.output[0].numel()
        assert int(plane.number(place)) == expected
        assert sum_of_frame(frame, int(explanation.bias[channel])) == expected
        assert frame.formula.endswith(f"= {expected}")
        assert f"step {step + 1} of {len(walk)}" in frame.title


def test_a_wrong_window_would_be_noticed(conv):
    explanation = conv.explained("Conv2d(1, 1, 3, stride=2, padding=1)", "6x6")
    walk = Walk(explanation)
    moved = Walk(conv.explained("Conv2d(1, 1, 3, stride=2, padding=1)", "7x7"))
    expected = int(explanation.output.flatten()[4])
    assert sum_of_frame(walk.frame(4), 0) == expected
    assert sum_of_frame(moved.frame(4), 0) != expected


@pytest.mark.parametrize(("text", "size", "view"), [case for case in PROBLEMS if case[2] == SCATTER])
def test_the_stamps_add_up_to_the_scatter_view(conv, text, size, view):
    explanation = conv.explained(text, size)
    walk = Walk(explanation, view)
    total = explanation.views[0].arrays["uncropped"]
    for step in range(explanation.input.numel()):
        frame = walk.frame(step)
    for channel, plane in enumerate(planes(frame, "output")):
        rows, columns = plane.sizes
        numbers = [[int(plane.number((r, c)) or 0) for c in range(columns)] for r in range(rows)]
        assert torch.equal(torch.tensor(numbers), total[channel])
        bias = int(explanation.bias[channel])
        assert plane.title.endswith(f", without the bias {bias}") == (bias > 0)
        kept = explanation.output_sizes[0] * explanation.output_sizes[1]
        assert len(places(plane, CUT, LOST)) == rows * columns - kept


def kept_numbers(explanation, frame):
    """The numbers of the outputs of a frame without what is cut off, and how many it has beside them."""
    shown, more = [], 0
    for plane in planes(frame, "output"):
        kept = [place for place in places(plane, *LOOKS) if place not in places(plane, CUT, LOST)]
        shown.append([int(plane.number(place) or 0) for place in kept])
        more += sum(bool(plane.number(place)) for place in places(plane, CUT, LOST))
    return torch.tensor(shown).view(-1, *explanation.output_sizes), more


@pytest.mark.parametrize(("text", "size", "view"), [case for case in PROBLEMS if case[2] == SCATTER])
def test_the_walk_of_stamps_ends_in_the_output(conv, text, size, view):
    explanation = conv.explained(text, size)
    walk = Walk(explanation, view)
    assert len(walk) == explanation.input.numel() + 1
    last = walk.frame(len(walk) - 1)
    numbers, more = kept_numbers(explanation, last)
    assert torch.equal(numbers, explanation.output)
    assert more == 0
    assert last.title == f"scatter, step {len(walk)} of {len(walk)}: plus the bias"
    biases = [int(plane.number((0, 0))) for plane in planes(last, "weight")]
    assert biases == explanation.bias.tolist()
    for bias in biases:
        assert f"stamps + {bias} (bias)" in last.formula
    if any(biases):  # the step before is not it
        assert not torch.equal(kept_numbers(explanation, walk.frame(len(walk) - 2))[0], explanation.output)


def test_without_a_bias_the_last_stamp_is_the_last_step(conv):
    explanation = conv.explained("ConvTranspose2d(1, 2, 3, stride=2, padding=1, bias=False)", "3x3")
    walk = Walk(explanation, SCATTER)
    assert len(walk) == 9
    numbers, _ = kept_numbers(explanation, walk.frame(8))
    assert torch.equal(numbers, explanation.output)


def test_the_walk_of_stamps_begins_at_the_pixel(conv):
    walk = Walk(conv.explained("ConvTranspose2d(2, 1, 3)", "3x4", pixel=(1, 2, 3)), SCATTER)
    assert walk.start == 23 == len(walk) - 2
    assert "input[1,2,3]" in walk.frame(walk.start).title


INDEX = re.compile(r"weight\[(\d+),(\d+)\]$")


@pytest.mark.parametrize(
    ("text", "view"),
    [
        ("Conv2d(4, 2, 3, groups=2)", ""),
        ("Conv2d(2, 3, (2, 3))", ""),
        ("Conv2d(2, 2, 3, groups=2)", ""),
        ("ConvTranspose2d(4, 6, 3, groups=2)", SCATTER),
        ("ConvTranspose2d(4, 6, 3, groups=2)", ZERO_INSERT),
        ("ConvTranspose2d(3, 2, (2, 3))", SCATTER),
        ("ConvTranspose2d(3, 2, (2, 3))", ZERO_INSERT),
    ],
)
def test_a_weight_has_the_index_of_torchs_own(conv, text, view):
    explanation = conv.explained(text, "4x4")
    walk, seen = Walk(explanation, view), set()
    for step in range(0, len(walk) - (view == SCATTER), 3):
        for plane in planes(walk.frame(step), "weight"):
            index = tuple(map(int, INDEX.search(plane.title).groups()))
            (rows, columns), kernel = plane.sizes, explanation.weight[index]
            if view == ZERO_INSERT:
                assert plane.title.startswith("turned weight[")
                kernel = kernel.flip(0, 1)
            if view == SCATTER:
                kernel = kernel * int(plane.title.partition(" · ")[0])
            shown = [[int(plane.number((r, c))) for c in range(columns)] for r in range(rows)]
            assert shown == kernel.tolist()
            seen.add(index)
    assert len(seen) == explanation.weight.shape[0] * explanation.weight.shape[1]
    assert len({tuple(kernel.flatten().tolist()) for kernel in explanation.weight.flatten(0, 1)}) > len(seen) / 2


def test_a_single_weight_has_no_index(conv):
    (weight,) = planes(Walk(conv.explained("Conv2d(1, 1, 3)", "4x4")).frame(0), "weight")
    assert weight.title == "weight"


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ("2, 2, 3, dilation=2", "row 0, column 0 on, every 2nd place"),
        ("2, 2, 3, dilation=(3, 2)", "row 0, column 0 on, every 3rd row and every 2nd column"),
        ("2, 2, 3, dilation=(1, 4)", "row 0, column 0 on, every 4th column"),
        ("2, 2, (3, 1), dilation=11", "row 0, column 0 on, every 11th row"),
        ("2, 2, (3, 2), dilation=21", "row 0, column 0 on, every 21st place"),
        ("2, 2, 3", "row 0, column 0 on"),
    ],
)
def test_a_dilated_stamp_says_how_far_apart_its_places_are(conv, parameters, said):
    frame = Walk(conv.explained(f"ConvTranspose2d({parameters})", "2x2"), SCATTER).frame(0)
    assert frame.formula.endswith(said)
    row = Walk(conv.explained("ConvTranspose1d(1, 1, 2, dilation=3)", "2"), SCATTER).frame(1)
    assert row.formula.endswith("added from column 1 on, every 3rd column")


def still_of(explanation):
    return StampFrames(explanation, explanation.views[0]).of_cell(explanation.cell)


def lettered(frame, name):
    """The numbers of the places with a letter, in the channels together."""
    return {
        plane.letter(place): int(plane.number(place))
        for plane in planes(frame, name)
        for place in places(plane, *LOOKS)
        if plane.letter(place)
    }


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1)", "5x5"),
        ("ConvTranspose2d(4, 4, 3, stride=2, groups=2)", "4x4"),
        ("ConvTranspose2d(1, 1, (2, 3), dilation=2, padding=1)", "4x5"),
        ("ConvTranspose1d(1, 1, 5, stride=2)", "5"),
    ],
)
def test_letters_say_which_input_meets_which_weight(conv, text, size):
    explanation = conv.explained(text, size)
    frame = still_of(explanation)
    inputs, weights = lettered(frame, "input"), lettered(frame, "weight")
    assert list(weights) == sorted(inputs)
    assert len(weights) > 1
    products = [(inputs[letter], weights[letter]) for letter in weights]
    read = [term for term in explanation.cell.terms if term.source is not None]
    assert products == [(term.value, term.weight) for term in read]
    # Row by row, as one would read them, they do not belong together.
    by_place = zip((inputs[letter] for letter in inputs), weights.values(), strict=True)
    assert sum(a * b for a, b in by_place) != sum(a * b for a, b in products)


@pytest.mark.parametrize("text", ["ConvTranspose2d(3, 1, 3)", "ConvTranspose2d(1, 1, 2, stride=2)"])
def test_there_are_no_letters_for_one_pair_or_more_than_there_are_letters(conv, text):
    frame = still_of(conv.explained(text, "7x7"))
    assert lettered(frame, "input") == lettered(frame, "weight") == {}


def test_a_still_of_stamps_says_what_the_bias_adds(conv):
    explanation = conv.explained("ConvTranspose2d(1, 5, 3, stride=2)", "4x4", cell=(4, 2, 2))
    frame, cell = still_of(explanation), explanation.cell
    ((plane, place),) = [(plane, place) for plane in planes(frame, "output") for place in places(plane, CHOSEN)]
    assert cell.bias == 4
    assert int(plane.number(place)) == cell.value - 4
    assert plane.title == "stamps added up, channel 4 of 5, without the bias 4"
    assert f" = {cell.value - 4}; {cell.value - 4} + 4 (bias) = {cell.value}" in frame.formula


def test_stepping_back_takes_stamps_away(conv):
    walk = Walk(conv.explained("ConvTranspose2d(1, 1, 3, stride=2)", "3x3"), SCATTER)

    def shown(step):
        (plane,) = planes(walk.frame(step), "output")
        return [plane.number((r, c)) for r in range(plane.sizes[0]) for c in range(plane.sizes[1])]

    first = shown(2)
    assert shown(7) != first
    assert shown(2) == first


def test_a_stamp_lies_where_the_pixel_says(conv):
    explanation = conv.explained(input="3x3")
    walk = Walk(explanation, SCATTER)
    frame = walk.frame(4)  # the pixel in the middle
    (stamped,) = planes(frame, "output")
    assert len(places(stamped, READ, LOST)) == 9
    corner = min(places(stamped, READ, LOST))
    assert (corner[0] + stamped.first[0], corner[1] + stamped.first[1]) == (1, 1)
    assert "from row 1, column 1 on" in frame.formula


def test_places_are_called_what_they_are(conv):
    unread = Walk(conv.explained("Conv2d(1, 1, 3, stride=2)", "6x6")).frame(0)
    (input,) = planes(unread, "input")
    assert len(places(input, UNREAD)) == 11
    spread = Walk(conv.explained("ConvTranspose2d(1, 1, 3, stride=2)", "2x2"), ZERO_INSERT).frame(24)
    (input,) = planes(spread, "input")
    assert len(places(input, INSERTED)) == 5
    assert len(places(input, PADDING, READ, LOST, INSERTED)) == 49 - 3
    groups = Walk(conv.explained("Conv2d(2, 2, 3, groups=2)", "4x4")).frame(0)
    assert [len(places(plane, OTHER)) for plane in planes(groups, "input")] == [0, 16]


@pytest.mark.parametrize(
    ("module", "view"),
    [("Conv2d", ""), ("ConvTranspose2d", SCATTER), ("ConvTranspose2d", ZERO_INSERT)],
    ids=["gather", "scatter", "zero_insert"],
)
def test_inputs_and_outputs_of_another_group_are_grey_alike(conv, module, view):
    walk = Walk(conv.explained(f"{module}(4, 4, 3, padding=1, groups=2)", "4x4"), view)
    for step, own in ((0, (True, True, False, False)), (len(walk) - 2, (False, False, True, True))):
        for name in ("input", "output"):
            grey = [len(places(plane, OTHER)) for plane in planes(walk.frame(step), name)]
            whole = [math.prod(plane.sizes) for plane in planes(walk.frame(step), name)]
            assert grey == [0 if mine else all for mine, all in zip(own, whole, strict=True)], (step, name)


def test_without_groups_nothing_is_grey_and_every_output_gets_its_bias(conv):
    one = Walk(conv.explained("ConvTranspose2d(2, 2, 3)", "4x4"), SCATTER)
    groups = Walk(conv.explained("ConvTranspose2d(2, 2, 3, groups=2)", "4x4"), SCATTER)
    for frame in (one.frame(0), groups.frame(len(groups) - 1)):
        assert not any(places(plane, OTHER) for column in frame.columns for plane in column)


def test_channels_that_are_left_out_are_counted(conv):
    frame = Walk(conv.explained("Conv2d(8, 2, 1)", "2x2")).frame(0)
    assert len(planes(frame, "input")) == 4
    assert frame.formula.endswith("(drawn: 4 of 8 input channels)")


def test_random_problems_can_be_walked_through(conv):
    for problem in conv.random_problems(40, seed=21):
        explanation = explain_conv(problem)
        for view in (SCATTER, ZERO_INSERT) if problem.transposed else ("",):
            walk = Walk(explanation, view)
            for step in {0, walk.start, len(walk) - 1}:
                for plane in [plane for column in walk.frame(step).columns for plane in column]:
                    assert len(places(plane, CHOSEN)) <= 1
                    assert all(plane.number(place) for place in places(plane, READ))


def test_frames_of_stamps_show_their_own_step_in_whatever_order_they_are_drawn(conv):
    walk = Walk(conv.explained("ConvTranspose2d(1, 1, 3, stride=2)", "2x2"), SCATTER)
    frames = [walk.frame(step) for step in range(len(walk))]

    def drawn(frame):
        (plane,) = planes(frame, "output")
        rows, columns = plane.sizes
        return [plane.number((r, c)) for r in range(rows) for c in range(columns)]

    last_first = [drawn(frame) for frame in reversed(frames)][::-1]
    assert last_first == [drawn(walk.frame(step)) for step in range(len(walk))]
    # The bias is 0: the last two show the same.
    assert len({tuple(numbers) for numbers in last_first}) == len(walk) - 1
