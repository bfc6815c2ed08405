"""The script for ``sync``: both ways to clip, on all recorded gradients."""

from __future__ import annotations

from trainloop.compare.key import title
from trainloop.compare.reproduction.scene import Reproduction, Scene, Source
from trainloop.compare.reproduction.script import Script, code, describe, wrapped

PARAMETERS = '''
def parameters():
    """Return parameters with the gradients that the backward left; their own values do not matter."""
    found = {}
    for name in NAMES:
        found[name] = torch.nn.Parameter(torch.zeros_like(TENSORS[f"grad.{name}"]))
        found[name].grad = TENSORS[f"grad.{name}"].clone()
    return found
'''
TORCH, OWN = "torch.nn.utils", "trainloop.manual.clip"


def clipping_script(scene: Scene) -> Reproduction:
    """Return a script for ``sync``."""
    grads = {name: grad for name, grad in scene.record.grads_after("backward").items() if grad is not None}
    script = Script(helpers=[PARAMETERS], tensors={f"grad.{name}": grad for name, grad in grads.items()})
    script.constants.append(wrapped("NAMES", list(grads)))
    for source in (scene.reference, scene.candidate):
        assert source is not None
        lines = ["params = parameters()", *_calls(source, script), f"return params[{code(scene.key.name)}].grad"]
        script.add_function(source.name, describe(source, title(scene.stage)), lines)
    return script.finish(scene)


def _calls(source: Source, script: Script) -> list[str]:
    train = source.config.train
    asked = {"clip_grad_norm": train.clip_grad_norm, "clip_grad_value": train.clip_grad_value}
    module, ending = (TORCH, "_") if source.is_builtin("sync") else (OWN, "")
    lines = []
    for name, limit in asked.items():
        if limit is not None:
            script.add_import(f"from {module} import {name}{ending}")
            lines.append(f"{name}{ending}(params.values(), {limit!r})")
    return lines
