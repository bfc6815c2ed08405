"""What a run will cost, before it runs: shapes, parameters, FLOPs, memory, time.

Shapes and FLOPs come from one forward pass, memory from the tensors that autograd keeps, time from a few real training
steps on the real device. Everything is done to a copy of the run that is thrown away.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from trainloop.build import build_training
from trainloop.config.schema import RunConfig
from trainloop.data.pipeline import Batch
from trainloop.device import device_name, set_knobs
from trainloop.loop.step import train_step
from trainloop.loop.trainer import Training
from trainloop.manual.optim import OPTIMIZERS
from trainloop.models import parameter_count
from trainloop.stages.param_groups import divide

WARM_UP_STEPS = 2
TIMED_STEPS = 5
MAX_TIMED_SECONDS = 20.0


@dataclass(frozen=True)
class Layer:
    """One module without children.

    Args:
        name: as in ``named_modules``.
        kind: class name.
        output_shape: of a whole batch.
        parameters: number of its own.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class Estimate:
    """The cost of a run.

    Args:
        model: its name.
        device: in words.
        layers: in the order in which the forward pass calls them.
        parameter_names: names and shapes, for optimizer.groups.
        parameters: number of parameters.
        trainable: those that learn.
        forward_flops: of one image; a multiplication with its addition counts as two.
        weights_bytes: parameters and buffers.
        gradient_bytes: of the parameters that learn.
        state_bytes: what the optimizer remembers.
        activation_bytes: what autograd keeps of one batch (or of one part of it) for the backward pass.
        data_bytes: images on the device.
        step_seconds: median of the timed steps.
        timed_steps: how many steps were timed.
        total_steps: of the run.
    """

    model: str
    device: str
    layers: tuple[Layer, ...]
    parameter_names: tuple[tuple[str, tuple[int, ...]], ...]
    parameters: int
    trainable: int
    forward_flops: int
    weights_bytes: int
    gradient_bytes: int
    state_bytes: int
    activation_bytes: int
    data_bytes: int
    step_seconds: float
    timed_steps: int
    total_steps: int

    @property
    def train_flops(self) -> int:
        """Return the FLOPs of one image in training: forward, and about twice as much backward."""
        return 3 * self.forward_flops

    @property
    def total_bytes(self) -> int:
        """Return the sum of the parts; what the kernels need in passing comes on top."""
        parts = (self.weights_bytes, self.gradient_bytes, self.state_bytes, self.activation_bytes, self.data_bytes)
        return sum(parts)

    @property
    def train_seconds(self) -> float:
        """Return the time of all steps; evaluations come on top."""
        return self.step_seconds * self.total_steps


def estimate(config: RunConfig, plugins: Sequence[Path], announce: Callable[[str], None]) -> Estimate:
    """Build the run that a config describes, measure it, and throw it away.

    Args:
        config: validated.
        plugins: files of the user's own that may be imported.
        announce: told in one line what takes time.

    Raises:
        TrainloopError: what building the run raises.
    """
    set_knobs(config)
    training, dataset = build_training(config, announce, plugins)
    batch = next(training.epoch_batches(0))
    model = training.model
    layers = trace_layers(model, batch)
    forward_flops = count_flops(model, batch) // batch.x.shape[0]
    activation_bytes = count_saved_bytes(training, batch)
    seconds = time_steps(training, batch)
    learning = [param for param in model.parameters() if param.requires_grad]
    return Estimate(
        model=config.model.name,
        device=f"{training.device} · {device_name(training.device)} · {torch.get_num_threads()} threads",
        layers=layers,
        parameter_names=tuple((name, tuple(param.shape)) for name, param in model.named_parameters()),
        parameters=parameter_count(model),
        trainable=sum(param.numel() for param in learning),
        forward_flops=forward_flops,
        weights_bytes=sum(num_bytes(tensor) for tensor in [*model.parameters(), *model.buffers()]),
        gradient_bytes=sum(num_bytes(param) for param in learning),
        state_bytes=count_state_bytes(model, config),
        activation_bytes=activation_bytes,
        data_bytes=num_bytes(dataset.train.images),
        step_seconds=statistics.median(seconds),
        timed_steps=len(seconds),
        total_steps=training.span.total_steps,
    )


def count_state_bytes(model: nn.Module, config: RunConfig) -> int:
    """Return the bytes that the optimizer will remember, from what it begins with."""
    total = 0
    for share in divide(model, config.optimizer):
        optimizer = OPTIMIZERS[share.name](share.groups, **share.settings)
        for group in optimizer.param_groups:
            states = [optimizer.init_state(param.data.to("meta"), group) for param in group["params"]]
            total += sum(num_bytes(tensor) for state in states for tensor in state.values())
    return total


def trace_layers(model: nn.Module, batch: Batch) -> tuple[Layer, ...]:
    """Return the modules without children in the order in which a forward pass calls them."""
    layers: list[Layer] = []
    hooks = []
    for name, module in model.named_modules():
        if next(module.children(), None) is None:
            hooks.append(module.register_forward_hook(_recorder(name, layers)))
    try:
        in_evaluation(model, batch)
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(layers)


def _recorder(name: str, layers: list[Layer]) -> Callable[..., None]:
    def record(module: nn.Module, _inputs: object, output: object) -> None:
        shape = tuple(output.shape) if isinstance(output, Tensor) else ()
        own = sum(param.numel() for param in module.parameters(recurse=False))
        layers.append(Layer(name, type(module).__name__, shape, own))

    return record


@torch.no_grad()
def in_evaluation(model: nn.Module, batch: Batch) -> None:
    """Run a forward pass that changes neither buffers nor the random stream."""
    was_training = model.training
    model.eval()
    try:
        model(batch.x)
    finally:
        model.train(was_training)


def count_flops(model: nn.Module, batch: Batch) -> int:
    """Return the FLOPs of one forward pass over a batch, convolutions and matrix products alone, as torch counts them."""
    counter = FlopCounterMode(display=False)
    with counter:
        in_evaluation(model, batch)
    return int(counter.get_total_flops())


def count_saved_bytes(training: Training, batch: Batch) -> int:
    """Return the bytes of the distinct tensors that autograd keeps between forward and backward, weights left out."""
    weights = {param.untyped_storage().data_ptr() for param in training.model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    part = -(-batch.x.shape[0] // training.parts)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = training.stages.loss(training.stages.forward(batch.x[:part]), batch.y[:part], 1)
    del loss
    return sum(kept.values())


def time_steps(training: Training, batch: Batch) -> list[float]:
    """Return the seconds of a few training steps on one batch, after a warm-up."""
    seconds: list[float] = []
    while len(seconds) < WARM_UP_STEPS + TIMED_STEPS and (len(seconds) < 2 or sum(seconds) < MAX_TIMED_SECONDS):
        began = time.perf_counter()
        train_step(training.stages, batch, training.parts, training.lr(0)).loss.item()
        seconds.append(time.perf_counter() - began)
    # Very slow steps leave no room for a warm-up; the last one is then the best there is.
    return seconds[WARM_UP_STEPS:] or seconds[-1:]


def num_bytes(tensor: Tensor) -> int:
    """Return the bytes of a tensor's elements."""
    return tensor.numel() * tensor.element_size()
