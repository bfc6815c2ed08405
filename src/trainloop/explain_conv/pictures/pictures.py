"""The pictures of an explanation: one still, or one frame for each step."""

from __future__ import annotations

from collections.abc import Iterator

from trainloop.explain_conv.explanation import Explanation
from trainloop.explain_conv.pictures.compose import LEAST_WIDTH, MOST_FORMULA, cell_size, frame_part, scene_of
from trainloop.explain_conv.pictures.matrix import matrix_part
from trainloop.explain_conv.pictures.planes import SCATTER, ZERO_INSERT, Frame, Plane
from trainloop.explain_conv.pictures.scene import MOST_COUNT, Scene
from trainloop.explain_conv.pictures.stamps import StampFrames
from trainloop.explain_conv.pictures.walks import Walk
from trainloop.explain_conv.words.overlap import overlap_texts, score_text

MOST_FRAMES = 100
"""of an animation"""


def still(explanation: Explanation) -> Scene:
    """Return a convolution's window on the explained cell; of a transposed convolution its three views.

    Args:
        explanation: to draw.
    """
    cell = cell_size(explanation)
    if not explanation.problem.transposed:
        return scene_of(explanation, [frame_part(Walk(explanation).whole(), cell)])
    views = {view.name: view for view in explanation.views}
    scatter = StampFrames(explanation, views[SCATTER]).of_cell(explanation.cell)
    slid = Walk(explanation, ZERO_INSERT).whole()
    parts = [frame_part(frame, cell) for frame in (scatter, slid)]
    return scene_of(explanation, [*parts, matrix_part(explanation, views["matrix"])])


def overlap(explanation: Explanation) -> Scene:
    """Return how often each output is written, of a convolution how often each input is read.

    Args:
        explanation: to draw.
    """
    counts, transposed = explanation.overlap.counts, explanation.problem.transposed
    plane = Plane(
        "overlap",
        "times written" if transposed else "times read",
        (counts.shape[0], counts.shape[1]),
        lambda place: str(int(counts[place])),
        lambda place: f"count{min(int(counts[place]), MOST_COUNT)}",
        explanation.cell.place if transposed else explanation.pixel.place,
    )
    why = ". ".join(overlap_texts(explanation, with_counts=False))
    frame = Frame(f"score {explanation.overlap.score:.2f}: {score_text(explanation)}", ((plane,),), (), why)
    return scene_of(explanation, [frame_part(frame, cell_size(explanation))], checked="counts")


def animation(walk: Walk) -> Iterator[Scene]:
    """Yield a picture for each step, for the first ``MOST_FRAMES`` of them.

    Args:
        walk: whose steps.
    """
    cell = cell_size(walk.explanation)
    steps = min(len(walk), MOST_FRAMES)
    notes = [f"The first {steps} of {len(walk):,} steps."] if steps < len(walk) else []
    for step in range(steps):
        part = frame_part(walk.frame(step), cell, LEAST_WIDTH, MOST_FORMULA)
        yield scene_of(walk.explanation, [part], notes)
