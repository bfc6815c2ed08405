"""What is printed of a verdict."""

from __future__ import annotations

import dataclasses
import io
import math
import re

import pytest
from rich.console import Console

from trainloop.compare.screen import as_text, bars, headline, print_verdict
from trainloop.compare.verdict import FreeRun

KINDS = ("equal_verdict", "rounding_verdict", "different_verdict", "inconclusive_verdict")
LONG = "features.denseblock4.denselayer16.conv2.parametrizations.weight.original0"


def printed(verdict, width=100, *, terminal=True):
    stream = io.StringIO()
    print_verdict(verdict, Console(file=stream, width=width, force_terminal=terminal, highlight=False))
    return stream.getvalue()


def lines(verdict, width=100):
    """Return the lines of a terminal without colours."""
    return [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in printed(verdict, width).splitlines()]


def row(verdict, stage, width=100):
    """Return the cells of a stage's row by heading."""
    found = lines(verdict, width)
    head = next(number for number, line in enumerate(found) if line.startswith("stage "))
    names = re.split(r"\s{2,}", found[head])
    cells = next(re.split(r"\s{2,}", line) for line in found[head:] if line.startswith(stage))
    return dict(zip(names, cells, strict=True))


def test_the_sides_and_the_machine_come_first(equal_verdict):
    assert lines(equal_verdict)[:3] == ["reference  builtin", "candidate  manual", "machine    cpu · torch 2.14.1"]


def test_a_fact_that_does_not_fit_goes_on_below_its_beginning(equal_verdict):
    verdict = dataclasses.replace(equal_verdict, environment={"machine": " ".join(["word"] * 30)})
    assert [line[:11] for line in lines(verdict, 80)[2:4]] == ["machine    ", "           "]


def test_an_equal_stage_shows_how_much_rounding_there_is(equal_verdict):
    cells = row(equal_verdict, "forward")
    assert cells == {
        **{"stage": "forward", "same bits": "all 44", "max abs": "0", "relative": "0", "ulp": "0"},
        **{"floor": "3.0e-08", "verdict": "equal, bit for bit"},
    }


def test_a_different_stage_shows_its_numbers(different_verdict):
    cells = row(different_verdict, "optimizer step")
    assert (cells["same bits"], cells["max abs"], cells["ulp"]) == ("443 of 464", "7.1e-04", "4.2e+07")
    assert cells["verdict"] == "different"


def test_80_columns_do_without_the_relative_difference(different_verdict):
    assert "relative" not in row(different_verdict, "optimizer step", 80)


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_cut_or_wider_than_the_screen(kind, width, request):
    verdict = request.getfixturevalue(kind)
    found = lines(verdict, width)
    assert max(map(len, found)) <= width
    assert "…" not in "".join(found)


@pytest.mark.parametrize("width", [80, 100])
def test_the_table_stays_one_line_a_stage_however_long_a_name_is(different_verdict, different_stage, width):
    stage = dataclasses.replace(different_stage, worst=LONG, tensors=12_345, same_bits=12_300)
    verdict = dataclasses.replace(different_verdict, stages=(*different_verdict.stages[:-1], stage))
    found = lines(verdict, width)
    start = next(number for number, line in enumerate(found) if line.startswith("stage "))
    assert [line.split(" ")[0] for line in found[start + 1 : start + 7]] == [
        *("zero_grad", "forward", "loss", "backward", "sync", "optimizer"),
    ]


def test_a_long_name_is_folded_and_whole(different_verdict, different_stage):
    stage = dataclasses.replace(different_stage, worst=LONG)
    text = "".join(line.strip() for line in lines(dataclasses.replace(different_verdict, stages=(stage,)), 80))
    assert LONG in text


def test_the_evidence_stands_below_the_table(rounding_verdict):
    text = as_text(rounding_verdict)
    below = text[text.index("\noptimizer step  worst") :].splitlines()[1:3]
    assert below == [
        "optimizer step  worst at block1.1.bias[22], step 2",
        "                off float64 by 1.3e-10 (reference), 2.4e-10 (candidate); in float64 the two are 3.0e-20 apart",
    ]


def test_equal_stages_need_no_evidence(equal_verdict):
    assert "off float64" not in as_text(equal_verdict)


def test_a_stage_without_tensors_was_not_compared(inconclusive_verdict):
    assert row(inconclusive_verdict, "forward")["verdict"] == "not compared"


def test_a_difference_ends_with_the_verdict_the_cause_and_the_command(different_verdict):
    assert as_text(different_verdict).splitlines()[-5:] == [
        "",
        f"DIFFERENT: {different_verdict.reason}",
        "there the reference has 0.25 and the candidate 0.25071",
        "cause  eps inside the root (residual 7.3e-08, of 23 known deviations)",
        "to see it alone  python runs/compare-1/reproduce.py",
    ]


def test_an_equal_verdict_is_the_last_line(equal_verdict):
    last = as_text(equal_verdict).splitlines()[-1]
    assert last == "EQUAL, BIT FOR BIT: every bit of 264 tensors agrees, over 3 steps"


def test_remarks_stand_before_the_verdict(equal_verdict):
    found = as_text(dataclasses.replace(equal_verdict, remarks=("one thing",))).splitlines()
    assert found[-3:-1] == ["note  one thing", ""]


def test_times_call_the_last_stage_by_its_title(equal_verdict):
    text = as_text(equal_verdict)
    assert re.search(r"^optimizer step +2\.000 +1\.000 +0\.500  0\.400 to 0\.600$", text, flags=re.MULTILINE)
    assert "medians of 20 steps of each side in turns" in text


def test_losses_share_one_scale(different_verdict):
    text = as_text(different_verdict)
    assert "loss, reference  ▁▁▁  2.3000 → 2.1000" in text
    assert "loss, candidate  ▁▁█  2.3000 → 9.1000" in text


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_a_cross(equal_verdict, bad):
    verdict = dataclasses.replace(equal_verdict, free_run=FreeRun((1.0, 2.0), (1.0, bad), (0.0, 1.0)))
    assert "loss, candidate  ▁×  " in as_text(verdict)


def test_a_long_curve_is_thinned():
    assert len(bars([float(value) for value in range(1_000)], 0.0, 999.0)) == 40


def test_a_flat_curve_has_no_height():
    assert bars([2.0, 2.0], 2.0, 2.0) == "▁▁"


def test_a_file_gets_no_colours_no_spaces_at_line_ends_and_no_folding(different_verdict):
    text = printed(different_verdict, 80, terminal=False)
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in text.splitlines())
    assert f"DIFFERENT: {different_verdict.reason}\n" in text


def test_markup_in_a_name_is_text(equal_verdict):
    assert "candidate  [red]x[/red]" in lines(dataclasses.replace(equal_verdict, candidate="[red]x[/red]"))


def test_the_headline_is_one_line(different_verdict):
    assert headline(different_verdict).plain == f"DIFFERENT: {different_verdict.reason}"
