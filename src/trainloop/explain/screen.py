"""How an explained step looks: styled in a terminal, plain text elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from trainloop.explain.results import Explanation, Link, Step, Use
from trainloop.explain.wording import (
    all_beside,
    beside,
    change,
    folded,
    grad_changes,
    head,
    maybe,
    operation_lines,
    optimizer_call,
    passed_over_text,
    place,
    scalars_text,
    seen_text,
    size,
    sync_text,
    use_text,
    uses_text,
    weight_name,
    why_zero_moves,
    without_grad_text,
)

STAGE_WIDTH = 13
MAX_USES = 3
MAX_LINKS, FIRST_LINKS, LAST_LINKS = 16, 9, 4
SAME = "same bits"


def print_explanation(explanation: Explanation, console: Console) -> None:
    """Print the stages in order, then what people get wrong."""
    page = Group(*_page(explanation))
    if console.is_terminal:
        console.print(page)
        return
    with console.capture() as capture:
        console.print(page)
    # A table fills its lines with spaces, which nobody wants in a file.
    for line in capture.get().splitlines():
        console.print(Text(line.rstrip()), soft_wrap=True)


def _page(explanation: Explanation) -> Iterator[RenderableType]:
    weight, backward, step = explanation.weight, explanation.backward, explanation.step
    name, of_shape = weight_name(weight), f"   of {size(weight.shape)}, {weight.dtype}" if weight.shape else ""
    yield Text(head(explanation.subject), style="bold")
    for line in explanation.subject.description:
        yield _inset(Text(line, style="dim"))
    yield Text.assemble("the weight ", (name, "bold magenta"), (of_shape, "dim"))
    yield Text()
    zeroed = explanation.zero_grad
    yield _stage("1 zero_grad", f"grad {grad_changes((zeroed.grad_before, zeroed.grad_after))}")
    yield _stage("2 forward", f"{explanation.forward.recorded} operations noted on the tape")
    yield _stage("3 loss", maybe(explanation.forward.loss.manual), beside(explanation.forward.loss))
    yield _stage("4 backward", uses_text(weight.param, backward.uses))
    yield from _uses(backward.uses)
    yield _stage("", f"grad of {name}: {grad_changes(backward.grads)}", beside(backward.grad))
    yield _note(all_beside(backward.all_grads, "gradients"))
    if without := without_grad_text(backward.without_grad):
        yield _note(f"grad stays None: {without}")
    yield _stage("5 sync", sync_text(explanation))
    yield _stage("6 step", f"{optimizer_call(explanation.subject)}, written out in {step.file}")
    yield from _update(explanation, name)
    yield Text()
    yield Text("What people get wrong", style="bold")
    yield _without_zero_grad(explanation)
    yield _none_or_zero(explanation)


def _stage(name: str, text: str, badge: str = "") -> Table:
    """Return one line: the stage, what it did, and the built-in path's number beside it."""
    grid = Table.grid(padding=(0, 0, 0, 0))
    grid.add_column(width=STAGE_WIDTH, no_wrap=True)
    grid.add_column()
    grid.add_row(Text(name, style="bold cyan"), Text.assemble(text, *_badge(badge)))
    return grid


def _badge(text: str) -> tuple[str | tuple[str, str], ...]:
    return ("   ", (text, "green" if text.endswith(SAME) else "yellow")) if text else ()


def _note(text: str) -> RenderableType:
    return _indented(Text(text, style="dim"))


def _inset(content: RenderableType) -> Padding:
    return Padding(content, (0, 0, 0, 4))


def _indented(content: RenderableType) -> Padding:
    return Padding(content, (0, 0, 0, STAGE_WIDTH))


def _uses(uses: Sequence[Use]) -> Iterator[RenderableType]:
    """Yield each use with the rules from the loss to it, then what these rules make of a gradient."""
    shown = uses[:MAX_USES]
    for position, use in enumerate(shown, 1):
        if len(uses) > 1:
            yield _inset(Text(use_text(position, use), style="italic"))
        yield _inset(_chain(use.chain))
    if len(uses) > len(shown):
        yield _note(f"and {len(uses) - len(shown)} more uses")
    formulas = {link.rule: link.formula for use in shown for link in _ends(use.chain) if link and link.formula}
    if formulas:
        yield _inset(Text("what each rule makes of the gradient g that arrives at it:", style="italic"))
        yield _inset(_pairs(formulas))


def _chain(links: Sequence[Link]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading, style in (("rule", "bold"), ("called in", ""), ("gradient", "cyan"), ("shape", "")):
        table.add_column(heading, style=style)
    for link in _ends(links):
        if link is None:
            table.add_row("…", f"{len(links) - FIRST_LINKS - LAST_LINKS} rules more")
        else:
            texts = (link.rule, place(link), seen_text(link.grad_output), size(link.grad_output.shape))
            table.add_row(*map(Text, texts))
    return table


def _ends(links: Sequence[Link]) -> Sequence[Link | None]:
    """Return the links, with None in place of the middle of a long chain."""
    return links if len(links) <= MAX_LINKS else [*links[:FIRST_LINKS], None, *links[-LAST_LINKS:]]


def _pairs(texts: Mapping[str, str]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for name, text in texts.items():
        grid.add_row(Text(name, style="dim"), Text(text, style="dim"))
    return grid


def _update(explanation: Explanation, name: str) -> Iterator[RenderableType]:
    step = explanation.step
    if step.operations:
        yield _note("\n".join(step.formula))
        yield _indented(Text("which for this weight came to:", style="italic"))
        yield _indented(_equations(step))
    else:
        yield _indented(Text(passed_over_text(explanation)))
    badge = "" if step.builtin_missing else beside(step.after)
    yield _stage("", f"{name}: {change(step.before, step.after.manual or 0.0)}", badge)
    yield _note(step.builtin_missing or all_beside(step.all_params, "parameters"))
    if step.deviation:
        yield _note(f"({step.deviation})")


def _equations(step: Step) -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column()
    if step.scalars:
        grid.add_row(Text("with", style="dim"), Text(scalars_text(step), style="dim"))
    for block, times in folded(step.operations):
        for operation in block:
            first, *rest = operation_lines(operation)
            grid.add_row(Text(operation.name), Text(f"= {first}"))
            for line in rest:
                grid.add_row("", Text(f"= {line}", style="cyan"))
        if times > 1:
            grid.add_row("", Text(f"… these {len(block)} lines {times} times in all", style="dim"))
    return grid


def _without_zero_grad(explanation: Explanation) -> RenderableType:
    facts, before = explanation.without_zero_grad, explanation.step.before
    rows = (
        ("one backward", f"grad {maybe(facts.grad_once)}", change(before, facts.after_once)),
        ("two backwards", f"grad {maybe(facts.grad_twice)}", change(before, facts.after_twice)),
    )
    return _lesson("Without zero_grad: backward adds to grad, it does not replace it.", rows)


def _none_or_zero(explanation: Explanation) -> RenderableType:
    facts = explanation.none_or_zero
    rows = (
        ("grad None", "passed over", change(facts.before, facts.after_none)),
        ("grad zero", why_zero_moves(explanation), change(facts.before, facts.after_zero)),
    )
    return _lesson("None is not zero: the next step, if the loss did not depend on the parameter.", rows)


def _lesson(title: str, rows: Sequence[tuple[str, str, str]]) -> RenderableType:
    grid = Table.grid(padding=(0, 3, 0, 0))
    for _ in range(3):
        grid.add_column()
    for row in rows:
        grid.add_row(*map(Text, row))
    return Group(Text(title), _inset(grid))
