from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console

from trainloop.explain.screen import print_explanation
from trainloop.manual.optim import OPTIMIZERS
from trainloop.report.console import make_console

DOCS = Path(__file__).parents[2] / "docs" / "explain-step.md"


def plain(explanation):
    console = make_console(live=False)
    console.file = io.StringIO()
    print_explanation(explanation, console)
    return console.file.getvalue()


def drawn(explanation, width):
    console = Console(file=io.StringIO(), force_terminal=True, width=width, highlight=False)
    print_explanation(explanation, console)
    return console.file.getvalue()


def transcripts():
    return [block.partition("```")[0] for block in DOCS.read_text(encoding="utf-8").split("```text\n")[1:]]


def test_the_page_of_the_docs_is_what_is_printed(tiny):
    command, text = transcripts()[0].split("\n", 1)
    assert command == "$ trainloop explain-step"
    assert text == plain(tiny.explained())


def test_outside_a_terminal_there_is_nothing_but_text(tiny):
    lines = plain(tiny.explained()).splitlines()
    assert not any("\x1b" in line for line in lines)
    assert [line for line in lines if line != line.rstrip()] == []


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("width", [80, 100])
def test_the_page_fits_the_terminal(tiny, name, width):
    text = drawn(tiny.explained(f"optimizer.name={name}"), width)
    assert "\x1b[" in text
    from rich.text import Text

    lines = Text.from_ansi(text).plain.splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= 100


def test_stages_come_in_their_order(tiny):
    text = plain(tiny.explained())
    places = [
        text.index(f"\n{stage}") for stage in ("1 zero_grad", "2 forward", "3 loss", "4 backward", "5 sync", "6 step")
    ]
    assert places == sorted(places)


def test_two_uses_are_shown_one_after_the_other(tiny):
    text = plain(tiny.explained(param="shift"))
    assert "shift is used 2 times in the forward, and the gradients add up: 2 + 2" in text
    assert text.index("use 1: 2") < text.index("use 2: 2")


def test_many_uses_are_cut(tiny):
    explained = tiny.explained(param="shift")
    uses = explained.backward.uses * 3
    text = plain(dataclasses.replace(explained, backward=dataclasses.replace(explained.backward, uses=uses)))
    assert "and 3 more uses" in text


def test_the_middle_of_a_long_chain_is_left_out(tiny):
    explained = tiny.explained()
    use = explained.backward.uses[0]
    long = dataclasses.replace(use, chain=use.chain * 5)
    text = plain(dataclasses.replace(explained, backward=dataclasses.replace(explained.backward, uses=(long,))))
    assert f"{len(long.chain) - 13} rules more" in text
    assert text.count("mse_loss  the loss") == 2


def test_the_rounds_of_muon_are_folded(tiny):
    assert "these 2 lines" in plain(tiny.explained("optimizer.name=muon"))


def test_brackets_of_a_name_are_no_markup(tiny):
    explained = tiny.explained()
    weight = dataclasses.replace(explained.weight, param="[red]x[/red]")
    assert "[red]x[/red][0, 0]" in plain(dataclasses.replace(explained, weight=weight))


def test_a_missing_built_in_update_says_why(tiny):
    explained = tiny.explained()
    step = dataclasses.replace(explained.step, builtin_missing="no such update in PyTorch")
    text = plain(dataclasses.replace(explained, step=step))
    assert "no such update in PyTorch" in text
    assert "parameters: same bits" not in text
