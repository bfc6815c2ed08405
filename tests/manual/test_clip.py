"""Clipping written out against torch.nn.utils: the same bits in the norm and in every gradient."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from trainloop.manual.clip import clip_factor, clip_grad_norm, clip_grad_value, total_norm

DTYPES = (torch.float32, torch.float64)
NORMS = (2.0, 1.0, float("inf"), 3.0, 0.5)
ODD = {"finite": 0.5, "nan": float("nan"), "inf": float("inf"), "-inf": -float("inf"), "-0": -0.0, "tiny": 1e-42}
BITS = {torch.float32: torch.int32, torch.float64: torch.int64}


def make_params(dtype, odd=0.5):
    generator = torch.Generator().manual_seed(7)
    params = [torch.nn.Parameter(torch.zeros(shape, dtype=dtype)) for shape in [(4, 3, 3, 3), (501,), (), (33, 65)]]
    for param in params:
        param.grad = torch.randn(param.shape, generator=generator, dtype=dtype)
    params[0].grad = params[0].grad.to(memory_format=torch.channels_last)
    params[1].grad[17] = odd
    return [*params, torch.nn.Parameter(torch.zeros(2, dtype=dtype))]


def bits(tensor):
    return None if tensor is None else tensor.contiguous().view(BITS[tensor.dtype]).tolist()


def grads_bits(params):
    return [bits(param.grad) for param in params]


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("max_norm", [0.1, 1e6, 0.0, 2])
@pytest.mark.parametrize("norm_type", NORMS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_by_norm_has_the_bits_of_torch(dtype, norm_type, max_norm, odd):
    ours, theirs = make_params(dtype, odd), make_params(dtype, odd)
    norm = clip_grad_norm(ours, max_norm, norm_type)
    assert bits(norm) == bits(clip_grad_norm_(theirs, max_norm, norm_type))
    assert grads_bits(ours) == grads_bits(theirs)


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("clip_value", [0.3, 0.0, 100.0, 1])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_by_value_has_the_bits_of_torch(dtype, clip_value, odd):
    ours, theirs = make_params(dtype, odd), make_params(dtype, odd)
    clip_grad_value(ours, clip_value)
    clip_grad_value_(theirs, clip_value)
    assert grads_bits(ours) == grads_bits(theirs)


def test_another_norm_is_noticed():
    ours, theirs = make_params(torch.float32), make_params(torch.float32)
    assert bits(clip_grad_norm(ours, 0.1, 2.0)) != bits(clip_grad_norm_(theirs, 0.1, 2.01))
    assert grads_bits(ours) != grads_bits(theirs)


@pytest.mark.parametrize("odd", ["nan", "inf"])
def test_a_norm_that_is_not_finite_is_refused_on_demand(odd):
    params = make_params(torch.float32, ODD[odd])
    before = grads_bits(params)
    with pytest.raises(RuntimeError, match=f"norm of order 2.0 of all gradients is {odd}, .* error_if_nonfinite=False"):
        clip_grad_norm(params, 1.0, error_if_nonfinite=True)
    assert grads_bits(params) == before
    with pytest.raises(RuntimeError, match="non-finite"):
        clip_grad_norm_(params, 1.0, error_if_nonfinite=True)


def test_a_finite_norm_is_not_refused():
    assert clip_grad_norm(make_params(torch.float32), 1.0, error_if_nonfinite=True).isfinite()


def test_no_gradient_has_no_norm():
    param = torch.nn.Parameter(torch.ones(2))
    assert clip_grad_norm([param], 1.0).item() == 0.0
    assert param.grad is None
    clip_grad_value([param], 1.0)
    assert param.grad is None


def test_the_old_gradient_is_not_changed_in_place():
    params = make_params(torch.float32)
    grads = [param.grad for param in params[:4]]
    before = [bits(grad) for grad in grads]
    clip_grad_norm(params, 0.1)
    clip_grad_value(params, 0.01)
    assert [bits(grad) for grad in grads] == before


def test_a_gradient_keeps_its_layout():
    params = make_params(torch.float32)
    clip_grad_norm(params, 0.1)
    clip_grad_value(params, 0.01)
    assert params[0].grad.is_contiguous(memory_format=torch.channels_last)


def test_the_norm_of_norms_is_the_norm_of_the_whole():
    grads = [torch.tensor([3.0, 0.0]), torch.tensor([[4.0]])]
    assert [total_norm(grads, p).item() for p in (2.0, 1.0, float("inf"))] == [5.0, 7.0, 4.0]


def test_the_factor_shortens_only():
    assert clip_factor(torch.tensor(0.5), 1.0).item() == 1.0
    assert clip_factor(torch.tensor(4.0, dtype=torch.float64), 1.0).item() == pytest.approx(1 / 4.000001, rel=1e-15)
