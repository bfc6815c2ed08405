"""The tape: what ``loss.backward()`` stands on, over any unmodified model.

Forward, every torch function that the model calls arrives in :meth:`Tape.__torch_function__`, which looks up its rule, runs
the rule's forward and notes a :class:`Node`: which values went in, which came out, what the vjp will need. Backward, the
nodes are walked in reverse and each turns the gradient of its outputs into the gradients of its inputs: the chain rule, one
operation at a time. That is all; what an operation *is* stands in ``rules/``.

Source: Wengert 1964, "A simple automatic derivative evaluation program"; Griewank & Walther 2008, chapter 3 (reverse mode).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from trainloop.manual.errors import NoRuleError, RefusedError, TapeError
from trainloop.manual.ledger import Ledger
from trainloop.manual.node import Node, accumulate, added, laid_out_as
from trainloop.manual.refusals import GRADIENT_FREE, MAKES_CONSTANT, refuse_call
from trainloop.manual.rule import ATEN, FORMULA, Composite, Form, Function, Rule, RuleTable, in_torch_names
from trainloop.manual.rules import RULES
from trainloop.manual.values import Value
from trainloop.manual.where import function_name, module_path


class Tape(TorchFunctionMode):
    """Record what a model computes, then fill ``param.grad`` as ``loss.backward()`` would.

        with Tape() as tape:
            loss = F.cross_entropy(model(x), y)
        tape.backward(loss)

    Gradients end at tensors with ``requires_grad=True`` that no operation made: parameters, or an input you set so.
    Operations under ``torch.no_grad()`` are constants, as under autograd. Memory is what autograd would keep;
    ``torch.utils.checkpoint`` inside a tape runs but saves none. Second derivatives and complex numbers are not recorded.
    Inside the block what needs a gradient says ``requires_grad``, as under autograd; behind it no longer, for nothing is
    recorded there. One thread, one tape at a time.

    Args:
        form: the form of each rule: ``aten`` (the library's kernels where a rule has them) or ``formula`` (never).
        rules: torch function → rule; all of ``trainloop.manual.rules`` by default.

    Raises:
        ValueError: no rule has a form of that name.
    """

    def __init__(self, *, form: str = ATEN, rules: RuleTable = RULES) -> None:
        super().__init__()
        if form not in (ATEN, FORMULA):
            known = sorted({name for rule in rules.values() if isinstance(rule, Rule) for name in rule.forms})
            if form not in known:
                raise ValueError(f"form must be one of {', '.join(known)}, found {form!r}")
        self.nodes: list[Node] = []
        self._form = form
        self._rules = rules
        self._ledger = Ledger(self.nodes)
        self._walked = False

    def __enter__(self) -> Self:
        """Start recording, anew if a backward has walked what was recorded before."""
        if self._walked:
            self.clear()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop recording."""
        super().__exit__(kind, error, traceback)  # type: ignore[no-untyped-call]
        self._ledger.unmark()

    def clear(self) -> None:
        """Forget everything that was recorded."""
        self.nodes.clear()
        self._ledger.clear()
        self._walked = False

    # Forward

    def __torch_function__(
        self, func: Function, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one call of the model; record it if a gradient will pass through it."""
        kwargs = kwargs or {}
        # Under the model's own no_grad, and inside the forward of a custom autograd.Function, nothing is recorded.
        if not torch.is_grad_enabled():
            return func(*args, **kwargs)
        tensors = _tensors(args, kwargs)
        tracked = {id(tensor): value for tensor in tensors if (value := self._ledger.value(tensor)) is not None}
        if not tracked:
            return func(*args, **kwargs)
        refuse_call(func, tensors[0], kwargs)
        rule = self._rules.get(func)
        if rule is None:
            return self._without_rule(func, args, kwargs)
        kwargs = in_torch_names(kwargs)
        if isinstance(rule, Composite):
            return self._expand(rule, args, kwargs)
        return self._record(rule, func, args, kwargs, tracked)

    def _record(
        self, rule: Rule, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any], tracked: dict[int, Value]
    ) -> Any:
        form = rule.form(self._form)
        inputs = rule.inputs(args, kwargs)
        values = [tracked.get(id(tensor)) for tensor in inputs]
        _refuse_other_inputs(rule, values, tracked)
        # Identities, for tensors compare element by element; all of these live until the end of this call.
        versions = {id(tensor): tensor._version for tensor in inputs if isinstance(tensor, Tensor)}
        if form.forward_takes_needs:
            kwargs = {**kwargs, "needs": tuple(value is not None for value in values)}
        forward = form.forward
        if func in rule.inplace:
            self._ledger.refuse_change(args[0])
            forward = _inplace(form)
        with torch.no_grad():
            output, saved = _checked_pair(rule, forward(*args, **kwargs))
        single = isinstance(output, Tensor)
        if single and versions.get(id(output)) == output._version:
            return output  # the input itself, unchanged: dropout in eval mode, contiguous() of what is contiguous
        outputs = [output] if single else list(output)
        # An output that is an input was changed in place; what the forward saved of it, it saved after the change.
        changed = [versions.pop(id(tensor), None) is not None for tensor in outputs]
        node = Node(rule.name, form, values, [_value_of_output(tensor) for tensor in outputs], saved, versions)
        node.single = single
        self.nodes.append(node)
        for tensor, value, was_input in zip(outputs, node.outputs, changed, strict=True):
            if value is not None:
                self._ledger.note(tensor, value, changed=was_input)
        return output

    def _expand(self, rule: Composite, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with _Resumed(self):
            return rule.expand(*args, **kwargs)

    def _without_rule(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a call that needs no rule: it returns no floating-point tensor, or one without a gradient.

        Raises:
            NoRuleError: the output would need a gradient.
        """
        with torch.no_grad():
            output = func(*args, **kwargs)
        if func in MAKES_CONSTANT and not args[0].requires_grad:
            self._ledger.make_constant(args[0], func)
        continuous = any(tensor.is_floating_point() or tensor.is_complex() for tensor in _tensors(output))
        if continuous and func not in GRADIENT_FREE:
            raise NoRuleError(function_name(func), module_path())
        return output

    # Backward

    @torch.no_grad()
    def backward(self, loss: Tensor, grad: Tensor | None = None, *, retain_graph: bool = False) -> None:
        """Add the gradient of ``loss`` to the ``grad`` of every leaf that it depends on.

        ``leaf.grad ← leaf.grad + grad · ∂loss/∂leaf``, where a ``grad`` of None counts as nothing and stays None where the
        loss does not depend on the leaf.

        Args:
            loss: recorded on this tape; shape () unless ``grad`` is given.
            grad: the gradient of whatever follows with respect to ``loss``, of its shape; 1 by default.
            retain_graph: keep what was saved, for another backward.

        Raises:
            TapeError: ``loss`` was not recorded here, has more than one element and no ``grad``, or its nodes were released.
            ChangedInPlaceError: a saved tensor was overwritten since.
        """
        taken = set() if grad is None else {grad.untyped_storage().data_ptr()}
        for value, leaf_grad in self._walk(loss, grad, retain_graph=retain_graph).items():
            if value.leaf is not None and value.leaf.requires_grad:
                accumulate(value.leaf, leaf_grad, taken)

    @torch.no_grad()
    def gradients(
        self, loss: Tensor, leaves: Sequence[Tensor], grad: Tensor | None = None, *, retain_graph: bool = False
    ) -> list[Tensor | None]:
        """Return ∂loss/∂leaf for each leaf, None where the loss does not depend on it; arguments as :meth:`backward`.

        Raises:
            TapeError: as :meth:`backward`, or a tensor is no leaf but the output of an operation.
        """
        for leaf in leaves:
            value = self._ledger.value(leaf)
            if value is not None and value.leaf is None:
                raise TapeError(
                    f"a tensor of shape {tuple(leaf.shape)} is no leaf: an operation on this tape made it; gradients end at "
                    "tensors that you made and set requires_grad of"
                )
        grads = self._walk(loss, grad, retain_graph=retain_graph)
        found = [(value.leaf, grad) for value, grad in grads.items() if value.leaf is not None]
        by_leaf = {id(leaf): laid_out_as(leaf, grad) for leaf, grad in found}
        return [by_leaf.get(id(leaf)) for leaf in leaves]

    def _walk(self, loss: Tensor, grad: Tensor | None, *, retain_graph: bool) -> dict[Value, Tensor]:
        """The chain rule: reverse the nodes, and let each pass on what has arrived at its outputs."""
        grads = {self._value_to_differentiate(loss, grad): torch.ones_like(loss) if grad is None else grad}
        for node in reversed(self.nodes):
            grad_outputs = [grads.pop(value, None) if value else None for value in node.outputs]
            if any(grad is not None for grad in grad_outputs):
                for value, grad in node.vjp(grad_outputs):
                    grads[value] = added(grads[value], grad) if value in grads else grad
                if not retain_graph:
                    node.release()
        self._walked = not retain_graph
        return grads

    def _value_to_differentiate(self, loss: Tensor, grad: Tensor | None) -> Value:
        value = self._ledger.value(loss)
        if value is None:
            raise TapeError(
                f"this tensor of shape {tuple(loss.shape)} was not recorded on this tape; compute it inside "
                "`with tape:`, from a parameter that requires grad, in the same thread and with no other tape open within"
            )
        if grad is None and loss.numel() != 1:
            raise TapeError(f"a loss of shape {tuple(loss.shape)} is no scalar; reduce it, or pass grad of that shape")
        if grad is not None and grad.shape != loss.shape:
            raise TapeError(f"grad has shape {tuple(grad.shape)}, expected that of the loss, {tuple(loss.shape)}")
        return value


class _Resumed:
    """Record inside a composite: while a call is handled, torch has taken the tape off, so that a rule can call torch."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    def __enter__(self) -> None:
        super(Tape, self._tape).__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *_error: object) -> None:
        super(Tape, self._tape).__exit__(None, None, None)  # type: ignore[no-untyped-call]


def _tensors(*found: Any) -> list[Tensor]:
    """Return every tensor inside nested tuples, lists and dicts."""
    tensors: list[Tensor] = []
    for item in found:
        if isinstance(item, Tensor):
            tensors.append(item)
        elif isinstance(item, (tuple, list)):
            tensors += _tensors(*item)
        elif isinstance(item, dict):
            tensors += _tensors(*item.values())
    return tensors


def _refuse_other_inputs(rule: Rule, values: Sequence[Value | None], tracked: Mapping[int, Value]) -> None:
    if not set(tracked.values()) <= set(values):
        raise RefusedError(
            f"rule {rule.name} gives gradients to {', '.join(rule.wrt)} only, but another argument of the call in "
            f"{module_path()} needs one; detach() that argument"
        )


def _value_of_output(tensor: Any) -> Value | None:
    if not isinstance(tensor, Tensor):
        return None
    if tensor.is_complex():
        raise RefusedError(
            f"complex numbers of shape {tuple(tensor.shape)} in {module_path()}: the rules are those of real numbers; "
            "keep real and imaginary part in two tensors, or use the builtin path"
        )
    return Value(tensor) if tensor.is_floating_point() else None


def _checked_pair(rule: Rule, pair: Any) -> tuple[Any, tuple[Any, ...]]:
    if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[1], tuple)):
        raise TapeError(
            f"the forward of rule {rule.name} must return (output, saved), and saved must be a tuple; found "
            f"{' and '.join(type(part).__name__ for part in pair) if isinstance(pair, tuple) else type(pair).__name__}"
        )
    return pair


def _inplace(form: Form) -> Callable[..., tuple[Tensor, tuple[Any, ...]]]:
    """Return a forward that overwrites its first argument, by way of a copy if the form knows no better."""

    def forward(target: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, tuple[Any, ...]]:
        # x.mul_(x): the vjp needs the x that is about to go.
        args = tuple(target.clone() if arg is target else arg for arg in args)
        if form.forward_takes_inplace:
            return form.forward(target, *args, **kwargs, inplace=True)
        output, saved = form.forward(target.clone(), *args, **kwargs)
        return target.copy_(output), saved

    return forward
