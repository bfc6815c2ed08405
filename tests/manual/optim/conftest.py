"""Parameters, gradients and the comparison that every test of the optimizers shares."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import torch

from trainloop.manual.optim import OPTIMIZERS

SHAPES = ((4, 3, 2, 2), (), (6, 5))
BITS = {torch.float32: torch.int32, torch.float64: torch.int64}


def make_params(dtype, shapes=SHAPES):
    generator = torch.Generator().manual_seed(5)
    params = [torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype)) for shape in shapes]
    params[0].data = params[0].data.to(memory_format=torch.channels_last)
    return params


def fitting(name, params):
    """Those of the parameters that an optimizer takes."""
    return [param for param in params if param.ndim >= OPTIMIZERS[name].fewest_dims]


def make_grads(step, dtype, shapes=SHAPES):
    """Gradients of one step: now and then one is None, now and then all are zero."""
    generator = torch.Generator().manual_seed(1000 + step)
    grads = [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]
    grads[0] = grads[0].to(memory_format=torch.channels_last)
    if step % 11 == 5:
        grads = [torch.zeros_like(grad) for grad in grads]
    if step % 7 == 3:
        grads[1] = None
    return grads


def set_grads(params, grads):
    for param, grad in zip(params, grads, strict=True):
        param.grad = None if grad is None else grad.clone()


def as_groups(params):
    return [{"params": params[:2]}, {"params": params[2:], "lr": 0.003, "weight_decay": 0.01}]


def same_bits(one, two):
    """Equal to the last bit: minus zero is not zero, and a NaN is that NaN."""
    if one.dtype != two.dtype or one.shape != two.shape:
        return False
    if one.dtype not in BITS:
        return torch.equal(one, two)
    return torch.equal(one.contiguous().view(BITS[one.dtype]), two.contiguous().view(BITS[one.dtype]))


def assert_same_bits(ours, theirs, place):
    """Parameters and states of two optimizers, in order."""
    pairs = zip(all_params(ours), all_params(theirs), strict=True)
    for index, (one, two) in enumerate(pairs):
        assert same_bits(one.data, two.data), f"{place}, parameter {index}: ours {one.data}, theirs {two.data}"
        state = {name: value for name, value in theirs.state.get(two, {}).items() if value is not None}
        assert set(ours.state.get(one, {})) == set(state), f"{place}, parameter {index}, names of the state"
        for name, value in state.items():
            mine = ours.state[one][name]
            assert same_bits(mine, value), f"{place}, parameter {index}, state {name}: ours {mine}, theirs {value}"


def all_params(optimizer):
    return [param for group in optimizer.param_groups for param in group["params"]]


def crossed(options):
    """Every combination of the values of every option."""
    return [dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())]


def set_lr(optimizer, factor):
    for group in optimizer.param_groups:
        group["lr"] *= factor


@pytest.fixture
def optim():
    return SimpleNamespace(
        shapes=SHAPES,
        make_params=make_params,
        fitting=fitting,
        make_grads=make_grads,
        set_grads=set_grads,
        as_groups=as_groups,
        same_bits=same_bits,
        assert_same_bits=assert_same_bits,
        all_params=all_params,
        crossed=crossed,
        set_lr=set_lr,
    )
