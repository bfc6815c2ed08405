"""Every check passes on a sound device, and finds its kernel out when that is broken a little."""

from __future__ import annotations

import functools
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.doctor.gate import run_check
from trainloop.doctor.kernels import CHECKS, COSTLY
from trainloop.doctor.kernels.in_place import OPERATIONS

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", CHECKS)
def test_a_sound_device_gives_every_answer(name, device):
    outcome = run_check(name, CHECKS[name], device)
    assert outcome.mismatches == ()
    assert outcome.num_answers >= 4
    assert outcome.num_numbers > 700


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", CHECKS)
def test_one_thread_does_too(name):
    assert run_check(name, CHECKS[name], CPU).mismatches == ()


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", [name for name in CHECKS if "conv" in name])
def test_a_library_that_transforms_is_right_too_but_not_if_it_is_off_by_one(monkeypatch, name):
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    assert run_check(name, CHECKS[name], CPU).mismatches == ()
    for function in ("conv2d", "conv_transpose2d"):
        monkeypatch.setattr(F, function, functools.partial(last_off, getattr(F, function)))
    assert run_check(name, CHECKS[name], CPU).mismatches != ()


@pytest.mark.parametrize("name", CHECKS)
def test_it_asks_for_gradients_where_none_are_noted(name):
    with torch.no_grad():
        assert run_check(name, CHECKS[name], CPU).mismatches == ()


def test_no_stream_of_random_numbers_is_touched():
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()
    for name, check in CHECKS.items():
        run_check(name, check, CPU)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert all(np.array_equal(now, then) for now, then in zip(np.random.get_state(), before[2], strict=True))


def test_what_is_costly_is_a_check():
    assert CHECKS.keys() >= COSTLY


def wrapped(place, name, broken):
    """Return what puts ``broken(real, *args)`` in the place of a function."""

    def apply(monkeypatch):
        monkeypatch.setattr(place, name, functools.partial(broken, getattr(place, name)))

    return apply


def method(name, broken):
    """Return the same for a method of tensors, whose ``self`` comes behind the real one."""

    def apply(monkeypatch):
        real = getattr(Tensor, name)
        monkeypatch.setattr(Tensor, name, lambda self, *args, **kwargs: broken(real, self, *args, **kwargs))

    return apply


def last_off(real, *args, **kwargs):
    """One element, the last, is off by one part in 2²⁰ and by one unit at least."""
    output = real(*args, **kwargs)
    error = torch.zeros_like(output)
    last = (-1,) * error.dim()
    error[last] = 1 + output.detach()[last].abs() * 2**-20
    return output + error


def nan_inside(real, *args, **kwargs):
    output = real(*args, **kwargs)
    error = torch.zeros_like(output)
    error[0, 0] = float("nan")
    return output + error


def rounded_to(dtype):
    def broken(real, *args, **kwargs):
        output = real(*args, **kwargs)
        return output + (output.detach().to(dtype).float() - output.detach())

    return broken


def flipped(real, x, weight, *args, **kwargs):
    return real(x, weight.flip(2, 3), *args, **kwargs)


def gradient_of(position, change, only=lambda _tensor: True):
    def broken(real, *args, **kwargs):
        if args[position].requires_grad and only(args[position]):
            args[position].register_hook(change)
        return real(*args, **kwargs)

    return broken


def channels_last(tensor):
    return not tensor.is_contiguous()


def no_dilation(real, x, weight, bias, stride, padding, dilation, groups):
    return real(x, weight, bias, stride, padding, dilation[::-1], groups)


def biased_variance(real, x, mean, var, weight, bias, training, momentum, eps):
    before = var.clone()
    output = real(x, mean, var, weight, bias, training, momentum, eps)
    if training:
        num = x.numel() // x.shape[1]
        var.data.copy_((1 - momentum) * before + (var - (1 - momentum) * before) * (num - 1) / num)
    return output


def with_argument(index, change):
    def broken(real, *args, **kwargs):
        changed = [change(value) if number == index else value for number, value in enumerate(args)]
        return real(*changed, **kwargs)

    return broken


def ignored_counts(real, logits, labels, *, ignore_index, label_smoothing):
    loss = real(logits, labels, ignore_index=ignore_index, label_smoothing=label_smoothing)
    return loss * (labels != ignore_index).sum() / len(labels)


def smoothing_of_others(real, logits, labels, *, ignore_index, label_smoothing):
    share = label_smoothing * logits.shape[1] / (logits.shape[1] - 1)
    return real(logits, labels, ignore_index=ignore_index, label_smoothing=share)


def writes_nothing(real, tensor, *args, **kwargs):
    return real(tensor, *args, **kwargs) if tensor.is_contiguous() else tensor


def writes_nothing_over_lists(real, tensors, *args):
    real([tensor if tensor.is_contiguous() else tensor.clone() for tensor in tensors], *args)


def second_thread_late(real, tensor, *args, **kwargs):
    rest = tensor.view(-1)[32_768:] if tensor.is_contiguous() else tensor[:0]
    kept = rest.clone()
    real(tensor, *args, **kwargs)
    rest.copy_(kept)
    return tensor


def over_the_gap(real, tensor, *args, **kwargs):
    real(tensor, *args, **kwargs)
    if tensor.dim() == 4 and tensor.stride(-1) == 2:
        tensor.as_strided((1,), (1,), tensor.storage_offset() + 1).fill_(0)
    return tensor


def inexact_root(real, tensor):
    return real(tensor) * (1 + 1e-4)


MUTANTS = [
    ("conv2d", "depthwise, channels_last, output", wrapped(F, "conv2d", last_off)),
    ("conv2d", "3 channels, contiguous, output", wrapped(F, "conv2d", flipped)),
    ("conv2d", "3×3, 2 images, contiguous, output", wrapped(F, "conv2d", nan_inside)),
    ("conv2d", "3×3, 16 images, contiguous, output", wrapped(F, "conv2d", rounded_to(torch.float16))),
    ("conv2d", "3×3, 16 images, channels_last, grad_input", wrapped(F, "conv2d", gradient_of(0, lambda g: g.flip(3)))),
    ("conv2d", "1×1, stride 2, contiguous, grad_weight", wrapped(F, "conv2d", gradient_of(1, lambda g: g.roll(1, 0)))),
    (
        "conv2d",
        "3×2, 2 groups, channels_last, grad_weight",
        wrapped(F, "conv2d", gradient_of(1, lambda g: g * (1 + 2**-20), channels_last)),
    ),
    ("conv2d", "3×3, 16 images, contiguous, grad_bias", wrapped(F, "conv2d", gradient_of(2, lambda g: g / 16))),
    ("conv_transpose2d", "2×2, stride 2, contiguous, output", wrapped(F, "conv_transpose2d", flipped)),
    ("conv_transpose2d", "3×3, output_padding, channels_last, output", wrapped(F, "conv_transpose2d", last_off)),
    (
        "conv_transpose2d",
        "3×2, 2 groups, contiguous, output",
        wrapped(F, "conv_transpose2d", rounded_to(torch.bfloat16)),
    ),
    (
        "conv_transpose2d",
        "3×3, output_padding, contiguous, output",
        wrapped(F, "conv_transpose2d", with_argument(5, lambda _: (0, 0))),
    ),
    (
        "conv_transpose2d",
        "3×2, 2 groups, channels_last, grad_input",
        wrapped(F, "conv_transpose2d", gradient_of(0, lambda g: g.roll(1, 1), channels_last)),
    ),
    ("rare convolutions", "conv2d dilated, contiguous, output", wrapped(F, "conv2d", no_dilation)),
    ("rare convolutions", "conv_transpose2d dilated, channels_last", wrapped(F, "conv_transpose2d", last_off)),
    ("rare convolutions", "conv2d groups of 3 channels", wrapped(F, "conv2d", gradient_of(1, lambda g: g.roll(1, 1)))),
    ("batch_norm", "training, contiguous, running_var", wrapped(F, "batch_norm", biased_variance)),
    ("batch_norm", "training, channels_last, output", wrapped(F, "batch_norm", with_argument(7, lambda _: 1e-6))),
    (
        "batch_norm",
        "training, channels_last, running_mean",
        wrapped(F, "batch_norm", with_argument(6, lambda m: 1 - m)),
    ),
    ("batch_norm", "evaluation, contiguous, output", wrapped(F, "batch_norm", with_argument(5, lambda _: True))),
    ("batch_norm", "evaluation, channels_last, output", wrapped(F, "batch_norm", nan_inside)),
    (
        "batch_norm",
        "training, channels_last, grad_input",
        wrapped(F, "batch_norm", gradient_of(0, lambda g: g - 1e-4 * g.mean() - 1e-4, channels_last)),
    ),
    ("batch_norm", "training, contiguous, grad_weight", wrapped(F, "batch_norm", gradient_of(3, lambda g: g * 1.0001))),
    ("linear", "output", wrapped(F, "linear", last_off)),
    ("linear", "output", wrapped(F, "linear", rounded_to(torch.float16))),
    ("linear", "grad_weight", wrapped(F, "linear", gradient_of(1, lambda g: g.roll(1, 1)))),
    ("linear", "grad_bias", wrapped(F, "linear", gradient_of(2, lambda g: g / 33))),
    ("cross_entropy", "label smoothing 0, loss", wrapped(F, "cross_entropy", ignored_counts)),
    ("cross_entropy", "label smoothing 0.1, loss", wrapped(F, "cross_entropy", smoothing_of_others)),
    ("cross_entropy", "grad", wrapped(F, "cross_entropy", gradient_of(0, lambda g: g * 1.0001))),
    *(
        ("in-place operations", f"{name} on {layout}", method(name, writes_nothing))
        for name in OPERATIONS
        for layout in ("channels_last", "transposed", "every second element")
    ),
    ("in-place operations", "add_ on every second element", method("add_", over_the_gap)),
    ("in-place operations", "addcmul_ on contiguous", method("addcmul_", lambda real, t, a, b, **_: real(t, a, b))),
    ("in-place operations", "lerp_ on a slice", method("lerp_", lambda real, t, a, w: real(t, a, 1 - w))),
    ("adam", "channels_last, contiguous gradient, param", method("addcdiv_", writes_nothing)),
    ("adam", "many elements, exp_avg", method("lerp_", second_thread_late)),
    ("adam", "contiguous, param", method("sqrt", inexact_root)),
    ("adam", "a list, transposed, param", wrapped(torch, "_foreach_addcdiv_", writes_nothing_over_lists)),
    ("adam", "a list, channels_last, exp_avg_sq", wrapped(torch, "_foreach_addcmul_", writes_nothing_over_lists)),
]


@pytest.mark.parametrize(("name", "what", "apply"), MUTANTS, ids=[f"{name}: {what}" for name, what, _ in MUTANTS])
def test_a_broken_kernel_is_found_out_where_it_is_broken(monkeypatch, name, what, apply):
    apply(monkeypatch)
    mismatches = run_check(name, CHECKS[name], CPU).mismatches
    assert any(what in mismatch.what for mismatch in mismatches), [mismatch.what for mismatch in mismatches]


def test_every_check_has_a_broken_kernel():
    assert {name for name, _, _ in MUTANTS} == CHECKS.keys()
