"""How runs look on the screen. Every text of a run folder is shown with its control characters escaped, and cut."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from trainloop.cli.render import visible
from trainloop.report.console import print_facts, print_line, print_table
from trainloop.report.format import bars, count, duration, learning_rate, percent, size, table_lines, threads

if TYPE_CHECKING:
    from trainloop.runs.details import CheckpointRow, RunDetails
    from trainloop.runs.difference import Pair, RunDifference
    from trainloop.runs.metrics import Course, MetricsDifference
    from trainloop.runs.overview import RunOverview
    from trainloop.runs.removal import Kept, Kind, Plan

LONGEST_CELL = 60
LONGEST_VALUE = 300
RIGHT = frozenset({"step", "test", "time", "size"})
DROPPED_FIRST = ("size", "time", "data", "mode", "model", "last change")
"""columns that a narrow terminal does without, in this order"""
MOST_EPOCHS = 24
MOST_LISTED = 20
KIND_WORDS: dict[Kind, tuple[str, str]] = {
    "temporary": ("always", "left half done by processes that died"),
    "empty": ("--empty", "runs without a checkpoint or result"),
    "checkpoints": ("--checkpoints", "checkpoints of finished runs"),
    "best": ("--best", "checkpoints of the best epoch of finished runs"),
}


def shown(value: object, limit: int = LONGEST_VALUE) -> str:
    """Return a text of a run folder on one line, control characters escaped, and cut where it is long."""
    text = visible(str(value)).replace("\n", "\\n")
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def print_list(rows: Sequence[RunOverview], folder: Path, console: Console) -> None:
    """Print a row a run; in a terminal without the columns that have no room."""
    if not rows:
        print_line(console, f"no runs in {shown(folder)}; `trainloop train` makes one")
        return
    now = time.time()
    table = [_list_cells(row, now) for row in rows]
    columns = [name for name in table[0] if name != "note" or any(cells["note"] for cells in table)]
    if console.is_terminal:
        for name in DROPPED_FIRST:
            if _width(columns, table) > console.width and name in columns:
                columns.remove(name)
    head, *lines = table_lines(columns, [[cells[name] for name in columns] for cells in table], right=RIGHT)
    print_line(console, Text(head, style="bold"))
    for line in lines:
        print_line(console, line)


def _width(columns: Sequence[str], table: Sequence[Mapping[str, str]]) -> int:
    """Return how wide the table is, its notes left out, which may go on in the next line."""
    widths = [max(len(name), *(len(cells[name]) for cells in table)) for name in columns if name != "note"]
    return sum(widths) + 2 * (len(widths) - 1)


def _list_cells(row: RunOverview, now: float) -> dict[str, str]:
    return {
        "run": shown(row.path.name or row.path, LONGEST_CELL),
        "state": row.state,
        "mode": shown(row.mode or "", LONGEST_CELL),
        "model": shown(row.model or "", LONGEST_CELL),
        "data": shown(row.dataset or "", LONGEST_CELL),
        "step": _steps(row),
        "test": percent(row.test_accuracy),
        "time": "" if row.seconds is None else duration(row.seconds),
        "size": size(row.bytes),
        "last change": age(now - row.changed),
        "note": shown(row.note, LONGEST_VALUE),
    }


def _steps(row: RunOverview) -> str:
    if row.step is None:
        return ""
    return count(row.step) if row.total_steps is None else f"{count(row.step)}/{count(row.total_steps)}"


def age(seconds: float) -> str:
    """Return how long ago something was: ``now``, ``5 min ago``, ``3 h ago``, ``12 d ago``."""
    if seconds < 60:
        return "now"
    for unit, length in (("min", 60), ("h", 3_600)):
        if seconds < length * (60 if unit == "min" else 48):
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds / 86_400:,.0f} d ago"


def print_details(details: RunDetails, console: Console) -> None:
    """Print one run, section by section; sections without content are left out."""
    row = details.overview
    facts = {
        "run folder": shown(row.path),
        "state": row.state + (f" · {shown(row.note)}" if row.note else ""),
        "model": " · ".join(shown(text) for text in (row.model, row.dataset, row.mode) if text),
        "steps": f"{_steps(row)} in {duration(row.seconds)}" if row.seconds is not None else _steps(row),
        **_machine(details.environment, details.results),
        "size": f"{size(row.bytes)}, last change {age(time.time() - row.changed)}",
        "resumed": "; ".join(_resumed(details)),
    }
    print_facts(console, {name: value for name, value in facts.items() if value})
    _print_config(details, console)
    _print_course(details.course, console)
    _print_results(details.results, console)
    _print_checkpoints(details.checkpoints, console)
    if details.command:
        console.print()
        print_line(console, Text.assemble(("to go on  ", "bold cyan"), shown(details.command, 10_000)))


def _machine(environment: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, str]:
    def of(section: str, key: str) -> str:
        facts = environment.get(section)
        return shown(facts.get(key, "?")) if isinstance(facts, dict) else "?"

    if not environment:
        return {}
    used = threads(shown(results.get("threads", of("knobs", "threads"))))
    return {
        "machine": f"{of('hardware', 'device')} · {of('hardware', 'device_name')} · {used} · "
        f"torch {of('versions', 'torch')} · trainloop {of('versions', 'trainloop')}"
    }


def _resumed(details: RunDetails) -> Iterator[str]:
    for step, reasons in details.resumed:
        exact = f"not bit for bit, because {', '.join(map(shown, reasons))}" if reasons else "to the same bits"
        yield f"after step {count(step)}, {exact}"


def _print_config(details: RunDetails, console: Console) -> None:
    from trainloop.config.dump import flow_text

    console.print()
    if details.config_problem:
        print_line(console, f"config: {shown(details.config_problem)}")
    elif not details.config:
        print_line(console, "config: the defaults")
    else:
        print_line(console, Text("config, where it differs from the defaults", style="bold"))
        for name, value in details.config.items():
            print_line(console, f"  {shown(name)}: {shown(flow_text(value))}")


def _print_course(course: Course, console: Console) -> None:
    finite = [loss for loss in course.losses if math.isfinite(loss)]
    if finite:
        console.print()
        curve = bars(course.losses, min(finite), max(finite))
        ends = f"{course.losses[0]:.4f} → {course.losses[-1]:.4f}"
        print_line(console, f"loss  {curve}  {ends} over {count(len(course.losses))} steps")
    if course.epochs:
        thinned = course.epochs[:: -(-len(course.epochs) // MOST_EPOCHS)]
        rows = thinned if thinned[-1] is course.epochs[-1] else [*thinned, course.epochs[-1]]
        columns = ("epoch", "step", "lr", "loss", "train", "val")
        print_table(console, columns, [_epoch_cells(epoch) for epoch in rows], right=columns)
    if course.problem:
        print_line(console, f"metrics.jsonl: {shown(course.problem)}")


def _epoch_cells(epoch: Mapping[str, Any]) -> tuple[str, ...]:
    from trainloop.runs.reading import as_count, as_number

    loss, lr, val = (as_number(epoch, name) for name in ("train_loss", "lr", "val_accuracy"))
    return (
        *(shown(as_count(epoch, name)) for name in ("epoch", "step")),
        "?" if lr is None else learning_rate(lr),
        "?" if loss is None else f"{loss:.4f}",
        percent(as_number(epoch, "train_accuracy")),
        percent(val) or "-",
    )


def _print_results(results: Mapping[str, Any], console: Console) -> None:
    from trainloop.runs.reading import as_number, as_text

    accuracy, loss = as_number(results, "test_accuracy"), as_number(results, "test_loss")
    if accuracy is None or loss is None:
        return
    console.print()
    print_line(console, Text(f"test accuracy {percent(accuracy)}, test loss {loss:.4f}", style="bold"))
    print_line(console, f"weights SHA-256 {shown(as_text(results, 'weights_sha256') or '?')}")


def _print_checkpoints(rows: Sequence[CheckpointRow], console: Console) -> None:
    if not rows:
        return
    console.print()
    cells = [
        (
            shown(row.name, LONGEST_CELL),
            "" if row.step is None else count(row.step),
            size(row.bytes),
            (shown(row.problem) or "verified") + (", best epoch" if row.is_best else ""),
        )
        for row in rows
    ]
    print_table(console, ("checkpoint", "step", "size", "state"), cells, right=("step", "size"))


def print_difference(difference: RunDifference, console: Console) -> None:
    """Print what two runs do not share."""
    names = (shown(difference.a), shown(difference.b))
    print_facts(console, {"A": names[0], "B": names[1]})
    for problem in difference.problems:
        print_line(console, f"not compared: {shown(problem)}")
    console.print()
    _print_pairs("config", difference.config, "no key differs", console)
    _print_pairs("machine, data, files", difference.facts, "nothing differs", console)
    if difference.results:
        _print_pairs("results", difference.results, "", console)
    for number, line in enumerate(_metrics_lines(difference.metrics)):
        print_line(console, f"{'' if number else 'metrics':<9}{line}")
    weights = {True: "the same bits", False: "different", None: "not known: a run without an end has none"}
    print_line(console, f"weights  {weights[difference.same_weights]}")


def _print_pairs(title: str, pairs: Sequence[Pair], none: str, console: Console) -> None:
    if not pairs:
        print_line(console, f"{title}: {none}")
    else:
        cells = [(shown(pair.name, LONGEST_CELL), _value(pair.a), _value(pair.b)) for pair in pairs]
        print_table(console, (title, "A", "B"), cells)
    console.print()


def _value(value: Any) -> str:
    """Return a value with all its digits; a list as a config has it."""
    return shown("-" if value is None else value, LONGEST_CELL)


def _metrics_lines(metrics: MetricsDifference) -> Iterator[str]:
    if metrics.same:
        yield f"the same to the bit, time fields aside: {count(metrics.compared)} lines"
        return
    if metrics.lr is not None:
        place, a, b = metrics.lr
        yield f"the lr differs from {shown(place)} on: {shown(a)} in A, {shown(b)} in B"
    if metrics.place:
        pairs = [pair for pair in metrics.fields if metrics.lr is None or pair[0] != "lr"]
        values = ", ".join(f"{shown(name)} {shown(a)} in A, {shown(b)} in B" for name, a, b in pairs)
        yield f"what was measured differs first at {shown(metrics.place)}: {values}"
        return
    what = "what was measured is" if metrics.lr else "they are"
    yield f"{what} the same to the bit where both have them: {count(metrics.compared)} lines"
    for number, side in ((metrics.only_a, "A"), (metrics.only_b, "B")):
        if number:
            yield f"{count(number)} lines are only in {side}"
    if metrics.problem:
        yield f"no further, for {shown(metrics.problem)}"


def print_plan(plan: Plan, kinds: Sequence[Kind], console: Console) -> None:
    """Print what could go, what goes (marked with ×), and what stays though it looks like it."""
    from trainloop.runs.removal import KINDS

    rows = []
    for kind in KINDS:
        items = plan.of([kind])
        if items:
            option, words = KIND_WORDS[kind]
            mark = "×" if kind in kinds else " "
            rows.append((mark, option, words, count(len(items)), size(sum(item.bytes for item in items))))
    if rows:
        print_table(console, ("", "option", "what", "number", "size"), rows, right=("number", "size"))
        _print_some([f"  × {shown(item.path)}" for item in plan.of(kinds)], console)
    else:
        print_line(console, "nothing to remove")
    _print_some([kept_line(kept) for kept in plan.kept], console)


def _print_some(lines: Sequence[str], console: Console) -> None:
    for line in lines[:MOST_LISTED]:
        print_line(console, line)
    if len(lines) > MOST_LISTED:
        print_line(console, f"  and {count(len(lines) - MOST_LISTED)} more")


def kept_line(kept: Kept) -> str:
    """Return in one line what stays, and why."""
    return f"kept {shown(kept.path)}: {shown(kept.why)}"
