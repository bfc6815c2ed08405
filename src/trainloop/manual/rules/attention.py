"""Scaled dot-product attention: each query gathers the values whose keys resemble it.

    S = scale · Q Kᵀ + M        scores; M is the mask, −∞ where a query must not look
    P = softmax(S)              one distribution over the keys for each query; 0 in a row that is masked all over
    O = dropout(P) V

    grad_V = dropout(P)ᵀ G                            G = grad_output
    grad_P = G Vᵀ, through the same dropout
    grad_S = P ∘ (grad_P − Σ_s grad_P ∘ P)            softmax, row by row;  grad_M = grad_S
    grad_Q = scale · grad_S K,    grad_K = scale · grad_Sᵀ Q

The scale, 1/√E by default, is applied as its root to Q and to K, as torch does it for the sake of half precision.

The ``aten`` form asks torch which way it goes on this call. On a CPU that is mostly one kernel that never holds P as a whole
("flash"), else the steps above, in this order. On a GPU the form takes these steps where torch has kernels of its own, so there
its gradients differ from autograd's by rounding.

Legend: B batch, H heads, L length of the queries, S length of the keys, E size of a head, V size of a value: q_BHLE, k_BHSE,
v_BHSV, p_BHLS. B and H may be absent.
Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1; Dao et al. 2022, arXiv:2205.14135 (flash); Ainslie et al. 2023,
arXiv:2305.13245 (groups of queries that share keys).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.examples import Mask, T, call
from trainloop.manual.rule import Composite, Form, Function, Needs, Rule, Saved
from trainloop.manual.rules.dropout import dropout, dropout_vjp
from trainloop.manual.rules.softmax import softmax_vjp, softmax_vjp_aten

FLASH = 1
"""torch's number of the fused kernel."""


class Factors(NamedTuple):
    """What queries and keys are multiplied by; the product of the two is the scale, which may be negative."""

    query: float
    key: float

    @classmethod
    def of(cls, scale: float | None, head_size: int) -> Factors:
        """Return the root of the scale, twice."""
        scale = scale if scale is not None else 1 / math.sqrt(head_size) if head_size else math.inf
        root = math.sqrt(abs(scale))
        return cls(-root if scale < 0 else root, root)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Tensor, Saved]:
    """O = dropout(softmax(scale · Q Kᵀ + M)) V; saves the scaled Q and Kᵀ, V, P and the noise of the dropout."""
    check_arguments(query, key, value, attn_mask, is_causal)
    q, k, v = with_batch(query, key, value)
    repeats = tuple(_repeats(q, tensor) if enable_gqa else 1 for tensor in (k, v))
    k, v = (tensor.repeat_interleave(n, -3) if n > 1 else tensor for tensor, n in zip((k, v), repeats, strict=True))
    factors = Factors.of(scale, q.shape[-1])
    q_scaled, k_scaled = q * factors.query, k.transpose(-2, -1) * factors.key
    scores = q_scaled @ k_scaled
    mask = causal_mask(scores) if is_causal else additive_mask(attn_mask, scores)
    if mask is not None:
        scores.add_(mask)
    probs = softmax_or_zero(scores)
    dropped, noise = dropout(probs, dropout_p)
    output = dropped @ v
    return output.squeeze(0) if query.dim() < q.dim() else output, (
        q_scaled,
        k_scaled,
        v,
        probs,
        factors,
        repeats,
        *noise,
    )


def attention_vjp(
    grad_output: Tensor,
    q_scaled: Tensor,
    k_scaled: Tensor,
    v: Tensor,
    probs: Tensor,
    factors: Factors,
    repeats: tuple[int, int],
    *noise: Any,
    needs: Needs,
    softmax_backward: Function = softmax_vjp,
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """Return (grad_Q, grad_K, grad_V, grad_M), see the top of the file."""
    grad = grad_output if grad_output.dim() >= probs.dim() else grad_output.unsqueeze(0)
    grad_v = shared(fitted(_dropped(probs, noise).mT @ grad, v), repeats[1]) if needs[2] else None
    if not (needs[0] or needs[1] or needs[3]):
        return None, None, grad_v, None
    grad_scores = softmax_backward(_dropped(fitted(grad @ v.mT, probs), noise), probs, -1)
    grad_q = fitted(grad_scores @ k_scaled.mT, q_scaled) * factors.query if needs[0] else None
    grad_k = None
    if needs[1]:
        grad_k = shared((fitted(_grad_keys(q_scaled, grad_scores), k_scaled) * factors.key).mT, repeats[0])
    return grad_q, grad_k, grad_v, grad_scores if needs[3] else None


def attention_aten(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Tensor, Saved]:
    """The same, the way that torch goes; saves which it was, and for the fused kernel Q, K, V, O, log Σ exp(S) and M."""
    check_arguments(query, key, value, attn_mask, is_causal)
    options = (attn_mask, dropout_p, is_causal)
    chosen = torch._fused_sdp_choice(query, key, value, *options, scale=scale, enable_gqa=enable_gqa)
    if chosen != FLASH or query.device.type != "cpu" or not query.numel():
        output, saved = attention(query, key, value, *options, scale, enable_gqa)
        return output, (False, *saved)
    q, k, v = with_batch(query, key, value)
    mask = additive_mask(attn_mask, query)
    mask = mask.unsqueeze(0) if mask is not None and mask.dim() == 3 else mask
    output, logsumexp = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        q, k, v, 0.0, is_causal, attn_mask=mask, scale=scale
    )
    saved = (True, q, k, v, output, logsumexp, mask, is_causal, scale)
    return output.squeeze(0) if query.dim() < q.dim() else output, saved


def attention_vjp_aten(
    grad_output: Tensor, fused: bool, *saved: Any, needs: Needs
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """The same by the library's kernels."""
    if not fused:
        return attention_vjp(grad_output, *saved, needs=needs, softmax_backward=softmax_vjp_aten)
    q, k, v, output, logsumexp, mask, is_causal, scale = saved
    grad = grad_output if grad_output.dim() >= output.dim() else grad_output.unsqueeze(0)
    grad_q, grad_k, grad_v = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
        grad, q, k, v, output, logsumexp, 0.0, is_causal, attn_mask=mask, scale=scale
    )
    return grad_q, grad_k, grad_v, None


def with_batch(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return (1, H, L, E) where all of them are (H, L, E), else the tensors themselves."""
    alone = all(tensor.dim() == 3 for tensor in tensors)
    return tuple(tensor.unsqueeze(0) for tensor in tensors) if alone else tensors


def causal_mask(scores: Tensor) -> Tensor:
    """Return −∞ above the diagonal, 0 elsewhere: a query sees the keys up to its own place."""
    allowed = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    return torch.where(allowed, 0.0, torch.full((), -math.inf, dtype=scores.dtype, device=scores.device))


def additive_mask(mask: Tensor | None, like: Tensor) -> Tensor | None:
    """Return what to add to the scores: a mask of numbers as it is, of truth values 0 where true and −∞ where false."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    return torch.where(mask, 0.0, torch.full((), -math.inf, dtype=like.dtype, device=like.device))


def softmax_or_zero(scores: Tensor) -> Tensor:
    """Return the softmax of each row, and zeros where all of it is masked, in place of 0 / 0."""
    masked_rows = (scores == -math.inf).all(-1, keepdim=True)
    return torch.softmax(scores, -1).masked_fill(masked_rows, 0)


def shared(grad: Tensor, repeats: int) -> Tensor:
    """Return the gradient of heads that were repeated: the sum over the repetitions."""
    if repeats == 1:
        return grad
    *batch, heads, length, size = grad.shape
    return grad.view(*batch, heads // repeats, repeats, length, size).sum(-3)


def fitted(grad: Tensor, like: Tensor) -> Tensor:
    """Return the sum over dimensions along which ``like`` was broadcast, before the gradient is scaled, as autograd does."""
    return grad if grad.shape == like.shape else grad.sum_to_size(like.shape)


def check_arguments(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, is_causal: bool) -> None:
    """Check what would not stand out further on.

    Raises:
        ValueError: less than two dimensions; both a mask and is_causal.
        TypeError: different dtypes; a mask of neither truth values nor numbers like those of the query.
    """
    tensors = {"query": query, "key": key, "value": value}
    for name, tensor in tensors.items():
        if tensor.dim() < 2:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected at least (length, size of a head)")
        if tensor.dtype != query.dtype:
            raise TypeError(f"{name} has dtype {tensor.dtype}, expected that of the query, {query.dtype}")
    if attn_mask is None:
        return
    if is_causal:
        raise ValueError(f"attn_mask (of shape {tuple(attn_mask.shape)}) and is_causal=True exclude each other")
    if attn_mask.dtype not in (torch.bool, query.dtype) and (attn_mask.dtype, query.dtype.itemsize) != (
        torch.float32,
        2,
    ):
        raise TypeError(f"attn_mask has dtype {attn_mask.dtype}, expected torch.bool or {query.dtype}")


def _repeats(query: Tensor, other: Tensor) -> int:
    """Return how many query heads share one head of ``other``.

    Raises:
        ValueError: the numbers do not divide.
    """
    heads, others = query.shape[-3], other.shape[-3]
    if others == 0 or heads % others:
        raise ValueError(f"{heads} heads of the query can't share {others} heads of key or value evenly")
    return heads // others


def _dropped(tensor: Tensor, noise: tuple[Any, ...]) -> Tensor:
    """Return the tensor after the same dropout, which is linear: its vjp and itself are one."""
    return dropout_vjp(tensor, *noise) if noise else tensor


def _grad_keys(q_scaled: Tensor, grad_scores: Tensor) -> Tensor:
    """Return Qᵀ grad_S; of two matrices autograd multiplies the transposed ones, since it finds Kᵀ stored column by column."""
    if q_scaled.dim() == 2:
        return (grad_scores.mT @ q_scaled).mT
    return q_scaled.mT @ grad_scores


QKV = (T(2, 2, 3, 4), T(2, 2, 5, 4), T(2, 2, 5, 4))
SHARED = (T(2, 4, 3, 4), T(2, 2, 5, 4), T(2, 2, 5, 4))

ATTENTION: dict[str, Rule | Composite] = {
    "scaled_dot_product_attention": Rule(
        "scaled_dot_product_attention",
        functions=(F.scaled_dot_product_attention,),
        wrt=("query", "key", "value", "attn_mask"),
        forms={
            "formula": Form(attention, attention_vjp),
            "aten": Form(attention_aten, attention_vjp_aten, exact=True),
        },
        examples=(
            call(*QKV),
            call(T(2, 3, 70, 16), T(2, 3, 70, 16), T(2, 3, 70, 16)),
            call(*QKV, Mask(3, 5)),
            call(*QKV, T(2, 1, 3, 5, constant=True)),
            call(*QKV, T(2, 1, 3, 5)),
            call(*QKV, T(3, 5)),
            call(*QKV, is_causal=True),
            call(*QKV, dropout_p=0.3),
            call(*QKV, T(5), dropout_p=0.3, scale=0.2),
            call(*QKV, dropout_p=1.0),
            call(*QKV, scale=-0.7),
            call(*QKV, scale=-0.7, dropout_p=0.2),
            call(*QKV[:2], T(2, 2, 5, 6), is_causal=True),
            call(T(2, 3, 4), T(2, 5, 4), T(2, 5, 4)),
            call(T(2, 3, 4), T(2, 5, 4), T(2, 5, 4), Mask(2, 3, 5)),
            call(T(2, 3, 4), T(2, 5, 4), T(2, 5, 7)),
            call(T(3, 4), T(5, 4), T(5, 6)),
            call(T(3, 4), T(5, 4), T(5, 6), is_causal=True),
            call(T(2, 2, 3, 4), T(1, 2, 5, 4), T(1, 2, 5, 4)),
            call(T(2, 2, 3, 4, constant=True), T(2, 2, 5, 4), T(2, 2, 5, 4, constant=True), T(3, 5)),
            call(*SHARED, enable_gqa=True),
            call(*SHARED, enable_gqa=True, dropout_p=0.3),
            call(T(0, 2, 3, 4), T(0, 2, 5, 4), T(0, 2, 5, 4)),
        ),
    ),
}
