"""Scripts for the stages of an optimizer: ``step`` and ``zero_grad``, with the parameter that differs or with all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from trainloop.compare.key import title
from trainloop.compare.reproduction.optimizers import optimizer_lines, own_entry
from trainloop.compare.reproduction.scene import Reproduction, Scene, Source
from trainloop.compare.reproduction.script import Script, code, describe, wrapped

FAST_FORMS = {
    "foreach": ("trainloop.manual.optim.foreach", "ForeachForm"),
    "compiled": ("trainloop.manual.optim.compiled", "CompiledForm"),
}

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
        script.constants.append(wrapped("NAMES", names))
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
        members = [name for name in _held(source, optimizer) if name in names]
        if not members:
            continue
        lines += optimizer_lines(scene, source, number, names, script)
        if scene.key.name not in members:
            lines.append(f"{_step_call(source, script)}")
            continue
        entry = own_entry(source, scene.key.name, scene.key.entry)
        result = "params[NAME].detach()"
        if scene.key.kind == "state":
            result = f"torch.as_tensor(optimizer.state[params[NAME]][{code(entry)}])"
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
        call = [*optimizer_lines(scene, source, 0, names, script), "optimizer.zero_grad()"]
    else:
        call = ["for param in params.values():  # what model.zero_grad() does", "    param.grad = None"]
    lines = [*call, "grad = params[NAME].grad"]
    if scene.record.outputs["backward"].get(scene.key) is not None:
        # The comparison takes them for equal, too.
        lines.append("if grad is not None and not grad.any():")
        lines.append("    grad = None  # zeros are as good as None where the backward adds to them")
    return [*lines, "return grad"]


def members_of(source: Source) -> list[str]:
    """Return the names of the parameters that learn, group by group."""
    return [name for optimizer in source.side.optimizers for name in _held(source, optimizer)]


def _held(source: Source, optimizer: Any) -> list[str]:
    known = {id(param): name for name, param in source.side.params().items()}
    return [known[id(param)] for group in optimizer.param_groups for param in group["params"] if id(param) in known]
