"""Frames as text: within the width, marked without colour, and of one height from step to step."""

from __future__ import annotations

import re

import pytest

from trainloop.explain_conv.pictures.planes import SCATTER, ZERO_INSERT
from trainloop.explain_conv.pictures.walks import Walk
from trainloop.explain_conv.screen import frames
from trainloop.explain_conv.screen.frames import MOST_FRAMES, all_frames, fitting_lines, frame_lines, most_digits

WALKS = (
    ("Conv2d(1, 1, 3, stride=2, padding=1)", "6x6", ""),
    ("Conv2d(2, 2, 3, groups=2)", "4x4", ""),
    ("Conv1d(1, 1, 3, padding=1)", "30", ""),
    ("ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1)", "5x5", SCATTER),
    ("ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1)", "5x5", ZERO_INSERT),
    ("ConvTranspose2d(1, 1, 11, stride=2)", "64x64", SCATTER),
)


def lines_of(walk, step, width):
    return [line.plain.rstrip() for line in frame_lines(walk.frame(step), width, most_digits(walk))]


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize(("text", "size", "view"), WALKS)
def test_every_frame_fits_and_stands_still(conv, text, size, view, width):
    walk = Walk(conv.explained(text, size), view)
    steps = range(0, len(walk), max(1, len(walk) // 8))
    drawn = [lines_of(walk, step, width) for step in steps]
    assert max(len(line) for frame in drawn for line in frame) <= width
    if "64" not in size:
        places = [[n for n, line in enumerate(frame) if re.match(r"  (in|out)put(\[| =)", line)] for frame in drawn]
        assert places == [places[0]] * len(drawn)
        assert len(places[0]) == 1


def test_a_frame_says_what_it_does(conv):
    walk = Walk(conv.explained("Conv2d(1, 1, 3, stride=2, padding=1)", "5x5"))
    text = "\n".join(lines_of(walk, 4, 100))
    for part in ("gather, step 5 of 9: output[1,1] =", "(7)(8)(9)", "padded input", "output[1,1] = 7·1 + 8·2"):
        assert part in text
    assert f"[{int(walk.explanation.output[0, 1, 1])}]" in text
    assert text.count("[") == 3  # twice in the name of the cell, once in the plane


def test_a_tap_on_padding_is_marked_with_a_dot(conv):
    walk = Walk(conv.explained("Conv2d(1, 1, 3, padding=1)", "3x3"))
    assert "\n".join(lines_of(walk, 0, 80)).count("(·)") == 5


def test_all_frames_are_printed_and_a_long_walk_is_cut_with_a_note(conv):
    short = [line.plain for line in all_frames(Walk(conv.explained(input="3x3")), 80)]
    assert sum("step" in line and " of 10" in line for line in short) == 10
    long = Walk(conv.explained("ConvTranspose1d(1, 1, 2, stride=2)", "130"))
    text = [line.plain for line in all_frames(long, 80)]
    assert sum(", step " in line for line in text) == MOST_FRAMES
    assert "… 31 more of 131 steps" in text[-1]


@pytest.mark.parametrize("height", [16, 24, 40])
def test_a_low_screen_gets_fewer_rows_and_still_the_sum(conv, height):
    walk = Walk(conv.explained(), ZERO_INSERT)
    lines = fitting_lines(walk.frame(55), 120, height, most_digits(walk))
    assert len(lines) <= height
    assert "= 99" in lines[-1].plain
    assert any("[99]" in line.plain for line in lines)


CHANNELS = "Conv2d(4, 4, 3, padding=1)"


@pytest.mark.parametrize(
    ("text", "size", "cell", "width", "height"),
    [
        (CHANNELS, "5x5", (2, 1, 1), 100, 24),
        (CHANNELS, "5x5", (0, 4, 4), 80, 24),
        ("Conv2d(8, 8, 3, padding=1)", "30x60", (3, 20, 40), 120, 45),
        ("Conv2d(8, 8, 3, padding=1)", "30x60", (7, 29, 0), 80, 24),
        ("ConvTranspose2d(4, 8, 3, stride=2, groups=2)", "20x20", (6, 3, 30), 100, 24),
    ],
)
def test_what_is_explained_is_on_the_screen_whatever_is_left_out(conv, text, size, cell, width, height):
    explanation = conv.explained(text, size, cell=cell)
    for view in (SCATTER, ZERO_INSERT) if explanation.problem.transposed else ("",):
        walk = Walk(explanation, view)
        frame = walk.frame(walk.start)
        lines = [line.plain for line in fitting_lines(frame, width, height, most_digits(walk))]
        assert len(lines) <= height
        assert max(map(len, lines)) <= width
        assert lines[0].startswith(frame.title[:20])
        (left_out,) = [line for line in lines if "left out for want of room: " in line]
        drawn = sum(line.count("weight[") for line in lines)
        all_weights = sum(plane.name == "weight" for column in frame.columns for plane in column)
        missing = re.search(r"(\d+ )?weight", left_out)
        assert drawn + (int(missing[1] or 1) if missing else 0) == all_weights
        text_of = "\n".join(lines)
        if view == SCATTER:
            assert "stamps added up, channel 6 of 8" in text_of
            assert "times the kernel" in text_of
        else:
            assert f"output, channel {cell[0]} of" in text_of
            assert f"[{explanation.cell.value}]" in text_of
            assert f"= {explanation.cell.value}" in text_of.partition("left out")[2]


def test_a_large_screen_leaves_nothing_out(conv):
    walk = Walk(conv.explained(CHANNELS, "5x5"))
    text = "\n".join(line.plain for line in fitting_lines(walk.frame(60), 200, 60, most_digits(walk)))
    assert "left out" not in text
    assert text.count("output, channel") == text.count("input, channel") == 4


def test_an_input_channel_goes_with_its_weights(conv):
    walk = Walk(conv.explained(CHANNELS, "5x5"))
    for height in range(16, 50):
        text = "\n".join(line.plain for line in fitting_lines(walk.frame(60), 100, height, most_digits(walk)))
        if text.count("input, channel") > 1:
            assert text.count("weight[") == text.count("input, channel")


@pytest.mark.parametrize(("width", "height"), [(30, 7), (30, 3), (12, 20), (100, 2), (80, 4)])
def test_a_screen_that_is_too_small_says_what_is_needed(conv, width, height):
    walk = Walk(conv.explained(), ZERO_INSERT)
    frame, digits = walk.frame(55), most_digits(walk)
    needs = frames._needed(frame, width, height, digits)
    assert seen(fitting_lines(frame, width, height, digits), width, height) == needs
    wide, high = map(int, re.match(r"needs (\d+)×(\d+), this is ", needs).groups())
    assert needs.endswith(f"this is {width}×{height + frames.BESIDES}")
    enough = fitting_lines(frame, wide, high - frames.BESIDES, digits)
    assert len(enough) > 1
    assert any("[99]" in line.plain for line in enough)
    if high > height + frames.BESIDES:
        (line,) = fitting_lines(frame, wide, high - frames.BESIDES - 1, digits)
        assert line.plain.startswith("needs ")


def seen(lines, width, height):
    """What lines say that fit on a screen, as one text."""
    assert len(lines) <= height
    assert max(len(line.plain) for line in lines) <= width
    return " ".join(line.plain for line in lines)


@pytest.mark.parametrize(("width", "height"), [(20, 7), (20, 1), (12, 2), (12, 1), (11, 4)])
def test_what_is_needed_is_seen_on_a_narrow_screen(conv, width, height):
    walk = Walk(conv.explained(), ZERO_INSERT)
    text = seen(fitting_lines(walk.frame(55), width, height, most_digits(walk)), width, height)
    assert re.match(r"needs \d+×\d+", text)
    if width * height > 40:
        assert text.endswith(f", this is {width}×{height + frames.BESIDES}")
