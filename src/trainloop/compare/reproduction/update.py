"""Scripts for the stages of an optimizer: ``step`` and ``zero_grad``, with the parameter that differs or with all of them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from trainloop.compare.key import title
from trainloop.compare.reproduction.scene import Reproduction, Scene, Source
from trainloop.compare.reproduction.script import Script, code, describe, literal
from trainloop.config.schema import RunConfig

FAST_FORMS = {
    "foreach": ("trainloop.manual.optim.foreach", "ForeachForm"),
    "compiled": ("trainloop.manual.optim.compiled", "CompiledForm"),
}
OWN_PROJECT = "trainloop.manual.optim"
NOT_SETTINGS = ("params", "lr", "lr_scale", "optimizer")

PARAMETER = '''
def parameter(name):
    """Return a parameter with its gradient, as they were before the stage."""
    param = torch.nn.Parameter(TENSORS[f"param.{name}"].clone())
    grad = TENSORS.get(f"grad.{name}")
    param.grad = None if grad is None else grad.clone()
    return param
'''
RESTORE = '''
def restore(optimizer, params, side):
    """Give an optimizer what it remembered of each parameter."""
    for name, param in params.items():
        prefix = f"{side}.{name}."
        known = {key.removeprefix(prefix): value.clone() for key, value in TENSORS.items() if key.startswith(prefix)}
        if known:
            optimizer.state.setdefault(param, {}).update(known)
'''
COUNT_ON_CPU = 'value.cpu() if key.endswith(".step") else value.clone()'


def update_script(scene: Scene, names: Sequence[str], note: str = "") -> Reproduction:
    """Return a script for ``step`` or ``zero_grad``.

    Args:
        scene: with both sides.
        names: of the parameters that take part, the differing one among them.
        note: for the head of the script.
    """
    script = Script(note=note, helpers=[PARAMETER])
    script.constants.append(f"NAME = {code(scene.key.name)}")
    if len(names) > 1:
        script.constants.append(f"NAMES = {code(tuple(names))}")
    grads = scene.record.before.grads if scene.stage == "zero_grad" else scene.record.grads_after("sync")
    for name in names:
        script.tensors[f"param.{name}"] = scene.record.before.params[name]
        if (grad := grads.get(name)) is not None:
            script.tensors[f"grad.{name}"] = grad
    for source in (scene.reference, scene.candidate):
        assert source is not None
        script.add_function(
            source.name, describe(source, title(scene.stage)), _side_lines(scene, source, names, script)
        )
    if any(name.startswith(("reference.", "candidate.")) for name in script.tensors):
        on_cpu = scene.differing.reference[0].device.type == "cpu"
        # torch's optimizers keep the count of steps on the CPU.
        script.helpers.append(RESTORE if on_cpu else RESTORE.replace("value.clone()", COUNT_ON_CPU))
    return script.finish(scene)


def _side_lines(scene: Scene, source: Source, names: Sequence[str], script: Script) -> list[str]:
    many = len(names) > 1
    lines = [
        "params = {name: parameter(name) for name in NAMES}" if many else "params = {NAME: parameter(NAME)}",
    ]
    if scene.stage == "zero_grad":
        return [*lines, *_zero_grad_lines(scene, source, names, script)]
    for number, optimizer in enumerate(source.side.optimizers):
        members = _members(source, optimizer, names)
        if not members:
            continue
        lines += _optimizer_lines(scene, source, number, members, script)
        if scene.key.name not in members:
            lines.append(f"{_step_call(source, script)}")
            continue
        own_entry = _own_entry(source, scene.key.name, scene.key.entry)
        result = "params[NAME].detach()"
        if scene.key.kind == "state":
            result = f"torch.as_tensor(optimizer.state[params[NAME]][{code(own_entry)}])"
        return [*lines, _step_call(source, script), f"return {result}"]
    return [*lines, "return params[NAME].detach()  # no optimizer has it"]


def _step_call(source: Source, script: Script) -> str:
    module, form = FAST_FORMS.get(source.mode("step"), ("", ""))
    if not form:
        return "optimizer.step()"
    script.add_import(f"from {module} import {form}")
    return f"{form}(optimizer).step()"


def _zero_grad_lines(scene: Scene, source: Source, names: Sequence[str], script: Script) -> list[str]:
    first = source.side.optimizers[0]
    if not source.is_builtin("zero_grad"):
        script.add_import("from trainloop.manual.zero_grad import zero_grad")
        call = ["zero_grad(params.values())"]
    elif len(source.side.optimizers) == 1 and isinstance(first, torch.optim.Optimizer):
        call = [*_optimizer_lines(scene, source, 0, list(names), script), "optimizer.zero_grad()"]
    else:
        call = ["for param in params.values():  # what model.zero_grad() does", "    param.grad = None"]
    lines = [*call, "grad = params[NAME].grad"]
    if scene.record.outputs["backward"].get(scene.key) is not None:
        # The comparison takes them for equal, too.
        lines.append("if grad is not None and not grad.any():")
        lines.append("    grad = None  # zeros are as good as None where the backward adds to them")
    return [*lines, "return grad"]


def _members(source: Source, optimizer: Any, names: Sequence[str]) -> list[str]:
    known = {id(param): name for name, param in source.side.params().items()}
    held = [known.get(id(param), "") for group in optimizer.param_groups for param in group["params"]]
    return [name for name in held if name in names]


def _optimizer_lines(scene: Scene, source: Source, number: int, members: Sequence[str], script: Script) -> list[str]:
    """Return the lines that make an optimizer, with all that it knew before the step."""
    constructor = _Constructor(source, number, script)
    known = {id(param): name for name, param in source.side.params().items()}
    groups, counters = [], []
    for index, group in enumerate(source.side.optimizers[number].param_groups):
        held = [known[id(param)] for param in group["params"] if known.get(id(param)) in members]
        if held:
            groups.append((held, constructor.arguments(scene, group)))
            counters += [
                f"optimizer.param_groups[{len(groups) - 1}][{code(name)}] = {code(value)}"
                for name, value in constructor.counters_of_group(index).items()
            ]
    held, arguments = groups[0]
    if len(groups) == 1:
        params = "list(params.values())" if len(held) == len(members) else _listed(held)
        lines = [f"optimizer = {constructor.expression}({params}, {literal(arguments)})"]
    else:
        rows = [f'    {{"params": {_listed(names)}, **{code(own)}}},' for names, own in groups]
        lines = ["groups = [", *rows, "]", f"optimizer = {constructor.expression}(groups, {literal(arguments)})"]
    if scene.stage == "zero_grad":
        return lines
    lines += [f"optimizer.{name} = {code(value)}" for name, value in constructor.counters().items()]
    return [*lines, *counters, *_state_lines(scene, source, members, script)]


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
        """Return the keyword arguments of a group, those at their defaults left out."""
        lr = scene.record.lr * self._source.side.of.lr_factor * group.get("lr_scale", 1.0)
        known = {**_settings(self._source.config), **self._attributes(), **group, "lr": lr}
        return {
            name: known[name]
            for name, default in self._defaults.items()
            if name in known and name != "params" and (name == "lr" or known[name] != default)
        }

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


def _listed(names: Sequence[str]) -> str:
    return "[" + ", ".join(f"params[{code(name)}]" for name in names) + "]"


def _state_lines(scene: Scene, source: Source, members: Sequence[str], script: Script) -> list[str]:
    """Keep what the optimizer remembered; return the lines that restore it."""
    numbers: list[str] = []
    tensors = False
    for (name, known_as), value in source.standpoint.state.items():
        if name not in members:
            continue
        fed = scene.record.before.optimizer.get((name, known_as))
        value = value if fed is None or fed.shape != value.shape else fed
        entry = _own_entry(source, name, known_as)
        kind = source.standpoint.number_kinds.get((name, known_as))
        if kind is not None:
            numbers.append(
                f"optimizer.state.setdefault(params[{code(name)}], {{}})[{code(entry)}] = {kind(value.item())!r}"
            )
        else:
            script.tensors[f"{source.name}.{name}.{entry}"] = value
            tensors = True
    return [*([f"restore(optimizer, params, {code(source.name)})"] if tensors else []), *numbers]


def _own_entry(source: Source, name: str, known_as: str) -> str:
    """Return what a side calls an entry of its state."""
    inverse = {(param, theirs): own for (param, own), theirs in source.side.entry_names.items()}
    return inverse.get((name, known_as), known_as)
