"""The gallery: complete, its labels true, and the committed files what ``make gallery`` draws."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trainloop.explain_conv.gallery.cases import CASES, CONVOLUTIONS, MORE, OVERLAP, SECTIONS, STEPS, TRANSPOSED, TWINS
from trainloop.explain_conv.gallery.draw import INDEX, LAST, MILLISECONDS, command, drawing, index, label
from trainloop.explain_conv.pictures.planes import SCATTER, ZERO_INSERT
from trainloop.explain_conv.pictures.raster import PNG_SCALE, draw
from trainloop.explain_conv.pictures.scene import Words

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "docs" / "gallery"
MOST_BYTES = 4_000_000
NOISE = 5
"""by palette and letters; the next step of an animation is 8 and more away"""
WELL_KNOWN = {
    "No padding, no strides",
    "Arbitrary padding, no strides",
    "Same padding, no strides",
    "Full padding, no strides",
    "No padding, strides",
    "Padding, strides",
    "Padding, strides, odd size",
    "No padding, no strides, dilation",
}


def module_of(text):
    """The module, made by torch alone."""
    return eval(text, {"__builtins__": {}}, vars(torch.nn))


def sizes_of(case):
    module, input = module_of(case.text), tuple(map(int, case.input.split("x")))
    with torch.no_grad():
        output = module(torch.zeros(1, module.in_channels, *input)).shape[2:]
    return module, input, tuple(output)


def padding_words(module, input, output):
    """Every word for its padding that is true; ``input`` and ``output`` of the convolution, not of its twin."""
    words = {"no padding"} if module.padding == (0, 0) else {"padding"}
    if module.padding != (0, 0):
        words |= {"same padding"} if input == output else set()
        full = tuple(d * (k - 1) for k, d in zip(module.kernel_size, module.dilation, strict=True))
        words |= {"full padding"} if module.padding == full else {"arbitrary padding"}
    return words


def faults(case):
    """What a title of a convolution, or of its twin, says that is not so, or does not say that is so."""
    module, input, output = sizes_of(case)
    transposed = isinstance(module, torch.nn.ConvTranspose2d)
    if transposed:
        input, output = output, input
    said = case.title.lower().split(", ")
    reach = [d * (k - 1) + 1 for k, d in zip(module.kernel_size, module.dilation, strict=True)]
    numbers = zip(input, module.padding, reach, module.stride, strict=True)
    rests = {(size + 2 * pad - extent) % stride for size, pad, extent, stride in numbers}
    claims = {
        "transposed": transposed,
        "strides": max(module.stride) > 1,
        "no strides": max(module.stride) == 1,
        "odd size": rests != {0},
        "dilation": max(module.dilation) > 1,
    }
    wrong = {claim for claim, so in claims.items() if so != (claim in said)}
    padding = {word for word in said if word.endswith("padding")}
    return (
        wrong
        | {word for word in padding if word not in padding_words(module, input, output)}
        | (set() if len(padding) == 1 else {"padding is not named once"})
    )


def test_every_well_known_case_is_there_with_both_views_of_its_twin():
    assert {case.title for case in CONVOLUTIONS} == WELL_KNOWN
    assert set(TWINS) == {case.name for case in CONVOLUTIONS}
    expected = {(f"{title}, transposed", view) for title in WELL_KNOWN for view in (SCATTER, ZERO_INSERT)}
    assert {(case.title, case.view) for case in TRANSPOSED} == expected
    assert len({case.file for case in CASES}) == len(CASES)
    modules = [module_of(case.text) for case in MORE]
    assert any(max(module.output_padding) > 1 for module in modules if hasattr(module, "output_padding"))
    assert any(module.groups > 1 for module in modules)
    assert any(module.groups == module.in_channels > 1 for module in modules)
    assert [drawing(case).explanation.overlap.score for case in MORE if "checkerboard" in case.name] == [0.75, 0]


@pytest.mark.parametrize("case", [*CONVOLUTIONS, *TRANSPOSED], ids=lambda case: case.name)
def test_a_title_says_what_the_problem_is(case):
    assert faults(case) == set()


def test_a_wrong_title_would_be_found():
    case = CONVOLUTIONS[0]
    for title, wrong in (
        ("Padding, no strides", "padding"),
        ("No padding, strides", "strides"),
        ("No padding, no strides, dilation", "dilation"),
        ("No padding, no strides, transposed", "transposed"),
        ("No padding, no strides, odd size", "odd size"),
        ("Full padding, no strides", "full padding"),
        ("No strides", "padding is not named once"),
    ):
        assert wrong in faults(case._replace(title=title)), title
    assert "same padding" in faults(CONVOLUTIONS[1]._replace(title="Same padding, no strides"))


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=lambda case: case.name)
def test_a_twin_leads_back(case):
    text, input = TWINS[case.name]
    forward, start, end = sizes_of(case)
    back, begin, result = sizes_of(case._replace(text=text, input=input))
    assert (begin, result) == (end, start)
    for name in ("kernel_size", "stride", "padding", "dilation"):
        assert getattr(back, name) == getattr(forward, name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_sizes_on_the_picture_are_torchs(case):
    module, input, output = sizes_of(case)
    front = [(f"{count}×" if count > 1 else "") for count in (module.in_channels, module.out_channels)]
    shown = "{}{} → {}{}".format(front[0], "×".join(map(str, input)), front[1], "×".join(map(str, output)))
    for scene in drawing(case).scenes:
        words = " ".join(shape.text for shape in scene.shapes if isinstance(shape, Words))
        assert f"{case.text} · {shown}" in words
        assert f"{'counts' if case.drawn == OVERLAP else 'outputs'} checked against torch: same" in words
    assert f"`{case.text} · {shown}`" in index()
    assert f"### {label(drawing(case))}\n" in index()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_committed_file_is_what_is_drawn_now(case):
    drawn = drawing(case)
    image = opened(case)
    assert comment_of(image) == drawn.comment
    steps = [0, len(drawn.scenes) // 2, len(drawn.scenes) - 1] if case.drawn == STEPS else [0]
    if case.drawn == STEPS:
        module, input, output = sizes_of(case)
        scatter = case.view == SCATTER
        channels, bias = (module.in_channels, 1) if scatter else (module.out_channels, 0)
        assert image.n_frames == len(drawn.scenes) == channels * math.prod(input if scatter else output) + bias
    for step in steps:
        image.seek(step)
        assert difference(image, drawn.scenes[step], 1 if case.drawn == STEPS else PNG_SCALE) < NOISE
        if case.drawn == STEPS:
            assert image.info["duration"] == (LAST if step == len(drawn.scenes) - 1 else MILLISECONDS)


def test_a_file_of_another_case_would_be_found():
    one, other = CONVOLUTIONS[2], CONVOLUTIONS[3]
    image = opened(one)
    assert comment_of(image) != drawing(other).comment
    assert difference(image, drawing(one).scenes[1], 1) > NOISE
    wrong = drawing(one)._replace(scenes=drawing(one).scenes[1:])
    assert wrong.digest != drawing(one).digest


def opened(case):
    return Image.open(io.BytesIO((FOLDER / case.file).read_bytes()))


def comment_of(image):
    found = image.info.get("comment") or image.info["Comment"]
    return found.decode() if isinstance(found, bytes) else found


def difference(image, scene, scale):
    """How far the dots are from what is drawn now, in the mean over those that are different at all in either picture."""
    now = np.asarray(draw(scene, scale), dtype=float)
    then = np.asarray(image.convert("RGB"), dtype=float)[: now.shape[0], : now.shape[1]]
    ink = (now != 255).any(axis=2) | (then != 255).any(axis=2)
    return float(np.abs(now - then)[ink].mean())


def test_the_page_is_what_is_written_and_nothing_else_lies_there():
    assert (FOLDER / INDEX).read_text(encoding="utf-8") == index()
    assert {path.name for path in FOLDER.iterdir()} == {INDEX, *(case.file for case in CASES)}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= MOST_BYTES
    assert re.findall(r"^## (.*)$", index(), re.MULTILINE) == list(SECTIONS)


@pytest.mark.parametrize(
    "case",
    [CONVOLUTIONS[1], *TRANSPOSED[:2], *(case for case in MORE if case.drawn != STEPS)],
    ids=lambda case: case.name,
)
def test_the_command_below_a_picture_is_taken(case):
    import shlex

    from typer.testing import CliRunner

    from trainloop.cli.app import app

    words = shlex.split(command(case))[1:]
    if "--gif" in words or "--png" in words:
        words[-2:] = ["--frames"] if case.drawn == STEPS else []
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.exception
    assert done.stdout.startswith(f"{case.text} · ")


def test_the_makefile_and_the_documents_lead_there():
    assert "-m trainloop.explain_conv.gallery docs/gallery" in (ROOT / "Makefile").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(re.findall(r"!\[[^]]+\]\(docs/gallery/[\w.]+\)", readme)) == 2
    for text, name in re.findall(r"!\[([^]]+)\]\(docs/gallery/([\w.]+)\)", readme):
        (case,) = [case for case in CASES if case.file == name]
        assert case.text in text


def test_make_gallery_writes_every_file(tmp_path, monkeypatch, capsys):
    from trainloop.explain_conv.gallery import __main__ as command_line

    monkeypatch.setattr(command_line, "CASES", CASES[:2])
    monkeypatch.setattr("sys.argv", ["gallery", str(tmp_path / "new")])
    command_line.main()
    assert {path.name for path in (tmp_path / "new").iterdir()} == {INDEX, CASES[0].file, CASES[1].file}
    assert capsys.readouterr().out.startswith("2 pictures, ")
    data = (tmp_path / "new" / CASES[0].file).read_bytes()
    assert comment_of(Image.open(io.BytesIO(data))) == drawing(CASES[0]).comment
