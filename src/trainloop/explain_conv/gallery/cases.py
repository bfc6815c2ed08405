"""What is in the gallery, in the order of its page; a test recomputes what each title claims."""

from __future__ import annotations

from typing import NamedTuple

from trainloop.explain_conv.pictures.planes import SCATTER, ZERO_INSERT

STEPS, STILL, OVERLAP = "steps", "still", "overlap"
"""what is drawn: an animation of every step, the cell in its views, how often each output is written"""
ENDINGS = {STEPS: "gif", STILL: "png", OVERLAP: "png"}


class Case(NamedTuple):
    """One picture.

    Args:
        name: of its file, without the ending.
        title: what is special about the problem.
        text: the module.
        input: its size.
        see: what there is to see, in a sentence or two.
        drawn: steps, still or overlap.
        view: that the steps go through; nothing for the only one.
    """

    name: str
    title: str
    text: str
    input: str
    see: str
    drawn: str = STEPS
    view: str = ""

    @property
    def file(self) -> str:
        """Name of its file."""
        return f"{self.name}.{ENDINGS[self.drawn]}"


WINDOW = "The window never leaves the input"
CONVOLUTIONS = (
    Case(
        "no_padding_no_strides",
        "No padding, no strides",
        "Conv2d(1, 1, 3)",
        "4x4",
        f"{WINDOW}, so the output is smaller.",
    ),
    Case(
        "arbitrary_padding_no_strides",
        "Arbitrary padding, no strides",
        "Conv2d(1, 1, 4, padding=2)",
        "4x4",
        "Two zeros around each side and a kernel of even size: the output has one more than the input.",
    ),
    Case(
        "same_padding_no_strides",
        "Same padding, no strides",
        "Conv2d(1, 1, 3, padding=1)",
        "5x5",
        "Half of the kernel's size, rounded down, around each side keeps the size.",
    ),
    Case(
        "full_padding_no_strides",
        "Full padding, no strides",
        "Conv2d(1, 1, 3, padding=2)",
        "4x4",
        "Every place where kernel and input meet at all: the output is larger than the input.",
    ),
    Case(
        "no_padding_strides",
        "No padding, strides",
        "Conv2d(1, 1, 3, stride=2)",
        "5x5",
        f"{WINDOW}, and goes two at a time.",
    ),
    Case(
        "padding_strides",
        "Padding, strides",
        "Conv2d(1, 1, 3, stride=2, padding=1)",
        "5x5",
        "Padding and strides together: an output of 3, as many as the input has even places.",
    ),
    Case(
        "padding_strides_odd",
        "Padding, strides, odd size",
        "Conv2d(1, 1, 3, stride=2, padding=1)",
        "6x6",
        "An input of 6 gives the output of one of 5: the division leaves 1 over, the padding at the end is never read.",
    ),
    Case(
        "dilation",
        "No padding, no strides, dilation",
        "Conv2d(1, 1, 3, dilation=2)",
        "7x7",
        "The taps lie two apart: nine of them reach over 5×5.",
    ),
)

TWINS = {
    "no_padding_no_strides": ("ConvTranspose2d(1, 1, 3)", "2x2"),
    "arbitrary_padding_no_strides": ("ConvTranspose2d(1, 1, 4, padding=2)", "5x5"),
    "same_padding_no_strides": ("ConvTranspose2d(1, 1, 3, padding=1)", "5x5"),
    "full_padding_no_strides": ("ConvTranspose2d(1, 1, 3, padding=2)", "6x6"),
    "no_padding_strides": ("ConvTranspose2d(1, 1, 3, stride=2)", "2x2"),
    "padding_strides": ("ConvTranspose2d(1, 1, 3, stride=2, padding=1)", "3x3"),
    "padding_strides_odd": ("ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1)", "3x3"),
    "dilation": ("ConvTranspose2d(1, 1, 3, dilation=2)", "3x3"),
}
"""by the convolution that each leads back from: its numbers, and its output's size as the input"""
SEEN = {
    SCATTER: "Each input element stamps the kernel, times itself; what padding cuts off is hatched. Last comes the bias.",
    ZERO_INSERT: "The same numbers from a window with stride 1 over the spread and padded input, with the kernel turned.",
}
TRANSPOSED = tuple(
    Case(
        f"{name}_transposed_{view}",
        f"{next(case.title for case in CONVOLUTIONS if case.name == name)}, transposed",
        text,
        input,
        seen,
        view=view,
    )
    for name, (text, input) in TWINS.items()
    for view, seen in SEEN.items()
)

MORE = (
    Case(
        "three_views",
        "A cell of a transposed convolution in three views",
        "ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1)",
        "5x5",
        "The same four products in each of them.",
        STILL,
    ),
    Case(
        "output_padding",
        "output_padding of 2",
        "ConvTranspose2d(1, 1, 5, stride=3, padding=1, output_padding=2)",
        "2x2",
        "It keeps two more rows and columns at the end. The first is computed like all others; no stamp reaches the second.",
        view=SCATTER,
    ),
    Case(
        "groups",
        "Two groups",
        "Conv2d(4, 2, 3, groups=2)",
        "4x4",
        "Output channel 0 sees input channels 0 and 1, output channel 1 the two others.",
    ),
    Case(
        "depthwise",
        "Depthwise: as many groups as channels",
        "Conv2d(2, 2, 3, groups=2)",
        "4x4",
        "Each channel by itself.",
    ),
    Case(
        "groups_transposed",
        "Two groups, strides, transposed",
        "ConvTranspose2d(2, 2, 3, stride=2, groups=2)",
        "2x2",
        "An input channel stamps the output channels of its own group only; last comes the bias of each output channel.",
        view=SCATTER,
    ),
    Case(
        "checkerboard",
        "Checkerboard",
        "ConvTranspose2d(1, 1, 3, stride=2)",
        "5x5",
        "The kernel size is no multiple of the stride: outputs are written one, two or four times, in turn.",
        OVERLAP,
    ),
    Case(
        "no_checkerboard",
        "No checkerboard",
        "ConvTranspose2d(1, 1, 4, stride=2, padding=1)",
        "5x5",
        "A kernel size that is a multiple of the stride: all outputs but those of the border are written four times.",
        OVERLAP,
    ),
)

SECTIONS = {
    "Convolutions": CONVOLUTIONS,
    "Their transposed twins, each in two views": TRANSPOSED,
    "More": MORE,
}
"""of the page"""
CASES = tuple(case for cases in SECTIONS.values() for case in cases)
