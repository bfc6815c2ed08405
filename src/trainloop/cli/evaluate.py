"""``trainloop evaluate RUN``: the test accuracy of a finished run again, by class, with the confusion matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from trainloop.cli import options

if TYPE_CHECKING:
    from rich.console import Console

    from trainloop.loop.evaluate import Evaluation
    from trainloop.saved_run import SavedRun


MAX_MATRIX_CLASSES = 12


def evaluate(
    run: options.RunFolderArgument,
    device: options.Device = None,
    plugins: options.Plugin = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: options.Debug = False,  # noqa: ARG001 - its callback has taken note of it
) -> None:
    """Evaluate a finished run on its test images: accuracy, accuracy by class, confusion matrix."""
    from trainloop.saved_run import evaluate_run, read_run

    saved = read_run(run, device)
    result = evaluate_run(saved, _silent if as_json else typer.echo, plugins or [])
    if as_json:
        typer.echo(_as_json(saved, result))
    else:
        from trainloop.cli.render import make_plain_or_rich_console

        _print(saved, result, make_plain_or_rich_console())


def _print(run: SavedRun, result: Evaluation, console: Console) -> None:
    from trainloop.report.console import print_table
    from trainloop.report.format import count, percent

    by_class = zip(run.classes, result.class_accuracy(), result.confusion.sum(dim=1).tolist(), strict=True)
    rows = [(name, percent(accuracy), count(images)) for name, accuracy, images in by_class]
    print_table(console, ("class", "accuracy", "images"), rows, right=("accuracy", "images"))
    console.print()
    console.print("confusion matrix (row: label, column: prediction)")
    if len(run.classes) <= MAX_MATRIX_CLASSES:
        matrix = [(name, *map(str, row)) for name, row in zip(run.classes, result.confusion.tolist(), strict=True)]
        names = [name[:5] for name in run.classes]
        print_table(console, ("", *names), matrix, right=names)
    else:
        console.print(f"{len(run.classes)} classes are too many to show; --json has the whole matrix")
    console.print()
    console.print(f"test accuracy {percent(result.accuracy)} of {count(result.samples)}, loss {result.loss:.4f}")
    console.print(_against_summary(run, result))


def _against_summary(run: SavedRun, result: Evaluation) -> str:
    from trainloop.report.format import percent

    before = run.summary["test_accuracy"]
    if result.accuracy == before:
        return "the same as at the end of the run"
    return (
        f"the run itself had {percent(before)}, on {run.summary['device']} with {run.summary['threads']} threads: "
        "another device or thread count rounds differently"
    )


def _as_json(run: SavedRun, result: Evaluation) -> str:
    import json

    facts = {
        "test_accuracy": result.accuracy,
        "test_loss": result.loss,
        "samples": result.samples,
        "classes": run.classes,
        "class_accuracy": result.class_accuracy(),
        "confusion": result.confusion.tolist(),
        "run_test_accuracy": run.summary["test_accuracy"],
    }
    return json.dumps(facts, indent=2)


def _silent(_: str) -> None:
    """Say nothing."""
