"""Between a run and what is saved of it: take its state apart into named tensors and numbers, and put it back.

Names are those of the model's parameters, so that the state fits whichever implementation of a stage goes on with it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from trainloop.checkpoint import random_streams
from trainloop.checkpoint.layout import Best, Facts, Machine, Position, Resumed, Saved
from trainloop.errors import CheckpointError
from trainloop.loop.progress import Progress
from trainloop.loop.trainer import Training

Scalar = float | int | bool

SCALARS = frozenset({"step", "eta", "mu", "mu_product"})
"""entries of an optimizer's state that hold one number"""
FACTORS = {"row_var": -1, "col_var": -2}
"""entries with the parameter's shape but for one axis, which they have one of"""


@dataclasses.dataclass(frozen=True)
class Origin:
    """What a run is, whatever state it is in.

    Args:
        config: every value of its config.
        machine: what decides about bits besides.
        data_digest: of its images.
        plugins: SHA-256 of each file of the user's own, by its name.
    """

    config: dict[str, Any]
    machine: Machine
    data_digest: str
    plugins: dict[str, str]


def capture(
    training: Training,
    progress: Progress,
    origin: Origin,
    *,
    metrics_bytes: int,
    best: Best | None = None,
    convolutions: Mapping[str, dict[str, str]] | None = None,
    resumed: Sequence[Resumed] = (),
) -> Saved:
    """Return the state of a run; its tensors are those of the run, so they are to be written before the next step.

    Args:
        training: the run.
        progress: how far it is.
        origin: what it is.
        metrics_bytes: length of its metrics file.
        best: the best epoch so far.
        convolutions: which algorithm did each convolution so far.
        resumed: where the run was taken up again.
    """
    streams, random_numbers = random_streams.captured(training.device)
    tensors = {f"model/{name}": tensor for name, tensor in model_tensors(training).items()}
    numbers: dict[str, dict[str, Scalar]] = {}
    for name, entries in optimizer_entries(training):
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{name}/{key}"] = value
            elif value is not None:
                numbers.setdefault(name, {})[key] = value
    if training.average is not None:
        tensors |= {
            f"average/{name}": mean for name, mean in zip(_names(training), training.average.means, strict=True)
        }
    tensors |= {f"random/{name}": stream for name, stream in streams.items()}
    facts = Facts(
        schema_version=1,
        position=Position(**dataclasses.asdict(progress)),
        config=origin.config,
        machine=origin.machine,
        data_digest=origin.data_digest,
        plugins=origin.plugins,
        metrics_bytes=metrics_bytes,
        strides={},
        optimizer_numbers=numbers,
        scaler=dict(training.scaler.state_dict()) if training.scaler is not None else None,
        random=random_numbers,
        best=best,
        convolutions={**(convolutions or {}), **training.convolutions()},
        resumed=list(resumed),
    )
    return Saved(tensors, facts)


def restore(training: Training, saved: Saved) -> Progress:
    """Bring a run that has just been built to the place where another was saved.

    Args:
        training: not one step of it has been made.
        saved: its tensors are not used by anybody else afterwards.

    Returns:
        how far the run is.

    Raises:
        CheckpointError: the checkpoint is of another model or optimizer; nothing has been changed then.
    """
    parts = _by_kind(saved)
    require_same(model_tensors(training), parts["model"], "the model")
    means = dict(zip(_names(training), training.average.means, strict=True)) if training.average is not None else {}
    require_same(means, parts["average"], "the mean of the weights (train.ema_decay)")
    states = _optimizer_states(training, parts["optimizer"], saved.facts.optimizer_numbers)
    for name, tensor in model_tensors(training).items():
        tensor.data = parts["model"][name].to(tensor.device)
    if training.average is not None:
        training.average.means = [parts["average"][name].to(training.device) for name in _names(training)]
    try:
        for optimizer, state in zip(training.optimizers, states, strict=True):
            # The groups are those of this run's config; only what each parameter remembers comes from the checkpoint.
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        if training.scaler is not None and saved.facts.scaler is not None:
            training.scaler.load_state_dict(dict(saved.facts.scaler))
        random_streams.restore(parts["random"], saved.facts.random, training.device)
    except (ValueError, TypeError, RuntimeError, KeyError, IndexError, OverflowError) as error:
        raise CheckpointError(
            "this checkpoint does not fit the run", found=str(error), expected="the state of this optimizer"
        ) from error
    return Progress(**saved.facts.position.model_dump())


def model_tensors(training: Training) -> dict[str, Tensor]:
    """Return every parameter and buffer by name, each once."""
    return {**dict(training.model.named_parameters()), **dict(training.model.named_buffers())}


def optimizer_entries(training: Training) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield what the optimizers remember of each parameter, by its name."""
    names = {param: name for name, param in training.model.named_parameters()}
    for optimizer in training.optimizers:
        for group in optimizer.param_groups:
            for param in group["params"]:
                if optimizer.state.get(param):
                    yield names[param], optimizer.state[param]


def require_same(here: Mapping[str, Tensor], saved: Mapping[str, Tensor], what: str) -> None:
    """Refuse tensors of other names, shapes or dtypes.

    Raises:
        CheckpointError: names the first that differs.
    """
    for name in [*here, *saved]:
        found = _described(saved.get(name))
        expected = _described(here.get(name))
        if found != expected:
            raise CheckpointError(
                f"this checkpoint is not of {what} that the config describes",
                where=name,
                found=f"in the checkpoint: {found}",
                expected=f"in this run: {expected}",
                help="use the config that the run was started with",
            )


def _described(tensor: Tensor | None) -> str:
    return "nothing" if tensor is None else f"{tuple(tensor.shape)} {tensor.dtype}".replace("torch.", "")


def _names(training: Training) -> list[str]:
    return [name for name, _ in training.model.named_parameters()]


def _by_kind(saved: Saved) -> dict[str, dict[str, Tensor]]:
    found: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}, "average": {}, "random": {}}
    for name, tensor in saved.tensors.items():
        kind, _, rest = name.partition("/")
        if kind not in found:
            raise CheckpointError("this checkpoint holds a tensor of no known kind", found=name)
        found[kind][rest] = tensor
    return found


def _optimizer_states(
    training: Training, tensors: Mapping[str, Tensor], numbers: Mapping[str, Mapping[str, Scalar]]
) -> list[dict[int, dict[str, Any]]]:
    """Return for each optimizer what it is to remember, by the parameter's number, as its ``load_state_dict`` has it."""
    entries: dict[str, dict[str, Any]] = {name: dict(values) for name, values in numbers.items()}
    for key, tensor in tensors.items():
        name, _, entry = key.rpartition("/")
        entries.setdefault(name, {})[entry] = tensor
    names = {param: name for name, param in training.model.named_parameters()}
    states = []
    for optimizer in training.optimizers:
        params = [param for group in optimizer.param_groups for param in group["params"]]
        state = {number: entries.pop(names[p]) for number, p in enumerate(params) if names[p] in entries}
        named = [names[param] for param in params]
        _require_alike(state, params, named)
        _require_shapes(state, params, named)
        states.append(state)
    if entries:
        raise CheckpointError(
            "this checkpoint has optimizer state for parameters that this run does not train",
            found=", ".join(sorted(entries)[:3]),
            expected=f"some of the {len(names)} parameters of the model",
        )
    return states


def _require_alike(state: Mapping[int, Mapping[str, Any]], params: Sequence[Tensor], names: Sequence[str]) -> None:
    """Refuse a state in which one parameter has entries that another lacks; matrices may have others than vectors."""
    first: dict[bool, Mapping[str, Any]] = {}
    for number, entries in state.items():
        expected = first.setdefault(params[number].dim() >= 2, entries)
        if entries.keys() != expected.keys():
            raise CheckpointError(
                "the optimizer state in this checkpoint is not whole",
                where=names[number],
                found=", ".join(entries) or "nothing",
                expected=", ".join(expected),
            )


def _require_shapes(state: Mapping[int, Mapping[str, Any]], params: Sequence[Tensor], names: Sequence[str]) -> None:
    """Refuse entries of another shape or kind than those of these parameters; torch itself takes them, and fails later."""
    for number, entries in state.items():
        param = params[number]
        for key, value in entries.items():
            expected = _entry_shape(key, param)
            if isinstance(value, Tensor) and (value.shape != expected or not value.is_floating_point()):
                raise CheckpointError(
                    "the optimizer state in this checkpoint is not of this model",
                    where=f"{names[number]}, {key}",
                    found=f"in the checkpoint: {_described(value)}",
                    expected=f"in this run: {tuple(expected)} {param.dtype}".replace("torch.", ""),
                    help="use the config that the run was started with",
                )


def _entry_shape(key: str, param: Tensor) -> tuple[int, ...]:
    """Return the shape of an entry of the optimizer's state."""
    if key in SCALARS:
        return ()
    shape = list(param.shape)
    if key in FACTORS and len(shape) >= 2:
        shape[FACTORS[key]] = 1
    return tuple(shape)
