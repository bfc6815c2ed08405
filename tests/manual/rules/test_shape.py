"""Shapes: what is a view in torch is one on the tape, and wrong arguments are named."""

from __future__ import annotations

import pytest
import torch

from trainloop.manual import Tape

VIEWS = {
    "view": lambda x: x.view(6, 4),
    "reshape": lambda x: x.reshape(4, 6),
    "flatten": lambda x: x.flatten(1),
    "unflatten": lambda x: x.unflatten(2, (2, 2)),
    "squeeze": lambda x: x.unsqueeze(1).squeeze(1),
    "permute": lambda x: x.permute(2, 0, 1),
    "transpose": lambda x: x.transpose(0, 2),
    "mT": lambda x: x.mT,
    "T": lambda x: x[0].T,
    "t": lambda x: x[0].t(),
    "movedim": lambda x: x.movedim(0, -1),
    "expand": lambda x: x[:, :1].expand(2, 5, 4),
    "broadcast_to": lambda x: torch.broadcast_to(x, (3, 2, 3, 4)),
    "diagonal": lambda x: x.diagonal(0, 1, 2),
    "unfold": lambda x: x.unfold(2, 2, 1),
    "select": lambda x: x.select(1, 2),
    "narrow": lambda x: x.narrow(2, 1, 2),
    "slice": lambda x: x[1, :, ::2],
    "chunk": lambda x: x.chunk(2, 2)[1],
    "split": lambda x: x.split([1, 3], 2)[1],
    "unbind": lambda x: x.unbind(1)[2],
    "tensor_split": lambda x: x.tensor_split(2, 2)[1],
}


@pytest.fixture
def x():
    return torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()


@pytest.mark.parametrize("take", VIEWS.values(), ids=VIEWS)
def test_what_is_a_view_in_torch_is_one_on_the_tape(x, take):
    expected = take(x.detach())
    with Tape():
        found = take(x)
    assert found.data_ptr() - x.data_ptr() == expected.data_ptr() - x.data_ptr()
    assert found.stride() == expected.stride()
    assert found._base is x


def test_a_reshape_that_cannot_be_a_view_copies(x):
    with Tape() as tape:
        copy = x.transpose(0, 1).reshape(-1)
    assert not copy._is_view()
    tape.backward(copy, torch.arange(24.0))
    assert torch.equal(x.grad, torch.arange(24.0).view(3, 2, 4).transpose(0, 1))


def test_flattening_a_vector_returns_the_vector_itself(x):
    with Tape():
        h = x.view(-1)
        assert h.flatten() is h


def test_the_same_number_seen_in_another_dtype_has_no_gradient(x):
    with Tape():
        bits = x.view(torch.int32)
    assert not bits.requires_grad
    with Tape(), pytest.raises(TypeError, match=r"view\(torch\.float64\) of a torch\.float32 tensor"):
        x.view(torch.float64)


def test_a_shape_that_does_not_fit_is_torchs_error(x):
    with Tape(), pytest.raises(RuntimeError, match=r"shape '\[5, 5\]' is invalid for input of size 24"):
        x.view(5, 5)


def test_t_names_the_shape_it_cannot_transpose(x):
    with Tape(), pytest.raises(RuntimeError, match=r"at most 2 dimensions, found shape \(2, 3, 4\)"):
        x.t()


OUT_OF_RANGE = {
    "movedim": lambda x: x.movedim(0, 3),
    "unflatten": lambda x: x.unflatten(3, (2, 2)),
    "squeeze": lambda x: x.squeeze(3),
    "permute": lambda x: x.permute(0, 1, 3),
    "flip": lambda x: x.flip(3),
    "unbind": lambda x: x.unbind(3),
    "tensor_split": lambda x: x.tensor_split(2, 3),
    "repeat_interleave": lambda x: x.repeat_interleave(2, 3),
    "take_along_dim": lambda x: x.take_along_dim(torch.zeros(1, 1, 1, dtype=torch.int64), 3),
}


@pytest.mark.parametrize("take", OUT_OF_RANGE.values(), ids=OUT_OF_RANGE)
def test_a_dimension_that_is_not_there_is_an_index_error(x, take):
    with pytest.raises(IndexError, match=r"Dimension out of range .* but got 3"):
        take(x.detach())
    with Tape(), pytest.raises(IndexError, match=r"Dimension out of range .* but got 3"):
        take(x)


def test_the_gradient_of_a_channels_last_tensor_passes_through_a_flattening():
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
    with Tape() as tape:
        y = x.flatten(1)
    tape.backward(y, torch.ones_like(y))
    assert x.grad.is_contiguous(memory_format=torch.channels_last)


def test_a_dimension_repeated_zero_times(x):
    with Tape() as tape:
        y = x.repeat(1, 0, 1)
    tape.backward(y, torch.ones_like(y))
    assert torch.equal(x.grad, torch.zeros_like(x))
