"""Indexing: some elements of a tensor, chosen by place, by mask or by a tensor of places.

y_k = x_{place(k)}, so grad_x_j is the sum of the g_k with place(k) = j, and 0 where no place is j. What writes into a tensor
stands in ``overwriting.py``.

Legend: x input, y output, g grad_output; V rows of a table, D features of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import EllipsisType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.alias import Region, read_vjp
from trainloop.manual.errors import RefusedError
from trainloop.manual.examples import Index, Mask, T, call
from trainloop.manual.rule import Composite, Form, Rule, Saved
from trainloop.manual.rules.repetition import common_shape
from trainloop.manual.rules.shape import wrapped


def tensors_in(index: Any) -> Iterator[Tensor]:
    """Yield the tensors of an index, so that a later change in place of one of them is noticed."""
    for item in index if isinstance(index, tuple) else (index,):
        if isinstance(item, Tensor):
            yield item


def is_plain(index: Any) -> bool:
    """Return whether an index is made of integers, slices, None and Ellipsis: a view, which shows no element twice."""
    items = index if isinstance(index, tuple) else (index,)
    plain = (int, slice, EllipsisType, type(None))
    return all(isinstance(item, plain) and not isinstance(item, bool) for item in items)


def getitem(input: Tensor, index: Any) -> tuple[Tensor, Saved]:
    """y = x[index]; saves the shape of x and the index."""
    return input[index], (input.shape, index, *tensors_in(index))


def getitem_vjp(grad_output: Tensor, shape: torch.Size, index: Any, *tensors: Tensor) -> Tensor:
    """grad_input = 0, then g added at the places of the index, each as often as it was read.

    An index that mixes tensors with slices is first turned into the places it reads, which costs an int64 tensor like x.
    With several threads torch adds up large gradients in no fixed order, in autograd too, unless
    ``torch.use_deterministic_algorithms(True)`` is set.
    """
    grad_input = grad_output.new_zeros(shape)
    if is_plain(index):
        grad_input[index] = grad_output
        return grad_input
    if len(tensors) == (len(index) if isinstance(index, tuple) else 1):
        return grad_input.index_put_(tensors, grad_output, accumulate=True)
    places = torch.arange(grad_input.numel(), device=grad_input.device).view(shape)[index]
    return grad_input.view(-1).index_add_(0, places.reshape(-1), grad_output.reshape(-1)).view(shape)


def seen_through(view: Callable[..., Tensor]) -> tuple[Callable[..., Any], Callable[..., Tensor]]:
    """Return forward and vjp of a method that shows some elements of x, each once.

    y = view(x); grad_input = 0, with g where the view shows it.
    """

    def forward(input: Tensor, *args: Any, **keywords: Any) -> tuple[Tensor, Saved]:
        return view(input, *args, **keywords), (input.shape, args, keywords)

    def vjp(grad_output: Tensor, shape: torch.Size, args: tuple[Any, ...], keywords: dict[str, Any]) -> Tensor:
        grad_input = grad_output.new_zeros(shape)
        view(grad_input, *args, **keywords).copy_(grad_output)
        return grad_input

    return forward, vjp


def as_strided(
    input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> tuple[Tensor, Saved]:
    """y_{k…} = x's memory at storage_offset + Σ k · stride; saves where y lies in x."""
    output = input.as_strided(size, stride, storage_offset)
    return output, (Region.of(output, input),)


def index_select(input: Tensor, dim: int, index: Tensor) -> tuple[Tensor, Saved]:
    """y_k = x at ``index[k]`` along ``dim``; saves the shape of x, dim and index."""
    return input.index_select(dim, index), (input.shape, dim, index)


def index_select_vjp(grad_output: Tensor, shape: torch.Size, dim: int, index: Tensor) -> Tensor:
    """grad_input_j = Σ g_k over the k with index[k] = j."""
    return grad_output.new_zeros(shape).index_add_(dim, index, grad_output)


def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> tuple[Tensor, Saved]:
    """y_{…k…} = x_{…index[…k…]…} along ``dim``; saves the shape of x, dim and index."""
    refuse_sparse("gather", "sparse_grad", sparse_grad)
    return input.gather(dim, index), (input.shape, dim, index)


def gather_vjp(grad_output: Tensor, shape: torch.Size, dim: int, index: Tensor) -> Tensor:
    """grad_input_{…j…} = Σ g_{…k…} over the k with index[…k…] = j."""
    return grad_output.new_zeros(shape).scatter_add_(dim, index, grad_output)


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """Gather, after input and indices were broadcast against each other in all dimensions but ``dim``."""
    if dim is None:
        return input.flatten().gather(0, indices.flatten())
    dim = wrapped(dim, input.dim())
    ours, theirs = list(input.shape), list(indices.shape)
    ours[dim] = theirs[dim] = 1
    common = common_shape(ours, theirs)
    before, after = common[:dim], common[dim + 1 :]
    x = input.expand(*before, input.shape[dim], *after)
    return x.gather(dim, indices.expand(*before, indices.shape[dim], *after))


def masked_select(input: Tensor, mask: Tensor) -> tuple[Tensor, Saved]:
    """y = the elements of x where the mask is true, as a vector; saves the mask and the shape both broadcast to."""
    return input.masked_select(mask), (mask, common_shape(input.shape, mask.shape))


def masked_select_vjp(grad_output: Tensor, mask: Tensor, shape: torch.Size) -> Tensor:
    """grad_input = 0, with the elements of g in turn where the mask is true."""
    return grad_output.new_zeros(shape).masked_scatter_(mask, grad_output)


def tril(input: Tensor, diagonal: int = 0) -> tuple[Tensor, Saved]:
    """y_ij = x_ij where j − i ≤ diagonal, else 0; saves diagonal."""
    return input.tril(diagonal), (diagonal,)


def tril_vjp(grad_output: Tensor, diagonal: int) -> Tensor:
    """grad_input_ij = g_ij where j − i ≤ diagonal, else 0."""
    return grad_output.tril(diagonal)


def triu(input: Tensor, diagonal: int = 0) -> tuple[Tensor, Saved]:
    """y_ij = x_ij where j − i ≥ diagonal, else 0; saves diagonal."""
    return input.triu(diagonal), (diagonal,)


def triu_vjp(grad_output: Tensor, diagonal: int) -> Tensor:
    """grad_input_ij = g_ij where j − i ≥ diagonal, else 0."""
    return grad_output.triu(diagonal)


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> tuple[Tensor, Saved]:
    """y_k = row ``input[k]`` of the table weight_VD; saves input, V, padding_idx and scale_grad_by_freq."""
    refuse_sparse("embedding", "sparse", sparse)
    output = F.embedding(input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq)
    rows = weight.shape[0]
    return output, (input, rows, -1 if padding_idx is None else padding_idx % rows, scale_grad_by_freq)


def embedding_vjp(grad_output: Tensor, input: Tensor, rows: int, padding: int, scale_grad_by_freq: bool) -> Tensor:
    """grad_weight_v = Σ g_k over the k with input[k] = v, or their mean; 0 for the padding row."""
    places = input.reshape(-1)
    grad_KD = grad_output.reshape(places.numel(), grad_output.shape[-1])
    if scale_grad_by_freq:
        grad_KD = grad_KD / places.bincount(minlength=rows)[places].unsqueeze(1)
    grad_weight_VD = grad_KD.new_zeros(rows, grad_KD.shape[1]).index_add_(0, places, grad_KD)
    if padding >= 0:
        grad_weight_VD[padding] = 0
    return grad_weight_VD


def embedding_vjp_aten(grad_output: Tensor, input: Tensor, rows: int, padding: int, scale_grad_by_freq: bool) -> Tensor:
    """The same in one pass."""
    grad_weight: Tensor = torch.ops.aten.embedding_dense_backward(grad_output, input, rows, padding, scale_grad_by_freq)
    return grad_weight


def refuse_sparse(function: str, argument: str, value: bool) -> None:
    """Refuse a sparse gradient.

    Raises:
        RefusedError: value is true.
    """
    if value:
        raise RefusedError(
            f"{function} with {argument}={value} asks for a sparse gradient; the tape makes dense ones only"
        )


ALL = slice(None)
TWICE = Index(4, below=3)
GETITEM = (
    call(T(3, 4), 1),
    call(T(3, 4), (ALL, -1)),
    call(T(3, 4, 5), (..., slice(1, None, 2))),
    call(T(3, 4, 5), (slice(1, 3), None, 2)),
    call(T(3, 4), None),
    call(T(3, 4), ()),
    call(T(), ...),
    call(T(3, 4), slice(2, 2)),
    call(T(3, 4), TWICE),
    call(T(3, 4), [2, 0, 2]),
    call(T(3, 4, 5), (ALL, TWICE)),
    call(T(3, 4, 3), (TWICE, ALL, TWICE)),
    call(T(3, 4, 5), (1, ..., TWICE)),
    call(T(3, 4, 3), (None, Index(2, 2, below=3), slice(1, 3), Index(2, 1, below=3))),
    call(T(3, 4), (Index(below=3), 1)),
    call(T(3, 4), Mask(3, 4)),
    call(T(3, 4), (Mask(3), slice(1, None))),
    call(T(3, 4), (ALL, Mask(4))),
    call(T(3, 4), True),
)

INDEXING: dict[str, Rule | Composite] = {
    "getitem": Rule(
        "getitem",
        functions=(Tensor.__getitem__,),
        forms={"formula": Form(getitem, getitem_vjp, exact=True)},
        examples=GETITEM,
    ),
    "select": Rule(
        "select",
        functions=(torch.select, Tensor.select),
        forms={"formula": Form(*seen_through(Tensor.select), exact=True)},
        examples=(call(T(3, 4), 0, 1), call(T(3, 4), dim=-1, index=-1)),
    ),
    "narrow": Rule(
        "narrow",
        functions=(torch.narrow, Tensor.narrow),
        forms={"formula": Form(*seen_through(Tensor.narrow), exact=True)},
        examples=(call(T(3, 4), 0, 1, 2), call(T(3, 4), dim=1, start=-3, length=2), call(T(3, 4), 1, 4, 0)),
    ),
    "diagonal": Rule(
        "diagonal",
        functions=(torch.diagonal, Tensor.diagonal),
        forms={"formula": Form(*seen_through(Tensor.diagonal), exact=True)},
        examples=(call(T(3, 4)), call(T(2, 3, 4), 1, 1, 2), call(T(3, 4), offset=-1)),
    ),
    "as_strided": Rule(
        "as_strided",
        functions=(torch.as_strided, Tensor.as_strided),
        forms={"formula": Form(as_strided, read_vjp, exact=True)},
        examples=(
            call(T(3, 4), (2, 2), (4, 1), 1),
            call(T(8), (3, 4), (2, 1)),
            call(T(3, 4), size=(2,), stride=(5,)),
        ),
    ),
    "index_select": Rule(
        "index_select",
        functions=(torch.index_select, Tensor.index_select),
        forms={"formula": Form(index_select, index_select_vjp, exact=True)},
        examples=(call(T(3, 4), 0, TWICE), call(T(4, 3), dim=-1, index=TWICE), call(T(3, 4), 0, Index(0, below=3))),
    ),
    "gather": Rule(
        "gather",
        functions=(torch.gather, Tensor.gather),
        forms={"formula": Form(gather, gather_vjp, exact=True)},
        examples=(call(T(3, 4), 1, Index(3, 6, below=4)), call(T(3, 4, 2), 0, Index(5, 2, 1, below=3))),
    ),
    "take_along_dim": Composite(
        "take_along_dim",
        functions=(torch.take_along_dim, Tensor.take_along_dim),
        expand=take_along_dim,
        examples=(
            call(T(3, 4), Index(3, 2, below=4), 1),
            call(T(3, 1), Index(5, 4, below=3), dim=0),
            call(T(3, 4), Index(2, 2, below=12)),
        ),
    ),
    "masked_select": Rule(
        "masked_select",
        functions=(torch.masked_select, Tensor.masked_select),
        forms={"formula": Form(masked_select, masked_select_vjp, exact=True)},
        examples=(call(T(3, 4), Mask(3, 4)), call(T(3, 1), Mask(4)), call(T(2, 3, 4), Mask(3, 1))),
    ),
    "tril": Rule(
        "tril",
        functions=(torch.tril, Tensor.tril),
        inplace=(Tensor.tril_,),
        forms={"formula": Form(tril, tril_vjp, exact=True)},
        examples=(call(T(3, 4)), call(T(2, 3, 3), -1), call(T(3, 4), diagonal=1)),
    ),
    "triu": Rule(
        "triu",
        functions=(torch.triu, Tensor.triu),
        inplace=(Tensor.triu_,),
        forms={"formula": Form(triu, triu_vjp, exact=True)},
        examples=(call(T(3, 4)), call(T(2, 3, 3), -1), call(T(3, 4), diagonal=1)),
    ),
    "embedding": Rule(
        "embedding",
        functions=(F.embedding,),
        wrt=("weight",),
        forms={
            "formula": Form(embedding, embedding_vjp, exact=True),
            "aten": Form(embedding, embedding_vjp_aten, exact=True),
        },
        examples=(
            call(Index(5, below=4), T(4, 3)),
            call(Index(2, 3, below=4), T(5, 3), padding_idx=-1),
        ),
    ),
}
