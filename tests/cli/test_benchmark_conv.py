"""``trainloop benchmark-conv`` as a stranger meets it: whole messages, files, exit codes."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from trainloop.bench import run as module
from trainloop.bench.check import run as checking
from trainloop.bench.peaks import Peaks
from trainloop.bench.run import Settings
from trainloop.bench.words import parse_words
from trainloop.cli.app import app
from trainloop.cli.benchmark_outputs import BenchmarkOutputs, run_and_show
from trainloop.errors import InterruptedRunError, TrainloopError
from trainloop.files import operations

PROBLEM = "n2 c3 o4 h5 k3"
FAST = ("--problem", PROBLEM, "--direction", "forward", "--algorithm", "im2col", "--time-budget", "0")
PAGE = (Path(__file__).parents[2] / "docs" / "benchmark-conv.md").read_text(encoding="utf-8")
KERNELS = """\
import torch


def right(*arguments):
    return torch.conv2d(*arguments)


def zeros(*arguments):
    return torch.zeros_like(torch.conv2d(*arguments))


def fails(*arguments):
    raise ValueError("out of luck")


def turned(*arguments):
    return torch.conv_transpose2d(*arguments)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Spare the time that peaks take, and leave the allocator as it is."""
    peaks = Peaks(threads=1, gemm_gflops_one_thread=50.0, gemm_gflops=50.0, copy_gb_s=20.0)
    monkeypatch.setattr("trainloop.bench.run.measure_peaks", lambda _dtype, _device: peaks)
    monkeypatch.setattr("trainloop.bench.run.keep_freed_memory", lambda: True)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(KERNELS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def called(*arguments):
    """Call the command in this process; errors are raised."""
    return CliRunner().invoke(app, ["benchmark-conv", *map(str, arguments)])


def refused(*arguments):
    """Return the fault of a refusal, which comes before anything is printed."""
    done = called(*arguments)
    assert done.stdout == ""
    assert isinstance(done.exception, TrainloopError), done.exception
    assert done.exception.exit_code == 2
    return done.exception.faults[0]


def run(*arguments, cwd):
    command = [sys.executable, "-m", "trainloop", "benchmark-conv", *map(str, arguments)]
    clean = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=clean, timeout=300, check=False)


# What it prints


def test_the_whole_page_of_a_real_process(folder):
    done = run(*FAST, cwd=folder)
    assert done.returncode == 0
    machine, versions, peaks, measured, _, heading, table, *rest = done.stdout.splitlines()
    assert re.fullmatch(r"machine   cpu · .+ · \d+ threads? · \S+( · load [\d.]+ at the start)?", machine)
    assert re.fullmatch(r"versions  torch [\d.]+\S* · oneDNN \S+ · trainloop [\d.]+", versions)
    gflops = r"product of matrices [\d.,]+ GFLOP/s with one thread(, [\d.,]+ with \d+)? \(float32\)"
    assert re.fullmatch(rf"peaks     {gflops} · copy [\d.,]+ GB/s read and written", peaks)
    assert measured.startswith("measured  float32 · channels_last, the built-ins in both layouts · calls in turns")
    assert heading == "n2 c3 o4 h5 k3 · 3.89 kFLOP"
    columns = (
        "direction algorithm median ms IQR n first ms speed-up 95 % error library's GFLOP/s actual % peak MiB kernel"
    )
    assert " ".join(table.split()) == columns
    number, error = r" +[\d.,]+", r" +\d\.\de-\d\d"
    for line, name in zip(rest, ("forward +aten channels_last", " +aten nchw", " +im2col"), strict=False):
        ends = rf"(?: +baseline| +[\d.]+–[\d.]+){error}{error}{number}{number}{number}(?: +–|{number}) +\S.*"
        assert re.fullmatch(rf"{name}{number}{number} +\d+{number} +[\d.]+×{ends}", line), line
    assert rest[3].startswith("not run  nnpack: with oneDNN off torch takes ")
    assert re.fullmatch(r"im2col forward [\d.]+× \(measured in [\d.]+ m?s\)", rest[-1])
    progress = done.stderr.splitlines()
    assert progress[0].startswith("cpu · ")
    assert re.fullmatch(r"\[1/1\] n2 c3 o4 h5 k3 forward … aten \S+ [\d.]+ ms, im2col [\d.]+×", progress[-1])


def test_problems_come_as_words_modules_and_suites(folder):
    done = called(
        *("--problem", "n1 c2 o2 h3 k3", "--problem", "Conv2d(2, 2, 3, bias=False)", "--input", "1,2,4,4"),
        *("--direction", "forward,grad_weight", "--algorithm", "im2col", "--time-budget", "0", "--json", "out.json"),
    )
    assert done.exit_code == 0, done.exception
    rows = json.loads((folder / "out.json").read_text(encoding="utf-8"))["rows"]
    found = list(dict.fromkeys((row["problem"], row["direction"]) for row in rows))
    texts = ("n1 c2 o2 h3 k3", "n1 c2 o2 h4 k3")
    assert found == [(text, direction) for text in texts for direction in ("forward", "grad_weight")]


def test_transposed_problems_have_transposed_algorithms(folder):
    done = called(
        "--problem", PROBLEM, "--transpose", "--direction", "forward", "--time-budget", "0", "--json", "out.json"
    )
    assert done.exit_code == 0, done.exception
    rows = json.loads((folder / "out.json").read_text(encoding="utf-8"))["rows"]
    assert {row["problem"] for row in rows} == {f"transpose {PROBLEM}"}
    assert {"scatter", "zero_insert", "matrix", "aten"} <= {row["algorithm"] for row in rows}


def test_layout_type_seed_and_threads_reach_the_report(folder):
    before = torch.get_num_threads()
    options = ("--layout", "nchw", "--dtype", "float64", "--seed", "5", "--threads", str(before))
    done = called(*FAST, *options, "--device", "cpu", "--json", "out.json")
    assert done.exit_code == 0, done.exception
    found = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    assert {key: found["settings"][key] for key in ("layout", "dtype", "seed")} == {
        "layout": "nchw",
        "dtype": "float64",
        "seed": 5,
    }
    assert found["machine"]["threads"] == before
    assert {row["layout"] for row in found["rows"] if row["algorithm"] == "im2col"} == {"nchw"}


@pytest.mark.usefixtures("folder")
def test_the_list_names_every_suite_and_where_its_problems_come_from():
    done = called("--list")
    assert done.exit_code == 0
    assert re.findall(r"^(\w+): ", done.stdout, re.MULTILINE) == ["cifar", "textbook", "transpose", "stress"]
    assert "  n128 c64 o64 h32 k3 p1       resnet18 group 1\n" in done.stdout


# Files


def test_json_alone_on_standard_output(folder):
    done = called(*FAST, "--json", "-")
    assert done.exit_code == 0, done.exception
    found = json.loads(done.stdout)
    assert found["complete"]
    assert [row["algorithm"] for row in found["rows"]] == ["aten", "aten", "nnpack", "im2col"]
    assert all(
        len(row["samples_ms"]) == row["num_samples"] and row["median_ms"] > 0 for row in found["rows"] if row["ok"]
    )
    means = {(one["algorithm"], one["direction"]): one["geometric_mean"] for one in found["summary"]}
    im2col = next(row for row in found["rows"] if row["algorithm"] == "im2col")
    assert means["im2col", "forward"] == pytest.approx(im2col["speedup"])
    assert not list(folder.glob("*.json"))


def test_what_a_kernel_prints_stands_beside_the_json(folder):
    (folder / "loud.py").write_text(
        "import torch.nn.functional as F\n\n\ndef loud(*arguments):\n    print('loud')\n    return F.conv2d(*arguments)\n"
    )
    done = called(*FAST, "--kernel", "loud.py:loud", "--json", "-")
    assert json.loads(done.stdout)["rows"][-1]["ok"]
    assert "loud\n" in done.stderr


@pytest.mark.usefixtures("folder")
def test_markdown_alone_on_standard_output():
    done = called(*FAST, "--markdown", "-")
    assert done.stdout.startswith("# Ways to compute a convolution\n")


def test_files_are_written_and_said(folder):
    done = called(*FAST, "--json", "a/out.json", "--markdown", "out.md", "--chart", "out.svg")
    assert done.stdout.splitlines()[-3:] == ["written: a/out.json", "written: out.md", "written: out.svg"]
    assert (folder / "out.svg").read_text(encoding="utf-8").lstrip().startswith("<?xml")
    assert json.loads((folder / "a" / "out.json").read_text(encoding="utf-8"))["complete"]


def test_a_file_that_cannot_be_written_is_refused_before_the_measurement(folder):
    (folder / "file").write_text("", encoding="utf-8")
    done = called(*FAST, "--markdown", "file/out.md")
    assert not done.stdout
    assert done.exception.exit_code == 6
    assert done.exception.faults[0].what == "cannot write out.md"


@pytest.mark.usefixtures("folder")
def test_a_file_that_turns_out_not_to_be_writable_costs_no_result(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(operations, "replace", full)
    done = called(*FAST, "--markdown", "out.md")
    assert "im2col forward" in done.stdout
    assert done.exception.exit_code == 6
    assert done.exception.faults[0].what == "no space left to write out.md"


# Own kernels


@pytest.mark.usefixtures("folder")
def test_an_own_kernel_that_is_right_has_a_row():
    done = called(*FAST, "--kernel", "mine.py:right")
    assert done.exit_code == 0, done.exception
    assert re.search(r"^ +right +[\d.]+ .* mine\.py$", done.stdout, re.MULTILINE)


@pytest.mark.usefixtures("folder")
def test_a_wrong_one_fails_and_the_others_keep_their_times():
    done = called(*FAST, "--kernel", "mine.py:zeros", "--kernel", "mine.py:fails")
    assert done.exit_code == 1
    assert re.search(r"^ +im2col +[\d.]+ ", done.stdout, re.MULTILINE)
    assert re.search(r"^ +zeros +FAIL +–", done.stdout, re.MULTILINE)
    line = KERNELS.splitlines().index('    raise ValueError("out of luck")') + 1
    said = [text for text in done.stdout.splitlines() if text.startswith("FAIL ")]
    assert said == [
        "FAIL  zeros: relative error 1.0e+00, at most 2e-05 is allowed, all elements are 0",
        f"FAIL  fails: it raised ValueError: out of luck at mine.py:{line}",
    ]
    assert re.fullmatch(r"FAIL: 2 of 6 rows are wrong \(measured in .+\)", done.stdout.splitlines()[-1])


@pytest.mark.usefixtures("folder")
def test_a_kernel_of_transposed_convolutions_goes_with_their_problems():
    done = called(
        "--transpose", *FAST[:4], "--algorithm", "scatter", "--time-budget", "0", "--kernel", "mine.py:turned"
    )
    assert done.exit_code == 0, done.exception


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("nowhere.py:right", "there is no such file"),
        ("mine.py", "the name in the file is missing"),
        ("mine.py:rigth", "the file has no rigth"),
    ],
)
def test_a_kernel_that_is_not_there_is_refused(text, what):
    assert refused(*FAST, "--kernel", text).what == what


# Interruption


def test_ctrl_c_keeps_and_writes_what_was_measured(folder, monkeypatch, capsys):
    original, calls = module.measure, []

    def measure(task, everybody, *, budget_s):
        calls.append(task)
        if len(calls) == 2:
            raise InterruptedRunError("interrupted by Ctrl-C")
        return original(task, everybody, budget_s=budget_s)

    monkeypatch.setattr(module, "measure", measure)
    settings = Settings([(parse_words(PROBLEM), "")], algorithms=["im2col"], time_budget_s=0.0)
    with pytest.raises(InterruptedRunError) as caught:
        run_and_show(settings, BenchmarkOutputs(json="out.json"))
    assert caught.value.exit_code == 130
    fault = caught.value.faults[0]
    assert (fault.what, fault.found) == ("interrupted by Ctrl-C", "4 rows measured before it")
    assert fault.help == "they are above, and in the files that were asked for"
    assert "interrupted after 1 problems" in capsys.readouterr().out
    found = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    assert (found["complete"], {row["direction"] for row in found["rows"]}) == (False, {"forward"})


def test_a_real_ctrl_c_ends_with_130(folder):
    command = [sys.executable, "-m", "trainloop", "benchmark-conv", "--suite", "textbook", "--json", "out.json"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("[1/"):
            break
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "interrupted by Ctrl-C" in errors
    assert "the picture in every textbook" in out
    assert not json.loads((folder / "out.json").read_text(encoding="utf-8"))["complete"]


# Refusals


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "where", "what", "help"),
    [
        (("--suite", "cifra"), "--suite", "there is no such suite", "did you mean `cifar`?"),
        (("--direction", "foward"), "--direction", "there is no such direction", "did you mean `forward`?"),
        (("--algorithm", "winogrand"), "--algorithm", "there is no such algorithm", "did you mean `winograd`?"),
        (("--algorithm", "scatter"), "--algorithm", "there is no such algorithm", ""),
        (("--layout", "nhcw"), "--layout", "there is no such memory format", "did you mean `nchw`?"),
        (("--dtype", "float23"), "--dtype", "there is no such type", "did you mean `float32`?"),
        (("--threads", "0"), "--threads", "--threads is too small", ""),
        (("--time-budget", "-1"), "--time-budget", "--time-budget is too small", ""),
        (("--time-budget", "nan"), "--time-budget", "--time-budget is too small", ""),
        (("--seed", "-1"), "--seed", "--seed is too small", ""),
        (("--cases", "3"), "--cases", "--cases means nothing without --check", ""),
        (("--list", "--suite", "cifar"), "--suite", "--suite means nothing beside --list", ""),
        (("--check", "--suite", "cifar"), "--suite", "--suite means nothing beside --check", ""),
        (("--check", "--cases", "0"), "--cases", "--cases is too small", ""),
        (("--input", "1,2,3,4"), "--input", "an input's shape goes with the text of a module", None),
        (("--chart", "a.pdf"), "--chart", "the picture is an SVG or a PNG", ""),
        (
            ("--json", "-", "--markdown", "-"),
            "--json, --markdown",
            "standard output can take one of JSON and Markdown",
            "",
        ),
    ],
)
def test_each_wrong_use_is_told(arguments, where, what, help):
    fault = refused(*(() if "--list" in arguments or "--check" in arguments else ("--problem", PROBLEM)), *arguments)
    assert (fault.where, fault.what) == (where, what)
    assert help is None or fault.help == help


@pytest.mark.usefixtures("folder")
def test_an_unknown_name_lists_the_known_ones():
    assert refused("--suite", "none").expected == "cifar, textbook, transpose, stress"
    expected = refused("--problem", PROBLEM, "--algorithm", "none").expected
    assert {"im2col", "winograd", "aten"} <= set(expected.split(", "))
    expected = refused("--problem", PROBLEM, "--transpose", "--algorithm", "none").expected
    assert {"scatter", "zero_insert", "matrix"} <= set(expected.split(", "))


@pytest.mark.usefixtures("folder")
def test_a_device_that_is_not_there_is_refused():
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert refused(*FAST, "--device", "cuda").what == "device cuda is not there"


def test_a_problem_that_there_is_not_is_told_with_its_arithmetic_in_a_real_process(folder):
    done = run("--problem", "n2 c3 o4 h2 k5 p1", cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: the kernel is larger than the padded input along H: (H + 2·p − d·(k − 1) − 1) / s + 1 = "
        "(2 + 2·1 − 1·(5 − 1) − 1) / 1 + 1 = 0, expected at least 1\n"
        "  where     --problem\n"
        "  found     n2 c3 o4 h2 k5 p1\n"
        "  expected  numbers that fit together\n"
        "  help      a kernel of 5 with dilation 1 reaches over 5 elements, and 2 + 2·1 = 4 are there: use a padding of at "
        "least 2, or a smaller kernel or dilation\n"
    )


# Correctness alone


@pytest.fixture
def few_corners(monkeypatch):
    monkeypatch.setattr(checking, "CORNERS", dict(list(checking.CORNERS.items())[:2]))


@pytest.mark.usefixtures("folder", "few_corners")
def test_a_check_of_an_algorithm_passes():
    done = called("--check", "--algorithm", "im2col", "--cases", "1", "--direction", "forward", "--dtype", "float32")
    assert done.exit_code == 0, done.exception
    assert done.stdout.splitlines()[-1].startswith("PASSED: 1 algorithm right in ")


@pytest.mark.usefixtures("few_corners")
def test_a_check_of_an_own_kernel_that_is_wrong_fails_and_is_written(folder):
    done = called("--check", "--kernel", "mine.py:zeros", "--cases", "1", "--dtype", "float32", "--json", "out.json")
    assert done.exit_code == 1
    assert "FAIL  zeros (conv2d), forward: wrong values" in done.stdout
    assert not json.loads((folder / "out.json").read_text(encoding="utf-8"))["ok"]


@pytest.mark.usefixtures("folder", "few_corners")
def test_a_check_of_transposed_algorithms_is_of_these_alone():
    done = called(
        *("--check", "--transpose", "--algorithm", "scatter", "--cases", "1", "--direction", "forward"),
        *("--dtype", "float32", "--json", "-", "--force"),
    )
    assert {one["operator"] for one in json.loads(done.stdout)["coverage"]} == {"conv_transpose2d"}


# The page


def test_every_option_is_documented():
    command = next(one for one in app.registered_commands if one.name == "benchmark-conv")
    from typer.main import get_command_from_info

    options = {
        option
        for parameter in get_command_from_info(command, pretty_exceptions_short=False, rich_markup_mode=None).params
        for option in parameter.opts
        if option.startswith("--")
    }
    documented = set(re.findall(r"^\| `(--[\w-]+)", PAGE, re.MULTILINE))
    assert options - {"--help"} == documented
