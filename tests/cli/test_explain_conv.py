"""``trainloop explain-conv`` as it is typed: answers, files, exit codes, and one message for each mistake."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trainloop.cli.app import app
from trainloop.errors import CheckFailedError, ResourceError, TrainloopError
from trainloop.explain_conv import explain as explain_module

ROOT = Path(__file__).parents[2]


def invoke(*arguments):
    return CliRunner().invoke(app, ["explain-conv", *arguments])


def test_without_options_the_default_problem_is_explained():
    done = invoke()
    assert done.exit_code == 0
    assert done.stdout.startswith(
        "ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1) · 5×5 → 10×10\nchecked "
    )
    assert "\x1b" not in done.stdout


def test_cell_and_pixel():
    done = invoke("--problem", "Conv2d(1, 2, 3)", "--cell", "1,-1,0", "--pixel", "4,0")
    assert "2 A cell: output[1,2,0]" in done.stdout
    assert "input[4,0] = 3 goes into" in done.stdout


def test_json_alone_is_nothing_but_json():
    for arguments, kind in (
        ((), "explanation"),
        (("--solve", "7:14"), "solve"),
        (("--match", "Conv2d(1, 1, 3)"), "match"),
        (("--stack", "small_cnn"), "stack"),
        (("--code",), "code"),
    ):
        facts = json.loads(invoke(*arguments, "--json", "-").stdout)
        assert (facts["schema_version"], facts["kind"]) == (1, kind)


@pytest.mark.parametrize("option", ["--html", "--json", "--gif"])
def test_a_file_that_cannot_be_written_ends_with_6_before_anything_is_printed(tmp_path, option):
    (tmp_path / "file").touch()
    done = invoke(option, str(tmp_path / "file" / f"conv.{option.removeprefix('--')}"))
    assert isinstance(done.exception, ResourceError)
    assert done.exception.exit_code == 6
    assert not done.stdout


def test_html_is_written_beside_the_text_and_beside_json_alone(tmp_path):
    page = tmp_path / "page.html"
    done = invoke("--html", str(page))
    assert done.stdout.startswith("ConvTranspose2d")
    assert done.stdout.endswith(f"written: {page}\n")
    first = page.read_bytes()
    assert first.startswith(b"<!doctype html>")
    assert json.loads(invoke("--html", str(page), "--json", "-").stdout)["kind"] == "explanation"
    assert page.read_bytes() == first


def test_json_of_the_solver_has_every_solution():
    facts = json.loads(invoke("--solve", "7x7:14x14", "--transpose", "--json", "-").stdout)
    assert len(facts["solutions"]) == 241
    assert facts["solutions"][0] == [2, 2, 0, 1, 0]


def test_json_in_a_file_comes_beside_the_page(tmp_path):
    file = tmp_path / "facts.json"
    done = invoke("--json", str(file))
    assert done.stdout.startswith("ConvTranspose2d")
    assert done.stdout.endswith(f"\nwritten: {file}\n")
    assert json.loads(file.read_text(encoding="utf-8"))["output"][0][5][5] == 99


def test_code_is_a_program_that_runs():
    program = invoke("--code", "--problem", "Conv1d(2, 2, 3, padding=1, groups=2)", "--input", "4").stdout
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(program, "program", "exec"), {})  # noqa: S102 - what the command prints
    assert out.getvalue().endswith("loops and torch agree: True\n")


@pytest.mark.parametrize("difference", [1, 1e-9])
def test_a_difference_from_torch_ends_with_1_after_the_page(monkeypatch, difference):
    right = explain_module.torch_output
    monkeypatch.setattr(explain_module, "torch_output", lambda *arguments: right(*arguments) + difference)
    done = invoke()
    assert isinstance(done.exception, CheckFailedError)
    assert done.exception.exit_code == 1
    assert "NOT the same: scatter, zero_insert, matrix, tap lists" in done.stdout
    assert "scatter, zero_insert, matrix, tap lists of ConvTranspose2d" in done.exception.faults[0].found


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["--problem", "Conv2d(1, 1, 7)", "--input", "5x5"], ["(5 + 2·0", "nearest: Conv2d(1, 1, 7, padding=1)"]),
        (["--cell", "30,2"], ["the output of 10×10 has no such place", "0,0 to 9,9", "nearest: --cell 9,2"]),
        (["--cell", "1,0,0"], ["the output of 10×10 has no such place", "nearest: --cell 0,0"]),
        (["--pixel", "a"], ["this is not a place", "such as --pixel 2,2"]),
        (["--cell", "1.5,2"], ["this is not a place", "such as --cell 5,5"]),
        (["--cell", "3"], ["1 number is not a place here: expected 2, with the channel in front 3"]),
        (["--pixel", "9,0"], ["the input of 5×5 has no such place", "0,0 to 4,4", "nearest: --pixel 4,0"]),
        (["--problem", ""], ["this is not the text of a module"]),
        (["--input", ""], ["this is not the size of an input"]),
        (["--stack", ""], ["this names no network", "resnet20"]),
        (["--match", ""], ["this is not the text of a module", "--match"]),
        (["--solve", ""], ["these are not two sizes"]),
        (
            ["--problem", "Conv1d(1, 2, 3)", "--cell", "9"],
            ["the output of 3 has", "0 to 2, with a channel from 0 to 1"],
        ),
        (["--solve", "7x7"], ["these are not two sizes", "IN:OUT such as 7x7:14x14"]),
        (["--solve", "7x0:1x1"], ["these are not two sizes", "from 1 to 4096"]),
        (["--solve", "7:7x7"], ["these are not two sizes"]),
        (["--solve", "7:14", "--code"], ["one question at a time", "--solve and --code"]),
        (["--solve", "7:14", "--cell", "1,1"], ["--cell means nothing beside --solve", "--cell 1,1"]),
        (["--match", "Conv2d(1, 1, 3)", "--problem", "Conv2d(1, 1, 3)"], ["--problem means nothing beside --match"]),
        (["--transpose"], ["--transpose means nothing without --solve"]),
        (["--match", "Conv3d(1, 1, 3)"], ["Conv3d is not a module that explain-conv knows", "--match", "Conv"]),
        (["--stack", "smal_cnn"], ["there is no model of this name", "did you mean small_cnn?"]),
        (["--stack", "small_cnn", "--input", "big"], ["this is not the size of an image", "3x64x64"]),
        (["--stack", "missing.yaml"], ["missing.yaml"]),
        (["--stack", "net.py:Net"], ["--plugin"]),
        (["--json", "."], ["a folder stands where the file would go"]),
        (["--html", "page.txt"], ["the page is HTML", "--html", "page.txt", "FILE.html"]),
        (["--html", "-"], ["the page is HTML", "FILE.html"]),
        (["--html", "page.html", "--code"], ["--html means nothing beside --code"]),
        (["--problem", "Conv1d(1, 1, 3)", "--input", "5000", "--html", "page.html"], ["5,000 along an axis", "4,096"]),
    ],
    ids=" ".join,
)
def test_mistakes_get_one_clear_message(arguments, texts):
    done = invoke(*arguments)
    assert isinstance(done.exception, TrainloopError), done.exception
    assert done.exception.exit_code == 2
    assert done.stdout == ""
    assert len(done.exception.faults) == 1
    for text in texts:
        assert text in str(done.exception)


def test_a_file_that_cannot_be_written_is_a_message(tmp_path):
    (tmp_path / "taken").write_text("", encoding="utf-8")
    done = invoke("--json", str(tmp_path / "taken" / "facts.json"))
    assert done.exception.exit_code == 6


def in_a_terminal(columns, *arguments, **environment):
    """What the command writes to a terminal of so many columns."""
    clean = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "trainloop", "explain-conv", *arguments]
    env = {**clean, "COLUMNS": str(columns), "TERM": "xterm-256color", **environment}
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return written.decode().replace("\r\n", "\n")


def test_a_narrow_terminal_gets_colour_and_no_line_that_is_too_long():
    text = in_a_terminal(60)
    assert "\x1b[1;38;5;208m" in text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert "[99]" in plain
    assert max(map(len, plain.splitlines())) <= 60


def test_help_is_quick_and_names_every_option():
    text = invoke("--help").stdout
    for name in (
        "--problem",
        "--input",
        "--cell",
        "--pixel",
        "--solve",
        "--transpose",
        "--match",
        "--stack",
        "--code",
        "--frames",
        "--step",
        "--view",
        "--svg",
        "--png",
        "--gif",
        "--json",
    ):
        assert name in text


def commands_of_the_docs():
    block = (ROOT / "docs" / "explain-conv.md").read_text(encoding="utf-8").partition("```sh\n")[2].partition("```")[0]
    return [shlex.split(line, comments=True)[1:] for line in block.splitlines()]


@pytest.mark.parametrize("arguments", commands_of_the_docs(), ids=" ".join)
def test_the_commands_of_the_docs_run(monkeypatch, arguments):
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.exception
    assert done.stdout


def shown_in(name):
    """Each command with the text that a document shows below it."""
    blocks = re.findall(
        r"```(?:text)?\n\$ trainloop (explain-conv[^\n]*)\n(.*?)```",
        (ROOT / name).read_text(encoding="utf-8"),
        re.DOTALL,
    )
    return [(name, shlex.split(command), text) for command, text in blocks]


@pytest.mark.parametrize(("name", "arguments", "shown"), [*shown_in("docs/explain-conv.md"), *shown_in("README.md")])
def test_what_a_document_shows_is_what_is_printed(monkeypatch, name, arguments, shown):
    monkeypatch.chdir(ROOT)
    printed = iter(re.sub(r"torch [\w.+]+:", "torch 2.14.1:", CliRunner().invoke(app, arguments).stdout).splitlines())
    lines = [line for line in shown.splitlines() if line.strip() != "…"]
    assert len(lines) > 5, name
    for line in lines:
        assert line in printed, line


def test_frames_are_printed_instead_of_the_page():
    text = invoke("--problem", "Conv2d(1, 1, 3)", "--input", "4x4", "--frames").stdout
    assert [line.partition(":")[0] for line in text.splitlines() if ", step " in line] == [
        f"gather, step {step} of 4" for step in (1, 2, 3, 4)
    ]
    assert "1 The size" not in text
    assert "zero_insert, step 1 of 100" in invoke("--frames", "--view", "zero_insert").stdout


def test_pictures_are_written_beside_the_page(tmp_path):
    names = {f"--{kind}": tmp_path / f"conv.{kind}" for kind in ("svg", "png", "gif")}
    options = [str(part) for pair in names.items() for part in pair]
    done = invoke("--problem", "ConvTranspose2d(1, 1, 2)", "--input", "2x2", *options)
    assert done.exit_code == 0
    assert done.stdout.startswith("ConvTranspose2d(1, 1, 2)")
    assert done.stdout.endswith("".join(f"written: {file}\n" for file in names.values()))
    heads = [file.read_bytes()[:6] for file in names.values()]
    assert heads == [b"<svg x", b"\x89PNG\r\n", b"GIF89a"]
    quiet = invoke("--svg", str(names["--svg"]), "--json", "-")
    assert json.loads(quiet.stdout)["kind"] == "explanation"


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["--step"], ["steps go by keys, in a terminal", "no terminal", "--frames prints every step"]),
        (["--step", "--frames"], ["the screen can show one thing", "--step"]),
        (["--frames", "--json", "-"], ["the screen can show one thing", "--frames and --json -"]),
        (["--svg", "a.png"], ["the picture is an SVG", "FILE.svg"]),
        (["--gif", "-"], ["a picture goes to a file", "--gif conv.gif"]),
        (["--png", "a.png", "--solve", "7:14"], ["--png means nothing beside --solve", "--png a.png"]),
        (["--frames", "--code"], ["--frames means nothing beside --code"]),
        (["--view", "scatter"], ["--view chooses what steps go through", "--frames, --step or --gif"]),
        (
            ["--view", "matrix"],
            ["there are no steps of this name", "scatter or zero_insert of a transposed convolution"],
        ),
        (["--view", "scater", "--frames"], ["there are no steps of this name", "gather", "did you mean scatter?"]),
        (["--view", "gather", "--frames"], ["a transposed convolution go through scatter or zero_insert", "gather"]),
        (["--view", "scatter", "--frames", "--problem", "Conv2d(1, 1, 3)"], ["a convolution go through gather"]),
    ],
    ids=" ".join,
)
def test_ways_to_look_that_do_not_go_together(arguments, texts):
    test_mistakes_get_one_clear_message(arguments, texts)


def test_steps_in_a_real_terminal_end_with_the_terminal_as_it_was():
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    command = [sys.executable, "-m", "trainloop", "explain-conv", "--step", "--problem", "Conv2d(1, 1, 3)"]
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True)
    written = b""
    while b"step 5 of" not in written:
        written += os.read(ours, 65536)
    os.write(ours, b"\x1b[C")
    while b"step 6 of" not in written:
        written += os.read(ours, 65536)
    assert termios.tcgetattr(theirs) != before
    process.send_signal(signal.SIGINT)
    while b"\x1b[?1049l" not in written:
        written += os.read(ours, 65536)
    assert process.wait(timeout=60) == 130
    assert termios.tcgetattr(theirs) == before
    os.set_blocking(ours, False)
    with contextlib.suppress(BlockingIOError):
        written += os.read(ours, 65536)
    os.close(ours)
    os.close(theirs)
    assert b"Traceback" not in written
    assert b"\x1b[?25h" in written
