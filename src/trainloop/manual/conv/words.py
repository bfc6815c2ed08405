"""A convolution in words, ``n128 c64 o256 h15 k3 p1``: total channels, sizes, and what is not as usual.

n batch · c in_channels · o out_channels · h w input (w = h where it is left out) · k l kernel (l = k) ·
s stride (1) · p padding (0) · op output_padding (0) · d dilation (1) · g groups (1); two numbers where the axes differ: s2x1
"""

from __future__ import annotations

from collections.abc import Sequence

from trainloop.manual.windows import Sizes


def in_words(input_shape: Sizes, out_channels: int, kernel_size: Sizes, **geometry: Sizes | int) -> str:
    """Return the words.

    Args:
        input_shape: (N, C, H, W), all channels.
        out_channels: of all groups.
        kernel_size: (K, L).
        geometry: stride, padding, dilation, groups, and output_padding where there is one.
    """
    num, channels, *sizes = input_shape
    words = [f"n{num}", f"c{channels}", f"o{out_channels}", *_axes("hw", sizes), *_axes("kl", kernel_size)]
    for letters, name, usual in (
        ("s", "stride", 1),
        ("p", "padding", 0),
        ("op", "output_padding", 0),
        ("d", "dilation", 1),
        ("g", "groups", 1),
    ):
        given = geometry.get(name, usual)
        numbers = (given,) if isinstance(given, int) else given
        if {*numbers} != {usual}:
            words.append(letters + "x".join(map(str, numbers if len({*numbers}) > 1 else numbers[:1])))
    return " ".join(words)


def _axes(letters: str, sizes: Sequence[int]) -> list[str]:
    return [f"{letters[0]}{sizes[0]}"] + ([f"{letters[1]}{sizes[1]}"] if sizes[1] != sizes[0] else [])
