"""``trainloop doctor`` as it prints, and its exit codes."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from trainloop.cli.app import app
from trainloop.doctor import examine as module
from trainloop.doctor.examine import Report
from trainloop.doctor.line import Line, State
from trainloop.errors import DeviceError

OK = Line("kernels on cpu", "conv2d", State.ok, "48 answers")
NOTE = Line("machine", "threads", State.note, "1 for 2 cores [brackets] \x1b[31m", "set `threads: 2`")
FAILED = Line("kernels on cpu", "adam", State.failed, "3 wrong; adam on a slice", "try another device")


def run(*arguments):
    return CliRunner().invoke(app, ["doctor", *arguments])


@pytest.fixture
def finding(monkeypatch):
    seen = []

    def set_lines(*lines):
        monkeypatch.setattr(module, "examine", lambda devices, runs: seen.append((devices, runs)) or Report(lines))
        return seen

    return set_lines


def test_a_fit_machine_is_told_line_by_line(finding):
    finding(OK, NOTE)
    result = run()
    assert result.exit_code == 0
    assert result.stdout == (
        "kernels on cpu\n"
        "  ok      conv2d   48 answers\n"
        "\n"
        "machine\n"
        "  note    threads  1 for 2 cores [brackets] \\x1b[31m\n"
        "                   help: set `threads: 2`\n"
        "\n"
        "fit to train: 2 checks, 1 note\n"
    )


def test_a_failed_check_ends_with_1_and_counts(finding):
    finding(OK, FAILED, NOTE)
    result = run()
    assert result.exit_code == 1
    assert "  failed  adam     3 wrong; adam on a slice\n                   help: try another device\n" in result.stdout
    assert result.stdout.endswith("\n1 of 3 checks failed, 1 note\n")


def test_json_says_the_same(finding):
    finding(OK, FAILED)
    result = run("--json")
    assert result.exit_code == 1
    facts = json.loads(result.stdout)
    assert facts["passed"] is False
    assert facts["versions"].keys() >= {"trainloop", "torch", "python"}
    assert facts["checks"][1] == {
        "section": "kernels on cpu",
        "name": "adam",
        "state": "failed",
        "found": "3 wrong; adam on a slice",
        "help": "try another device",
    }


def test_the_device_that_is_named_is_asked_alone(finding):
    seen = finding(OK)
    assert run("--device", "cpu").exit_code == 0
    ((devices, runs),) = seen
    assert ([str(device) for device in devices], str(runs)) == (["cpu"], "runs")


def test_a_device_that_is_not_there_is_wrong_usage(finding):
    finding(OK)
    result = run("--device", "cuda:99")
    assert isinstance(result.exception, DeviceError)
    assert result.exception.exit_code == 2
    assert "device cuda:99 is not there" in str(result.exception)


@pytest.mark.parametrize("allowed", [False, True])
def test_train_hands_on_whether_a_failing_device_is_allowed(monkeypatch, allowed):
    from trainloop import training

    seen = {}
    monkeypatch.setattr(training, "train", lambda _, **options: seen.update(options))
    result = CliRunner().invoke(app, ["train", "--quiet", *(["--allow-failing-device"] if allowed else [])])
    assert result.exit_code == 0
    assert seen["allow_failing_device"] is allowed
