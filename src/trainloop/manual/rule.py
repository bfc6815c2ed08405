"""What a rule is: one forward and one vector-Jacobian product (vjp) for the functions that compute the same thing.

The whole of a rule of your own:

    def softsign(input):                                  # the output, and what the vjp needs
        denominator = 1 + input.abs()
        return input / denominator, (denominator,)

    def softsign_vjp(grad_output, denominator):           # grad_input = grad_output / (1 + |input|)²
        return grad_output / denominator**2

    rule = Rule("softsign", (F.softsign,), {"formula": Form(softsign, softsign_vjp)}, examples=(call(T(3, 4)),))
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from trainloop.manual.examples import Example

Function = Callable[..., Any]
Saved = tuple[Any, ...]
Grads = Tensor | None | tuple[Tensor | None, ...]
Needs = tuple[bool, ...]
"""Which inputs need a gradient, in the order of ``Rule.wrt``; a list of tensors counts one by one."""

FORMULA = "formula"
ATEN = "aten"


@dataclass(frozen=True, eq=False)
class Form:
    """One way to compute a rule.

    Args:
        forward: the arguments of the torch function → ``(output, saved)``. If it takes a keyword ``needs`` it is told
            which inputs need a gradient, so that it saves nothing in vain; if it takes ``inplace`` it can
            write the output into its first argument.
        vjp: ``(grad_output, *saved)`` → the gradient of each input of ``Rule.wrt``: one tensor if there is one input, else
            a tuple; None where there is none. A rule with several outputs receives a tuple of gradients, None where an
            output was not used. If it takes a keyword ``needs`` it can leave out what nobody needs. A gradient may have the
            shape that broadcasting gave the input: the tape sums it.
        exact: the gradients have the bits of torch.autograd on the CPU, same number of threads.
    """

    forward: Callable[..., tuple[Any, Saved]]
    vjp: Callable[..., Grads]
    exact: bool = False
    forward_takes_needs: bool = field(init=False)
    forward_takes_inplace: bool = field(init=False)
    vjp_takes_needs: bool = field(init=False)

    def __post_init__(self) -> None:
        """Look at the two signatures once, so that no call has to."""
        forward, vjp = inspect.signature(self.forward).parameters, inspect.signature(self.vjp).parameters
        object.__setattr__(self, "forward_takes_needs", "needs" in forward)
        object.__setattr__(self, "forward_takes_inplace", "inplace" in forward)
        object.__setattr__(self, "vjp_takes_needs", "needs" in vjp)


@dataclass(frozen=True, eq=False)
class Rule:
    """How the tape computes and differentiates some functions.

    Args:
        name: what tables and messages call it.
        functions: the torch functions that it stands for, as they reach a ``TorchFunctionMode``.
        forms: name → form. ``formula`` is written in tensor operations and must exist; ``aten`` calls the library's own
            kernel.
        examples: calls that show the rule and test it: each runs with every function and form against autograd.
        wrt: the arguments that a gradient can flow to, by name as in the signature of ``forward``.
        inplace: the functions that overwrite their first argument, such as ``Tensor.relu_``.
        also: examples that only one of the functions can take.
    """

    name: str
    functions: tuple[Function, ...]
    forms: Mapping[str, Form]
    examples: tuple[Example, ...]
    wrt: tuple[str, ...] = ("input",)
    inplace: tuple[Function, ...] = ()
    also: Mapping[Function, tuple[Example, ...]] = field(default_factory=dict)
    positions: tuple[tuple[int, str], ...] = field(init=False)

    def __post_init__(self) -> None:
        """Find the positions of ``wrt`` in the signature once.

        Raises:
            ValueError: there is no formula, no example, no function, or ``wrt`` names no argument.
        """
        for what, value in (("formula", self.forms.get(FORMULA)), ("examples", self.examples)):
            if not value:
                raise ValueError(f"rule {self.name} has no {what}")
        if not self.functions + self.inplace:
            raise ValueError(f"rule {self.name} names no function")
        names = list(inspect.signature(self.forms[FORMULA].forward).parameters)
        if unknown := [name for name in self.wrt if name not in names]:
            raise ValueError(f"rule {self.name}: wrt names {unknown[0]}, but forward takes {', '.join(names)}")
        object.__setattr__(self, "positions", tuple((names.index(name), name) for name in self.wrt))

    def form(self, name: str) -> Form:
        """Return the form of that name, or the formula if the rule has no such form."""
        return self.forms.get(name) or self.forms[FORMULA]

    def inputs(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
        """Return the arguments that a gradient can flow to, lists laid flat; anything but a tensor receives none."""
        found: list[Any] = []
        for index, name in self.positions:
            argument = args[index] if index < len(args) else kwargs.get(name)
            if isinstance(argument, (list, tuple)):
                found.extend(argument)
            else:
                found.append(argument)
        return found


@dataclass(frozen=True, eq=False)
class Composite:
    """A function that arrives whole and is carried out as several calls, each of which has a rule.

    Args:
        name: what tables and messages call it.
        functions: the torch functions that it stands for.
        expand: takes the function's arguments, calls torch functions, returns the output.
        examples: as in :class:`Rule`.
        exact: the gradients have the bits of torch.autograd; ``"aten"`` if they have under that form only, because a rule
            inside is exact under no other.
    """

    name: str
    functions: tuple[Function, ...]
    expand: Callable[..., Any]
    examples: tuple[Example, ...]
    exact: bool | str = True
    also: Mapping[Function, tuple[Example, ...]] = field(default_factory=dict)


NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim"}


def in_torch_names(keywords: dict[str, Any]) -> dict[str, Any]:
    """Return the keywords of a call with torch's names for those that torch takes under numpy's, too."""
    return {NUMPY_NAMES.get(name, name): value for name, value in keywords.items()}


RuleTable = Mapping[Function, "Rule | Composite"]


def by_function(
    *families: Mapping[str, Rule | Composite] | Iterable[Rule | Composite],
) -> dict[Function, Rule | Composite]:
    """Return one table from torch function to rule.

    Raises:
        ValueError: a function has two rules.
    """
    table: dict[Function, Rule | Composite] = {}
    for family in families:
        for rule in family.values() if isinstance(family, Mapping) else family:
            inplace = rule.inplace if isinstance(rule, Rule) else ()
            for function in (*rule.functions, *inplace):
                if function in table:
                    raise ValueError(f"{function} has two rules: {table[function].name} and {rule.name}")
                table[function] = rule
    return table
