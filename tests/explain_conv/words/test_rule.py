"""The rule for a cell by hand: every sum in it comes out, and they are the taps that meet the input, no other."""

from __future__ import annotations

import random
import re

import pytest

from trainloop.explain_conv.explain import explain_conv
from trainloop.explain_conv.words import rule
from trainloop.explain_conv.words.rule import rule_lines

SUM = re.compile(r"(-?\d+)·(\d+) \+ (\d+)·(\d+) − (\d+) = (−?\d+)(?: \(padding, which shows (\d+)\))?")


def worked_out(line, transposed):
    """(place, [(input element, tap)]) of ``row 5: 3·2 + 0·1 − 1 = 5, …``, each sum checked."""
    head, _, sums = line.partition(": ")
    pairs = []
    for start, stride, tap, dilation, padding, end, shown in SUM.findall(sums):
        value = int(end.replace("−", "-"))
        assert int(start) * int(stride) + int(tap) * int(dilation) - int(padding) == value
        pairs.append((int(shown or (start if transposed else end)), int(tap)))
    return int(head.split()[-1]), pairs


def channels_of(rule_line, explanation):
    named = re.search(r"of input channel (\d+)|of the input channels (\d+) to (\d+)", rule_line)
    if named is None:
        assert explanation.problem.in_channels == 1
        return range(1)
    one, first, last = named.groups()
    return range(int(one or first), int(one or last) + 1)


def predicted(explanation):
    """What a reader makes of a cell who has the rule's lines, the input and the weight, and nothing else."""
    problem, cell = explanation.problem, explanation.cell
    rule_line, *lines = rule_lines(explanation)
    axes = [worked_out(line, problem.transposed) for line in lines]
    assert [place for place, _ in axes] == [cell.place[axis] for axis in problem.axes]
    down = axes[0][1] if problem.num_axes == 2 else [(0, 0)]
    x, w = explanation.input.tolist(), explanation.weight.tolist()
    total = cell.bias if "Then the bias is added." in rule_line else 0
    for channel in channels_of(rule_line, explanation):
        of_group = channel % (problem.in_channels // problem.groups)
        kernel = w[channel][cell.channel % len(w[channel])] if problem.transposed else w[cell.channel][of_group]
        total += sum(x[channel][i][j] * kernel[t][u] for i, t in down for j, u in axes[-1][1])
    return total


def random_cells(conv, count, seed):
    source = random.Random(seed)
    for problem in conv.random_problems(count, seed):
        place = (source.randrange(size) for size in (problem.out_channels, *problem.output_sizes))
        yield explain_conv(problem, tuple(place))


def test_a_cell_predicted_by_the_rule_alone_is_torchs(conv, monkeypatch):
    """What the page is for: the sums give rows and columns, these give products, and they add up to the number."""
    monkeypatch.setattr(rule, "MOST_MEETINGS", 99)
    assert predicted(conv.explained()) == 99
    explanations = list(random_cells(conv, 120, seed=4))
    assert {one.problem.padding_mode for one in explanations} == {"zeros", "reflect", "replicate", "circular"}
    for explanation in explanations:
        assert predicted(explanation) == explanation.cell.value, explanation.text


def test_a_rule_without_what_padding_shows_is_noticed(conv, monkeypatch):
    monkeypatch.setattr(rule, "MOST_MEETINGS", 99)
    right = rule._meetings

    def forgetful(*arguments):
        return ", ".join(one for one in right(*arguments).split(", ") if "= −" not in one)

    monkeypatch.setattr(rule, "_meetings", forgetful)
    explanation = conv.explained("Conv2d(1, 1, 3, padding=1, padding_mode='reflect')", cell=(0, 0, 4))
    assert predicted(explanation) != explanation.cell.value


@pytest.mark.parametrize(
    ("text", "size", "cell", "lines"),
    [
        ("Conv1d(1, 1, 3, padding=3)", "4", (0, 0, 0), ["output 0: none"]),
        (
            "Conv1d(1, 1, 8)",
            "9",
            (0, 0, 1),
            [
                "output 1: 1·1 + 0·1 − 0 = 1, 1·1 + 1·1 − 0 = 2, 1·1 + 2·1 − 0 = 3, "
                "1·1 + 3·1 − 0 = 4, 1·1 + 4·1 − 0 = 5, 1·1 + 5·1 − 0 = 6, and 2 more"
            ],
        ),
    ],
)
def test_none_and_many(conv, text, size, cell, lines):
    assert rule_lines(conv.explained(text, size, cell=cell))[1:] == lines
