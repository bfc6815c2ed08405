"""What explaining a step gives: plain facts. ``screen.py`` draws them, ``as_json.py`` writes them down."""

from __future__ import annotations

from dataclasses import dataclass

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Explanation:
    """One training step, and what it did to one weight."""

    subject: Subject
    weight: Weight
    zero_grad: ZeroGrad
    forward: Forward
    backward: Backward
    sync: Sync
    step: Step
    without_zero_grad: WithoutZeroGrad
    none_or_zero: NoneOrZero


@dataclass(frozen=True)
class Subject:
    """What was run.

    Args:
        name: of the model.
        built_in: it is the built-in example.
        description: what that one computes at the start, line by line; else empty.
        data: name of the data set.
        optimizer: of the chosen weight, as a config names it.
        hyper_parameters: of the chosen weight's group (of the first, where the weight is frozen); lr included.
        step: which step, 1 for the first.
        batch_shape: of the input.
        parts: how many pieces the batch was split into.
        device: of the model.
        threads: CPU threads of one operation.
    """

    name: str
    built_in: bool
    description: tuple[str, ...]
    data: str
    optimizer: str
    hyper_parameters: dict[str, object]
    step: int
    batch_shape: Shape
    parts: int
    device: str
    threads: int


@dataclass(frozen=True)
class Weight:
    """The chosen weight: one element of a parameter."""

    param: str
    index: tuple[int, ...]
    shape: Shape
    dtype: str
    requires_grad: bool


@dataclass(frozen=True)
class Compared:
    """One number of the manual path beside the built-in path's.

    Args:
        manual: of the manual path; None is a grad of None.
        builtin: of PyTorch's own.
        same_bits: they are one and the same number (or both None).
        ulps: representable numbers between them; None with a NaN or None on either side.
    """

    manual: float | None
    builtin: float | None
    same_bits: bool
    ulps: int | None


@dataclass(frozen=True)
class AllCompared:
    """All tensors of one kind (gradients, parameters) of both paths.

    Args:
        tensors: how many.
        same_bits: how many of them agree in every bit.
        largest_difference: largest absolute difference of two elements over the largest absolute value of their tensor.
    """

    tensors: int
    same_bits: int
    largest_difference: float


@dataclass(frozen=True)
class ZeroGrad:
    """Stage 1: the gradient before it and after it."""

    grad_before: float | None
    grad_after: float | None


@dataclass(frozen=True)
class Forward:
    """Stages 2 and 3.

    Args:
        recorded: operations that the tape noted, over all parts.
        loss: of the batch.
    """

    recorded: int
    loss: Compared


@dataclass(frozen=True)
class Seen:
    """A gradient in passing: its shape, its root of the sum of squares, and its numbers if they are few."""

    shape: Shape
    norm: float
    values: tuple[float, ...]


@dataclass(frozen=True)
class Link:
    """One rule that the gradient passed through on its way from the loss to the weight.

    Args:
        rule: its name.
        module: path and class of the module that called it, empty for the loss function.
        grad_output: the gradient that arrived at its output.
        formula: what it does to a gradient, as its vjp says.
    """

    rule: str
    module: str
    grad_output: Seen
    formula: str


@dataclass(frozen=True)
class Use:
    """One place where the forward used the parameter, and the way the gradient came to it.

    Args:
        chain: from the loss to the use; the shortest way where there are several.
        num_paths: how many ways there are.
        grad: what this use added to the weight's gradient.
    """

    chain: tuple[Link, ...]
    num_paths: int
    grad: float


@dataclass(frozen=True)
class WithoutGrad:
    """A parameter whose grad stayed None: it is frozen, or the loss does not depend on it."""

    param: str
    frozen: bool


@dataclass(frozen=True)
class Backward:
    """Stage 4.

    Args:
        uses: of the parameter in the first part of the batch; empty when no gradient comes to it.
        grads: of the weight, before backward and after that of each part.
        grad: in the end.
        all_grads: of every parameter that has one.
        without_grad: the parameters that have none.
    """

    uses: tuple[Use, ...]
    grads: tuple[float | None, ...]
    grad: Compared
    all_grads: AllCompared
    without_grad: tuple[WithoutGrad, ...]


@dataclass(frozen=True)
class Sync:
    """Stage 5: the gradient before and after clipping."""

    clips: bool
    grad_before: float | None
    grad_after: float | None


@dataclass(frozen=True)
class Operation:
    """One line of the update, for the chosen weight.

    Args:
        name: of the result.
        kept_as: name under which the optimizer remembers the result, where that is another one.
        symbols: the equation's right side in names.
        numbers: the same in numbers; None where the operation does not work element by element.
        value: the result; None likewise.
        shape: of the result.
    """

    name: str
    kept_as: str
    symbols: str
    numbers: str | None
    value: float | None
    shape: Shape


@dataclass(frozen=True)
class Step:
    """Stage 6.

    Args:
        file: where the update is written out.
        formula: as the file's docstring has it, line by line.
        scalars: the numbers that the update was given, by name.
        scalars_formula: what they are, as the optimizer's ``scalars`` says.
        operations: what the update did; empty when the optimizer passed the weight over.
        before: the weight's value.
        after: its new value.
        all_params: every parameter after the step.
        builtin_missing: why PyTorch has no such update; empty where it has.
        deviation: why the two updates differ by design; empty where they do not.
    """

    file: str
    formula: tuple[str, ...]
    scalars: dict[str, float]
    scalars_formula: str
    operations: tuple[Operation, ...]
    before: float
    after: Compared
    all_params: AllCompared
    builtin_missing: str
    deviation: str


@dataclass(frozen=True)
class WithoutZeroGrad:
    """The same step with two backwards and no zero_grad between them.

    Args:
        grad_once: the weight's gradient after one backward.
        grad_twice: after the second.
        after_once: the weight after a step with the former.
        after_twice: after a step with the latter.
    """

    grad_once: float | None
    grad_twice: float | None
    after_once: float
    after_twice: float


@dataclass(frozen=True)
class NoneOrZero:
    """The next step, if the loss did not depend on the parameter.

    Args:
        updated: the optimizer has the parameter at all; a frozen one it has not.
        before: the weight's value.
        after_none: after a step with a grad of None.
        after_zero: after a step with a grad of zeros.
        state: names of what the optimizer remembers of each element of the parameter.
    """

    updated: bool
    before: float
    after_none: float
    after_zero: float
    state: tuple[str, ...]
