"""``trainloop predict RUN image.png …``: what a trained model says of image files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainloop.cli import options


def predict(
    run: options.RunFolderArgument,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    device: options.Device = None,
    plugins: options.Plugin = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Classes shown for each image.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object an image.")] = False,
    debug: options.Debug = False,  # noqa: ARG001 - its callback has taken note of it
) -> None:
    """Classify image files with the weights of a finished run."""
    from trainloop.runs.naming import find_run
    from trainloop.saved_run import predict_images, read_run

    predictions = predict_images(read_run(find_run(run), device), images, plugins or [])
    if as_json:
        import json

        for prediction in predictions:
            typer.echo(json.dumps({"image": str(prediction.image), "classes": dict(prediction.ranking[:top])}))
        return
    from trainloop.cli.render import make_plain_or_rich_console
    from trainloop.report.console import print_table
    from trainloop.report.format import percent

    rows = [
        (str(prediction.image), ", ".join(f"{name} {percent(share)}" for name, share in prediction.ranking[:top]))
        for prediction in predictions
    ]
    print_table(make_plain_or_rich_console(), ("image", "classes"), rows)
