"""Scaled dot-product attention: what the examples don't show."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from trainloop.manual import Tape
from trainloop.tolerance import tolerance

FORMS = ["formula", "aten"]


def qkv(*, heads=2, queries=3, keys=5, size=4):
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, heads, queries, size), (2, heads, keys, size), (2, heads, keys, size))
    return tuple(torch.randn(shape, generator=generator).requires_grad_() for shape in shapes)


def gradients(tensors, tape=None, **options):
    """Return the output and the gradients of a sum with weights; without a tape autograd's."""
    copies = tuple(tensor.detach().clone().requires_grad_() for tensor in tensors)
    torch.manual_seed(3)
    if tape is None:
        output = F.scaled_dot_product_attention(*copies, **options)
        (output * output.detach().cos()).sum().backward()
    else:
        with tape:
            output = F.scaled_dot_product_attention(*copies, **options)
            total = (output * output.detach().cos()).sum()
        tape.backward(total)
    return [output.detach(), *(copy.grad for copy in copies)]


def assert_equal(ours, theirs):
    for mine, reference in zip(ours, theirs, strict=True):
        assert torch.equal(mine, reference)


def test_the_kernel_is_torchs_choice():
    with Tape() as tape:
        F.scaled_dot_product_attention(*qkv())
    assert tape.nodes[-1].saved[0] is True


def test_the_kernel_keeps_no_table_of_queries_and_keys():
    with Tape() as tape:
        F.scaled_dot_product_attention(*qkv(queries=40, keys=50))
    assert all(saved.numel() < 2 * 2 * 40 * 50 for saved in tape.nodes[-1].saved if isinstance(saved, torch.Tensor))


def test_a_kernel_that_was_switched_off_is_not_called():
    with sdpa_kernel(SDPBackend.MATH):
        ours, theirs = gradients(qkv(), Tape()), gradients(qkv())
        with Tape() as tape:
            F.scaled_dot_product_attention(*qkv())
    assert_equal(ours, theirs)
    assert tape.nodes[-1].saved[0] is False


def test_the_formula_calls_no_kernel_of_attention(monkeypatch):
    for kernel in ("", "_backward"):
        monkeypatch.setattr(torch.ops.aten, f"_scaled_dot_product_flash_attention_for_cpu{kernel}", None)
    gradients(qkv(), Tape(form="formula"))


def test_two_threads_give_autograds_bits():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        tensors = qkv(heads=3, queries=65, keys=65, size=16)
        assert_equal(gradients(tensors, Tape()), gradients(tensors))
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dropout_p", [0.0, 0.5], ids=["kernel", "steps"])
def test_a_query_that_may_look_at_nothing_receives_zeros(form, dropout_p):
    mask = torch.tensor([[True] * 5, [False] * 5, [True] * 5])
    ours = gradients(qkv(), Tape(form=form), attn_mask=mask, dropout_p=dropout_p)
    theirs = gradients(qkv(), attn_mask=mask, dropout_p=dropout_p)
    assert torch.equal(ours[0][:, :, 1], torch.zeros(2, 2, 4))
    for mine, reference in zip(ours, theirs, strict=True):
        bound = tolerance("float32", "gradient").bound(float(reference.abs().max()))
        assert float((mine - reference).abs().max()) <= bound


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [math.nan, math.inf], ids=str)
def test_what_is_not_finite_spreads_as_under_autograd(form, value):
    tensors = qkv()
    tensors[0].data[0, 0, 0, 0] = value
    ours, theirs = (gradients(tensors, tape, dropout_p=0.2) for tape in (Tape(form=form), None))
    for mine, reference in zip(ours, theirs, strict=True):
        assert torch.equal(mine.isnan(), reference.isnan())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("change", "options", "kind", "message"),
    [
        (lambda q, k, v: (q[0, 0, 0], k, v), {}, ValueError, r"query has shape \(4,\)"),
        (lambda q, k, v: (q, k.double(), v), {}, TypeError, "key has dtype torch.float64, expected .* torch.float32"),
        (
            lambda q, k, v: (q, k, v),
            {"attn_mask": torch.ones(3, 5).long()},
            TypeError,
            "attn_mask has dtype torch.int64",
        ),
        (
            lambda q, k, v: (q, k, v),
            {"attn_mask": torch.ones(3, 5).double()},
            TypeError,
            "attn_mask has dtype torch.float64",
        ),
        (
            lambda q, k, v: (q, k, v),
            {"attn_mask": torch.ones(3, 5), "is_causal": True},
            ValueError,
            r"attn_mask \(of shape \(3, 5\)\) and is_causal=True",
        ),
        (
            lambda q, k, v: (torch.cat([q, q[:, :1]], 1), k, v),
            {"enable_gqa": True, "dropout_p": 0.1},
            ValueError,
            "3 heads of the query can't share 2 heads",
        ),
        (lambda q, k, v: (q, k, v), {"dropout_p": 1.5}, (ValueError, RuntimeError), "1.5"),
        (
            lambda q, k, v: (q, k, v),
            {"attn_mask": torch.ones(4, 5), "dropout_p": 0.1},
            RuntimeError,
            r"\(4\).*\(3\)|\(3\).*\(4\)",
        ),
        (lambda q, k, v: (q, k[..., :3], v), {"dropout_p": 0.1}, RuntimeError, "size|mat"),
    ],
)
def test_what_torch_refuses_is_refused(form, change, options, kind, message):
    tensors = [tensor.requires_grad_() for tensor in change(*(tensor.detach() for tensor in qkv()))]
    with pytest.raises(RuntimeError):
        F.scaled_dot_product_attention(*tensors, **options)
    with Tape(form=form), pytest.raises(kind, match=message):
        F.scaled_dot_product_attention(*tensors, **options)
