"""A rule of the tape with a mistake in it: the right forward or vjp, and something small done before or after it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor

from trainloop.compare.catalogue.scene import Deviation, Predicted, Scene, deviation
from trainloop.compare.key import Stage
from trainloop.manual import RULES, Form, Rule
from trainloop.manual.rule import ATEN, FORMULA, Needs, RuleTable, by_function

Grads = tuple[Tensor | None, ...]
ForwardChange = Callable[[Form, tuple[Any, ...], dict[str, Any], Needs], tuple[Any, tuple[Any, ...]]]
"""(right form, args, kwargs, needs) → (output, saved)"""
VjpChange = Callable[[Form, Any, tuple[Any, ...], Needs], Any]
"""(right form, grad_output, saved, needs) → gradients"""


def run_forward(form: Form, args: tuple[Any, ...], kwargs: dict[str, Any], needs: Needs) -> tuple[Any, tuple[Any, ...]]:
    """Run the right forward."""
    extra = {"needs": needs} if form.forward_takes_needs else {}
    return form.forward(*args, **kwargs, **extra)


def run_vjp(form: Form, grad_output: Any, saved: tuple[Any, ...], needs: Needs) -> Any:
    """Run the right vjp."""
    return form.vjp(grad_output, *saved, **({"needs": needs} if form.vjp_takes_needs else {}))


def altered(
    names: tuple[str, ...],
    *,
    forward: ForwardChange | None = None,
    vjp: VjpChange | None = None,
    form: str = ATEN,
) -> RuleTable:
    """Return the table of rules with a mistake in those of some names.

    Args:
        names: of rules.
        forward: what takes the place of the forward.
        vjp: what takes the place of the vjp.
        form: the right form that both are given.
    """
    changed = []
    for rule in dict.fromkeys(RULES.values()):
        if isinstance(rule, Rule) and rule.name in names:
            wrong = _wrong_form(rule, rule.form(form), forward, vjp)
            forms = {FORMULA: wrong, ATEN: wrong}
            changed.append(Rule(rule.name, rule.functions, forms, rule.examples, rule.wrt, rule.inplace, rule.also))
    return {**RULES, **by_function(changed)}


def _wrong_form(rule: Rule, right: Form, forward: ForwardChange | None, vjp: VjpChange | None) -> Form:
    def wrong_forward(*args: Any, needs: Needs, **kwargs: Any) -> tuple[Any, tuple[Any, ...]]:
        assert forward is not None
        return forward(right, args, kwargs, needs)

    def wrong_vjp(grad_output: Any, *saved: Any, needs: Needs) -> Any:
        return run_vjp(right, grad_output, saved, needs) if vjp is None else vjp(right, grad_output, saved, needs)

    if forward is None:
        return Form(right.forward, wrong_vjp)
    # The tape finds the inputs that a gradient can flow to by the names in the signature.
    own = inspect.signature(rule.forms[FORMULA].forward).parameters
    needed = inspect.Parameter("needs", inspect.Parameter.KEYWORD_ONLY)
    wrong_forward.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [*(parameter for parameter in own.values() if parameter.name != "needs"), needed]
    )
    return Form(wrong_forward, wrong_vjp)


def rule_deviation(
    name: str,
    stage: Stage,
    rules: tuple[str, ...],
    *,
    forward: ForwardChange | None = None,
    vjp: VjpChange | None = None,
    form: str = ATEN,
) -> Deviation:
    """Return a deviation that is a mistake in some rules; it acts only where the model uses one of them."""

    def predict(scene: Scene) -> Predicted | None:
        if not set(rules) & scene.used_rules:
            return None
        return scene.rerun(altered(rules, forward=forward, vjp=vjp, form=form))

    return deviation(name, stage, predict)
