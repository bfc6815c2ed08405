"""The rule for a cell by hand: every sum in it comes out, and they are the taps that meet the input, no other."""

from __future__ import annotations

import pytest

from trainloop.explain_conv.axis import INPUT
from trainloop.explain_conv.explain import explain_conv
from trainloop.explain_conv.words import rule
from trainloop.explain_conv.words.rule import rule_lines


def worked_out(line):
    """(place, [(left side's numbers, right side)]) of ``row 5: 3·2 + 0·1 − 1 = 5, …``."""
    head, _, sums = line.partition(": ")
    pairs = [one.split(" = ") for one in sums.split(", ") if " = " in one]
    return int(head.split()[-1]), [(left, int(right)) for left, right in pairs]


def value(sum_text):
    return eval(sum_text.replace("·", "*").replace("−", "-"))


def test_every_sum_comes_out_and_they_are_the_taps_of_the_cell(conv, monkeypatch):
    monkeypatch.setattr(rule, "MOST_MEETINGS", 99)
    for problem in conv.random_problems(60, seed=4):
        explanation = explain_conv(problem)
        _, *lines = rule_lines(explanation)
        for axis, line in zip(problem.axes, lines, strict=True):
            place, sums = worked_out(line)
            assert place == explanation.cell.place[axis]
            assert all(value(left) == right for left, right in sums)
            met = [tap for tap in explanation.axes[axis].taps[place] if tap.kind == INPUT]
            taps = [int(left.split(" + ")[1].partition("·")[0]) for left, _ in sums]
            sources = [int(left.partition("·")[0]) if problem.transposed else right for left, right in sums]
            assert list(zip(taps, sources, strict=True)) == [(tap.tap, tap.source) for tap in met]


def test_a_cell_predicted_by_the_rule_alone_is_torchs(conv):
    """What the page is for: the sums give rows and columns, these give products, and they add up to the number."""
    explanation = conv.explained()
    x, w = explanation.input[0].tolist(), explanation.weight[0, 0].tolist()
    _, rows, columns = rule_lines(explanation)
    (_, down), (_, across) = worked_out(rows), worked_out(columns)
    pairs = [
        [(int(left.partition("·")[0]), int(left.split(" + ")[1].partition("·")[0])) for left, _ in axis]
        for axis in (down, across)
    ]
    assert sum(x[i][j] * w[t][u] for i, t in pairs[0] for j, u in pairs[1]) == explanation.cell.value == 99


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
