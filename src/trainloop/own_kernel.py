"""A kernel of the user's own, ``file.py:function``, as an algorithm like any other.

``function(input, weight, bias, stride, padding, dilation, groups)`` is the forward, with numbers for each axis; for transposed
convolutions the arguments are those of ``torch.conv_transpose2d``. Beside it in the file there may be

    function_grad_input(grad_output, weight, input_shape, stride, padding, dilation, groups)
    function_grad_weight(grad_output, input, weight_shape, stride, padding, dilation, groups)
    function_supports(input, weight, stride, padding, dilation, groups) → None, or the reason why not

:func:`load_kernel` takes it as it is, for those who judge each result themselves; :func:`own_convolutions` guards it, for
those who compute on with what it returns (a training, a comparison of steps).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from trainloop.errors import PluginError
from trainloop.manual.conv import CONV2D, CONV_TRANSPOSE2D, Algorithm, Geometry, Job, TransposedAlgorithm, TransposedJob
from trainloop.manual.conv.job import DIRECTIONS, FORWARD, GRAD_INPUT, GRAD_WEIGHT
from trainloop.plugin import failure, first_line, function_of, import_name, place, require_allowed, split_name

WHERE, KEY = "--kernel", "stages.conv"
RESERVED = (*CONV2D, *CONV_TRANSPOSE2D, "nnpack", "auto")
ARGUMENTS = {
    GRAD_INPUT: "grad_output, weight, input_shape, stride, padding, dilation, groups",
    GRAD_WEIGHT: "grad_output, input, weight_shape, stride, padding, dilation, groups",
}


def load_kernel(text: str, *, transposed: bool, where: str = WHERE) -> tuple[Algorithm | TransposedAlgorithm, Path]:
    """Import a kernel.

    Args:
        text: ``file.py:function``.
        transposed: whether it is one for transposed convolutions.
        where: the option or key that names it.

    Returns:
        The algorithm, called as its function is (with the file's name in front where a known algorithm is called so), and its
        file.

    Raises:
        PluginError: the file or the function is missing, cannot be called, or the file's code fails.
    """
    module, file, name = import_name(text, where)
    forward = function_of(module, file, name)
    grad_input, grad_weight = (_optional(module, file, name, direction) for direction in (GRAD_INPUT, GRAD_WEIGHT))
    shown = f"{file.stem}.{name}" if name in RESERVED else name
    rest = (forward, grad_input, grad_weight, lambda _job, _direction: 0)
    refuses = _refuses(module, file, name)
    told: Callable[[Any, str], str] = lambda _job, _direction: str(file)  # noqa: E731 - two uses
    if transposed:
        return TransposedAlgorithm(shown, *rest, refuses=refuses, kernel=told), file
    pairs = ((GRAD_INPUT, grad_input), (GRAD_WEIGHT, grad_weight))
    lacks = {direction: found.missing for direction, found in pairs if hasattr(found, "missing")}
    return Algorithm(shown, *rest, refuses=refuses, kernel=told, lacks=lacks), file


def is_own_kernel(name: str) -> bool:
    """Say whether a name of an algorithm means a function in a file."""
    return ".py:" in name or name.endswith(".py")


def kernel_files(text: str) -> list[Path]:
    """Return the files of the user's own kernels among names with commas between them."""
    return [Path(name.strip().rpartition(":")[0]) for name in text.split(",") if is_own_kernel(name.strip())]


def own_convolutions(text: str, plugins: Sequence[Path], where: str = KEY) -> dict[str, Algorithm]:
    """Import the kernels of the user's own that a choice of algorithms names.

    Args:
        text: a name, or several with commas between them, such as ``my.py:fast,aten``.
        plugins: files that the command line allows.
        where: the option or key that names them.

    Returns:
        By the name in ``text``, guarded: see :func:`guarded`.

    Raises:
        PluginError: a file is not allowed; see :func:`load_kernel`; or a direction is missing and nothing else does it.
    """
    names = [name.strip() for name in text.split(",")]
    found: dict[str, Algorithm] = {}
    for number, name in enumerate(names):
        if not is_own_kernel(name):
            continue
        require_allowed(name, split_name(name, where)[0], plugins, where)
        kernel, file = load_kernel(name, transposed=False, where=where)
        assert isinstance(kernel, Algorithm)
        if kernel.lacks and len(names) == number + 1:
            raise lacking(name, kernel, where)
        found[name] = guarded(dataclasses.replace(kernel, name=name), file)
    return found


def lacking(name: str, kernel: Algorithm, where: str) -> PluginError:
    """Return the error for a kernel without all directions, with nothing behind it that does them."""
    function = name.rpartition(":")[2]
    return PluginError(
        f"{name} cannot train a network: {' and '.join(kernel.lacks.values())}",
        where=where,
        found=", ".join(direction for direction in DIRECTIONS if direction not in kernel.lacks),
        expected=", ".join(f"{function}_{direction}({ARGUMENTS[direction]})" for direction in kernel.lacks),
        help=f"write it, or leave this direction to the library by naming that too: {name},aten",
    )


def guarded(kernel: Algorithm, file: Path) -> Algorithm:
    """Return a kernel whose every call ends in a right tensor (its values apart) or in one clear error.

    Args:
        kernel: as it was imported.
        file: of the kernel.

    Returns:
        The same with functions that raise PluginError where it raises; where what it returns is no tensor, or one of another
        shape, dtype or device; and where it changed what it was given.
    """

    def forward(input: Tensor, weight: Tensor, bias: Tensor | None, *geometry: Any) -> Tensor:
        job = Job.of(input, weight, Geometry(*geometry))
        return _checked(kernel, file, FORWARD, job, (input, weight, bias), (input, weight, bias, *geometry))

    def grad_input(grad_output: Tensor, weight: Tensor, input_shape: Any, *geometry: Any) -> Tensor:
        job = Job(tuple(input_shape), tuple(weight.shape), Geometry(*geometry), weight.dtype, weight.device.type)
        operands = (grad_output, weight)
        return _checked(kernel, file, GRAD_INPUT, job, operands, (*operands, job.input_shape, *geometry))

    def grad_weight(grad_output: Tensor, input: Tensor, weight_shape: Any, *geometry: Any) -> Tensor:
        job = Job(tuple(input.shape), tuple(weight_shape), Geometry(*geometry), input.dtype, input.device.type)
        operands = (grad_output, input)
        return _checked(kernel, file, GRAD_WEIGHT, job, operands, (*operands, job.weight_shape, *geometry))

    def refuses(job: Job) -> str | None:
        try:
            return kernel.refuses(job)
        except (Exception, SystemExit) as error:
            raise failure(
                f"{kernel.name} failed when it was asked whether it supports {job.text}", file, error
            ) from error

    return dataclasses.replace(kernel, forward=forward, grad_input=grad_input, grad_weight=grad_weight, refuses=refuses)


def _checked(
    kernel: Algorithm,
    file: Path,
    direction: str,
    job: Job,
    operands: tuple[Tensor | None, ...],
    arguments: tuple[Any, ...],
) -> Tensor:
    """Call one direction and make sure that a tensor comes back that the rest of the step can compute with.

    Raises:
        PluginError: see :func:`guarded`.
    """
    versions = [None if operand is None else operand._version for operand in operands]
    try:
        result = getattr(kernel, direction)(*arguments)
    except (Exception, SystemExit) as error:
        raise failure(f"{kernel.name} raised in {direction} of {job.text}", file, error) from error
    if versions != [None if operand is None else operand._version for operand in operands]:
        raise PluginError(
            f"{kernel.name} changed what it was given in {direction} of {job.text}",
            where=str(file),
            found="an operand written to in place",
            expected="operands left as they are: the layers behind and the backward read them too",
        )
    like = operands[0]
    assert like is not None
    shape = {FORWARD: job.output_shape, GRAD_INPUT: job.input_shape, GRAD_WEIGHT: job.weight_shape}[direction]
    wanted, got = _described(shape, like.dtype, like.device), type(result).__name__
    if isinstance(result, Tensor):
        got = _described(tuple(result.shape), result.dtype, result.device)
    if got != wanted:
        raise PluginError(
            f"{kernel.name} returned something else than the {direction} of {job.text}",
            where=str(file),
            found=got,
            expected=wanted,
        )
    tensor: Tensor = result
    return tensor


def _described(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> str:
    return f"a tensor of shape {tuple(shape)}, {str(dtype).removeprefix('torch.')}, on {device}"


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
        if reason is not None and not isinstance(reason, str):
            raise TypeError(f"{name}_supports returns None, or the reason why not as a text; it returned {reason!r}")
        return reason

    return refuses
