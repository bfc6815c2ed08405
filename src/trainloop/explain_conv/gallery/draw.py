"""Draw the cases, and write the page about them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from trainloop.explain_conv.explain import explain_conv
from trainloop.explain_conv.explanation import Explanation
from trainloop.explain_conv.gallery.cases import OVERLAP, SECTIONS, STEPS, STILL, Case
from trainloop.explain_conv.parse import parse_problem
from trainloop.explain_conv.pictures.pictures import animation, overlap, still
from trainloop.explain_conv.pictures.raster import gif, png
from trainloop.explain_conv.pictures.scene import Scene
from trainloop.explain_conv.pictures.walks import Walk
from trainloop.explain_conv.words.names import head

MILLISECONDS, LAST = 600, 2500
"""that a frame stands, and the last one"""
INDEX = "README.md"


class Drawing(NamedTuple):
    """What is to be drawn for a case.

    Args:
        case: it is of.
        explanation: of its problem.
        scenes: one, or one for each frame.
    """

    case: Case
    explanation: Explanation
    scenes: Sequence[Scene]

    @property
    def digest(self) -> str:
        """SHA-256 of all that is drawn, whatever draws it; the file carries it."""
        return hashlib.sha256("".join(scene.digest for scene in self.scenes).encode()).hexdigest()

    @property
    def comment(self) -> str:
        """What the file says about itself."""
        view = f", {self.case.view}" if self.case.view else ""
        return f"{self.case.title}: {head(self.explanation)}{view}; drawn sha256 {self.digest}"


@functools.lru_cache(maxsize=64)
def drawing(case: Case) -> Drawing:
    """Return what is to be drawn for a case.

    Args:
        case: any.
    """
    explanation = explain_conv(parse_problem(case.text, case.input))
    makers = {
        STEPS: lambda: list(animation(Walk(explanation, case.view))),
        STILL: lambda: [still(explanation)],
        OVERLAP: lambda: [overlap(explanation)],
    }
    return Drawing(case, explanation, makers[case.drawn]())


def content(drawn: Drawing) -> bytes:
    """Return the file of a case.

    Args:
        drawn: the case's drawing.
    """
    if drawn.case.drawn == STEPS:
        return gif(drawn.scenes, MILLISECONDS, LAST, drawn.comment)
    return png(drawn.scenes[0], drawn.comment)


def index() -> str:
    """Return the page about the gallery."""
    return "\n".join(_index_lines()) + "\n"


def _index_lines() -> Iterator[str]:
    yield "# The gallery"
    yield ""
    yield "Made by `make gallery`; every number is computed, and all outputs are checked against torch, while it is drawn."
    yield "What colours and patterns mean stands below each picture. [explain-conv](../explain-conv.md) draws any other"
    yield "problem. Sizes are height × width, with the number of channels in front where there are several."
    for section, cases in SECTIONS.items():
        yield from ("", f"## {section}")
        for case in cases:
            yield from ("", f"### {label(drawing(case))}", "")
            yield f"`{head(drawing(case).explanation)}` · {case.see}"
            yield from ("", f"![{label(drawing(case))}: {head(drawing(case).explanation)}]({case.file})", "")
            yield from ("```sh", command(case), "```")


def label(drawn: Drawing) -> str:
    """Return the heading of a picture.

    Args:
        drawn: the case's drawing.
    """
    view = f" ({drawn.case.view})" if drawn.case.view and drawn.case.title.endswith("transposed") else ""
    return drawn.case.title + view


def command(case: Case) -> str:
    """Return what to type to see it.

    Args:
        case: any.
    """
    view = f" --view {case.view}" if case.view else ""
    ways = {STEPS: f"{view} --gif {case.file}", STILL: f" --png {case.file}", OVERLAP: ""}
    return f'trainloop explain-conv --problem "{case.text}" --input {case.input}{ways[case.drawn]}'
