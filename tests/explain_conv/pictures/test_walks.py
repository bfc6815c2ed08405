"""The steps: every place once, with its own taps, and at the end the numbers of the explanation."""

from __future__ import annotations

import pytest
import torch

from trainloop.explain_conv.explain import explain_conv
from trainloop.explain_conv.pictures.planes import CHOSEN, CUT, INSERTED, LOST, OTHER, PADDING, READ, UNREAD
from trainloop.explain_conv.pictures.walks import SCATTER, ZERO_INSERT, Walk

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
    assert len(walk) == explanation.input.numel()
    total = explanation.views[0].arrays["uncropped"]
    for step in range(len(walk)):
        frame = walk.frame(step)
    for channel, plane in enumerate(planes(frame, "output")):
        rows, columns = plane.sizes
        numbers = [[int(plane.number((r, c)) or 0) for c in range(columns)] for r in range(rows)]
        assert torch.equal(torch.tensor(numbers), total[channel])
        kept = explanation.output_sizes[0] * explanation.output_sizes[1]
        assert len(places(plane, CUT, LOST)) == rows * columns - kept


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
    assert len({tuple(numbers) for numbers in last_first}) == len(walk)
