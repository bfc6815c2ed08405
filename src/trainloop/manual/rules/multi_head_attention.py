"""Multi-head attention: attention in several subspaces at once, between linear maps.

    Q, K, V = x_q W_qᵀ + b_q,  x_k W_kᵀ + b_k,  x_v W_vᵀ + b_v      each cut into H heads of size E / H
    O = attention(Q, K, V) of each head, laid side by side           (see attention.py)
    y = O W_oᵀ + b_o

``torch.nn.functional.multi_head_attention_forward`` arrives at a tape whole. Here it is carried out in the functions that it
calls itself, in its order, so that under ``aten`` its gradients have autograd's bits. Its oddities are kept: the weights are
wanted or not (``need_weights``), which goes two ways with different rounding; ``bias_k`` and ``bias_v`` are one more key and
value for every sample; ``add_zero_attn`` adds a key and value of zeros, something to look at for a query that finds nothing.

Legend: L length of the queries, S of the keys, N batch, E embed_dim, H num_heads, D = E / H: x_LNE, q_BLD with B = N · H.
Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.examples import Example, Mask, T, call
from trainloop.manual.rule import Composite

Projected = tuple[Tensor, Tensor, Tensor]


class Options(NamedTuple):
    """What else there is to attention than tensors of its own: see ``torch.nn.MultiheadAttention``."""

    num_heads: int
    add_zero_attn: bool
    dropout_p: float
    need_weights: bool
    average_weights: bool
    is_causal: bool


class Masks(NamedTuple):
    """Numbers to add to the scores, −∞ where a query must not look.

    Args:
        attention: shape (L, S), or (B, L, S) for every head of its own.
        padding: shape (N, S): keys that are only there to fill up the batch.
    """

    attention: Tensor | None
    padding: Tensor | None

    def with_one_more_key(self) -> Masks:
        """Return masks that let every query look at a key that is appended to the others."""
        return Masks(*(None if mask is None else F.pad(mask, (0, 1)) for mask in self))

    def merged(self, num_heads: int, num_keys: int) -> Tensor | None:
        """Return one mask that broadcasts to (B, L, S), or None.

        Raises:
            ValueError: the padding is not known for each key.
        """
        attention = self.attention
        if attention is not None and attention.dim() == 2:
            attention = attention.unsqueeze(0)
        if self.padding is None:
            return attention
        batch = self.padding.shape[0]
        if self.padding.shape[1] != num_keys:
            raise ValueError(f"key_padding_mask has shape {tuple(self.padding.shape)}, expected ({batch}, {num_keys})")
        padding = self.padding.view(batch, 1, 1, num_keys).expand(-1, num_heads, -1, -1)
        padding = padding.reshape(batch * num_heads, 1, num_keys)
        return padding if attention is None else attention + padding


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Compute multi-head attention, and the weights if they are wanted; arguments as in ``torch.nn.functional``."""
    dropout_p = dropout_p if training else 0.0
    options = Options(num_heads, add_zero_attn, dropout_p, need_weights, average_attn_weights, is_causal)
    _check(query, key, value, embed_dim_to_check, num_heads, use_separate_proj_weight)
    batched = query.dim() == 3
    if not batched:
        query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    masks, options = _masks(query, key, attn_mask, key_padding_mask, options)
    if use_separate_proj_weight:
        projected = project_apart(query, key, value, (q_proj_weight, k_proj_weight, v_proj_weight), in_proj_bias)
    else:
        projected = project(query, key, value, in_proj_weight, in_proj_bias)
    projected, masks = _with_bias_key(projected, bias_k, bias_v, static_k, static_v, masks)
    heads = _heads(projected, num_heads, static_k, static_v)
    if add_zero_attn:
        heads, masks = with_zero_key(heads), masks.with_one_more_key()
    mask = masks.merged(num_heads, heads[1].shape[1])
    attend = attend_with_weights if need_weights else attend_without_weights
    output, weights = attend(*heads, mask, query.shape[1], options)
    output = F.linear(output, out_proj_weight, out_proj_bias)
    output = output.view(query.shape[0], query.shape[1], output.shape[1])
    if not batched:
        output, weights = output.squeeze(1), None if weights is None else weights.squeeze(0)
    return output, weights


def project(query: Tensor, key: Tensor, value: Tensor, weight: Tensor | None, bias: Tensor | None) -> Projected:
    """Return Q, K, V, where the three weights lie in one, (3E, E): as few products as possible.

    One product for self-attention (query, key and value are one tensor), two where key and value are one, else three.

    Raises:
        ValueError: there is no weight, or key and value have different shapes.
    """
    if weight is None:
        raise ValueError("in_proj_weight is None, expected a tensor unless use_separate_proj_weight=True")
    if key.shape != value.shape:
        raise ValueError(f"key has shape {tuple(key.shape)}, value {tuple(value.shape)}; expected the same")
    size = query.shape[-1]
    if key is not value:
        weights = weight.chunk(3)
        biases = (None, None, None) if bias is None else bias.chunk(3)
        q, k, v = (F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True))
        return q, k, v
    if query is key:
        q, k, v = _apart(F.linear(query, weight, bias), 3)
        return q, k, v
    weight_q, weight_kv = torch.split_with_sizes(weight, (size, 2 * size))
    bias_q, bias_kv = (None, None) if bias is None else torch.split_with_sizes(bias, (size, 2 * size))
    q = F.linear(query, weight_q, bias_q)
    k, v = _apart(F.linear(key, weight_kv, bias_kv), 2)
    return q, k, v


def project_apart(
    query: Tensor, key: Tensor, value: Tensor, weights: tuple[Tensor | None, ...], bias: Tensor | None
) -> Projected:
    """Return Q, K, V by three weights of their own, (E, size of x); key and value may have sizes of their own.

    Raises:
        ValueError: a weight is missing or has another shape, or key and value differ in length or batch.
    """
    if key.shape[:2] != value.shape[:2]:
        raise ValueError(
            f"key has shape {tuple(key.shape)}, value {tuple(value.shape)}; expected the same but for the last"
        )
    biases = (None, None, None) if bias is None else bias.chunk(3)
    projected = []
    for name, x, weight, part in zip("qkv", (query, key, value), weights, biases, strict=True):
        expected = (query.shape[-1], x.shape[-1])
        if weight is None or tuple(weight.shape) != expected:
            found = None if weight is None else tuple(weight.shape)
            raise ValueError(f"{name}_proj_weight has shape {found}, expected {expected}")
        projected.append(F.linear(x, weight, part))
    q, k, v = projected
    return q, k, v


def with_zero_key(heads: Projected) -> Projected:
    """Append a key and a value of zeros to each head."""
    q, k, v = heads
    zeros = (x.new_zeros(x.shape[0], 1, x.shape[2]) for x in (k, v))
    k, v = (torch.cat([x, zero], dim=1) for x, zero in zip((k, v), zeros, strict=True))
    return q, k, v


def attend_with_weights(
    q_BLD: Tensor, k_BSD: Tensor, v_BSD: Tensor, mask: Tensor | None, batch: int, options: Options
) -> tuple[Tensor, Tensor | None]:
    """Return the output of the heads side by side, (L · N, E), and the weights, (N, L, S) or for each head (N, H, L, S)."""
    q_scaled = q_BLD * math.sqrt(1.0 / q_BLD.shape[-1])
    if options.is_causal and mask is None:
        raise ValueError("is_causal=True needs an attn_mask where the weights are wanted; found None")
    keys = k_BSD.transpose(-2, -1)
    scores = torch.bmm(q_scaled, keys) if mask is None else torch.baddbmm(mask, q_scaled, keys)
    weights = F.softmax(scores, dim=-1)
    if options.dropout_p > 0:
        weights = F.dropout(weights, p=options.dropout_p)
    output = torch.bmm(weights, v_BSD).transpose(0, 1).reshape(q_BLD.shape[1] * batch, -1)
    weights = weights.view(batch, options.num_heads, q_BLD.shape[1], k_BSD.shape[1])
    return output, weights.mean(dim=1) if options.average_weights else weights


def attend_without_weights(
    q_BLD: Tensor, k_BSD: Tensor, v_BSD: Tensor, mask: Tensor | None, batch: int, options: Options
) -> tuple[Tensor, Tensor | None]:
    """Return the output of the heads side by side, (L · N, E), and no weights."""
    q, k, v = (x.view(batch, options.num_heads, x.shape[1], x.shape[2]) for x in (q_BLD, k_BSD, v_BSD))
    if mask is not None:
        mask = mask.unsqueeze(0) if mask.shape[0] == 1 else mask.view(batch, options.num_heads, -1, k.shape[2])
    output = F.scaled_dot_product_attention(q, k, v, mask, options.dropout_p, options.is_causal)
    return output.permute(2, 0, 1, 3).reshape(batch * q.shape[2], -1), None


def _apart(x: Tensor, parts: int) -> tuple[Tensor, ...]:
    """Cut the last dimension into equal parts, each with memory of its own."""
    apart = x.view(*x.shape[:-1], parts, x.shape[-1] // parts).unsqueeze(0).transpose(0, -2).squeeze(-2).contiguous()
    return tuple(apart[index] for index in range(parts))


def _heads(projected: Projected, num_heads: int, static_k: Tensor | None, static_v: Tensor | None) -> Projected:
    """Cut (L, N, E) into (B, L, D); static keys and values come as they are, (B, S, D).

    Raises:
        ValueError: a static tensor has another batch or head size.
    """
    num_batch, size = projected[0].shape[1] * num_heads, projected[0].shape[2] // num_heads
    for name, static in (("static_k", static_k), ("static_v", static_v)):
        if static is not None and (static.shape[0], static.shape[2]) != (num_batch, size):
            raise ValueError(f"{name} has shape {tuple(static.shape)}, expected ({num_batch}, length, {size})")
    q, k, v = (x.view(x.shape[0], num_batch, size).transpose(0, 1) for x in projected)
    return q, k if static_k is None else static_k, v if static_v is None else static_v


def _with_bias_key(
    projected: Projected,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    static_k: Tensor | None,
    static_v: Tensor | None,
    masks: Masks,
) -> tuple[Projected, Masks]:
    """Append the learned key and value, if there are any."""
    if bias_k is None and bias_v is None:
        return projected, masks
    if bias_k is None or bias_v is None or static_k is not None or static_v is not None:
        tensors = {"bias_k": bias_k, "bias_v": bias_v, "static_k": static_k, "static_v": static_v}
        given = ", ".join(name for name, tensor in tensors.items() if tensor is not None)
        raise ValueError(f"bias_k and bias_v belong together and exclude static_k and static_v; found {given}")
    q, k, v = projected
    batch = q.shape[1]
    k, v = (torch.cat([x, bias.repeat(1, batch, 1)]) for x, bias in ((k, bias_k), (v, bias_v)))
    return (q, k, v), masks.with_one_more_key()


def _masks(
    query: Tensor, key: Tensor, attn_mask: Tensor | None, key_padding_mask: Tensor | None, options: Options
) -> tuple[Masks, Options]:
    """Return the masks as numbers, and whether ``is_causal`` may stand in for the one of attention.

    It may where nothing else is needed: no padding, no weights. With padding the masks are one, which is no longer causal.

    Raises:
        ValueError: is_causal without a mask, or a mask of another shape.
        TypeError: a mask of neither truth values nor numbers.
    """
    if attn_mask is not None and key_padding_mask is not None and attn_mask.dtype != key_padding_mask.dtype:
        warnings.warn(
            f"attn_mask has dtype {attn_mask.dtype} and key_padding_mask {key_padding_mask.dtype}: torch is about to refuse "
            "masks of two kinds",
            stacklevel=2,
        )
    padding = _numbers("key_padding_mask", key_padding_mask, query)
    if options.is_causal and attn_mask is None:
        raise ValueError("is_causal=True needs an attn_mask, whose place it takes; found None")
    if options.is_causal and padding is None and not options.need_weights:
        return Masks(None, None), options
    attention = _numbers("attn_mask", attn_mask, query)
    (num_queries, batch), num_keys = query.shape[:2], key.shape[0]
    shapes = [(num_queries, num_keys), (batch * options.num_heads, num_queries, num_keys)]
    if attention is not None and tuple(attention.shape) not in shapes:
        raise ValueError(f"attn_mask has shape {tuple(attention.shape)}, expected {shapes[0]} or {shapes[1]}")
    if padding is not None and (padding.dim() != 2 or padding.shape[0] != batch):
        raise ValueError(f"key_padding_mask has shape {tuple(padding.shape)}, expected {(batch, num_keys)}")
    return Masks(attention, padding), options if padding is None else options._replace(is_causal=False)


def _numbers(name: str, mask: Tensor | None, like: Tensor) -> Tensor | None:
    """Return 0 where a mask is false and −∞ where it is true; numbers as they are."""
    if mask is None or mask.is_floating_point():
        return mask
    if mask.dtype != torch.bool:
        raise TypeError(f"{name} has dtype {mask.dtype}, expected torch.bool or floating point")
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill_(mask, -math.inf)


def _check(query: Tensor, key: Tensor, value: Tensor, embed_dim: int, num_heads: int, sizes_may_differ: bool) -> None:
    """Check the shapes of the three inputs.

    Raises:
        ValueError: they are not all (length, batch, size) or all (length, size); the query's size is not embed_dim, or does
            not divide by the number of heads.
    """
    dims = [x.dim() for x in (query, key, value)]
    if dims not in ([3, 3, 3], [2, 2, 2]):
        raise ValueError(f"query, key and value have {dims} dimensions, expected all 3 (with a batch) or all 2")
    if query.shape[-1] != embed_dim:
        raise ValueError(f"query has size {query.shape[-1]}, expected embed_dim (={embed_dim})")
    if embed_dim % num_heads:
        raise ValueError(f"embed_dim (={embed_dim}) must be divisible by num_heads (={num_heads})")
    if not sizes_may_differ and key.shape[-1] != embed_dim:
        raise ValueError(f"key has size {key.shape[-1]}, expected embed_dim (={embed_dim})")


WEIGHT, BIAS, OUT = T(12, 4), T(12), (T(4, 4), T(4))
X = (T(3, 2, 4), T(5, 2, 4), T(5, 2, 4))


def _call(*inputs: T, weight: T | None = WEIGHT, bias: T | None = BIAS, **options: Any) -> Example:
    """Return a call with two heads, an embedding of size 4 and the options that torch gives no default."""
    extra = options.pop("bias_k", None), options.pop("bias_v", None), options.pop("add_zero_attn", False)
    return call(*inputs, 4, 2, weight, bias, *extra, options.pop("dropout_p", 0.0), *OUT, **options)


MULTI_HEAD_ATTENTION: dict[str, Composite] = {
    "multi_head_attention_forward": Composite(
        "multi_head_attention_forward",
        functions=(F.multi_head_attention_forward,),
        expand=multi_head_attention_forward,
        exact="aten",
        examples=tuple(
            example
            for need_weights in (True, False)
            for example in (
                _call(*X, need_weights=need_weights),
                _call(*X, bias=None, need_weights=need_weights, average_attn_weights=False),
                _call(*X, need_weights=need_weights, attn_mask=Mask(3, 5)),
                _call(*X, need_weights=need_weights, attn_mask=T(4, 3, 5), key_padding_mask=T(2, 5)),
                _call(*X, need_weights=need_weights, attn_mask=T(3, 5, constant=True), is_causal=True),
                _call(*X, need_weights=need_weights, dropout_p=0.3),
                _call(*X, need_weights=need_weights, dropout_p=0.3, training=False),
                _call(
                    *X,
                    bias_k=T(1, 1, 4),
                    bias_v=T(1, 1, 4),
                    add_zero_attn=True,
                    need_weights=need_weights,
                    attn_mask=T(3, 5),
                    key_padding_mask=T(2, 5, constant=True),
                ),
                _call(T(3, 4), T(5, 4), T(5, 4), need_weights=need_weights, key_padding_mask=T(5)),
                _call(
                    T(3, 2, 4),
                    T(5, 2, 6),
                    T(5, 2, 7),
                    weight=None,
                    need_weights=need_weights,
                    use_separate_proj_weight=True,
                    q_proj_weight=T(4, 4),
                    k_proj_weight=T(4, 6),
                    v_proj_weight=T(4, 7),
                ),
                _call(*X, need_weights=need_weights, static_k=T(4, 6, 2), static_v=T(4, 6, 2)),
            )
        ),
    ),
}
