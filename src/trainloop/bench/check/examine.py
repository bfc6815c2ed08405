"""Put one kernel to one case: what can be wrong with a result, and with what the call has done beside returning it.

The kernel is called twice with the same shapes. The second call finds other values in the same tensors, so that a result kept
from the first, under the shapes or under the tensors, is wrong; and the first result must then still be what it was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from trainloop.bench.check.kernel import Kernel, allowed
from trainloop.bench.check.trial import Operands, Right, Trial, call, errors, laid_out
from trainloop.tolerance import CONVOLUTION_LARGEST_FACTOR

WRONG, NOT_FINITE, KEPT, OVERWRITTEN = "wrong values", "NaN or infinity", "kept result", "overwritten result"
CHANGED, SHARED, NO_TENSOR, RAISED = "changed operand", "shared memory", "no tensor", "raised"
SHAPE, DTYPE, DEVICE = "wrong shape", "wrong dtype", "wrong device"
FINITE = "finite values (memory that nobody has written is full of NaN here)"


@dataclass(frozen=True)
class Fault:
    """What is wrong with a call.

    Args:
        kind: one of the words above; of an exception with its type.
        found: what came out, in words.
        expected: what should have, in words.
    """

    kind: str
    found: str
    expected: str

    def is_like(self, other: Fault | None) -> bool:
        """Return whether another fault is of the same kind.

        A result kept from another case is merely wrong, and may be called the one or the other.
        """
        values = {WRONG, KEPT}
        return other is not None and (other.kind == self.kind or {other.kind, self.kind} == values)


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Args:
        fault: what is wrong, or None.
        rel_err: error in the 2-norm, relative; of the worse call. NaN where there is no result to measure.
        max_err: largest error of an element, relative to the largest element.
        library_err: the library's own rel_err on the same operands.
    """

    fault: Fault | None
    rel_err: float
    max_err: float
    library_err: float


@torch.no_grad()
def examine(kernel: Kernel, trial: Trial) -> Outcome:
    """Call the kernel twice for a case and judge what it returns and does.

    Args:
        kernel: to be judged; whatever it raises is a fault of its own.
        trial: operands and right results.
    """
    given = {name: laid_out(tensor, trial.case.layout) for name, tensor in trial.operands[0].items()}
    calls: list[_Call] = []
    fault = None
    for operands, right in zip(trial.operands, trial.right, strict=True):
        given = _refilled(given, operands)
        try:
            result: object = call(kernel, trial.case, given)
        except Exception as error:  # noqa: BLE001 - a stranger's code may raise anything, and other cases are still to be tried
            fault = Fault(f"{RAISED} {type(error).__name__}", str(error) or "no message", "a result")
            break
        fault = _of_call(result, given, operands, right)
        if fault is not None:
            break
        assert isinstance(result, Tensor)
        calls.append(_Call(result, result.clone(), right))
        fault = _of_values(calls, allowed(kernel, trial.case.dtype))
        if fault is not None:
            break
    rel_errs, max_errs = zip(*((one.rel_err, one.max_err) for one in calls), strict=True) if calls else ((), ())
    library = [right.library_err for right in trial.right if not math.isnan(right.library_err)]
    return Outcome(
        fault, max(rel_errs, default=math.nan), max(max_errs, default=math.nan), max(library, default=math.nan)
    )


class _Call:
    """A result with what it was when it came, and its errors."""

    def __init__(self, result: Tensor, copy: Tensor, right: Right) -> None:
        self.result = result
        self.copy = copy
        self.right = right
        self.rel_err, self.max_err = errors(result, right)


def _refilled(given: Operands, operands: Operands) -> Operands:
    """Return the tensors of the call before with this call's values, those that this call takes."""
    for name, tensor in operands.items():
        given[name].copy_(tensor)
    return {name: given[name] for name in operands}


def _of_call(result: object, given: Operands, operands: Operands, right: Right) -> Fault | None:
    """Return what is wrong before any value is looked at."""
    for name, tensor in given.items():
        if not torch.equal(tensor, operands[name]):
            return Fault(CHANGED, f"{name} after the call is not what it was", f"{name} is left alone")
    if not isinstance(result, Tensor):
        return Fault(NO_TENSOR, f"a {type(result).__name__}", "a tensor")
    like = next(iter(operands.values()))
    for kind, found, expected in (
        (SHAPE, tuple(result.shape), tuple(right.result.shape)),
        (DTYPE, result.dtype, like.dtype),
        (DEVICE, result.device, like.device),
    ):
        if found != expected:
            return Fault(kind, str(found), str(expected))
    for name, tensor in given.items():
        if result.numel() and result.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr():
            return Fault(SHARED, f"a result in the memory of {name}", "a result in memory of its own")
    return None


def _of_values(calls: list[_Call], limit: float) -> Fault | None:
    """Return what is wrong with the values of the last call, or with what it has left of the result of the call before."""
    now = calls[-1]
    bad = int((~torch.isfinite(now.result)).sum())
    if bad:
        return Fault(NOT_FINITE, f"{bad} of {now.result.numel()} elements are not finite", FINITE)
    if not (now.rel_err <= limit and now.max_err <= limit * CONVOLUTION_LARGEST_FACTOR):
        kept = len(calls) > 1 and torch.equal(now.result, calls[0].copy)
        return Fault(KEPT if kept else WRONG, *_worst(now))
    if not torch.equal(calls[0].result, calls[0].copy):
        return Fault(
            OVERWRITTEN, "the first result is another one after the second call", "each result in its own memory"
        )
    return None


def _worst(found: _Call) -> tuple[str, str]:
    """Return the element that is most wrong, as it is and as it should be."""
    result = found.result.detach().cpu().double()
    if not bool(result.any()):
        return "zeros everywhere", f"values of up to {float(found.right.result.abs().max()):.4g}"
    place = int((result - found.right.result).abs().argmax())
    index = tuple(int(number) for number in torch.unravel_index(torch.tensor(place, device="cpu"), result.shape))
    return f"{float(result[index]):.8g} at {list(index)}", f"{float(found.right.result[index]):.8g}"
