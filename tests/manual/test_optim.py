"""Every manual optimizer against torch.optim: same bits, every step, every parameter and state tensor."""

from __future__ import annotations

import itertools

import pytest
import torch

from trainloop.manual.optim import OPTIMIZERS

TORCH = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}

SGD_CASES = [
    {"lr": 0.05, "momentum": momentum, "dampening": dampening, "weight_decay": decay, "nesterov": nesterov}
    for momentum, dampening, decay, nesterov in itertools.product((0.0, 0.9), (0.0, 0.3), (0.0, 5e-4), (False, True))
    if not (nesterov and (momentum == 0 or dampening != 0))
]
ADAMW_CASES = [
    {"lr": 1e-2, "betas": betas, "eps": eps, "weight_decay": decay}
    for betas, eps, decay in itertools.product(((0.9, 0.999), (0.0, 0.95)), (1e-8, 1e-3), (0.0, 0.05))
]
CASES = {"sgd": SGD_CASES, "adamw": ADAMW_CASES}
STEPS = 100


def make_params(dtype):
    generator = torch.Generator().manual_seed(5)
    shapes = [(7, 3, 3, 3), (11,), (), (129, 5)]
    params = [torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype)) for shape in shapes]
    params[0].data = params[0].data.to(memory_format=torch.channels_last)
    return params


def set_grads(params, step):
    generator = torch.Generator().manual_seed(1000 + step)
    for index, param in enumerate(params):
        grad = torch.randn(param.shape, generator=generator, dtype=param.dtype)
        if step % 7 == 3 and index == 1:
            param.grad = None
        elif step % 11 == 5:
            param.grad = torch.zeros_like(param)
        else:
            param.grad = torch.empty_like(param).copy_(grad)


def as_groups(params):
    return [{"params": params[:2]}, {"params": params[2:], "lr": 0.003, "weight_decay": 0.01}]


def same_bits(one, two):
    return (
        one.dtype == two.dtype
        and one.shape == two.shape
        and torch.equal(
            one.contiguous().view(torch.uint8) if one.dim() else one.reshape(1).view(torch.uint8),
            two.contiguous().view(torch.uint8) if two.dim() else two.reshape(1).view(torch.uint8),
        )
    )


def assert_same_run(ours, theirs, our_params, their_params, change_lr):
    for step in range(STEPS):
        set_grads(our_params, step)
        set_grads(their_params, step)
        if step == 50 and change_lr:
            for group in (*ours.param_groups, *theirs.param_groups):
                group["lr"] *= 0.1
        ours.step()
        theirs.step()
        for index, (one, two) in enumerate(zip(our_params, their_params, strict=True)):
            assert same_bits(one, two), f"step {step}, parameter {index}: {(one - two).abs().max()}"
            for name, value in theirs.state[two].items():
                if value is not None:
                    assert same_bits(ours.state[one][name], value), f"step {step}, parameter {index}, state {name}"


def test_every_registered_optimizer_has_a_parity_case():
    assert set(CASES) == set(OPTIMIZERS) == set(TORCH)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "settings"), [(name, case) for name, cases in CASES.items() for case in cases])
def test_optimizer_has_the_bits_of_torch(name, settings, dtype):
    our_params, their_params = make_params(dtype), make_params(dtype)
    ours = OPTIMIZERS[name](as_groups(our_params), **settings)
    theirs = TORCH[name](as_groups(their_params), **settings, foreach=False, fused=False)
    assert_same_run(ours, theirs, our_params, their_params, change_lr=True)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_changed_hyper_parameter_is_noticed(name):
    our_params, their_params = make_params(torch.float32), make_params(torch.float32)
    ours = OPTIMIZERS[name](our_params, lr=0.01)
    theirs = TORCH[name](their_params, lr=0.0100001, foreach=False, fused=False)
    with pytest.raises(AssertionError, match="step 0, parameter 0"):
        assert_same_run(ours, theirs, our_params, their_params, change_lr=False)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_zero_grad_sets_none(name):
    params = make_params(torch.float32)
    set_grads(params, 0)
    optimizer = OPTIMIZERS[name](params, lr=0.1)
    optimizer.zero_grad()
    assert all(param.grad is None for param in params)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_parameter_without_gradient_is_left_alone(name):
    params = make_params(torch.float32)
    before = [param.detach().clone() for param in params]
    OPTIMIZERS[name](params, lr=0.1, weight_decay=0.5).step()
    assert all(torch.equal(one, two) for one, two in zip(before, params, strict=True))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_parameters_are_refused(name):
    with pytest.raises(ValueError, match="at least one parameter, found none"):
        OPTIMIZERS[name]([], lr=0.1)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("sgd", {"lr": -0.1}, "lr must be >= 0, found -0.1"),
        ("sgd", {"momentum": -1.0}, "momentum must be >= 0, found -1.0"),
        ("sgd", {"nesterov": True}, "nesterov needs momentum > 0 and dampening 0, found 0.0 and 0.0"),
        ("adamw", {"betas": (0.9, 1.0)}, r"betas\[1\] must be in \[0, 1\), found 1.0"),
        ("adamw", {"eps": -1.0}, "eps must be >= 0, found -1.0"),
    ],
)
def test_a_hyper_parameter_out_of_range_is_refused(name, settings, message):
    with pytest.raises(ValueError, match=message):
        OPTIMIZERS[name](make_params(torch.float32), **settings)
