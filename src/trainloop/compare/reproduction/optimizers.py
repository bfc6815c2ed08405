"""The lines of a script that make an optimizer again, with all that it knew before the step."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from trainloop.compare.reproduction.scene import Scene, Source
from trainloop.compare.reproduction.script import Script, code, literal
from trainloop.config.schema import RunConfig

OWN_PROJECT = "trainloop.manual.optim"
NOT_SETTINGS = ("params", "lr", "lr_scale", "optimizer")


def optimizer_lines(scene: Scene, source: Source, number: int, names: Sequence[str], script: Script) -> list[str]:
    """Return the lines from ``params`` to an ``optimizer`` that stands before the step.

    Args:
        scene: the difference.
        source: of the side.
        number: of the optimizer among those of the side.
        names: of the parameters in ``params``, in this order; those of other optimizers are left out.
        script: gets imports and tensors.
    """
    constructor = _Constructor(source, number, script)
    known = {id(param): name for name, param in source.side.params().items()}
    groups, counters = [], []
    for index, group in enumerate(source.side.optimizers[number].param_groups):
        held = [known[id(param)] for param in group["params"] if known.get(id(param)) in names]
        if held:
            groups.append((held, constructor.arguments(scene, group)))
            counters += [
                f"optimizer.param_groups[{len(groups) - 1}][{code(name)}] = {code(value)}"
                for name, value in constructor.counters_of_group(index).items()
            ]
    lines = _construction(constructor, groups, names)
    if scene.stage == "zero_grad":
        return lines
    lines += [f"optimizer.{name} = {code(value)}" for name, value in constructor.counters().items()]
    members = [name for held, _ in groups for name in held]
    return [*lines, *counters, *_state_lines(scene, source, members, script)]


def own_entry(source: Source, name: str, known_as: str) -> str:
    """Return what a side calls an entry of its state."""
    inverse = {(param, theirs): own for (param, own), theirs in source.side.entry_names.items()}
    return inverse.get((name, known_as), known_as)


def _construction(
    constructor: _Constructor, groups: Sequence[tuple[list[str], dict[str, Any]]], names: Sequence[str]
) -> list[str]:
    held, first = groups[0]
    # What one group leaves at its default another may not, so with several groups each of them says it.
    said = {name for _, arguments in groups for name in arguments}
    if len(groups) == 1:
        used = literal({name: first[name] for name in first if name in constructor.needed(first)})
        params = "list(params.values())" if held == list(names) else _picked(held, names)
        return [f"optimizer = {constructor.expression}({params}, {used})"]
    needed = {name for _, arguments in groups for name in constructor.needed(arguments)} & said
    rows = []
    for members, arguments in groups:
        rows.append(f'    {{"params": {_picked(members, names)},')
        rows.append(
            "     " + ", ".join(f"{code(name)}: {code(arguments[name])}" for name in arguments if name in needed)
        )
        rows[-1] += "},"
    used = literal({name: first[name] for name in first if name in needed})
    return ["groups = [", *rows, "]", f"optimizer = {constructor.expression}(groups, {used})"]


def _picked(held: Sequence[str], names: Sequence[str]) -> str:
    """Return the expression for a list of some of the parameters."""
    first = list(names).index(held[0])
    if list(names[first : first + len(held)]) == list(held):
        return f"[params[name] for name in NAMES[{first}:{first + len(held)}]]"
    return f"[params[name] for name in {code(tuple(held))}]"


class _Constructor:
    """How to make the optimizer of a side again.

    Args:
        source: of the side.
        number: of the optimizer.
        script: gets the imports.
    """

    def __init__(self, source: Source, number: int, script: Script) -> None:
        self._source, self._number = source, number
        kind = type(source.side.optimizers[number])
        self._is_own = bool(source.plugins.optimizer) and number == 0
        if self._is_own:
            self.expression = script.own(source.plugins.optimizer)
        elif kind.__module__.startswith(OWN_PROJECT):
            script.add_import(f"from {OWN_PROJECT} import {kind.__name__}")
            self.expression = kind.__name__
        else:
            self.expression = f"torch.optim.{kind.__name__}"
        parameters = inspect.signature(kind).parameters
        self._defaults = {name: parameter.default for name, parameter in parameters.items()}
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            self._defaults.update(dict.fromkeys([*_settings(source.config), "lr"], inspect.Parameter.empty))

    def arguments(self, scene: Scene, group: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keyword arguments of a group."""
        lr = scene.record.lr * self._source.side.of.lr_factor * group.get("lr_scale", 1.0)
        known = {**_settings(self._source.config), **self._attributes(), **group, "lr": lr}
        return {name: known[name] for name in self._defaults if name in known and name != "params"}

    def needed(self, arguments: Mapping[str, Any]) -> set[str]:
        """Return those that are not at their defaults, and the lr."""
        return {name for name, value in arguments.items() if name == "lr" or value != self._defaults[name]}

    def counters(self) -> dict[str, Any]:
        """Return what the optimizer counts in attributes of its own."""
        if not self._is_own:
            return {}
        usual = vars(torch.optim.SGD([torch.zeros(1)], lr=1.0))
        return {name: value for name, value in self._attributes().items() if name not in usual and value is not None}

    def counters_of_group(self, index: int) -> dict[str, Any]:
        """Return what the optimizer counts in a group."""
        if not self._is_own:
            return {}
        plain = self._source.standpoint.groups[self._number][index]
        return {name: value for name, value in plain.items() if name not in {*self._defaults, *NOT_SETTINGS}}

    def _attributes(self) -> dict[str, Any]:
        return self._source.standpoint.attributes[self._number]


def _settings(config: RunConfig) -> dict[str, Any]:
    settings: dict[str, Any] = config.optimizer.model_dump(exclude={"name", "groups"})
    return settings


def _state_lines(scene: Scene, source: Source, members: Sequence[str], script: Script) -> list[str]:
    """Keep what the optimizer remembered; return the lines that restore it."""
    numbers: dict[str, dict[str, float]] = {}
    tensors = False
    for (name, known_as), value in source.standpoint.state.items():
        if name not in members:
            continue
        fed = scene.record.before.optimizer.get((name, known_as))
        value = value if fed is None or fed.shape != value.shape else fed
        entry = own_entry(source, name, known_as)
        kind = source.standpoint.number_kinds.get((name, known_as))
        if kind is not None:
            numbers.setdefault(entry, {})[name] = kind(value.item())
        else:
            script.tensors[f"{source.name}.{name}.{entry}"] = value
            tensors = True
    lines = [f"restore(optimizer, params, {code(source.name)})"] if tensors else []
    for entry, values in numbers.items():
        if len(set(values.values())) == 1 and len(values) == len(members):
            lines += ["for param in params.values():", f"    number = {next(iter(values.values()))!r}"]
        else:
            lines += [f"for name, number in {code(values)}.items():", "    param = params[name]"]
        lines.append(f"    optimizer.state.setdefault(param, {{}})[{code(entry)}] = number")
    return lines
