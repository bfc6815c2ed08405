"""``trainloop evaluate``: the accuracy of a run or of a checkpoint again, by class, with the confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trainloop.cli import options
from trainloop.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from trainloop.loop.evaluate import Evaluation
    from trainloop.saved_checkpoint import SavedCheckpoint


MAX_MATRIX_CLASSES = 12


class Split(StrEnum):
    """Which images."""

    test = "test"
    val = "val"


@dataclass(frozen=True)
class Before:
    """What the run itself had on the same images with the same weights.

    Args:
        accuracy: in [0, 1].
        loss: None where it was not written down.
        when: in words.
        machine: device and threads.
    """

    accuracy: float
    loss: float | None
    when: str
    machine: str


@dataclass(frozen=True)
class Judged:
    """What was evaluated, and what came out.

    Args:
        split: ``test`` or ``val``.
        classes: names in label order.
        result: of the evaluation.
        before: what the run had; None where it did not evaluate these weights on these images.
        checkpoint: whose weights they are; None for those that the run ended with.
    """

    split: str
    classes: list[str]
    result: Evaluation
    before: Before | None
    checkpoint: SavedCheckpoint | None = None


def evaluate(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="Run folder, a name in runs/ or its beginning, or latest.")
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--checkpoint",
            metavar="last|best|NAME|PATH",
            help="Its weights instead of the final ones: the furthest, that of the best epoch, one by its name, or by its "
            "path (then without RUN).",
        ),
    ] = None,
    split: Annotated[
        Split, typer.Option(help="Test images, or the validation images that the run set aside.")
    ] = Split.test,
    device: options.Device = None,
    plugins: options.Plugin = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: options.Debug = False,  # noqa: ARG001 - its callback has taken note of it
) -> None:
    """Evaluate a finished run, or a checkpoint of any run: accuracy, accuracy by class, confusion matrix."""
    from trainloop.runs.naming import find_run

    folder = find_run(run) if run is not None else None
    announce = _silent if as_json else typer.echo
    if checkpoint is not None:
        judged = _judge_checkpoint(folder, checkpoint, split.value, device, plugins or [], announce)
    elif folder is not None:
        judged = _judge_run(folder, split.value, device, plugins or [], announce)
    else:
        raise UsageError(
            "there is nothing to evaluate",
            expected="a run, or a checkpoint",
            help="trainloop evaluate RUN, or trainloop evaluate --checkpoint PATH; `trainloop runs list` lists the runs",
        )
    if as_json:
        typer.echo(_as_json(judged))
    else:
        from trainloop.cli.render import make_plain_or_rich_console

        _print(judged, make_plain_or_rich_console())


def _judge_run(run: Path, split: str, device: str | None, plugins: list[Path], announce: Any) -> Judged:
    from trainloop.saved_run import evaluate_run, read_run

    saved = read_run(run, device)
    result = evaluate_run(saved, announce, plugins, split)
    summary = saved.summary
    machine = f"{summary['device']} with {summary['threads']} threads"
    before = Before(summary[f"{split}_accuracy"], summary.get(f"{split}_loss"), "at the end of the run", machine)
    return Judged(split, saved.classes, result, before)


def _judge_checkpoint(
    run: Path | None, which: str, split: str, device: str | None, plugins: list[Path], announce: Any
) -> Judged:
    from trainloop.saved_checkpoint import evaluate_checkpoint, find_checkpoint

    checkpoint = find_checkpoint(run, which, device)
    result, classes = evaluate_checkpoint(checkpoint, announce, plugins, split)
    return Judged(split, classes, result, _before(checkpoint, split), checkpoint)


def _before(checkpoint: SavedCheckpoint, split: str) -> Before | None:
    """Return what the run had where the checkpoint stands: at the end of an epoch, or of the run."""
    from trainloop.runs.reading import results_at

    facts = checkpoint.saved.facts
    position, machine = facts.position, f"{facts.machine.device} with {facts.machine.threads} threads"
    if split == Split.val:
        if not position.epoch_closed or position.val_accuracy is None:
            return None
        return Before(position.val_accuracy, position.val_loss, f"after epoch {position.epoch}", machine)
    results = results_at(checkpoint.path, position)
    return Before(*results, "at the end of the run", machine) if results else None


def _print(judged: Judged, console: Console) -> None:
    from trainloop.report.console import print_line, print_table
    from trainloop.report.format import count, percent

    result, classes = judged.result, judged.classes
    by_class = zip(classes, result.class_accuracy(), result.confusion.sum(dim=1).tolist(), strict=True)
    rows = [(name, percent(accuracy), count(images)) for name, accuracy, images in by_class]
    print_table(console, ("class", "accuracy", "images"), rows, right=("accuracy", "images"))
    console.print()
    console.print("confusion matrix (row: label, column: prediction)")
    if len(classes) <= MAX_MATRIX_CLASSES:
        matrix = [(name, *map(str, row)) for name, row in zip(classes, result.confusion.tolist(), strict=True)]
        names = [name[:5] for name in classes]
        print_table(console, ("", *names), matrix, right=names)
    else:
        console.print(f"{len(classes)} classes are too many to show; --json has the whole matrix")
    console.print()
    if judged.checkpoint is not None:
        print_line(console, _checkpoint_line(judged.checkpoint))
    what = f"{judged.split} accuracy {percent(result.accuracy)} of {count(result.samples)}, loss {result.loss:.4f}"
    print_line(console, what)
    if judged.before is not None:
        print_line(console, _against(judged.before, result))


def _checkpoint_line(checkpoint: SavedCheckpoint) -> str:
    from trainloop.cli.render import visible
    from trainloop.report.format import count

    facts = checkpoint.saved.facts
    weights = ", the running mean of its weights" if checkpoint.is_averaged else ""
    epoch = f"epoch {facts.position.epoch}"
    place = f"after {epoch}" if facts.position.epoch_closed else f"in {epoch}"
    return f"checkpoint {visible(str(checkpoint.path))}, verified: step {count(checkpoint.step)}, {place}{weights}"


def _against(before: Before, result: Evaluation) -> str:
    from trainloop.report.format import percent

    if result.accuracy == before.accuracy and before.loss in (None, result.loss):
        return f"the same as {before.when}"
    had = percent(before.accuracy) + (f", loss {before.loss:.4f}" if before.loss is not None else "")
    return f"the run itself had {had}, on {before.machine}: another device or thread count rounds differently"


def _as_json(judged: Judged) -> str:
    import json

    result, split, checkpoint = judged.result, judged.split, judged.checkpoint
    facts: dict[str, Any] = {
        f"{split}_accuracy": result.accuracy,
        f"{split}_loss": result.loss,
        "samples": result.samples,
        "classes": judged.classes,
        "class_accuracy": result.class_accuracy(),
        "confusion": result.confusion.tolist(),
        f"run_{split}_accuracy": judged.before.accuracy if judged.before else None,
    }
    if checkpoint is not None:
        facts |= {"checkpoint": str(checkpoint.path), "step": checkpoint.step, "averaged": checkpoint.is_averaged}
    return json.dumps(facts, indent=2)


def _silent(_: str) -> None:
    """Say nothing."""
