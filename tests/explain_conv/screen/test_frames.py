"""Frames as text: within the width, marked without colour, and of one height from step to step."""

from __future__ import annotations

import re

import pytest

from trainloop.explain_conv.pictures.walks import SCATTER, ZERO_INSERT, Walk
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
    frames = [lines_of(walk, step, width) for step in steps]
    assert max(len(line) for frame in frames for line in frame) <= width
    if "64" not in size:
        places = [[n for n, line in enumerate(frame) if re.match(r"  (in|out)put\[", line)] for frame in frames]
        assert places == [places[0]] * len(frames)
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
    assert sum("step" in line and " of 9" in line for line in short) == 9
    long = Walk(conv.explained("ConvTranspose1d(1, 1, 2, stride=2)", "130"))
    text = [line.plain for line in all_frames(long, 80)]
    assert sum(", step " in line for line in text) == MOST_FRAMES
    assert "… 30 more of 130 steps" in text[-1]


@pytest.mark.parametrize("height", [16, 24, 40])
def test_a_low_screen_gets_fewer_rows_and_still_the_sum(conv, height):
    walk = Walk(conv.explained(), ZERO_INSERT)
    lines = fitting_lines(walk.frame(55), 120, height, most_digits(walk))
    assert len(lines) <= height
    assert "= 99" in lines[-1].plain
    assert any("[99]" in line.plain for line in lines)
