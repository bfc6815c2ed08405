"""A verdict as Markdown."""

from __future__ import annotations

import dataclasses

from trainloop.compare.as_markdown import as_markdown, escaped, table


def rows(markdown, heading):
    """Return the cells of the table whose first heading is given, heading and rule apart."""
    lines = markdown.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    end = next(number for number in range(start, len(lines) + 1) if number == len(lines) or not lines[number])
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[start + 2 : end]]


def test_it_opens_with_the_verdict_and_the_reason(different_verdict):
    head, _, reason, *_ = as_markdown(different_verdict).splitlines()
    assert head == "## compare-modes: different"
    assert reason.startswith("**step 2 · optimizer step · layer3.0.conv1.weight\\[3,0,1,1\\]: 7.1e-04 against")


def test_both_numbers_of_the_first_difference_are_there(different_verdict):
    assert "there the reference has 0.25 and the candidate 0.25071\n" in as_markdown(different_verdict)


def test_the_cause_is_named(different_verdict):
    assert "**cause:** eps inside the root (residual 7.3e-08, of 23 known deviations)" in as_markdown(different_verdict)


def test_the_command_of_the_reproduction_is_there(different_verdict):
    assert "python runs/compare-1/reproduce.py" in as_markdown(different_verdict)


def test_a_stage_is_a_row(rounding_verdict):
    found = rows(as_markdown(rounding_verdict), "stage")
    assert [row[0] for row in found] == ["zero_grad", "forward", "loss", "backward", "sync", "optimizer step"]
    assert found[-1][1:7] == ["443 of 464", "2.3e-10", "1.2e-07", "1", "2.4e-10", "equal up to rounding"]


def test_a_stage_that_was_not_compared_says_so(inconclusive_verdict):
    assert all(row[6] == "not compared" for row in rows(as_markdown(inconclusive_verdict), "stage"))


def test_every_row_has_as_many_cells_as_its_heading(different_verdict, equal_verdict):
    for verdict in (different_verdict, equal_verdict):
        text = as_markdown(verdict)
        for block in (block for block in text.split("\n\n") if block.startswith("| ")):
            assert len({line.count("|") for line in block.splitlines()}) == 1, block


def test_times_are_there_if_they_were_measured(equal_verdict):
    text = as_markdown(equal_verdict)
    assert "| optimizer step | 2.000 | 1.000 | 0.500 | 0.400 to 0.600 |" in text
    assert "medians of 20 steps" in text


def test_no_times_are_there_otherwise(different_verdict):
    assert "medians" not in as_markdown(different_verdict)


def test_losses_of_both_sides_are_there(different_verdict):
    assert "reference 2.3000 → 2.1000, candidate 2.3000 → 9.1000" in as_markdown(different_verdict)


def test_a_comparison_without_a_step_has_no_losses(inconclusive_verdict):
    assert "**loss:**" not in as_markdown(inconclusive_verdict)


def test_a_title_of_the_users_cannot_break_the_table(equal_verdict):
    text = as_markdown(dataclasses.replace(equal_verdict, candidate="a|b\n# c <img> `d` [e](f)"))
    assert "| candidate | a\\|b \\# c \\<img\\> \\`d\\` \\[e\\](f) |" in text


def test_remarks_are_escaped(equal_verdict):
    assert "**note:** exp\\_avg is new" in as_markdown(dataclasses.replace(equal_verdict, remarks=("exp_avg is new",)))


def test_escaped_leaves_what_markdown_leaves():
    assert escaped("layer3.0.conv1 - 1.5 (x)") == "layer3.0.conv1 - 1.5 (x)"


def test_a_column_is_aligned_right_on_demand():
    assert table(("a", ">b"), [("1", "2")]) == "| a | b |\n| --- | ---: |\n| 1 | 2 |"
