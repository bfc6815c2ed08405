"""Which rules a model needs, and which are missing: one forward on a tape that goes on where a rule is missing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from trainloop.manual.errors import NoRuleError
from trainloop.manual.rule import Composite, Function, Rule
from trainloop.manual.tape import Tape
from trainloop.manual.values import Value


@dataclass
class Needs:
    """What one forward called.

    Args:
        rules: rule name → number of calls.
        missing: function name → the module that called it first.
    """

    rules: Counter[str] = field(default_factory=Counter)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every operation has a rule."""
        return not self.missing


class Survey(Tape):
    """A tape that counts the rules in ``needs`` and notes what has none; its gradients are of no use.

        with Survey() as survey:
            F.cross_entropy(model(x), labels)
        survey.needs.missing

    Arguments are those of :class:`Tape`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.needs = Needs()

    def _record(
        self, rule: Rule, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any], tracked: dict[int, Value]
    ) -> Any:
        self.needs.rules[rule.name] += 1
        return super()._record(rule, func, args, kwargs, tracked)

    def _expand(self, rule: Composite, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.needs.rules[rule.name] += 1
        return super()._expand(rule, args, kwargs)

    def _without_rule(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Note the function, and let its output be a value all the same, so that what comes after is seen too."""
        try:
            return super()._without_rule(func, args, kwargs)
        except NoRuleError as error:
            self.needs.missing.setdefault(error.function, error.module)
        with torch.no_grad():
            output = func(*args, **kwargs)
        for tensor in output if isinstance(output, (tuple, list)) else [output]:
            if isinstance(tensor, Tensor) and tensor.is_floating_point():
                self._ledger.note(tensor, Value(tensor), changed=False)
        return output
