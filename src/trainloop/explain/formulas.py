"""What a rule does to a gradient, and an optimizer to a weight, in the words of their own docstrings."""

from __future__ import annotations

import functools
import inspect
import itertools
import re
from collections.abc import Callable
from typing import Any

from trainloop.manual.node import Node
from trainloop.manual.rule import FORMULA, Rule
from trainloop.manual.rules import RULES

GRADIENT = re.compile(r"\bgrad_\w+(?:\[[^]]*\]|\{[^}]*\})? +=")
VJPS: dict[str, Callable[..., Any]] = {
    rule.name: rule.forms[FORMULA].vjp for rule in RULES.values() if isinstance(rule, Rule)
}


def gradient_formula(node: Node) -> str:
    """Return the equations of the gradients, from the docstring of the rule's vjp or else of its file; perhaps none."""
    vjp = VJPS.get(node.name) or node.form.vjp
    while isinstance(vjp, functools.partial):
        vjp = vjp.func
    own, file = vjp.__doc__ or "", getattr(inspect.getmodule(vjp), "__doc__", None) or ""
    return _equations(own) or _equations(file) or first_line(own)


def first_block(docstring: str) -> tuple[str, ...]:
    """Return the first block of indented lines of a docstring."""
    lines = itertools.dropwhile(lambda line: not line.startswith("    "), docstring.splitlines())
    return tuple(line.strip() for line in itertools.takewhile(lambda line: line.startswith("    "), lines))


def _equations(docstring: str) -> str:
    lines = [line.partition(" Source:")[0].strip(" .;") for line in docstring.splitlines() if GRADIENT.search(line)]
    return "; ".join(re.sub(r" {2,}", "  ", line) for line in lines)


def first_line(docstring: str) -> str:
    """Return what the first line of a docstring says is returned; empty where it refers to something else."""
    line = docstring.strip().partition("\n")[0].partition(" Source:")[0].strip(" .")
    return (
        ""
        if line.startswith(("Return the three", "Return the same", "Return nothing"))
        else line.removeprefix("Return ")
    )
