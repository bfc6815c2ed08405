"""A kernel of the user's own, ``file.py:function``, as an algorithm like any other.

``function(input, weight, bias, stride, padding, dilation, groups)`` is the forward, with numbers for each axis; for transposed
convolutions the arguments are those of ``torch.conv_transpose2d``. Beside it in the file there may be

    function_grad_input(grad_output, weight, input_shape, stride, padding, dilation, groups)
    function_grad_weight(grad_output, input, weight_shape, stride, padding, dilation, groups)
    function_supports(input, weight, stride, padding, dilation, groups) → None, or the reason why not
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from trainloop.errors import PluginError
from trainloop.manual.conv import CONV2D, CONV_TRANSPOSE2D, Algorithm, Job, TransposedAlgorithm, TransposedJob
from trainloop.manual.conv.job import GRAD_INPUT, GRAD_WEIGHT
from trainloop.plugin import first_line, function_of, import_name, place

WHERE = "--kernel"
RESERVED = (*CONV2D, *CONV_TRANSPOSE2D, "nnpack", "auto")


def load_kernel(text: str, *, transposed: bool) -> tuple[Algorithm | TransposedAlgorithm, Path]:
    """Import a kernel.

    Args:
        text: ``file.py:function``.
        transposed: whether it is one for transposed convolutions.

    Returns:
        The algorithm, called as its function is (with the file's name in front where a known algorithm is called so), and its
        file.

    Raises:
        PluginError: the file or the function is missing, cannot be called, or the file's code fails.
    """
    module, file, name = import_name(text, WHERE)
    forward = function_of(module, file, name)
    grad_input, grad_weight = (_optional(module, file, name, direction) for direction in (GRAD_INPUT, GRAD_WEIGHT))
    shown = f"{file.stem}.{name}" if name in RESERVED else name
    rest = (forward, grad_input, grad_weight, lambda _job, _direction: 0)
    refuses = _refuses(module, file, name)
    told: Callable[[Any, str], str] = lambda _job, _direction: str(file)  # noqa: E731 - two uses
    if transposed:
        return TransposedAlgorithm(shown, *rest, refuses=refuses, kernel=told), file
    return Algorithm(shown, *rest, refuses=refuses, kernel=told), file


def raised(file: Path | None, error: BaseException) -> str:
    """Return what a kernel raised, in one line, with the place in the user's file."""
    where = f" at {place(file, error)}" if file is not None else ""
    return f"it raised {first_line(error)}{where}"


def _optional(module: ModuleType, file: Path, name: str, direction: str) -> Callable[..., Any]:
    """Return the function of a direction, or one that says that it is missing."""
    full = f"{name}_{direction}"
    if hasattr(module, full):
        return function_of(module, file, full)

    def absent(*_: object) -> Any:
        raise PluginError(f"the file has no {full}", where=str(file))

    absent.missing = f"{file.name} has no {full}"  # type: ignore[attr-defined]  # what a contestant asks for
    return absent


def _refuses(module: ModuleType, file: Path, name: str) -> Callable[[Job | TransposedJob], str | None]:
    """Return the function that asks ``function_supports``, if there is one."""
    if not hasattr(module, f"{name}_supports"):
        return lambda _job: None
    supports = function_of(module, file, f"{name}_supports")

    def refuses(job: Job | TransposedJob) -> str | None:
        input, weight = (
            torch.empty(shape, dtype=job.dtype, device=job.device) for shape in (job.input_shape, job.weight_shape)
        )
        reason = supports(input, weight, *job.geometry)
        return None if reason is None else str(reason)

    return refuses
