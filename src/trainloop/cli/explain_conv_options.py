"""The options of ``trainloop explain-conv`` that say what is explained, and in what ways one looks at it."""

from __future__ import annotations

from typing import Annotated

import typer

Problem = Annotated[
    str | None,
    typer.Option(
        "--problem",
        metavar="MODULE",
        help="Conv1d, Conv2d, ConvTranspose1d or ConvTranspose2d as torch writes it; without it "
        "ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1).",
    ),
]
Input = Annotated[
    str | None,
    typer.Option("--input", metavar="5x5", help="Size of the input; of the images for --stack, such as 3x64x64."),
]
Cell = Annotated[
    str | None, typer.Option("--cell", metavar="3,4", help="The output to take apart; 1,3,4 for channel 1.")
]
Pixel = Annotated[
    str | None,
    typer.Option("--pixel", metavar="1,2", help="The input pixel to follow; without it one the cell reads."),
]
Frames = Annotated[bool, typer.Option("--frames", help="Print every step instead of the page.")]
Step = Annotated[bool, typer.Option("--step", help="Go through the steps with the arrow keys; q ends.")]
View = Annotated[
    str | None,
    typer.Option(
        "--view", metavar="NAME", help="What the steps go through: scatter or zero_insert, of a transposed convolution."
    ),
]
Svg = Annotated[str | None, typer.Option("--svg", metavar="FILE", help="Draw the cell too, in its views, as SVG.")]
Png = Annotated[str | None, typer.Option("--png", metavar="FILE", help="The same as PNG.")]
Gif = Annotated[str | None, typer.Option("--gif", metavar="FILE", help="Draw the steps too, as an animation.")]
