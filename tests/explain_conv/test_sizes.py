"""The arithmetic of sizes as it is told."""

from __future__ import annotations

import pytest
import torch


def size_of(conv, text, input, axis=1):
    return conv.explained(text, input).axes[axis].size


def test_the_floor_is_shown_with_the_numbers(conv):
    size = size_of(conv, "Conv2d(1, 1, 3, stride=2)", "6x6")
    assert size.symbols == "⌊(W + 2·p − d·(k − 1) − 1) / s⌋ + 1"
    assert size.numbers == "⌊(6 + 2·0 − 1·(3 − 1) − 1) / 2⌋ + 1 = ⌊3/2⌋ + 1 = 1 + 1 = 2"
    assert (size.steps, size.left_over, size.never_read) == ((3, 2), 1, (5,))


def test_same_padding_of_an_even_kernel_has_two_sides(conv):
    size = size_of(conv, "Conv2d(1, 1, 4, padding='same')", "5x5")
    assert size.numbers == "⌊(5 + 1 + 2 − 1·(4 − 1) − 1) / 1⌋ + 1 = ⌊4/1⌋ + 1 = 4 + 1 = 5"


@pytest.mark.parametrize(
    ("text", "input", "never"),
    [
        ("Conv1d(1, 1, 3, stride=4)", "12", (3, 7, 11)),
        ("Conv1d(1, 1, 2, stride=2, dilation=2)", "8", (1, 3, 5, 7)),
        ("Conv1d(1, 1, 3, stride=2, padding=1)", "7", ()),
        ("ConvTranspose1d(1, 1, 2, padding=3)", "8", (0, 1, 6, 7)),
    ],
)
def test_what_is_never_read(conv, text, input, never):
    explanation = conv.explained(text, input)
    assert explanation.axes[1].size.never_read == never
    assert tuple(index for index, touches in enumerate(explanation.axes[1].reach) if not touches) == never


def test_the_sizes_that_share_one_are_those_that_a_convolution_maps_to_it(conv):
    for stride in (1, 2, 3, 4):
        size = size_of(conv, f"ConvTranspose1d(1, 1, 5, stride={stride}, padding=1)", "4")
        convolution = torch.nn.Conv1d(1, 1, 5, stride=stride, padding=1)
        shared = [n for n in range(3, 40) if convolution(torch.zeros(1, 1, n)).shape[-1] == 4]
        assert [one.size for one in size.shared] == shared
        assert [one.output_padding for one in size.shared] == list(range(stride))
        assert [one.chosen for one in size.shared] == [True] + [False] * (stride - 1)


def test_what_output_padding_adds_is_counted(conv):
    assert size_of(conv, "ConvTranspose1d(1, 1, 3, stride=2, padding=1, output_padding=1)", "4").extra == (1,)
    assert size_of(conv, "ConvTranspose1d(1, 1, 3, stride=2, output_padding=1)", "4").extra == (0,)
    assert size_of(conv, "ConvTranspose1d(1, 1, 3, stride=2)", "4").extra == ()
