"""Joining and splitting: parts that nobody used, layouts and dtypes, wrong arguments."""

from __future__ import annotations

import pytest
import torch

from trainloop.manual import Tape

SPLITS = {
    "chunk": lambda x: x.chunk(3, 1),
    "split": lambda x: x.split(2, 1),
    "split of sizes": lambda x: x.split([1, 2, 3], 1),
    "split_with_sizes": lambda x: x.split_with_sizes([1, 2, 3], 1),
    "tensor_split": lambda x: x.tensor_split(3, 1),
    "unbind": lambda x: x.unbind(1),
}


@pytest.fixture
def x():
    return torch.randn(2, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
def test_a_part_that_nobody_used_gives_zero(x, split):
    with Tape() as tape:
        loss = (split(x)[1] * 3).sum()
    tape.backward(loss)
    found, x.grad = x.grad, None
    (split(x)[1] * 3).sum().backward()
    assert torch.equal(found, x.grad)


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
def test_parts_that_nobody_used_at_all_give_none(x, split):
    other = torch.ones(2, requires_grad=True)
    with Tape() as tape:
        split(x)
        loss = other.sum()
    tape.backward(loss)
    assert x.grad is None


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
def test_parts_come_as_a_tuple_as_torchs_do(x, split):
    with Tape():
        assert type(split(x)) is type(split(x.detach())) is tuple


def test_each_tensor_of_a_sum_of_dtypes_receives_its_own(x):
    double = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
    with Tape() as tape:
        loss = torch.cat([x, double], 1).sum()
    tape.backward(loss)
    assert (x.grad.dtype, double.grad.dtype) == (torch.float32, torch.float64)


def test_the_output_has_torchs_layout():
    one, two = (torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last) for _ in range(2))
    expected = torch.cat([one, two], 1)
    with Tape():
        found = torch.cat([one.requires_grad_(), two], 1)
    assert found.stride() == expected.stride()


def test_one_tensor_twice_receives_the_sum(x):
    with Tape() as tape:
        y = torch.cat([x, x])
    tape.backward(y, torch.cat([torch.ones(2, 6), torch.full((2, 6), 2.0)]))
    assert torch.equal(x.grad, torch.full((2, 6), 3.0))


def test_shapes_that_do_not_join_are_torchs_error(x):
    with Tape(), pytest.raises(RuntimeError, match="Sizes of tensors must match except in dimension 0"):
        torch.cat([x, torch.ones(2, 5)])


def test_sizes_that_do_not_add_up_are_torchs_error(x):
    with Tape(), pytest.raises(RuntimeError, match="to sum exactly to 6"):
        x.split([1, 2], 1)


def test_no_sections_are_named(x):
    with Tape(), pytest.raises(RuntimeError, match="number of sections must be larger than 0, got 0"):
        x.tensor_split(0, 1)


def test_an_empty_batch_is_joined():
    x = torch.ones(0, 3, requires_grad=True)
    with Tape() as tape:
        y = torch.cat([x, x], 1)
    tape.backward(y, torch.ones(0, 6))
    assert x.grad.shape == (0, 3)
