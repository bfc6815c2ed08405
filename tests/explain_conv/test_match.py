"""The module that undoes the shape of another leads back to every size, or the reason is told."""

from __future__ import annotations

import pytest

from trainloop.explain_conv.match import match
from trainloop.explain_conv.parse import parse_problem


def test_it_leads_back(conv):
    answered = 0
    for problem in conv.random_problems(60, seed=4):
        found = match(problem)
        assert bool(found.answer) != bool(found.reason)
        if found.answer:
            answered += 1
            back = parse_problem(found.answer, "x".join(map(str, found.output_sizes)))
            assert back.output_sizes == problem.input_sizes
            assert (back.in_channels, back.out_channels) == (problem.out_channels, problem.in_channels)
    assert answered > 40


@pytest.mark.parametrize(
    ("text", "size", "answer"),
    [
        (
            "Conv2d(3, 8, 3, stride=2, padding=1)",
            "6x7",
            "ConvTranspose2d(8, 3, 3, stride=2, padding=1, output_padding=(1, 0))",
        ),
        ("Conv2d(3, 8, 3, padding='same')", "6x7", "ConvTranspose2d(8, 3, 3, padding=1)"),
        (
            "Conv1d(4, 4, 4, padding='same', dilation=3, groups=4)",
            "9",
            "ConvTranspose1d(4, 4, 4, padding=5, output_padding=1, dilation=3, groups=4)",
        ),
        (
            "ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1)",
            "5x5",
            "Conv2d(1, 1, 3, stride=2, padding=1)",
        ),
    ],
)
def test_the_answer_has_the_same_numbers_and_its_channels_exchanged(text, size, answer):
    assert match(parse_problem(text, size)).answer == answer


def test_other_sizes_need_another_output_padding():
    problem = parse_problem("Conv1d(1, 1, 3, stride=3)", "8")
    (residues,) = match(problem).residues
    for size in range(5, 30):
        found = match(problem.replaced(input_sizes=(1, size)))
        more = dict(residues)[size % 3]
        assert f"output_padding={more}" in found.answer or more == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Conv2d(1, 1, 4, padding='same')", "padding='same' of an even kernel adds one element more behind"),
        ("ConvTranspose1d(1, 1, 3, dilation=3, output_padding=2)", "output_padding is as large as the stride"),
    ],
)
def test_where_there_is_none_the_reason_is_told(text, reason):
    found = match(parse_problem(text, None))
    assert found.answer == ""
    assert found.reason.startswith(reason)
