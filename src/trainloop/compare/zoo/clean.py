"""Pairs that are the same in different words: a comparison that calls one of them different raises a false alarm."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from trainloop.compare.api import TrainingStep
from trainloop.compare.implementation import CANDIDATE
from trainloop.compare.zoo.fault import Pair, Side, formulas
from trainloop.compare.zoo.faults_of_kernels import by_algorithm
from trainloop.compare.zoo.faults_of_losses import one_hot_mse
from trainloop.compare.zoo.nets import BATCH_SIZE, batches, cnn, dropout_net, mlp, plain_cnn, residual_net
from trainloop.config.schema import ModelConfig
from trainloop.manual import RULES, losses
from trainloop.manual.clip import clip_grad_norm
from trainloop.manual.conv import CONV2D
from trainloop.manual.optim import OPTIMIZERS, Optimizer
from trainloop.manual.optim.compiled import CompiledForm
from trainloop.manual.optim.fast import FastForm
from trainloop.manual.optim.foreach import ForeachForm
from trainloop.models import MODELS, build_model

SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9, foreach=False)
LR = 0.01
FORMS: dict[str, type[FastForm]] = {"foreach": ForeachForm, "compiled": CompiledForm}
VISION = {"squeezenet1_1": 17, "shufflenet_v2_x0_5": 32, "mobilenet_v3_small": 32, "mnasnet0_5": 32, "resnet18": 32}
"""networks of torchvision → the side of the images"""
OWN_SIDE = 16


@dataclass(frozen=True)
class Clean:
    """Two steps that are the same.

    Args:
        name: what is compared.
        make: builds both.
        short: belongs to the short form of the self-test.
        threads: that the comparison runs on; None leaves the process's number.
    """

    name: str
    make: Callable[[], Pair]
    short: bool = False
    threads: int | None = 1


class InForm:
    """An optimizer that steps by one of its fast forms.

    Args:
        form: the form's class.
        optimizer: keeps groups and state.
    """

    def __init__(self, form: type[FastForm], optimizer: Optimizer) -> None:
        self.param_groups, self.state = optimizer.param_groups, optimizer.state
        self.zero_grad = optimizer.zero_grad
        self.step = form(optimizer).step


def clean_pairs() -> Iterator[Clean]:
    """Yield all of them."""
    for name in OPTIMIZERS:
        yield from _of_optimizer(name)
    yield from _SAME
    for name in CONV2D:
        yield from _of_convolution(name)
    for name in MODELS:
        yield Clean(
            f"{name}: autograd and the tape", partial(_own_model, name), name in ("small_cnn", "resnet20"), None
        )
    for name, side in VISION.items():
        yield Clean(f"{name}: autograd and the tape", partial(_vision, name, side), name == "squeezenet1_1")


# Optimizers


def _of_optimizer(name: str) -> Iterator[Clean]:
    ours, settings = OPTIMIZERS[name], rich_settings(name)
    twin = _twin(name, settings)
    if name != "muon":  # torch's rounds to bfloat16 whatever it is given, so it is not the same
        loop = partial(ours, **settings)
        yield Clean(f"{name}: torch's and the loop", lambda: _over_net(name, twin, loop), short=True)
    if ours.capturable_reason is not None or name in ("adafactor", "muon"):
        return  # works on whole tensors, so there is no fast form
    for title, form in FORMS.items():

        def in_form(params: Any, form: type[FastForm] = form) -> InForm:
            return InForm(form, ours(params, **settings))

        short = name == "sgd" or (name, title) == ("adamw", "foreach")
        yield Clean(f"{name}: torch's and the {title} form", partial(_over_net, name, twin, in_form), short)


def rich_settings(name: str) -> dict[str, Any]:
    """Return settings of an optimizer that switch on as much as go together."""
    options = OPTIMIZERS[name].options
    settings: dict[str, Any] = {"lr": LR}
    for option, values in options.items():
        tried = {**settings, option: values[-1] if option not in ("betas", "step_sizes") else values[0]}
        probe = [nn.Parameter(torch.zeros(2, 2))]
        try:
            OPTIMIZERS[name](probe, **tried)
            _twin(name, tried)(probe)
        except ValueError:
            continue
        settings = tried
    return settings


def _twin(name: str, settings: dict[str, Any]) -> Callable[[Any], Any]:
    make: Callable[..., Any] = getattr(torch.optim, OPTIMIZERS[name].__name__)
    return partial(make, **settings) if name == "muon" else partial(make, foreach=False, **settings)


def _over_net(name: str, reference: Callable[[Any], Any], candidate: Callable[[Any], Any]) -> Pair:
    net = mlp(bias=False) if name == "muon" else cnn()
    return Pair(TrainingStep(net, reference), TrainingStep(net, candidate))


# Convolutions


def _of_convolution(name: str) -> Iterator[Clean]:
    """Yield a network for each algorithm that it can do alone, and one whose strides it may leave to the library."""
    for net, order in ((plain_cnn, name), (cnn, f"{name},aten")):
        if name == "aten" and net is cnn:
            continue
        title = "autograd and the tape with stages.conv"
        yield Clean(
            f"{title}={order}", partial(by_algorithm, order, net=net), short=net is plain_cnn and name != "loops"
        )


# Whole networks


def _on_tape(model: nn.Module, data: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> Pair:
    reference = TrainingStep(model, SGD)
    return Pair(reference, dataclasses.replace(reference, tape=True), data, cases=False)


def _own_model(name: str) -> Pair:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(
            ModelConfig(name=name, args={"width": 16} if name == "resnet18" else {}),  # a quarter as wide
            num_classes=5,
            image_shape=(3, OWN_SIDE, OWN_SIDE),
            train_images=None,
            mean=(0.5, 0.5, 0.5),
            std=(0.25, 0.25, 0.25),
        )
    return _on_tape(model, batches(1, side=OWN_SIDE, size=2))


def _vision(name: str, side: int) -> Pair:
    import torchvision  # takes its time

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = torchvision.models.get_model(name, num_classes=5)
    return _on_tape(model, batches(1, side=side, size=2))


# The same step in other words


def _tape(net: Callable[[], nn.Module], *, formula: bool = False, loss: Callable[..., Any] = F.cross_entropy) -> Pair:
    step = TrainingStep(net(), SGD, loss=loss)
    return Pair(step, dataclasses.replace(step, tape=True, rules=formulas(RULES) if formula else None))


def _forms(net: Callable[[], nn.Module]) -> Pair:
    step = TrainingStep(net(), SGD, tape=True)
    return Pair(step, dataclasses.replace(step, rules=formulas(RULES)))


def _in_parts() -> Pair:
    step = TrainingStep(plain_cnn(), SGD)
    return Pair(step, dataclasses.replace(step, parts=BATCH_SIZE // 2))


def _with(net: Callable[[], nn.Module], **changes: Any) -> Pair:
    step: Side = TrainingStep(net(), SGD)
    assert isinstance(step, TrainingStep)
    return Pair(step, dataclasses.replace(step.implementation(CANDIDATE), **changes), batches(size=64))


def _channels_last() -> Pair:
    step = TrainingStep(cnn(), SGD)
    made = step.implementation(CANDIDATE)
    last = cnn().to(memory_format=torch.channels_last)
    return Pair(step, dataclasses.replace(made, model=last, channels_last=True))


def _clipping(max_norm: float) -> Pair:
    step = TrainingStep(mlp(), SGD, clip=partial(torch.nn.utils.clip_grad_norm_, max_norm=max_norm, foreach=False))
    return Pair(step, dataclasses.replace(step, clip=partial(clip_grad_norm, max_norm=max_norm)))


def _losses(right: Callable[..., Any], ours: Callable[..., Any]) -> Pair:
    step = TrainingStep(mlp(), SGD, loss=right)
    return Pair(step, dataclasses.replace(step, loss=ours))


_SAME: tuple[Clean, ...] = (
    Clean("convolutions and norm: autograd and the tape", partial(_tape, cnn), short=True),
    Clean("shortcut: autograd and the tape", partial(_tape, residual_net), short=True),
    Clean("dropout: autograd and the tape", partial(_tape, dropout_net), short=True),
    Clean("dropout: autograd and the formulas", partial(_tape, dropout_net, formula=True), short=True),
    Clean("convolutions and norm: the library's kernels and the formulas", partial(_forms, cnn), short=True),
    Clean("poolings: the library's kernels and the formulas", partial(_forms, plain_cnn), short=True),
    Clean("one batch and three parts", _in_parts, short=True),
    Clean("as many threads, and one", partial(_with, cnn, threads=1), threads=None),
    Clean("contiguous and channels_last", _channels_last, short=True),
    Clean("torch's clipping and ours, of long gradients", partial(_clipping, 0.1), short=True),
    Clean("torch's clipping and ours, of short gradients", partial(_clipping, 1e6), short=True),
    Clean(
        "torch's smoothed cross entropy and ours",
        partial(
            _losses,
            partial(F.cross_entropy, label_smoothing=0.1),
            partial(losses.cross_entropy, label_smoothing=0.1),
        ),
        short=True,
    ),
    Clean(
        "torch's squared error and ours",
        partial(_losses, one_hot_mse(F.mse_loss), one_hot_mse(losses.mse_loss)),
        short=True,
    ),
)
