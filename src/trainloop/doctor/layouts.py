"""The ways in which a tensor can lie in memory, and how to get at all of that memory, gaps included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainloop.doctor.answer import Numbers

GAP = 7.0
"""stands in memory that is not part of a tensor, and must stay there"""


@dataclass(frozen=True)
class Layout:
    """A way to lie in memory.

    Args:
        name: of it.
        memory: values of shape (A, B, C, D) → the whole memory that holds them, contiguous, gaps filled with ``GAP``.
        view: that memory as a tensor → the tensor of the values in it, a view.
    """

    name: str
    memory: Callable[[Numbers], Numbers]
    view: Callable[[Tensor], Tensor]

    def place(self, values: Numbers, device: torch.device) -> tuple[Tensor, Tensor]:
        """Lay values out on a device as float32; return the memory and the view of the values in it."""
        # Laid out by NumPy, so that a wrong copy of the device cannot hide a wrong write.
        memory = to_device(self.memory(values), device)
        return memory, self.view(memory)


def to_device(values: Numbers, device: torch.device) -> Tensor:
    """Return an array as a new contiguous float32 tensor."""
    return torch.from_numpy(np.array(values, np.float32, order="C")).to(device)


def _every_second(values: Numbers) -> Numbers:
    memory = np.full((*values.shape[:-1], 2 * values.shape[-1]), GAP)
    memory[..., ::2] = values
    return memory


def _behind_one(values: Numbers) -> Numbers:
    # One plane more in front, so that the values begin where no vector register's boundary is.
    memory = np.full((1 + values.shape[0], *values.shape[1:]), GAP)
    memory[1:] = values
    return memory


CONTIGUOUS = Layout("contiguous", lambda values: values, lambda memory: memory)
CHANNELS_LAST = Layout(
    "channels_last", lambda values: np.moveaxis(values, 1, -1), lambda memory: memory.permute(0, 3, 1, 2)
)
LAYOUTS = (
    CONTIGUOUS,
    CHANNELS_LAST,
    Layout("transposed", lambda values: np.swapaxes(values, 0, 1), lambda memory: memory.transpose(0, 1)),
    Layout("every second element", _every_second, lambda memory: memory[..., ::2]),
    Layout("a slice", _behind_one, lambda memory: memory[1:]),
)
FORMATS = (CONTIGUOUS, CHANNELS_LAST)
"""the two that images and weights of convolutions have"""
