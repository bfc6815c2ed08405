"""In-place changes seen through views: reading a region of a base, and writing one back.

A view is a region of its base: the elements ``offset + Σ index · stride`` of its memory. When a base or one of its views is
changed in place, all of them change. The tape then needs two operations that no one called, both linear:

    read     view = base[region]            grad_base = 0 everywhere, + grad_view in the region
    write    base ← base, region := view    grad_base = grad_output with 0 in the region, grad_view = grad_output[region]
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from trainloop.manual.rule import Form, Saved


class Region(NamedTuple):
    """Where the elements of a view lie in the memory of its base.

    Args:
        base_size, base_stride: geometry of the base.
        size, stride: geometry of the view.
        offset: of the view's first element from the base's.
    """

    base_size: tuple[int, ...]
    base_stride: tuple[int, ...]
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    @classmethod
    def of(cls, view: Tensor, base: Tensor) -> Region:
        """Return the region of ``base`` that ``view`` shows."""
        offset = int(view.storage_offset()) - int(base.storage_offset())
        return cls(tuple(base.shape), base.stride(), tuple(view.shape), view.stride(), offset)

    def seen_in(self, base_like: Tensor) -> Tensor:
        """Return the region of a tensor that is laid out as the base."""
        return base_like.as_strided(self.size, self.stride, base_like.storage_offset() + self.offset)

    def sees_each_element_once(self) -> bool:
        """Return whether no element is shown twice, as by expand or overlapping windows; False if in doubt."""
        reach = 0
        for stride, size in sorted(zip(self.stride, self.size, strict=True)):
            if size > 1 and stride <= reach:
                return False
            reach += (size - 1) * stride
        return True

    def laid_out(self, grad: Tensor) -> Tensor:
        """Return a copy of ``grad`` in the memory layout of the base."""
        return torch.empty_strided(self.base_size, self.base_stride, dtype=grad.dtype, device=grad.device).copy_(grad)


def read_vjp(grad_view: Tensor, region: Region) -> Tensor:
    """Return grad_base: the region's elements receive ``grad_view``; one that is seen twice (expand) receives both."""
    grad_base = region.laid_out(grad_view.new_zeros(()).expand(region.base_size))
    if region.sees_each_element_once():
        region.seen_in(grad_base).copy_(grad_view)
        return grad_base
    places = torch.arange(_extent(region), device=grad_view.device)
    seen = places.as_strided(region.size, region.stride, region.offset).reshape(-1)
    memory = grad_base.as_strided((_extent(region),), (1,), 0)
    memory.index_add_(0, seen, grad_view.reshape(-1))
    return grad_base


def write_vjp(grad_output: Tensor, region: Region) -> tuple[Tensor, Tensor]:
    """Return (grad_base, grad_view): what was overwritten receives nothing, what overwrote it receives its share."""
    grad_base = region.laid_out(grad_output)
    window = region.seen_in(grad_base)
    grad_view = window.clone()
    window.zero_()
    return grad_base, grad_view


def base_of(view: Tensor) -> Tensor:
    """Return the tensor whose memory ``view`` shows."""
    base = view._base
    assert base is not None
    return base


def _extent(region: Region) -> int:
    """Return the number of elements from the first to the last of the base, gaps included."""
    if 0 in region.base_size:
        return 0
    return 1 + sum((size - 1) * stride for size, stride in zip(region.base_size, region.base_stride, strict=True))


def _never_called(*_arguments: object) -> tuple[None, Saved]:
    return None, ()


READ = Form(_never_called, read_vjp)
WRITE = Form(_never_called, write_vjp)
