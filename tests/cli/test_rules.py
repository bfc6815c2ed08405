"""``trainloop rules``: the table, what a model needs, what is missing."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from typer.testing import CliRunner

from trainloop.cli.app import app
from trainloop.manual.rules import RULES
from trainloop.manual.survey import Survey

PLUGIN = """
import torch
from torch import nn

class Odd(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(3, num_classes)

    def forward(self, x):
        return self.head(torch.special.i0(x.mean((2, 3)) * self.head.weight[0, 0]))
"""


def run(*arguments):
    return CliRunner().invoke(app, ["rules", *arguments])


def test_the_table_names_every_rule_and_function():
    done = run()
    assert done.exit_code == 0
    for rule in RULES.values():
        assert rule.name in done.output
    assert "Tensor.relu_" in done.output
    assert f"{len(set(RULES.values()))} rules for {len(RULES)} functions" in done.output


@pytest.mark.parametrize("model", ["small_cnn", "resnet20", "resnet18", "speednet", "torchvision.mobilenet_v3_small"])
def test_a_model_that_is_all_there(model):
    done = run("--model", model)
    assert done.exit_code == 0, done.output
    assert "conv2d" in done.output
    assert f"{model} needs " in done.output
    assert "rules, all there" in done.output


def test_a_model_that_needs_more(tmp_path):
    file = tmp_path / "odd.py"
    file.write_text(PLUGIN)
    done = run("--model", f"{file}:Odd", "--plugin", str(file))
    assert done.exit_code == 2
    assert "torch.special.i0" in done.output
    assert "the model itself (Odd)" in done.output
    assert "docs/write-a-rule.md" in done.output


def test_an_unknown_model_is_named():
    done = run("--model", "resnet19")
    assert done.exit_code != 0
    assert "resnet19" in str(done.exception)


def test_a_survey_goes_on_after_what_is_missing():
    weight = nn.Parameter(torch.rand(3))
    with Survey() as survey:
        F.relu(torch.special.i0(torch.special.i1(weight * 2))).sum()
    assert list(survey.needs.missing) == ["torch.special.i1", "torch.special.i0"]
    assert survey.needs.rules == {"mul": 1, "relu": 1, "sum": 1}
    assert not survey.needs.complete


REFUSED = """
import torch
from torch import nn

class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        return 2 * grad * ctx.saved_tensors[0]

class Custom(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(3, num_classes)

    def forward(self, x):
        return Square.apply(self.head(x.mean((2, 3))))

class Overwriting(Custom):
    def forward(self, x):
        hidden = torch.sigmoid(self.head(x.mean((2, 3))))
        return hidden.add_(1)
"""


@pytest.mark.parametrize(
    ("name", "words"), [("Custom", "SquareBackward"), ("Overwriting", "changed in place afterwards")]
)
def test_what_the_tape_refuses_is_told_as_such(name, words, tmp_path):
    file = tmp_path / "refused.py"
    file.write_text(REFUSED)
    done = run("--model", f"{file}:{name}", "--plugin", str(file))
    assert done.exception.exit_code == 2
    assert words in str(done.exception)
