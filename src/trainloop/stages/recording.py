"""What the user is told when the tape cannot record a model."""

from __future__ import annotations

from trainloop.errors import StageError
from trainloop.manual.errors import NoRuleError, TapeError, UnsupportedConvError


def refusal(error: TapeError | UnsupportedConvError) -> StageError:
    """Return the tape's own words as an error of the command line."""
    if isinstance(error, UnsupportedConvError):
        return StageError(
            f"{error.algorithm} cannot do a convolution of this model",
            where=error.module,
            found=error.reason,
            expected="an algorithm that can, or several with commas between them, of which the first that can does it",
            help=f"--set stages.conv={error.algorithm},aten, or stages.conv=auto",
        )
    if isinstance(error, NoRuleError):
        return StageError(
            f"the manual path has no rule for {error.function}",
            where=error.module,
            found="an operation that a gradient has to pass through",
            expected="one of the functions that `trainloop rules` lists",
            help="--mode builtin trains this model as it is; docs/write-a-rule.md shows how to add a rule in ten lines",
        )
    return StageError(
        "the manual path cannot record this model",
        where="stages.forward, loss and backward",
        found=str(error),
        help="--mode builtin trains it as it is",
    )


def unknown_convolution(error: UnsupportedConvError) -> StageError:
    """Return the error for a name in ``stages.conv`` that no algorithm has."""
    return StageError(
        "there is no such algorithm for convolution", where="stages.conv", found=error.algorithm, help=error.instead
    )
