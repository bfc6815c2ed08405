"""What is explained: one module of torch.nn and the size of its input, always as a plane.

A problem of one spatial axis (Conv1d) is a plane of one row: its first axis has size 1, a kernel of 1 and nothing else. So
whatever draws or computes knows two axes only, and ``num_axes`` says how many of them the user spoke of.

Legend: G groups, C in_channels and O out_channels of one group, H W input, K L kernel, P Q output sizes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from trainloop.manual.conv import Geometry, Job, TransposedGeometry, TransposedJob
from trainloop.manual.conv.padding import ZEROS, pad_by_mode
from trainloop.manual.conv.sizes import check_axes, check_divisible, check_geometry, check_job
from trainloop.manual.conv.transpose.sizes import check_transposed_job
from trainloop.manual.errors import ConvShapeError
from trainloop.manual.windows import Sizes

AXES = ("H", "W")
"""what the axes of the plane are called; a problem of one axis has W"""
SAME = "same"


@dataclass(frozen=True)
class Problem:
    """One module and the size of its input.

    Args:
        module: Conv1d, Conv2d, ConvTranspose1d or ConvTranspose2d.
        in_channels: G·C.
        out_channels: G·O.
        kernel_size: (K, L), as all pairs here one number for each axis of the plane.
        stride: of the windows, or of the stamps of a transposed convolution.
        padding: how much is added before the first element (cut off there, in a transposed convolution).
        padding_after: the same behind the last; differs from ``padding`` only where "same" needs one more.
        dilation: distance of the taps.
        output_padding: of a transposed convolution, how much more of the output is kept at the end; else zeros.
        groups: G.
        bias: whether one is added.
        padding_mode: zeros, reflect, replicate or circular.
        padding_word: "same" or "valid" where the padding was given so, else nothing.
        input_sizes: (H, W).
    """

    module: str
    in_channels: int
    out_channels: int
    kernel_size: Sizes
    stride: Sizes
    padding: Sizes
    padding_after: Sizes
    dilation: Sizes
    output_padding: Sizes
    groups: int
    bias: bool
    padding_mode: str
    padding_word: str
    input_sizes: Sizes

    @property
    def transposed(self) -> bool:
        """Whether it is a transposed convolution."""
        return "Transpose" in self.module

    @property
    def num_axes(self) -> int:
        """How many spatial axes the module has: 1 or 2."""
        return 1 if self.module.endswith("1d") else 2

    @property
    def axes(self) -> range:
        """The positions in (H, W) that the module has: both, or the second alone."""
        return range(2 - self.num_axes, 2)

    def own(self, numbers: Sizes) -> Sizes:
        """Return the numbers of the module's own axes."""
        return numbers[-self.num_axes :]

    @property
    def weight_shape(self) -> Sizes:
        """(G·O, C, K, L); of a transposed convolution (G·C, O, K, L)."""
        ends = (self.in_channels, self.out_channels) if self.transposed else (self.out_channels, self.in_channels)
        return (ends[0], ends[1] // self.groups, *self.kernel_size)

    def weight_index(self, channel: int, output: int) -> tuple[int, int]:
        """Return where in torch's weight the kernel between an input channel and an output channel of its group lies.

        Args:
            channel: of the input.
            output: channel of the output.
        """
        if self.transposed:
            return channel, output % (self.out_channels // self.groups)
        return output, channel % (self.in_channels // self.groups)

    @property
    def output_sizes(self) -> Sizes:
        """(P, Q)."""
        if self.transposed:
            return TransposedJob((1, 1, *self.input_sizes), (1, 1, *self.kernel_size), self.patches).output_sizes
        padded = self._padded_sizes()
        return Job((1, 1, *padded), (1, 1, *self.kernel_size), self.windows_of_padded).output_sizes

    @property
    def patches(self) -> TransposedGeometry:
        """The geometry of a transposed convolution."""
        return TransposedGeometry(self.stride, self.padding, self.output_padding, self.groups, self.dilation)

    @property
    def windows(self) -> Geometry:
        """The geometry of a convolution, with the padding before the first element."""
        return Geometry(self.stride, self.padding, self.dilation, self.groups)

    @property
    def windows_of_padded(self) -> Geometry:
        """The geometry of the same convolution of an input that is padded already."""
        return self.windows._replace(padding=(0, 0))

    @property
    def size_text(self) -> str:
        """The input's size, such as 5x5 or 7."""
        return "x".join(map(str, self.own(self.input_sizes)))

    @property
    def text(self) -> str:
        """The module as one writes it, without what has torch's default."""
        parts = [str(self.in_channels), str(self.out_channels), self._number(self.kernel_size)]
        padding = repr(self.padding_word) if self.padding_word else self._number(self.padding)
        named = {
            "stride": self._number(self.stride),
            "padding": padding,
            "output_padding": self._number(self.output_padding),
            "dilation": self._number(self.dilation),
            "groups": str(self.groups),
            "bias": str(self.bias),
            "padding_mode": repr(self.padding_mode),
        }
        defaults = dict.fromkeys(named, "0") | {
            **{"stride": "1", "dilation": "1", "groups": "1", "bias": "True", "padding_mode": repr(ZEROS)}
        }
        parts += [f"{name}={text}" for name, text in named.items() if text != defaults[name]]
        return f"{self.module}({', '.join(parts)})"

    def check(self) -> None:
        """Refuse numbers that do not fit together, with the arithmetic.

        Raises:
            ConvShapeError: whatever the convolutions of ``manual`` refuse.
        """
        self._check_counts()
        windows = Geometry(self.own(self.stride), self.own(self.padding), self.own(self.dilation), self.groups)
        check_geometry(windows)
        check_divisible("out_channels", self.out_channels, self.groups)
        shape = (1, self.in_channels, *self.own(self.input_sizes))
        weight_shape = (*self.weight_shape[:2], *self.own(self.kernel_size))
        if self.transposed:
            own = (self.own(self.stride), self.own(self.padding), self.own(self.output_padding))
            geometry = TransposedGeometry(*own, self.groups, self.own(self.dilation))
            check_transposed_job(TransposedJob(shape, weight_shape, geometry))
            return
        if self.padding_word == SAME and max(windows.stride) > 1:
            stride = self._number(self.stride)
            raise ConvShapeError(
                f"padding='same' needs stride=1, as in torch (stride is {stride}); use stride=1, or a padding in numbers"
            )
        check_axes(shape, weight_shape, self.num_axes)
        # Tensors without content, which are all that the border of a mode needs to be judged.
        input, weight = (torch.empty(sizes, device="meta") for sizes in (shape, weight_shape))
        word = self.padding_word or self.own(self.padding)
        padded, windows = pad_by_mode(input, weight, windows, word, self.padding_mode)
        check_job(Job(tuple(padded.shape), weight_shape, windows))

    def _check_counts(self) -> None:
        """Refuse channels, kernels and inputs of nothing."""
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) < 1:
                raise ConvShapeError(f"{name} (={getattr(self, name)}) must be at least 1")
        for name, label in (("kernel_size", "kernel_size"), ("input_sizes", "the input's size")):
            own = self.own(getattr(self, name))
            if min(own) < 1:
                shown = own[0] if len(set(own)) == 1 else own
                raise ConvShapeError(f"{label} (={shown}) must be at least 1 along every spatial axis")

    def replaced(self, **changes: object) -> Problem:
        """Return a problem with other numbers."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]  # names and types are the fields'

    def _padded_sizes(self) -> Sizes:
        numbers = zip(self.input_sizes, self.padding, self.padding_after, strict=True)
        return tuple(size + before + after for size, before, after in numbers)

    def _number(self, numbers: Sizes) -> str:
        """Return one number for both axes where they agree, else a pair."""
        own = self.own(numbers)
        return str(own[0]) if len(set(own)) == 1 else f"({', '.join(map(str, own))})"
