"""SVG: valid, escaped, without script, and with every number and every tap in it."""

from __future__ import annotations

import dataclasses
import re
from xml.etree import ElementTree

import pytest

from trainloop.explain_conv.pictures.matrix import group_matrix
from trainloop.explain_conv.pictures.pictures import overlap, still
from trainloop.explain_conv.pictures.scene import LOOKS, Tile
from trainloop.explain_conv.pictures.svg import svg

SPACE = "{http://www.w3.org/2000/svg}"
PROBLEMS = (
    ("Conv2d(1, 1, 3, stride=2, padding=1)", "6x6"),
    ("Conv1d(1, 1, 3, padding=1)", "5"),
    ("ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1)", "5x5"),
    ("Conv2d(2, 2, 3, groups=2)", "4x4"),
)


def parsed(explanation):
    return ElementTree.fromstring(svg(still(explanation)))


def texts(root, plane):
    return [node.text for node in root.iter(f"{SPACE}text") if node.get("data-plane") == plane]


def rects(root, plane, *looks):
    return [
        node for node in root.iter(f"{SPACE}rect") if node.get("data-plane") == plane and node.get("class") in looks
    ]


@pytest.mark.parametrize(("text", "size"), PROBLEMS)
def test_it_is_a_picture_that_says_what_it_shows(conv, text, size):
    explanation = conv.explained(text, size)
    root = parsed(explanation)
    _, _, width, height = map(int, root.get("viewBox").split())
    assert (str(width), str(height)) == (root.get("width"), root.get("height"))
    assert root.find(f"{SPACE}title").text.startswith(explanation.text)
    assert f"= {explanation.cell.value}" in root.find(f"{SPACE}desc").text
    assert root.get("aria-labelledby") == "title desc"
    for node in root.iter(f"{SPACE}rect"):
        assert 0 <= float(node.get("x", 0)) <= float(node.get("x", 0)) + float(node.get("width")) <= width
        assert float(node.get("y", 0)) + float(node.get("height")) <= height
    tags = {node.tag.removeprefix(SPACE) for node in root.iter()}
    assert tags <= {"svg", "title", "desc", "defs", "pattern", "rect", "line", "text"}
    assert not re.search(r"href|https?://(?!www\.w3\.org/2000/svg)|\bon\w+=", svg(still(explanation)))


@pytest.mark.parametrize(("text", "size"), PROBLEMS)
def test_every_number_of_the_output_and_every_tap_is_in_it(conv, text, size):
    explanation = conv.explained(text, size)
    root, cell = parsed(explanation), explanation.cell
    transposed = explanation.problem.transposed
    numbers = [str(number) for number in explanation.output.flatten().tolist()]
    shown = texts(root, "output")
    if transposed:
        shown = shown[-len(numbers) :]
        assert [str(n) for n in explanation.views[0].arrays["uncropped"].flatten().tolist() if n] != shown
    assert sorted(shown) == sorted(numbers)
    read = [term for term in cell.terms if term.source is not None]
    views = 2 if transposed else 1
    assert len(rects(root, "input", "read")) == views * len(read)
    assert len(rects(root, "weight", "read")) == views * len(read)
    assert len(rects(root, "input", "lost")) == len(cell.terms) - len(read)
    assert len(rects(root, "output", "chosen")) == views
    if transposed:
        assert len(rects(root, "matrix", "read")) == len(read)
        assert len(rects(root, "matrix", "read", "entry")) == explanation.views[2].entries


def test_letters_are_texts_of_their_own(conv):
    letters = [node for node in parsed(conv.explained()).iter(f"{SPACE}text") if node.get("class") == "letter"]
    assert sorted(node.text for node in letters) == [*"aabbccdd"]
    assert all(node.get("data-plane") is None for node in letters)


def test_what_was_compared_with_torch_is_said_and_nothing_more(conv):
    explanation = conv.explained()
    words = " ".join(node.text for node in parsed(explanation).iter(f"{SPACE}text"))
    assert "outputs checked against torch: same" in words
    assert "every number" not in words
    counts = svg(overlap(explanation))
    assert "counts checked against torch: same" in counts
    assert "H and W: kernel 3" in counts
    row = svg(overlap(conv.explained("ConvTranspose1d(1, 1, 3, stride=2)", "4")))
    assert "W: kernel 3" in row
    two = svg(overlap(conv.explained("ConvTranspose2d(1, 1, (3, 4), stride=2)", "4x4")))
    assert "H: kernel 3" in two
    assert "W: kernel 4" in two


GROUPS = ("ConvTranspose2d(4, 6, 3, stride=2, groups=2)", "4x4")


@pytest.mark.parametrize("channel", [0, 2, 3, 4])
def test_the_matrix_is_that_of_the_cells_group(conv, channel):
    explanation = conv.explained(*GROUPS, cell=(channel, 2, 2))
    matrix, group, view = group_matrix(explanation), channel // 3, explanation.views[2]
    product = matrix.T @ explanation.input[2 * group : 2 * group + 2].flatten()
    assert product.tolist() == view.output[3 * group : 3 * group + 3].flatten().tolist()
    assert matrix.equal(view.arrays["matrix"]) == (group == 0)
    root = parsed(explanation)
    words = " ".join(node.text for node in root.iter(f"{SPACE}text"))
    assert f"group {group} of 2" in words
    assert f"The marked column makes output[{channel},2,2]." in words
    read = [term for term in explanation.cell.terms if term.source is not None]
    assert len(rects(root, "matrix", "read")) == len(read)
    column = matrix[:, (channel % 3) * 81 + 2 * 9 + 2]
    assert sorted(column[column != 0].tolist()) == sorted(term.weight for term in read)


def formula_lines(explanation):
    """The lines of the pictures, as they are broken."""
    return [node.text for node in parsed(explanation).iter(f"{SPACE}text") if not node.get("data-plane")]


def test_a_formula_is_not_broken_inside_round_brackets(conv):
    explanation = conv.explained(
        "ConvTranspose2d(1, 1, (3, 5), stride=(2, 3), padding=1, output_padding=1, dilation=(1, 2))", "3x3"
    )
    lines = formula_lines(explanation)
    formulas = [line for line in lines if "·" in line or "output_padding +" in line]
    assert len([line for line in formulas if "·" in line]) > 4
    (sizes,) = [line for line in lines if "3×3" in line]
    assert sizes.endswith("3×3 → 6×14")
    for line in formulas:
        assert line.count("(") == line.count(")"), line
        assert not line.endswith(("−", "·", "+", "=", "→")), line
        assert not line.startswith(("−", "·")), line


def test_another_cell_marks_other_taps(conv):
    corner = parsed(conv.explained("Conv2d(1, 1, 3, padding=1)", "5x5", cell=(0, 0, 0)))
    assert len(rects(corner, "input", "read")) == 4
    assert len(rects(corner, "input", "lost")) == 5


def test_texts_are_escaped(conv):
    scene = dataclasses.replace(
        still(conv.explained()), title="</title><script>alert(1)</script>", description='"&\x1b'
    )
    text = svg(scene)
    assert "<script" not in text
    assert ElementTree.fromstring(text).find(f"{SPACE}title").text == scene.title
    assert "\x1b" not in text


def test_a_difference_from_torch_stands_in_the_picture(conv):
    explanation = conv.explained()
    wrong = (dataclasses.replace(explanation.checks[0], same=False), *explanation.checks[1:])
    assert "NOT the numbers of torch: scatter" in svg(still(dataclasses.replace(explanation, checks=wrong)))


def test_a_large_plane_is_cut_around_the_cell_and_says_so(conv):
    root = parsed(conv.explained("Conv2d(1, 1, 11, padding=5)", "64x64"))
    assert len(rects(root, "output", "chosen")) == 1
    words = " ".join(node.text for node in root.iter(f"{SPACE}text"))
    assert re.search(r"rows \d+ to \d+ of 64", words)
    big = parsed(conv.explained("ConvTranspose2d(1, 1, 11, stride=2)", "64x64"))
    assert "too large to draw" in " ".join(node.text for node in big.iter(f"{SPACE}text"))


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_what_matters_differs_in_grey_and_can_be_read():
    for name in ("chosen", "read", "input", "tap", "done"):
        assert contrast(LOOKS[name].fill, LOOKS[name].ink) >= 4.5, name
    for quiet in ("input", "tap", "done", "waiting", "padding", "inserted"):
        for loud in ("chosen", "read"):
            assert contrast(LOOKS[quiet].fill, LOOKS[loud].fill) >= 1.8, (quiet, loud)
    assert contrast(LOOKS["chosen"].fill, LOOKS["read"].fill) >= 1.8
    shapes = [(look.line, bool(look.hatch), look.width) for look in (LOOKS["padding"], LOOKS["cut"], LOOKS["lost"])]
    assert len(set(shapes)) == 3


def test_every_look_that_is_drawn_is_in_the_legend(conv):
    scene = still(conv.explained())
    tiles = [shape for shape in scene.shapes if isinstance(shape, Tile)]
    drawn = {tile.look for tile in tiles if tile.plane} - {"entry"}
    assert drawn == {tile.look for tile in tiles if not tile.plane} - {"frame"}
