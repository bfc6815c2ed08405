"""The compiled form beside torch's fused one; what it alone refuses, and how it shares its work."""

from __future__ import annotations

import pytest
import torch

from trainloop.manual.compiler import library
from trainloop.manual.errors import FormError
from trainloop.manual.optim import OPTIMIZERS, SGD, AdamW
from trainloop.manual.optim.compiled import CompiledForm
from trainloop.manual.optim.foreach import ForeachForm
from trainloop.tolerance import tolerance


def values_of(optim, optimizer):
    for param in optim.all_params(optimizer):
        yield param.data
        state = optimizer.state.get(param, {})
        yield from (state[name] for name in sorted(state) if state[name] is not None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_compiled_equals_torchs_fused_form(optim, fused_case, dtype):
    """In the value of every element; of 64, because torch's form rounds otherwise in what does not fill a vector."""
    name, settings = fused_case
    params = [[torch.nn.Parameter(torch.linspace(-2, 1, 64, dtype=dtype))] for _ in range(2)]
    ours = OPTIMIZERS[name](params[0], lr=0.01, **settings)
    theirs = getattr(torch.optim, OPTIMIZERS[name].__name__)(params[1], lr=0.01, fused=True, **settings)
    form = CompiledForm(ours)
    for step in range(6):
        for (param,) in params:
            param.grad = torch.randn(64, generator=torch.Generator().manual_seed(step), dtype=dtype)
        form.step()
        theirs.step()
        for one, two in zip(values_of(optim, ours), values_of(optim, theirs), strict=True):
            assert torch.equal(one, two), f"step {step}: ours {one}, theirs {two}"


class Exponential(SGD):
    """An update with an operation that has no line of C++."""

    def update(self, param, grad, state, scalars, group):
        del group
        return param - grad.exp() * scalars["lr"], dict(state)


def test_an_operation_without_cpp_is_refused_by_compiled_alone(optim):
    params, twins = optim.make_params(torch.float32), optim.make_params(torch.float32)
    with pytest.raises(FormError, match=r"no C\+\+ for aten.exp.default; use the foreach form"):
        CompiledForm(Exponential(params))
    loop, form = Exponential(twins, lr=0.1), ForeachForm(Exponential(params, lr=0.1))
    for optimizer in (loop, form.optimizer):
        optim.set_grads(optim.all_params(optimizer), optim.make_grads(1, torch.float32))
    loop.step()
    form.step()
    optim.assert_same_bits(form.optimizer, loop, "once")


def test_compiled_refuses_a_half_precision_parameter():
    param = torch.nn.Parameter(torch.zeros(3, dtype=torch.bfloat16))
    with pytest.raises(FormError, match=r"in float32 and float64, found torch\.bfloat16; use the foreach form"):
        CompiledForm(SGD([param]))


def test_compiled_refuses_a_parameter_elsewhere():
    param = torch.nn.Parameter(torch.zeros(3, device="meta"))
    with pytest.raises(FormError, match="works on the CPU, found a parameter on meta; use the foreach form"):
        CompiledForm(SGD([param]))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_compiled_gives_each_element_to_one_thread(threads):
    sizes = (1, 70_001, 3, 20_000)
    both = [AdamW([torch.nn.Parameter(torch.ones(size)) for size in sizes], lr=0.1) for _ in range(2)]
    form = CompiledForm(both[1])
    for optimizer in both:
        for param in optimizer.param_groups[0]["params"]:
            param.grad = torch.linspace(-1, 1, param.numel())
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        form.step()
    finally:
        torch.set_num_threads(before)
    both[0].step()
    bound = tolerance("float32", "state").bound(1.0)
    for one, two in zip(*(optimizer.param_groups[0]["params"] for optimizer in both), strict=True):
        assert (one - two).abs().max().item() <= bound


def test_two_forms_of_one_kind_share_the_compiled_function(optim):
    first = CompiledForm(SGD(optim.make_params(torch.float32), lr=0.1, momentum=0.9))
    known = library.cache_info().currsize
    second = CompiledForm(SGD(optim.make_params(torch.float32), lr=0.1, momentum=0.9))
    assert (second.sources, library.cache_info().currsize) == (first.sources, known)
