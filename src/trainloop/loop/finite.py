"""The check between the backward and the update: are the loss and every gradient finite?

The quick look costs one norm a gradient, and one number read from the device. Only when that number is not finite are
the tensors looked through, in the order in which a step makes them: the weights it begins with, the images, the outputs of
the modules, the loss, and the gradients from the last parameter to the first, as a backward makes them.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainloop.data.pipeline import Batch
from trainloop.errors import NonFiniteError
from trainloop.loop.events import StepNotFinite
from trainloop.loop.step import StepResult, split
from trainloop.random_state import RandomState

MAX_SKIPPED_IN_A_ROW = 20
"""updates that may be left out one after the other, by ``train.on_nonfinite: skip`` or by the gradient scaler"""
SHOWN_SAMPLES = 8


@dataclass(frozen=True)
class NotFinite:
    """The first tensor of a step that holds a NaN or an infinity.

    Args:
        stage: that made it: ``forward``, ``loss`` or ``backward``; ``data`` for an image; ``step`` for a weight, which the
            update before has left so.
        tensor: its name in words.
        found: how many of its values are NaN, and how many infinite.
        rows: places in the batch of the images it is about, where it is about some of them.
    """

    stage: str
    tensor: str
    found: str
    rows: tuple[int, ...] = ()


class FiniteCheck:
    """Say whether an update may be made.

    Args:
        model: whose gradients are looked at.
        forward: images → logits, of this run.
        scaled: a gradient scaler leaves out updates by itself, so gradients that are not finite are no fault of the run.
        skipping: the run goes on when this check leaves out an update; the buffers are kept to be put back.
        skipped_in_a_row: updates left out at the end of what was run before.
    """

    def __init__(
        self,
        model: nn.Module,
        forward: Callable[[Tensor], Tensor],
        *,
        scaled: bool = False,
        skipping: bool = False,
        skipped_in_a_row: int = 0,
    ) -> None:
        self.skipped_in_a_row = skipped_in_a_row
        self.passed = True
        self._model = model
        self._forward = forward
        self._scaled = scaled
        self._params = [param for param in model.parameters() if param.requires_grad]
        self._kept = self._buffers() if skipping else None

    @torch.no_grad()
    def __call__(self, result: StepResult) -> bool:
        """Return whether the update may be made, and keep the answer as ``passed``.

        Args:
            result: of forward and loss; the gradients are in ``param.grad``.
        """
        grads = [param.grad for param in self._params if param.grad is not None]
        if all_finite([result.loss, *grads]):
            self.skipped_in_a_row, self.passed = 0, True
        else:
            self.skipped_in_a_row += 1
            # The scaler finds the same gradients, leaves out the update and lowers its scale.
            self.passed = self._scaled and all_finite([result.loss]) and not self.exhausted
        if self.passed and self._kept is not None:
            self._kept = self._buffers()
        return self.passed

    @property
    def exhausted(self) -> bool:
        """Say whether too many updates in a row have been left out."""
        return self.skipped_in_a_row >= MAX_SKIPPED_IN_A_ROW

    @torch.no_grad()
    def look(self, batch: Batch, result: StepResult, parts: int) -> NotFinite:
        """Find the first tensor that is not finite, after a step that did not pass.

        Args:
            batch: of the step.
            result: of the step.
            parts: that the batch was split into.
        """
        named = dict(self._model.named_parameters())
        for name, param in named.items():
            if not all_finite([param]):
                return NotFinite("step", f"parameter {name}", counts(param))
        if not all_finite([batch.x]):
            return NotFinite("data", "the images", counts(batch.x), bad_rows(batch.x))
        if not all_finite([result.logits]):
            return self._first_output(batch, parts) or NotFinite(
                "forward", "the logits", counts(result.logits), bad_rows(result.logits)
            )
        if not all_finite([result.loss]):
            return NotFinite("loss", "the loss", f"{result.loss.item()}, of finite logits")
        for name, param in reversed(named.items()):
            if param.grad is not None and not all_finite([param.grad]):
                return NotFinite("backward", f"gradient of {name}", counts(param.grad))
        raise AssertionError("a step that did not pass has something that is not finite")

    @torch.no_grad()
    def put_buffers_back(self) -> None:
        """Bring the buffers, such as the statistics of batch norms, to where they were before the step."""
        for buffer, kept in zip(self._model.buffers(), self._kept or (), strict=True):
            buffer.copy_(kept)

    def _buffers(self) -> list[Tensor]:
        return [buffer.detach().clone() for buffer in self._model.buffers()]

    def _first_output(self, batch: Batch, parts: int) -> NotFinite | None:
        """Run the forward again, and return the first output of a module that is not finite.

        None where the second run does not show it, as with dropout, or inside a compiled model.
        """
        found: list[NotFinite] = []
        began = 0
        for x_NCHW, labels, _ in split(batch, parts):
            with _watched(self._model, began, found), _undisturbed(self._model, x_NCHW.device):
                self._forward(x_NCHW)
            if found:
                return found[0]
            began += labels.shape[0]
        return None


@torch.no_grad()
def all_finite(tensors: list[Tensor]) -> bool:
    """Say whether no tensor holds a NaN or an infinity.

    Args:
        tensors: floating-point, one at least, all on one device, of any shapes.
    """
    # A sum or a norm of finite values may overflow, so only a finite number is a verdict.
    quick = torch.stack(torch._foreach_norm(tensors)).sum().item()
    return math.isfinite(quick) or all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


def not_finite_error(event: StepNotFinite, *, in_a_row: int) -> NonFiniteError:
    """Return the error that ends a run.

    Args:
        event: the step.
        in_a_row: steps without an update up to this one, itself included.
    """
    many = in_a_row >= MAX_SKIPPED_IN_A_ROW
    return NonFiniteError(
        f"{in_a_row} steps in a row met a value that is not finite, so training stopped"
        if many
        else "a value is not finite any more, so training stopped before the update",
        where=f"step {event.step}, epoch {event.epoch}, stage {event.stage}",
        found=f"{event.tensor}: {event.found}; lr {event.lr:g}; training images {listed(event.images)}",
        expected="finite numbers",
        help="nothing of this step is saved; try a smaller optimizer.lr, a warm-up (schedule.warmup_epochs) or "
        f"train.clip_grad_norm{'' if many else '; train.on_nonfinite=skip passes over such steps'}",
    )


def epoch_without_update(epoch: int) -> NonFiniteError:
    """Return the error for an epoch in which no step made an update."""
    return NonFiniteError(
        "every step of an epoch met a value that is not finite, so training stopped",
        where=f"epoch {epoch}",
        expected="one update an epoch at least",
        help="the lines `nonfinite` of metrics.jsonl tell of each step",
    )


def listed(samples: Sequence[int]) -> str:
    """Return positions of images, the first of them where there are many."""
    shown = ", ".join(map(str, samples[:SHOWN_SAMPLES]))
    more = len(samples) - SHOWN_SAMPLES
    return f"{shown} and {more:,} more (all of them in metrics.jsonl)" if more > 0 else shown


def counts(tensor: Tensor) -> str:
    """Return how many values are NaN and how many infinite, in words."""
    nans, infinities = int(tensor.isnan().sum()), int(tensor.isinf().sum())
    parts = [f"{nans:,} NaN" if nans else "", f"{infinities:,} infinite" if infinities else ""]
    return f"{' and '.join(part for part in parts if part)} of {tensor.numel():,} values"


def bad_rows(tensor: Tensor, began: int = 0) -> tuple[int, ...]:
    """Return which rows hold a NaN or an infinity, counted from ``began``; nothing if all of them do."""
    bad = (~torch.isfinite(tensor)).flatten(1).any(dim=1)
    return () if bad.all() else tuple((bad.nonzero().flatten() + began).tolist())


@contextlib.contextmanager
def _watched(model: nn.Module, began: int, found: list[NotFinite]) -> Iterator[None]:
    """Take note of each output of a module that is not finite, in the order in which they are made."""

    def hook_of(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and output.is_floating_point() and not all_finite([output]):
                label = f"output of {name or 'the model'}, shape {tuple(output.shape)}"
                rows = bad_rows(output, began) if output.ndim > 1 else ()
                found.append(NotFinite("forward", label, counts(output), rows))

        return hook

    handles = [module.register_forward_hook(hook_of(name)) for name, module in model.named_modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def _undisturbed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Put random streams and buffers back at the end."""
    streams, buffers = RandomState(device), [(buffer, buffer.clone()) for buffer in model.buffers()]
    yield
    streams.rewind()
    for buffer, content in buffers:
        buffer.copy_(content)
