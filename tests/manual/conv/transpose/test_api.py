"""``conv_transpose2d``: torch's arguments, one image, and what is refused by which name."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from trainloop.manual.conv import CONV_TRANSPOSE2D, DIRECTIONS, TransposedGeometry, TransposedJob, conv_transpose2d
from trainloop.manual.errors import ConvShapeError, UnsupportedConvError
from trainloop.tolerance import tolerance

ARGUMENTS = {
    "positional": ((None, 2, 1, 1, 2, 1), {}),
    "numbers": ((), {"stride": 3, "padding": 1, "output_padding": 2}),
    "pairs": ((), {"stride": (2, 1), "padding": (0, 1), "output_padding": (1, 0), "dilation": (1, 2)}),
    "lists": ((), {"stride": [2], "groups": 2}),
}


@pytest.fixture
def draw():
    def drawn(*shape):
        return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)

    return drawn


@pytest.mark.parametrize(("args", "options"), ARGUMENTS.values(), ids=ARGUMENTS)
@pytest.mark.parametrize("shape", [(2, 4, 5, 6), (4, 5, 6)], ids=["batch", "one image"])
@pytest.mark.parametrize("name", CONV_TRANSPOSE2D)
def test_it_takes_what_torch_takes(draw, name, shape, args, options):
    x, weight = draw(*shape), draw(4, 3, 3, 3)
    expected = F.conv_transpose2d(x, weight, *args, **options)
    found = conv_transpose2d(x, weight, *args, **options, algorithm=name)
    assert found.shape == expected.shape
    bound = tolerance("float64", "output").bound(float(expected.abs().max()))
    assert float((found - expected).abs().max()) <= bound


def test_an_unknown_algorithm_lists_those_there_are(draw):
    with pytest.raises(UnsupportedConvError, match=r"'scater' .* scatter, zero_insert, matrix, aten"):
        conv_transpose2d(draw(1, 2, 3, 3), draw(2, 2, 3, 3), algorithm="scater")


def test_a_matrix_that_is_too_large_says_how_large(draw):
    x, weight = draw(1, 64, 32, 32), draw(64, 16, 4, 4)
    with pytest.raises(UnsupportedConvError) as caught:
        conv_transpose2d(x, weight, stride=2, padding=1, algorithm="matrix")
    assert str(caught.value) == (
        "algorithm 'matrix' cannot do this convolution: it would write out a matrix of 65,536 × 65,536 elements, "
        "32,768 MiB, and 256 MiB are the most; use scatter or zero_insert or aten"
    )


def test_a_matrix_for_each_group_counts(draw):
    x, weight = draw(1, 64, 32, 32), draw(64, 1, 4, 4)
    reason = CONV_TRANSPOSE2D["matrix"].supports(x, weight, stride=2, padding=1, groups=64)
    assert reason == ("it would write out 64 matrices of 1,024 × 4,096 elements, 2,048 MiB, and 256 MiB are the most")
    assert CONV_TRANSPOSE2D["matrix"].supports(x[:, :1], weight[:1], stride=2, padding=1) is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weight": torch.zeros(2, 3, 3, 3)}, "weight is torch.float32 on cpu and input is torch.float64 on cpu"),
        ({"bias": torch.zeros(3)}, "bias is torch.float32 on cpu and input is torch.float64 on cpu.*bias.to.input."),
        ({"bias": torch.zeros(4).double()}, r"bias of shape \(4,\) does not fit 3 output channels: expected \(3,\)"),
        ({"weight": torch.zeros(3, 3, 3, 3).double()}, "input of 2 channels does not fit"),
        ({"output_padding": 1}, r"output_padding \(=1\) must be smaller than stride \(=1\)"),
        ({"padding": 3}, r"\(3 − 1\)·1 − 2·3 \+ 1·\(3 − 1\) \+ 0 \+ 1 = -1"),
    ],
    ids=["weight type", "bias type", "bias shape", "channels", "output_padding", "padding"],
)
def test_what_does_not_fit_is_refused(draw, changed, message):
    arguments = {"input": draw(1, 2, 3, 3), "weight": draw(2, 3, 3, 3), **changed}
    with pytest.raises(ConvShapeError, match=message):
        conv_transpose2d(**arguments)


@pytest.mark.parametrize("name", CONV_TRANSPOSE2D)
def test_the_counts_are_positive_and_grow_with_the_batch(name):
    algorithm = CONV_TRANSPOSE2D[name]
    geometry = TransposedGeometry((2, 2), (1, 1), (1, 1), 1, (1, 1))
    small, large = (TransposedJob((num, 4, 5, 5), (4, 3, 3, 3), geometry) for num in (1, 8))
    for direction in DIRECTIONS:
        assert 0 < algorithm.multiplications(small, direction) < algorithm.multiplications(large, direction)
        assert 0 <= algorithm.workspace(small, direction) <= algorithm.workspace(large, direction)
        assert algorithm.kernel(small, direction)


def test_auto_and_an_order_take_the_first_that_can(draw):
    x, weight = draw(1, 2, 3, 3), draw(2, 2, 3, 3)
    right = conv_transpose2d(x, weight, stride=2, padding=1, algorithm="aten")
    assert torch.equal(conv_transpose2d(x, weight, stride=2, padding=1, algorithm="auto"), right)
    assert torch.equal(conv_transpose2d(x, weight, stride=2, padding=1, algorithm="aten, scatter"), right)
    large, small = draw(1, 64, 32, 32), draw(64, 16, 4, 4)
    only = conv_transpose2d(large, small, stride=2, padding=1, algorithm="scatter")
    assert torch.equal(conv_transpose2d(large, small, stride=2, padding=1, algorithm="matrix,scatter"), only)


def test_an_order_with_a_name_that_is_none_is_refused(draw):
    with pytest.raises(UnsupportedConvError, match="scater"):
        conv_transpose2d(draw(1, 2, 3, 3), draw(2, 2, 3, 3), algorithm="aten,scater")
