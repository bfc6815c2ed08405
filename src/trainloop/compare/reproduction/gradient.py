"""Scripts for ``forward``, ``loss`` and ``backward``."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch

from trainloop.compare.key import Key, title
from trainloop.compare.reproduction.scene import Reproduction, Scene, Source
from trainloop.compare.reproduction.script import Script, code, describe
from trainloop.models.plugin import is_plugin_name
from trainloop.own_kernel import kernel_files
from trainloop.plugin import load_function
from trainloop.stages.context import USUAL_CONV

RESTORED = '''
def restored(net@NAMES@):
    """Give a network the recorded parameters, buffers and gradients."""
    with torch.no_grad():
        for name, tensor in [*net.named_parameters(), *net.named_buffers()]:
            tensor.copy_(TENSORS[f"before.{@NAME@}"])
    for name, param in net.named_parameters():
        if f"grad.{@NAME@}" in TENSORS:
            param.grad = TENSORS[f"grad.{@NAME@}"].clone()
    return net
'''
FED = '{name.removeprefix("fed."): value for name, value in TENSORS.items() if name.startswith("fed.")}'


def loss_script(scene: Scene) -> Reproduction:
    """Return a script for ``loss``: both sides on the recorded logits."""
    script = Script(tensors={"logits": scene.record.logits, "labels": scene.record.batch.y})
    for source in _sources(scene):
        lines = _loss_lines(source, script)
        if source.is_builtin("loss"):
            body = ['logits, labels = TENSORS["logits"], TENSORS["labels"]']
        else:
            body = ['logits, labels = TENSORS["logits"].clone().requires_grad_(), TENSORS["labels"]']
        if scene.record.parts > 1:
            body = [f"{body[0]}", "losses = []", *_over_parts(source, "logits", [*lines, "losses.append(loss)"])]
            body.append("return torch.stack(losses).sum().detach()")
        else:
            body = [*body, *lines, "return loss.detach()"]
        if not source.is_builtin("loss"):
            body[:0] = _tape_lines(source, script)
        script.add_function(source.name, describe(source, title(scene.stage)), body)
    return script.finish(scene)


def gradient_script(scene: Scene, *, feed: bool) -> Reproduction:
    """Return a script for ``forward`` or ``backward``: both sides from the recorded weights and batch.

    Args:
        scene: with both sides.
        feed: put the recorded output in the place of that of each module, as the comparison does; otherwise what one module
            rounds differently reaches those after it.
    """
    note = (
        "Each module gets what the reference's module before it returned, so that nothing is inherited." if feed else ""
    )
    script = Script(note=note)
    record = scene.record
    # Their order in memory is the script's business, see _moved and _images_lines.
    script.tensors |= {"x": record.batch.x.contiguous(), "labels": record.batch.y}
    script.tensors |= {
        f"before.{name}": value.contiguous()
        for name, value in {**record.before.params, **record.before.buffers}.items()
    }
    grads = record.grads_after("zero_grad")
    script.tensors |= {f"grad.{name}": value for name, value in grads.items() if value is not None}
    if feed:
        script.tensors |= {f"fed.{name}": value for name, value in record.activations().items()}
        script.tensors["logits"] = record.logits
        script.constants.append(f"FED = {FED}")
    renamed = any(source.side.of.names.params or source.side.of.names.buffers for source in _sources(scene))
    helper = RESTORED.replace("@NAMES@", ", names={}" if renamed else "")
    script.helpers.append(helper.replace("@NAME@", "names.get(name, name)" if renamed else "name"))
    draws = _random_lines(scene, script)
    for source in _sources(scene):
        lines = [*_network_lines(scene, source, script), *draws, *_images_lines(scene, source)]
        script.add_function(
            source.name, describe(source, title(scene.stage)), [*lines, *_pass_lines(scene, source, script, feed=feed)]
        )
    return script.finish(scene)


def _sources(scene: Scene) -> tuple[Source, Source]:
    assert scene.reference is not None
    assert scene.candidate is not None
    return scene.reference, scene.candidate


def _network_lines(scene: Scene, source: Source, script: Script) -> list[str]:
    config, record = source.config.model, scene.record
    num_classes, shape = record.logits.shape[1], tuple(record.batch.x.shape[1:])
    name = source.plugins.model or config.name
    names = {**source.side.of.names.params, **source.side.of.names.buffers}
    if is_plugin_name(name):
        given: dict[str, Any] = dict(config.args)
        if "num_classes" in inspect.signature(load_function(name, "model.name")).parameters:
            given["num_classes"] = num_classes
        made = f"{script.own(name)}({', '.join(f'{key}={code(value)}' for key, value in given.items())})"
        lines = [f"net = {made}"]
    else:
        script.add_import("from trainloop.config.schema import ModelConfig")
        script.add_import("from trainloop.models import build_model")
        arguments = f", args={code(config.args)}" if config.args else ""
        lines = [
            f"config = ModelConfig(name={code(config.name)}{arguments})",
            f'images = {{"image_shape": {shape}, "mean": (0.0,) * {shape[0]}, "std": (1.0,) * {shape[0]}}}',
            f"net = build_model(config, num_classes={num_classes}, train_images=None, **images)",
        ]
    lines.append(f"net = restored(net{_moved(source)}.train(){f', {code(names)}' if names else ''})")
    if source.config.train.compile:
        lines.append("net = torch.compile(net)")
    return lines


def _moved(source: Source) -> str:
    device = "" if source.side.device.type == "cpu" else f".to({str(source.side.device)!r})"
    return device + (".to(memory_format=torch.channels_last)" if source.config.train.channels_last else "")


def _images_lines(scene: Scene, source: Source) -> list[str]:
    layout = ".contiguous(memory_format=torch.channels_last)" if source.config.train.channels_last else ".clone()"
    if scene.stage == "forward" and scene.record.parts == 1:
        return [f'x = TENSORS["x"]{layout}']
    return [f'x, labels = TENSORS["x"]{layout}, TENSORS["labels"]']


def _random_lines(scene: Scene, script: Script) -> list[str]:
    """Keep the place of the random streams, if forward or backward drew from them; return what goes there."""
    record = scene.record
    record.random.rewind()
    if record.random_after_gradient.is_now():
        return []
    script.tensors["random_state"] = torch.get_rng_state()
    lines = ['torch.set_rng_state(TENSORS["random_state"].cpu())  # for dropout']
    device = scene.differing.reference[0].device
    if device.type != "cpu":
        script.tensors["random_state_of_device"] = torch.get_device_module(device).get_rng_state(device)
        module = f"torch.get_device_module({device.type!r})"
        lines.append(f'{module}.set_rng_state(TENSORS["random_state_of_device"].cpu())')
    return lines


def _pass_lines(scene: Scene, source: Source, script: Script, *, feed: bool) -> list[str]:
    parts, forward_only = scene.record.parts, scene.stage == "forward"
    lines = [*_forward_lines(scene, source, script, feed=feed)]
    if not forward_only:
        lines += [
            *_loss_lines(source, script),
            "loss.backward()" if source.is_builtin("loss") else "tape.backward(loss)",
        ]
    result, per_part = _result(scene, source)
    start = [] if source.is_builtin("forward") else _tape_lines(source, script)
    if parts == 1:
        return [*start, *lines, f"return {result}"]
    if per_part:
        body = _over_parts(source, "x", [*lines, f"found.append({result})"])
        return [*start, "found = []", *body, "return torch.cat(found)"]
    return [*start, *_over_parts(source, "x", lines), f"return {result}"]


def _forward_lines(scene: Scene, source: Source, script: Script, *, feed: bool) -> list[str]:
    contexts = []
    if scene.key.kind == "activation" or feed:
        script.add_import("from trainloop.compare.activations import Activations")
        modules = {own: source.side.of.names.module(own) for own, _ in source.side.model.named_modules()}
        renamed = {own: theirs for own, theirs in modules.items() if own != theirs}
        rename = f", rename=lambda name: {code(renamed)}.get(name, name)" if renamed else ""
        contexts.append(f"Activations(net{', FED' if feed else ''}{rename}) as seen")
    if not source.is_builtin("forward"):
        contexts.append("tape")
    elif source.config.train.precision == "bf16":
        contexts.append(f"torch.autocast({code(source.side.device.type)}, dtype=torch.bfloat16)")
    lines = ["logits = net(x)"]
    if contexts:
        lines = [f"with {', '.join(contexts)}:", "    logits = net(x)"]
    if feed and scene.stage != "forward":
        script.add_import("from trainloop.compare.activations import put")
        lines.append('put(logits, TENSORS["logits"])')
    return lines


def _result(scene: Scene, source: Source) -> tuple[str, bool]:
    """Return the expression of the tensor that differs, and whether each part of a batch gives a piece of it."""
    key: Key = scene.key
    params, buffers = source.side.of.names.params, source.side.of.names.buffers
    if key.kind == "activation":
        return f"seen.outputs[{code(key.name)}]", True
    if key.kind == "logits":
        return "logits.detach()", True
    names = buffers if key.kind == "buffer" else params
    own = {theirs: ours for ours, theirs in names.items()}.get(key.name, key.name)
    return (
        (f"net.get_buffer({code(own)})", False)
        if key.kind == "buffer"
        else (f"net.get_parameter({code(own)}).grad", False)
    )


def _loss_lines(source: Source, script: Script) -> list[str]:
    """Return the lines from ``logits`` and ``labels`` to ``loss``."""
    smoothing = source.config.train.label_smoothing
    if source.plugins.loss:
        call = f"{script.own(source.plugins.loss)}(logits, labels)"
    else:
        script.add_import("import torch.nn.functional as F")
        call = f"F.cross_entropy(logits, labels{f', label_smoothing={smoothing}' if smoothing else ''})"
    if source.config.train.accumulation_steps > 1:
        call += " * share"
    if source.is_builtin("loss"):
        half = source.config.train.precision == "bf16"
        return [*(["logits = logits.float()"] if half else []), f"loss = {call}"]
    return ["with tape:", f"    loss = {call}"]


def _tape_lines(source: Source, script: Script) -> list[str]:
    rules = ""
    if source.plugins.rule:
        script.add_import("from trainloop.compare.plugins import load_rules")
        rules = f"{{**RULES, **load_rules({code(source.plugins.rule)})}}"
    lines = []
    if source.config.stages.conv != USUAL_CONV:
        lines, rules = _choice_lines(source.config.stages.conv, script), f"with_convolution({rules or 'RULES'}, choice)"
    script.add_import(f"from trainloop.manual import {'RULES, ' if rules else ''}Tape")
    return [*lines, f"tape = Tape(form={code(source.config.stages.rules)}{f', rules={rules}' if rules else ''})"]


def _choice_lines(conv: str, script: Script) -> list[str]:
    """Return the lines that make ``choice``, which says what does each convolution."""
    script.add_import("from trainloop.manual.conv import CONV2D")
    script.add_import("from trainloop.manual.conv.choice import Choice")
    script.add_import("from trainloop.manual.rules.conv_chosen import with_convolution")
    lines, own = [f"order = {code(conv)}"], ""
    if files := kernel_files(conv):
        script.add_import("from trainloop.own_kernel import own_convolutions")
        lines.append(f"own = own_convolutions(order, [{', '.join(f'Path({code(str(file))})' for file in files)}])")
        own = ", **own"
    return [*lines, f"choice = Choice(order, {{**CONV2D{own}}})"]


def _over_parts(source: Source, chunked: str, lines: Sequence[str]) -> list[str]:
    """Return a loop over the parts of a batch."""
    parts = source.side.of.parts
    return [
        "rows = len(labels)",
        f"for {chunked}, labels in zip({chunked}.chunk({parts}), labels.chunk({parts}), strict=True):",
        "    share = len(labels) / rows",
        *(f"    {line}" for line in lines),
    ]
