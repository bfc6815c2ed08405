"""What a seeded fault is, and the pieces that candidates are made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from trainloop.compare.api import TrainingStep
from trainloop.compare.implementation import CANDIDATE, Built, Implementation
from trainloop.compare.key import Stage
from trainloop.compare.zoo.edit import Edit
from trainloop.compare.zoo.nets import NUM_STEPS, batches
from trainloop.manual import RULES
from trainloop.manual.rule import FORMULA, Composite, Function, Rule, RuleTable
from trainloop.stages import Stages

UNKNOWN: tuple[str, ...] = ()
"""as ``Fault.cause``: the right answer is that none of the known deviations explains it"""
ANY = None
"""as ``Fault.cause``: whatever is named will do"""

PARAM = r"(hidden|head|conv1|norm1|conv2|decayed|plain)\.\w+"
"""any parameter, of the networks or of the optimizer cases, which a fault that the run's own batches hide shows in first"""

Side = TrainingStep | Implementation


@dataclass(frozen=True)
class Pair:
    """What is compared.

    Args:
        reference: what is right.
        candidate: the other.
        data: (x, labels) of each step.
        cases: run the discriminating cases too.
    """

    reference: Side
    candidate: Side
    data: Sequence[tuple[Tensor, Tensor]] = dataclasses.field(default_factory=batches)
    cases: bool = True


@dataclass(frozen=True)
class Fault:
    """One deviation that a comparison must catch.

    Args:
        name: what is wrong, in a few words.
        stage: where the first difference must be seen.
        tensor: pattern of the whole name of the tensor that it must be seen in.
        make: builds reference and candidate; gets the edited module where there is an edit, else None.
        cause: what the named cause must contain: one of these words, ``UNKNOWN`` or ``ANY``.
        edit: of the source, if the fault is one.
    """

    name: str
    stage: Stage
    tensor: str
    make: Callable[[Any], Pair]
    cause: tuple[str, ...] | None = ANY
    edit: Edit | None = None

    def pair(self) -> Pair:
        """Return what is compared.

        Raises:
            EditError: the edit does not fit the source.
        """
        return self.make(self.edit.load() if self.edit is not None else None)


Change = Callable[[Stages, nn.Module, Any], Stages]
"""stages, model and first optimizer of a side → its stages"""


def altered(step: Side, change: Change) -> Implementation:
    """Return a candidate with other stages.

    Args:
        step: that is altered.
        change: of each side that is built, that over the optimizer cases too.
    """
    made = step.implementation(CANDIDATE) if isinstance(step, TrainingStep) else step
    cases = made.optimizer_cases

    def build(model: nn.Module, exact: bool) -> Built:
        stages, optimizers = made.build(model, exact)
        return change(stages, model, optimizers[0]), optimizers

    def altered_cases(bag: nn.Module, changes: Any) -> Implementation:
        assert cases is not None
        return altered(cases(bag, changes), change)

    return dataclasses.replace(made, build=build, optimizer_cases=altered_cases if cases is not None else None)


def formulas(rules: RuleTable) -> dict[Function, Rule | Composite]:
    """Return rules that have their formula only, and never call a library's backward kernel."""
    return {
        function: dataclasses.replace(rule, forms={FORMULA: rule.forms[FORMULA]}) if isinstance(rule, Rule) else rule
        for function, rule in rules.items()
    }


def with_rules(rules: RuleTable) -> dict[Function, Rule | Composite]:
    """Return the whole table with some rules replaced."""
    return {**RULES, **rules}


def steps(num: int) -> Sequence[tuple[Tensor, Tensor]]:
    """Return data for another number of steps than usual."""
    return batches(num if num else NUM_STEPS)
