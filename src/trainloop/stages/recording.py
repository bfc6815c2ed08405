"""What the user is told when the tape cannot record a model."""

from __future__ import annotations

from trainloop.errors import StageError
from trainloop.manual.errors import NoRuleError, TapeError


def refusal(error: TapeError) -> StageError:
    """Return the tape's own words as an error of the command line."""
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
