"""The fast form with a compiler: the readable ``update``, captured and compiled to one pass over memory.

The loop walks through memory once for each operation. Here ``elementwise.py`` writes the operations down as a graph,
``cpp.py`` writes the graph as one C++ loop, ``manual/compiler.py`` has it compiled (when the form is made; about half a
second for each set of settings, once on a machine), and one call updates all parameters: each element is read and written
once, as by torch's fused kernels. The numbers that change from step to step are arguments, so a change of lr compiles
nothing.

The bits are those of the loop, but for two things. A square root is the nearest float, whereas the loop's comes from the
library that torch was built with (MKL's misses the nearest float32 for one element in six, by a unit in the last place); so
optimizers with a root agree up to that rounding (torch's fused kernels take the nearest float, too). And where ``lerp`` has
the weight 1 (β₁ = 0), a zero may have another sign.

Limits: the CPU, float32 and float64, and a C++ compiler with OpenMP. ``CompiledForm.sources`` shows the C++.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

from trainloop.manual.compiler import UNFUSED, chosen_compiler, library
from trainloop.manual.errors import FormError
from trainloop.manual.optim.arithmetic import Scalars
from trainloop.manual.optim.base import Group, Optimizer
from trainloop.manual.optim.batch import Batch
from trainloop.manual.optim.cpp import cpp_source
from trainloop.manual.optim.elementwise import Elementwise
from trainloop.manual.optim.fast import FastForm

Update = Callable[..., None]
ELEMENTS_A_THREAD = 2**14
"""fewer are not worth waking a thread for"""


class CompiledForm(FastForm):
    """Updates all parameters in one compiled pass; see the top of this file for where its bits are the loop's.

    Args:
        optimizer: keeps groups and state; its own ``step`` may be called in between.

    Raises:
        CompilerError: there is no C++ compiler, or it fails.
        FormError: the update does not work element by element or has an operation without C++, or a parameter is not on
            the CPU or not float32 or float64.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._functions: dict[Hashable, Update] = {}
        self.sources: list[str] = []
        super().__init__(optimizer)

    def _prepare(self, kind: Hashable, group: Group, param: Tensor) -> Elementwise:
        """Capture and compile the update for a kind that is new."""
        if param.device.type != "cpu":
            raise FormError(
                f"the compiled form works on the CPU, found a parameter on {param.device}", instead="foreach"
            )
        captured = super()._prepare(kind, group, param)
        if kind not in self._functions:
            source = cpp_source(captured, param.dtype)
            self._functions[kind] = update_function(source)
            self.sources.append(source)
        return captured

    def _update(self, batch: Batch, scalars: Scalars, group: Group, kind: Hashable) -> None:
        """Hand the addresses of all tensors to the compiled function."""
        del group
        captured, count = self._captured[kind], len(batch.params)
        columns = (batch.params, batch.grads, *(batch.column(name) for name in captured.tensors))
        addresses = [tensor.data_ptr() for column in columns for tensor in column]
        sizes = [param.numel() for param in batch.params]
        numbers = [float(batch.states[0][name]) for name in captured.numbers]
        numbers += [float(scalars[name]) for name in captured.scalars]
        self._functions[kind](
            count,
            (ctypes.c_int64 * count)(*sizes),
            (ctypes.c_void_p * len(addresses))(*addresses),
            (ctypes.c_double * len(numbers))(*numbers),
            min(torch.get_num_threads(), 1 + sum(sizes) // ELEMENTS_A_THREAD),
        )
        # What was written behind torch's back still counts as a change, so that a tape that saved a parameter notices.
        torch._C._increment_version(batch.params)


def update_function(source: str) -> Update:
    """Return the function ``update`` of a C++ file.

    Raises:
        CompilerError: there is no C++ compiler, or it fails.
    """
    function: Any = library(source, chosen_compiler(), UNFUSED).update
    function.argtypes = [
        *(ctypes.c_int64, ctypes.POINTER(ctypes.c_int64), ctypes.POINTER(ctypes.c_void_p)),
        *(ctypes.POINTER(ctypes.c_double), ctypes.c_int),
    ]
    function.restype = None
    return function  # type: ignore[no-any-return]
