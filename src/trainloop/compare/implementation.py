"""One of the two ways to do a training step: how to build it, and a copy of it that runs.

An :class:`Implementation` is a recipe. A :class:`Side` is what it makes of one model: six stages and optimizers that hold this
model's parameters. A comparison makes several sides of one recipe: the one that is compared, another in float64, another
that goes its own way.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from trainloop.compare.key import Stage
from trainloop.compare.names import Names, match_entries
from trainloop.errors import TrainloopError, UsageError
from trainloop.stages import Stages

Built = tuple[Stages, Sequence[Any]]
OptimizerState = dict[tuple[str, str], Tensor]
"""(parameter, entry) → tensor, such as ("head.weight", "exp_avg")"""

REFERENCE, CANDIDATE = "reference", "candidate"


@dataclass(frozen=True)
class Implementation:
    """How to build one of the two.

    Args:
        name: ``reference`` or ``candidate``.
        title: what it is, in a few words.
        model: with the weights to start from; never run itself, but copied.
        build: (model, exact) → stages and optimizers over this model; ``exact`` asks for what works in float64 as well: the
            same formulas without reduced precision and without what is compiled for one dtype.
        parts: pieces that a batch is split into.
        device: where it runs.
        threads: CPU threads while it runs; None leaves the process's number.
        observable: its modules can be listened to; a compiled model's cannot.
        channels_last: memory format of the images; None leaves them as they come.
        names: how its parameters and modules are called on the reference side.
        optimizer_cases: makes it over a bag of parameters instead of a model, for the cases of ``cases.py``; None where
            there is no way.
        by_autograd: makes it with forward, loss and backward by autograd; None where there is no way.
        decays: its optimizer knows weight decay.
        lr_factor: its own lr divided by the reference's.
        other_kernels: stages in which float64 may be computed by other kernels than what it runs by.
    """

    name: str
    title: str
    model: nn.Module
    build: Callable[[nn.Module, bool], Built]
    parts: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    threads: int | None = None
    observable: bool = True
    channels_last: bool | None = None
    names: Names = field(default_factory=Names)
    optimizer_cases: Callable[[nn.Module, Mapping[str, Any]], Implementation] | None = None
    by_autograd: Callable[[], Implementation] | None = None
    decays: bool = True
    lr_factor: float = 1.0
    other_kernels: tuple[Stage, ...] = ()

    def side(self, model: nn.Module | None = None, *, dtype: torch.dtype | None = None, exact: bool = False) -> Side:
        """Build a side over a copy of a model.

        Args:
            model: to copy; None takes the start weights.
            dtype: to convert its floating-point tensors to.
            exact: see ``build``.

        Raises:
            TrainloopError: it cannot be built.
        """
        own = copy.deepcopy(self.model if model is None else model)
        device = self.device
        if exact and device.type == "mps":
            device = torch.device("cpu")  # mps has no float64
        own = own.to(device) if dtype is None else own.to(device, dtype)
        for param in own.parameters():
            param.grad = None
        stages, optimizers = self._built(own, exact)
        return Side(self, own, stages, list(optimizers), device)

    def _built(self, model: nn.Module, exact: bool) -> Built:
        try:
            return self.build(model, exact)
        except TrainloopError:
            raise
        except Exception as error:
            raise UsageError(
                f"the {self.name} cannot be built", where=self.title, found=f"{type(error).__name__}: {error}"
            ) from error


@dataclass
class Side:
    """An implementation over a model of its own.

    Args:
        of: what it was made by.
        model: in training mode.
        stages: the six.
        optimizers: together they have all parameters that learn.
        device: of the model.
        entry_names: (parameter, entry of the optimizer's state) → what the reference calls it.
    """

    of: Implementation
    model: nn.Module
    stages: Stages
    optimizers: list[Any]
    device: torch.device
    entry_names: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """``reference`` or ``candidate``."""
        return self.of.name

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Give it its number of threads while a block runs."""
        threads = torch.get_num_threads()
        if self.of.threads is None or self.of.threads == threads:
            yield
            return
        torch.set_num_threads(self.of.threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads)

    # What it holds, under the reference's names

    def params(self) -> dict[str, nn.Parameter]:
        """Return the parameters."""
        return {self.of.names.param(name): param for name, param in self.model.named_parameters()}

    def buffers(self) -> dict[str, Tensor]:
        """Return the buffers; those that a state dict leaves out too."""
        return {self.of.names.buffer(name): buffer for name, buffer in self.model.named_buffers()}

    def grads(self) -> dict[str, Tensor | None]:
        """Return the gradients of the parameters that learn."""
        return {name: param.grad for name, param in self.params().items() if param.requires_grad}

    def optimizer_state(self) -> OptimizerState:
        """Return what the optimizers remember, numbers as tensors."""
        names = {id(param): name for name, param in self.params().items()}
        found: OptimizerState = {}
        for optimizer in self.optimizers:
            for param, entries in list(_state_of(optimizer).items()):
                if id(param) not in names or not isinstance(entries, Mapping):
                    continue
                name = names[id(param)]
                for entry, value in entries.items():
                    known_as = self.entry_names.get((name, str(entry)), str(entry))
                    if isinstance(value, Tensor):
                        found[name, known_as] = value
                    elif _is_number(value):
                        found[name, known_as] = _as_tensor(float(value))
        return found

    def number_kinds(self) -> dict[tuple[str, str], type]:
        """Return int or float for the entries of the optimizers' state that are Python numbers."""
        names = {id(param): name for name, param in self.params().items()}
        return {
            (names[id(param)], self.entry_names.get((names[id(param)], str(entry)), str(entry))): type(value)
            for optimizer in self.optimizers
            for param, entries in _state_of(optimizer).items()
            if id(param) in names and isinstance(entries, Mapping)
            for entry, value in entries.items()
            if _is_number(value)
        }

    def learn_entry_names(self, reference: Mapping[tuple[str, str], Tensor]) -> None:
        """Find out how entries of the state are called on the reference side.

        Args:
            reference: its state; an entry of ours that it lacks keeps its name.
        """
        own = _shapes_by_param(self.optimizer_state())
        for name, theirs in _shapes_by_param(reference).items():
            for entry, known_as in match_entries(theirs, own.get(name, {})).items():
                if entry != known_as:
                    self.entry_names[name, entry] = known_as

    def clear_optimizer_state(self) -> None:
        """Let the optimizers stand before their first step."""
        for optimizer in self.optimizers:
            _state_of(optimizer).clear()

    def set_optimizer_state(
        self,
        values: Mapping[tuple[str, str], Tensor],
        *,
        create: bool = False,
        kinds: Mapping[tuple[str, str], type] | None = None,
    ) -> None:
        """Overwrite entries of the optimizers' state, where the bits differ.

        Args:
            values: by (parameter, entry).
            create: make entries that are not there yet; otherwise those are passed over.
            kinds: int or float for those to be made that are Python numbers.
        """
        params = self.params()
        own_names = {(name, known_as): entry for (name, entry), known_as in self.entry_names.items()}
        owners = {
            id(param): optimizer
            for optimizer in self.optimizers
            for group in optimizer.param_groups
            for param in group["params"]
        }
        for (name, entry), value in values.items():
            param = params.get(name)
            owner = owners.get(id(param))
            if param is None or owner is None:
                continue
            state = _state_of(owner)
            if param not in state:
                if not create:
                    continue
                state[param] = {}
            own_name, kind = own_names.get((name, entry), entry), (kinds or {}).get((name, entry))
            if create and kind is not None:
                state[param].setdefault(own_name, kind(0))
            _set_entry(state[param], own_name, value, param, create=create)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _as_tensor(number: float) -> Tensor:
    """Return a Python number in float32, as torch's optimizers keep their counts, if this loses nothing."""
    single = torch.tensor(number, dtype=torch.float32)
    return single if single.item() == number else torch.tensor(number, dtype=torch.float64)


def _shapes_by_param(state: Mapping[tuple[str, str], Tensor]) -> dict[str, dict[str, torch.Size]]:
    shapes: dict[str, dict[str, torch.Size]] = {}
    for (name, entry), tensor in state.items():
        shapes.setdefault(name, {})[entry] = tensor.shape
    return shapes


def _set_entry(entries: dict[str, Any], entry: str, value: Tensor, param: Tensor, *, create: bool) -> None:
    known = entries.get(entry)
    if isinstance(known, Tensor):
        if known.shape == value.shape:
            with torch.no_grad():
                known.copy_(value)
    elif isinstance(known, (int, float)):
        entries[entry] = type(known)(value.item())
    elif create and known is None:
        # The count of steps keeps its dtype, as in torch's state dicts; what has the parameter's shape has its dtype.
        own_dtype = value.is_floating_point() and entry != "step" and value.shape == param.shape
        entries[entry] = value.clone().to(param.device if value.dim() else value.device)
        if own_dtype:
            entries[entry] = entries[entry].to(param.dtype)


def _state_of(optimizer: Any) -> dict[Any, Any]:
    state: dict[Any, Any] = getattr(optimizer, "state", {})
    return state


def plain_attributes(optimizer: Any) -> dict[str, Any]:
    """Return what an optimizer of somebody's own counts outside of its state: numbers, texts and flags."""
    return plain_values(vars(optimizer))


def plain_values(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries that are a number, a text, a flag or None."""
    plain = (bool, int, float, str, type(None))
    return {name: value for name, value in entries.items() if isinstance(value, plain)}
