"""The script where a side cannot be imported: it compares what was recorded, and has a place for the candidate."""

from __future__ import annotations

from torch import Tensor

from trainloop.compare.key import title
from trainloop.compare.reproduction.scene import Reproduction, Scene
from trainloop.compare.reproduction.script import Script

WHAT = {
    "zero_grad": "clears the gradients grad.*; returns what is left of the gradient",
    "forward": "runs the model with the weights before.* on the images x; returns the tensor",
    "loss": "gets logits and labels; returns the loss",
    "backward": "runs the model with the weights before.* on x and labels, forward and backward; returns the gradient",
    "sync": "changes the gradients grad.*; returns the one that differs",
    "step": "updates the parameter param.* with its gradient grad.* and the state state.*; returns the tensor",
}


def recorded_script(scene: Scene, why: str) -> Reproduction:
    """Return a script that shows what was recorded.

    Args:
        scene: the sides may be missing.
        why: it does not run the two sides, for its head.
    """
    note = (
        f"{why} So this script runs neither side: it compares the results that were recorded. To judge a mended "
        "candidate, put a function in the marked place; the inputs of the stage are in TENSORS."
    )
    script = Script(note=note, tensors=_inputs(scene))
    script.constants += [
        f"# Inputs: {', '.join(_kinds(script.tensors))}",
        f"# {WHAT[scene.stage]} of shape {_shape(scene)}.",
        "candidate_of_yours = None  # <- put your function in here: TENSORS -> the tensor that differs",
    ]
    script.add_function(
        "reference", f"{title(scene.stage)}, as recorded.", ['return TENSORS.get("recorded.reference")']
    )
    script.add_function(
        "candidate",
        f"{title(scene.stage)}, by your function, or as recorded.",
        [
            "if candidate_of_yours is not None:",
            "    return candidate_of_yours(TENSORS)",
            'return TENSORS.get("recorded.candidate")',
        ],
    )
    return script.finish(scene)


def _kinds(tensors: dict[str, Tensor]) -> list[str]:
    return list(dict.fromkeys(f"{name.partition('.')[0]}.*" if "." in name else name for name in tensors))


def _shape(scene: Scene) -> tuple[int, ...]:
    shapes = [tuple(value.shape) for value in scene.recorded.values()]
    return shapes[0]


def _inputs(scene: Scene) -> dict[str, Tensor]:
    """Return what the stage got."""
    record, stage = scene.record, scene.stage
    before, batch = record.before, record.batch
    if stage == "loss":
        return {"logits": record.logits, "labels": batch.y}
    if stage in ("forward", "backward"):
        weights = {**before.params, **before.buffers}
        return {"x": batch.x, "labels": batch.y, **{f"before.{name}": value for name, value in weights.items()}}
    if stage == "step":
        name, grad = scene.key.name, record.grads_after("sync").get(scene.key.name)
        state = {f"state.{key[1]}": value for key, value in before.optimizer.items() if key[0] == name}
        return {"param": before.params[name], **({} if grad is None else {"grad": grad}), **state}
    grads = before.grads if stage == "zero_grad" else record.grads_after("backward")
    return {f"grad.{name}": grad for name, grad in grads.items() if grad is not None}
