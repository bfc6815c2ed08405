"""``trainloop compare-modes`` as a stranger meets it: whole messages, files, exit codes."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from trainloop.cli.app import app
from trainloop.cli.compare_outputs import Outputs, show
from trainloop.errors import ResourceError, TrainloopError, UsageError

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "compare-modes.md").read_text(encoding="utf-8")
FAST = ["--set", "train.batch_size=4", "--set", "model.args={width: 4}", "--steps", "2", "--time-budget", "0"]
ONE_STAGE = [*FAST, "--stages", "step", "--no-cases"]

BROKEN = """\
import torch


class Broken(torch.optim.SGD):
    def step(self):
        for group in self.param_groups:
            group["lr"] *= 1.001
        super().step()


class Failing(torch.optim.SGD):
    def step(self):
        raise ArithmeticError("out of luck")


def raises(*arguments):
    raise ValueError("no luck")


def lonely(*arguments):
    return torch.conv2d(*arguments)


lonely_grad_weight = lonely
"""


def run(*arguments, cwd):
    command = [sys.executable, "-m", "trainloop", "compare-modes", *map(str, arguments)]
    clean = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=clean, timeout=300, check=False)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(BROKEN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def called(*arguments):
    """Call the command in this process; errors are raised."""
    return CliRunner().invoke(app, ["compare-modes", *map(str, arguments)])


def refused(*arguments):
    """Return the exit code and the message of a refusal."""
    done = called(*arguments)
    assert done.stdout == ""
    assert isinstance(done.exception, TrainloopError), done.exception
    return done.exception.exit_code, str(done.exception)


def test_equal_is_a_page_that_ends_with_the_verdict(folder):
    done = run(*FAST, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:2] == ["reference  builtin", "candidate  manual"]
    stages = [line.split("  ")[0] for line in lines if line.endswith("equal, bit for bit")]
    assert stages == ["zero_grad", "forward", "loss", "backward", "sync", "optimizer step"]
    assert re.fullmatch(
        r"EQUAL, BIT FOR BIT: every bit of [\d,]+ tensors agrees, over 2 steps and 3 discriminating cases", lines[-1]
    )


@pytest.mark.usefixtures("folder")
def test_different_is_exit_code_1_and_the_place():
    done = called(*ONE_STAGE, "--candidate-optimizer", "mine.py:Broken", "--json", "-")
    assert (done.exit_code, done.stderr) == (1, "")
    facts = json.loads(done.stdout)
    assert (facts["verdict"], facts["first"]["step"], facts["first"]["stage"]) == ("different", 1, "step")
    assert facts["first"]["abs_err"] > facts["first"]["floor"]


@pytest.mark.usefixtures("folder")
def test_a_candidate_that_raises_is_inconclusive_with_exit_code_9():
    done = called(*ONE_STAGE, "--candidate-optimizer", "mine.py:Failing", "--quiet")
    assert done.exit_code == 9
    text = "INCONCLUSIVE: step 1 · optimizer step · candidate: ArithmeticError: out of luck\n"
    assert done.stdout == text


def test_quiet_is_one_line(folder):
    done = called(*ONE_STAGE, "--quiet", "--json", "facts.json")
    assert done.exit_code == 0
    assert re.fullmatch(r"EQUAL, BIT FOR BIT: every bit of \d+ tensors agrees, over 2 steps\n", done.stdout)
    assert json.loads((folder / "facts.json").read_text(encoding="utf-8"))["verdict"] == "equal"


def test_every_file_comes_beside_the_page(folder):
    names = ("facts.json", "page.md", "tests.xml", "curves.png")
    options = ("--json", "--markdown", "--junit", "--curves")
    done = called(*ONE_STAGE, *(text for pair in zip(options, names, strict=True) for text in pair))
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-4:] == [f"written: {name}" for name in names]
    assert json.loads((folder / "facts.json").read_text(encoding="utf-8"))["steps"] == 2
    assert (folder / "page.md").read_text(encoding="utf-8").startswith("## compare-modes: equal, bit for bit\n")
    assert ElementTree.parse(folder / "tests.xml").find("testsuite").get("skipped") == "5"
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("folder")
def test_markdown_alone_is_nothing_but_markdown():
    done = called(*ONE_STAGE, "--markdown", "-")
    assert done.stdout.startswith("## compare-modes: ")
    assert done.stdout.endswith("s\n")


def test_a_difference_leaves_a_reproduction_on_demand(folder):
    done = called(*ONE_STAGE, "--candidate-optimizer", "mine.py:Broken", "--reproduction", "alone")
    assert done.stdout.endswith("to see it alone  python alone/reproduce.py\n")
    assert (folder / "alone" / "reproduce.py").exists()


@pytest.mark.usefixtures("folder")
def test_only_the_stages_that_are_named_are_compared_in_the_order_of_the_step():
    done = called(*FAST, "--no-cases", "--stages", "step,loss", "--stages", "loss", "--json", "-")
    assert [stage["stage"] for stage in json.loads(done.stdout)["stages"]] == ["loss", "step"]


@pytest.mark.usefixtures("folder")
def test_exact_makes_rounding_a_difference():
    codes = set()
    # Which of these a processor rounds as the library does differs from one to the next.
    for name in ("adamw", "nadam", "adadelta"):
        settings = ["--set", f"optimizer={{name: {name}}}", "--candidate", "mode=builtin,stages.step=compiled"]
        done = called(*ONE_STAGE, *settings, "--exact", "--json", "-")
        assert json.loads(done.stdout)["exact"]
        codes.add(done.exit_code)
    assert 1 in codes


def test_files_that_cannot_be_written_do_not_cost_the_verdict(tmp_path, capsys, equal_verdict):
    bad, good = tmp_path / "taken" / "facts.json", tmp_path / "page.md"
    outputs = Outputs(json=str(bad), markdown=str(good), junit=str(bad.with_name("tests.xml")))
    # Known too late to be refused before the work.
    (tmp_path / "taken").write_text("", encoding="utf-8")
    with pytest.raises(ResourceError) as error:
        show(equal_verdict, outputs)
    assert "EQUAL, BIT FOR BIT: every bit of 264 tensors agrees" in capsys.readouterr().out
    assert [fault.where for fault in error.value.faults] == [str(bad), str(bad.with_name("tests.xml"))]
    assert good.exists()


@pytest.fixture
def equal_verdict():
    from trainloop.compare.verdict import StageReport, Verdict

    stages = (StageReport("step", "equal", 264, 264),)
    reason = "every bit of 264 tensors agrees, over 3 steps"
    return Verdict("equal", reason, "builtin", "manual", False, 3, (), None, None, stages)


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["--steps", "0"], ["--steps is too small", "found: 0", "expected: 1 or more"]),
        (["--time-budget", "-1"], ["--time-budget is too small", "found: -1", "expected: 0 or more"]),
        (["--timeout", "nan"], ["--timeout is too small", "found: nan"]),
        (["--stages", "backwards"], ["a step has no such stage", "found: backwards", "did you mean `backward`?"]),
        (["--candidate", "mode"], ["an override needs a `=`", '--candidate "mode"', "expected: KEY=VALUE"]),
        (["--candidate", "mode=manuel"], ['--candidate "mode=manuel"', "did you mean `manual`?"]),
        (["--reference", "optimizer.lrr=1"], ["unknown key `lrr`", '--reference "optimizer.lrr=1"']),
        (["--candidate", "seed=3"], ["differ in seed", "found: 3 on the candidate", "--set seed=…"]),
        (["--set", "optimizer.name=adm"], ["--set optimizer.name=adm", "did you mean `adam`?"]),
        (["--candidate-optimizer", "mine.py:Brokn"], ["the file has no Brokn", "did you mean Broken?"]),
        (["--candidate-optimizer", "Broken"], ["--candidate-optimizer", "found: Broken", "path/to/file.py:name"]),
        (["--candidate-loss", "no.py:loss"], ["no.py: there is no such file"]),
        (
            ["--candidate-conv", "winogrd"],
            ["no such algorithm for convolution", "found: winogrd", "did you mean winograd?"],
        ),
        (["--candidate-conv", "mine.py:lonely"], ["mine.py has no lonely_grad_input", "mine.py:lonely,aten"]),
        (
            ["--candidate-conv", "mine.py:raises,aten"],
            ["mine.py:raises raised in forward", "found: ValueError: no luck"],
        ),
        (["--candidate", "mode=builtin", "--candidate-conv", "fft"], ["stages.conv chooses within the manual path"]),
        (["--set", "stages.conv=mine.py:f"], ["a config alone never runs a file", "--plugin mine.py"]),
        (["--config", "no.yaml"], ["there is no such config file", "no.yaml"]),
        (["--json", "."], ["--json: a folder stands where the file would go", "found: ."]),
        (["--curves", "picture.jpg"], ["--curves: the picture is a PNG", "found: picture.jpg", "FILE.png"]),
        (["--json", "-", "--markdown", "-"], ["standard output can take one of JSON and Markdown"]),
        (["--self-test", "--config", "run.yaml"], ["--config means nothing to a self-test"]),
        (["--self-test-short", "--curves", "a.png"], ["--curves means nothing to a self-test"]),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
)
@pytest.mark.usefixtures("folder")
def test_mistakes_get_one_clear_message(arguments, texts):
    code, message = refused(*arguments)
    assert code == 2
    for text in texts:
        assert text in message


def test_a_mistake_ends_a_process_with_exit_code_2_and_a_block(folder):
    done = run("--stages", "backwards", cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: a step has no such stage\n"
        "  where     --stages\n"
        "  found     backwards\n"
        "  expected  zero_grad, forward, loss, backward, sync, step\n"
        "  help      did you mean `backward`?\n"
    )


@dataclass(frozen=True)
class Report:
    """Stands for the report of a self-test."""

    passed: bool
    seconds: float = 1.0


@pytest.fixture
def self_test(monkeypatch):
    """Put a self-test in the place of the long one; returns what it was called with."""
    from trainloop.compare.zoo import self_test as module

    calls = []

    def short_run(*, short, announce):
        calls.append(short)
        announce("faults")
        return Report(passed=not short)

    monkeypatch.setattr(module, "self_test", short_run)
    monkeypatch.setattr(module, "print_self_test", lambda report, console: console.print(f"passed: {report.passed}"))
    return calls


def test_a_self_test_that_passed_is_exit_code_0(self_test):
    done = called("--self-test")
    assert (done.exit_code, done.stdout, self_test) == (0, "faults\npassed: True\n", [False])


def test_a_self_test_that_failed_is_exit_code_1(self_test):
    done = called("--self-test-short")
    assert (done.exit_code, done.stdout, self_test) == (1, "faults\npassed: False\n", [True])


@pytest.mark.usefixtures("self_test")
def test_a_self_test_as_json_is_nothing_but_json():
    done = called("--self-test", "--json", "-")
    assert json.loads(done.stdout) == {"passed": True, "seconds": 1.0}


@pytest.mark.usefixtures("self_test")
def test_a_self_test_in_a_file_comes_beside_the_page(folder):
    done = called("--self-test", "--json", "facts.json")
    assert done.stdout == "faults\npassed: True\nwritten: facts.json\n"
    assert json.loads((folder / "facts.json").read_text(encoding="utf-8"))["passed"] is True


def block(language, after):
    """Return the first block of a language behind a heading of the page."""
    return PAGE[PAGE.index(f"\n## {after}\n") :].partition(f"```{language}\n")[2].partition("```")[0]


def commands(after):
    lines = block("sh", after).splitlines()
    return [
        (shlex.split(command)[2:], verdict.strip()) for command, _, verdict in (line.partition("#") for line in lines)
    ]


@pytest.mark.parametrize(("arguments", "verdict"), commands("Parts of your own"), ids=str)
def test_the_parts_of_the_page_get_the_verdicts_of_the_page(folder, arguments, verdict):
    (folder / "mine.py").write_text(block("python", "Parts of your own"), encoding="utf-8")
    done = called(*arguments, *FAST, "--no-cases", "--quiet")
    # A model as small as this one leaves nothing to round at times.
    assert done.stdout.startswith(verdict.upper().partition(" ")[0]), (done.stdout, done.exception)


@pytest.mark.parametrize(("arguments", "verdict"), commands("Convolutions"), ids=str)
def test_the_convolutions_of_the_page_get_the_verdicts_of_the_page(folder, arguments, verdict):
    (folder / "kernel.py").write_text(block("python", "Convolutions"), encoding="utf-8")
    done = called(*arguments, *FAST, "--no-cases", "--quiet")
    assert done.stdout.startswith(verdict.upper()), (done.stdout, done.exception)


def test_a_wrong_kernel_of_the_page_is_different_as_the_page_says(folder):
    text = block("python", "Convolutions")
    (folder / "kernel.py").write_text(text.replace("weight.flip(2, 3).transpose", "weight.transpose"), encoding="utf-8")
    done = called("--candidate-conv", "kernel.py:taps", *FAST, "--no-cases", "--set", "threads=1")
    assert done.exit_code == 1
    for line in block("text", "Convolutions").splitlines():
        # The floor and the residual are rounding, of this machine.
        assert re.split(r" against a floor| \(residual", line)[0] in done.stdout


def test_the_python_of_the_page_runs():
    exec(compile(block("python", "From Python"), "docs/compare-modes.md", "exec"), {})  # noqa: S102


def test_the_page_names_every_option():
    from typer.main import get_command

    options = get_command(app).commands["compare-modes"].params
    for name in (option.opts[0] for option in options):
        assert f"`{name}" in PAGE, name


def test_the_page_names_every_key_of_the_json():
    import dataclasses

    from trainloop.compare import verdict as results

    classes = {
        "": results.Verdict,
        "first.": results.First,
        "cause.": results.Cause,
        "stages[].": results.StageReport,
        "timing.": results.Timing,
        "timing.stages[].": results.StageTime,
        "free_run.": results.FreeRun,
    }
    keys = {f"{prefix}{field.name}" for prefix, cls in classes.items() for field in dataclasses.fields(cls)}
    section = PAGE[PAGE.index("\n## The JSON\n") :]
    documented = set(re.findall(r"^\| `([\w.\[\]]+)` \|", section[: section.index("\n## ", 5)], flags=re.MULTILINE))
    assert documented == keys - {"first", "cause", "stages", "timing", "timing.stages", "free_run"}


def test_outputs_know_what_goes_to_standard_output():
    assert Outputs(json="-", markdown="page.md").printed == "json"
    assert Outputs(json="facts.json").printed == ""


def test_outputs_refuse_before_the_work(tmp_path):
    with pytest.raises(UsageError, match="a folder stands where the file would go"):
        Outputs(junit=str(tmp_path))
