"""The fast form without a compiler: the readable ``update`` on blocks that fit the cache, and on lists of small tensors.

The loop calls some ten operations for each parameter, and each walks through the whole tensor: for eleven million parameters
some twenty journeys through memory. On the CPU, this form cuts every tensor into blocks and runs all operations on one block
before it takes up the next, so that what lies between two operations stays in the cache; small tensors are gathered to a block
of their own. On a GPU, where calls cost more than memory, all tensors form one block. The operations are the loop's, so the
bits are too.

Cost: one block of temporary memory for each intermediate result; on a GPU, all parameters' size for each.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import torch
from torch import Tensor

from trainloop.manual.optim.arithmetic import Scalars
from trainloop.manual.optim.base import Group, State
from trainloop.manual.optim.batch import Batch
from trainloop.manual.optim.fast import FastForm
from trainloop.manual.optim.tensor_list import TensorList

BLOCK_SIZE = 2**17
"""elements of a block on the CPU"""


class ForeachForm(FastForm):
    """Updates blocks of parameters with the bits of the loop; see the top of this file.

    Args:
        optimizer: keeps groups and state; its own ``step`` may be called in between.

    Raises:
        FormError: the update does not work element by element.
    """

    def _update(self, batch: Batch, scalars: Scalars, group: Group, kind: Hashable) -> None:
        """Run the update on one block after the other and write what it returns over the old values."""
        names, numbers = self._captured[kind].tensors, self._captured[kind].numbers
        rows = list(zip(batch.params, batch.grads, *(batch.column(name) for name in names), strict=True))
        known: State = {name: batch.states[0][name] for name in numbers}
        for block in _blocks(rows):
            param, grad, *tensors = (_as_one(column) for column in zip(*block, strict=True))
            state: State = {**known, **dict(zip(names, tensors, strict=True))}
            new_param, new_state = self.optimizer.update(param, grad, state, scalars, group)
            for old, new in ((param, new_param), *((state[name], new_state[name]) for name in names)):
                _overwrite(old, new)


def _blocks(rows: list[tuple[Tensor, ...]]) -> Iterator[list[tuple[Tensor, ...]]]:
    """Sort rows of (param, grad, state …) into blocks: pieces of large parameters singly, small parameters together."""
    if rows[0][0].device.type != "cpu":
        yield rows
        return
    together: list[tuple[Tensor, ...]] = []
    room = BLOCK_SIZE
    for row in rows:
        size = row[0].numel()
        if size > BLOCK_SIZE:
            yield from ([piece] for piece in _pieces(row))
            continue
        if size > room:
            yield together
            together, room = [], BLOCK_SIZE
        together.append(row)
        room -= size
    if together:
        yield together


def _pieces(row: tuple[Tensor, ...]) -> Iterator[tuple[Tensor, ...]]:
    """Cut the tensors of one parameter, which share a layout without gaps, in the order of memory."""
    size = row[0].numel()
    return zip(*(torch.split(tensor.as_strided((size,), (1,)), BLOCK_SIZE) for tensor in row), strict=True)


def _as_one(column: tuple[Tensor, ...]) -> Any:
    return column[0] if len(column) == 1 else TensorList(column)


def _overwrite(old: Any, new: Any) -> None:
    if isinstance(old, TensorList):
        torch._foreach_copy_(old.tensors, new.tensors)
    else:
        old.copy_(new)
