"""The fast form without a compiler: the readable ``update``, in place, on blocks that fit the cache.

The loop calls some ten operations for each parameter, each walks through the whole tensor, and each makes a new one. Here
``in_place.py`` lets the operations write over what nobody needs any more; every tensor is cut into blocks, and all operations
run on one block before the next is taken up, so that what lies between two operations stays in the cache; and small
tensors are put together to one block, for a call costs as much for ten elements as for a thousand. The operations are the
loop's, so the bits are, too.

Cost: a few blocks of temporary memory.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from trainloop.manual.optim.arithmetic import Scalars, scalar_tensors
from trainloop.manual.optim.base import Group, Optimizer
from trainloop.manual.optim.batch import Batch
from trainloop.manual.optim.elementwise import Elementwise
from trainloop.manual.optim.fast import FastForm
from trainloop.manual.optim.in_place import in_place

BLOCK_SIZE = 2**17
"""elements of a block; on a GPU, where calls cost more than memory, tensors stay whole"""
SMALL_SIZE = 2**12
"""tensors with fewer elements are put together"""

Row = Sequence[Tensor]
"""param, grad and the tensors of the state, in one layout"""


class ForeachForm(FastForm):
    """Updates blocks of parameters with the bits of the loop; see the top of this file.

    Args:
        optimizer: keeps groups and state; its own ``step`` may be called in between.

    Raises:
        FormError: the update does not work element by element.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._functions: dict[Hashable, Callable[..., Any]] = {}
        super().__init__(optimizer)

    def _prepare(self, kind: Hashable, group: Group, param: Tensor) -> Elementwise:
        captured = super()._prepare(kind, group, param)
        if kind not in self._functions:
            self._functions[kind] = in_place(captured)
        return captured

    def _update(self, batch: Batch, scalars: Scalars, group: Group, kind: Hashable) -> None:
        """Run the update on one block after the other."""
        del group
        captured, function = self._captured[kind], self._functions[kind]
        changing = scalar_tensors({name: scalars[name] for name in captured.scalars}, batch.params[0])
        numbers = [*(batch.states[0][name] for name in captured.numbers), *changing.values()]
        rows = [*zip(batch.params, batch.grads, *(batch.column(name) for name in captured.tensors), strict=True)]
        small = [row for row in rows if row[0].numel() < SMALL_SIZE]
        for row in rows:
            if row[0].numel() >= SMALL_SIZE:
                for block in _blocks(row):
                    function(*block, *numbers)
        if small:
            _together(small, lambda row: function(*row, *numbers))


def _blocks(row: Row) -> Iterable[Row]:
    """Cut the tensors of one parameter in the order of memory."""
    if row[0].device.type != "cpu":
        return [row]
    return zip(*(torch.split(_flat(tensor), BLOCK_SIZE) for tensor in row), strict=True)


def _flat(tensor: Tensor) -> Tensor:
    """Return all elements in the order of memory, which has no gaps."""
    return tensor.as_strided((tensor.numel(),), (1,))


def _together(rows: Sequence[Row], update: Callable[[Row], object]) -> None:
    """Copy many small tensors to one, update that, and copy the results back."""
    columns = [[_flat(tensor) for tensor in column] for column in zip(*rows, strict=True)]
    whole = [torch.cat(column) for column in columns]
    update(whole)
    sizes = [tensor.numel() for tensor in columns[0]]
    for index, (column, one) in enumerate(zip(columns, whole, strict=True)):
        if index != 1:  # the gradient is as it was
            torch._foreach_copy_(column, torch.split(one, sizes))
