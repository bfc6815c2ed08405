"""The candidate's parts that are the user's own: ``file.py:name``, imported because the command line names them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainloop.compare.settings import Plugins
from trainloop.config.suggest import nearest
from trainloop.errors import PluginError
from trainloop.manual import RULES, Composite, Form, Rule
from trainloop.manual.rule import ATEN, FORMULA, RuleTable, by_function
from trainloop.own_kernel import kernel_files, own_convolutions
from trainloop.plugin import failure, import_name, load_function
from trainloop.stages.context import Substitutes

CONV = "--candidate-conv"
OFF = (0, 0.0, False, None)
"""values of a setting that a class without this setting has anyway"""


def load_substitutes(plugins: Plugins, files: Sequence[Path] = (), conv: str = "") -> Substitutes:
    """Import the candidate's own optimizer, loss, rule and convolutions.

    Args:
        plugins: parts that the command line names.
        files: that may be imported for what the config names.
        conv: the config's ``stages.conv``, of which one kernel or more may be the user's own.

    Raises:
        PluginError: a file or a name is missing, or is not what it should be.
    """
    rules: RuleTable = RULES
    if plugins.rule:
        rules = {**RULES, **load_rules(plugins.rule)}
    return Substitutes(
        optimizer=OwnOptimizer(plugins.optimizer) if plugins.optimizer else None,
        loss=load_function(plugins.loss, "--candidate-loss") if plugins.loss else None,
        rules=rules,
        conv=own_convolutions(plugins.conv, kernel_files(plugins.conv), CONV)
        if plugins.conv
        else own_convolutions(conv, files),
    )


class OwnOptimizer:
    """Make a user's optimizer from groups and settings; a setting that it does not know and that is off is left out.

    Args:
        text: ``file.py:class``.

    Raises:
        PluginError: see :func:`load_substitutes`; when it is called, also if the class does not take a setting or fails.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._constructor = load_function(text, "--candidate-optimizer")
        self._accepted = inspect.signature(self._constructor).parameters
        self._takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in self._accepted.values())

    @property
    def decays(self) -> bool:
        """Whether it knows weight decay."""
        return self._knows("weight_decay")

    def __call__(self, groups: list[dict[str, Any]], **settings: Any) -> Any:
        """Make the optimizer."""
        given = {name: value for name, value in settings.items() if self._knows(name) or value not in OFF}
        name = self._constructor.__name__
        for setting in given:
            if not self._knows(setting):
                raise PluginError(
                    f"{name} does not take {setting}",
                    where=self._text,
                    found=f"{setting}={given[setting]!r}, a setting of the config's optimizer",
                    expected=f"{name}{inspect.signature(self._constructor)}",
                    help=f"give it this argument, or switch it off for both sides: --set optimizer.{setting}=0",
                )
        usable = [
            {key: value for key, value in group.items() if key != "weight_decay" or self.decays} for group in groups
        ]
        try:
            optimizer = self._constructor(usable, **given)
        except (Exception, SystemExit) as error:
            raise failure(f"{name} cannot be built", plugin_file(self._text), error) from error
        return _checked(optimizer, self._text)

    def _knows(self, setting: str) -> bool:
        return self._takes_all or setting in self._accepted


def _checked(optimizer: Any, text: str) -> Any:
    missing = [name for name in ("step", "param_groups") if not hasattr(optimizer, name)]
    if missing:
        raise PluginError(
            f"the optimizer has no {missing[0]}",
            where=text,
            found=f"an object of class {type(optimizer).__name__}",
            expected="step(), and param_groups as torch.optim.Optimizer has them",
            help="derive the class from torch.optim.Optimizer or trainloop.manual.optim.Optimizer",
        )
    return optimizer


def load_rules(text: str) -> Mapping[Any, Rule | Composite]:
    """Return the rules that take the place of the project's own, by torch function.

    Args:
        text: ``file.py:name`` of a Rule or Composite; or ``rule=file.py:name`` of a forward with a ``name_vjp`` beside it, for
            the rule of that name; without ``rule=`` the name itself says which, with or without ``my_`` in front.

    Raises:
        PluginError: see :func:`load_substitutes`.
    """
    known, _, place = text.rpartition("=")
    module, file, name = import_name(place, "--candidate-rule")
    found = getattr(module, name)
    if isinstance(found, (Rule, Composite)):
        return by_function([found])
    replaced = _known_rule(known or name.removeprefix("my_"), text)
    vjp = getattr(module, f"{name}_vjp", None)
    if not callable(found) or not callable(vjp):
        raise PluginError(
            f"there is no vjp for {name}" if callable(found) else f"{name} is neither a rule nor a function",
            where=str(file),
            found=f"a {type(found).__name__}",
            expected=f"a Rule, or functions {name} → (output, saved) and {name}_vjp(grad_output, *saved)",
        )
    form = Form(found, vjp)
    forms = {FORMULA: form, ATEN: form}
    rest = (replaced.examples, replaced.wrt, replaced.inplace, replaced.also)
    try:
        return by_function([Rule(replaced.name, replaced.functions, forms, *rest)])
    except ValueError as error:
        raise PluginError(
            f"{name} does not fit the rule {replaced.name}",
            where=str(file),
            found=str(error).partition(": ")[2] or str(error),
            expected=f"arguments called as those of the rule: {', '.join(_arguments(replaced))}",
        ) from error


def _arguments(rule: Rule) -> list[str]:
    return [name for name in inspect.signature(rule.forms[FORMULA].forward).parameters if name != "needs"]


def _known_rule(name: str, text: str) -> Rule:
    rules = {rule.name: rule for rule in RULES.values() if isinstance(rule, Rule)}
    if name in rules:
        return rules[name]
    close = nearest(name, list(rules))
    raise PluginError(
        f"which rule shall it take the place of? There is none called {name}",
        where="--candidate-rule",
        found=text,
        expected="RULE=file.py:forward, where `trainloop rules` lists the rules",
        help=f"did you mean {close}={text.rpartition('=')[2]}?" if close else "",
    )


def plugin_file(text: str) -> Path:
    """Return the file of ``file.py:name``."""
    return Path(text.rpartition("=")[2].rpartition(":")[0])
