"""The comparison from Python: a training step of your own as an object, ``compare``, and an assertion for tests.

reference = TrainingStep(model, partial(torch.optim.AdamW, lr=1e-3, foreach=False))
candidate = TrainingStep(model, partial(MyAdamW, lr=1e-3))
verdict = compare(reference, candidate, [(x, labels)] * 5)
assert verdict.passed, verdict.reason
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainloop.compare.cases import DECAYED
from trainloop.compare.implementation import CANDIDATE, REFERENCE, Built, Implementation
from trainloop.compare.key import STAGES, Stage
from trainloop.compare.names import match_models
from trainloop.compare.pipeline import Extras, finish
from trainloop.compare.run import Comparison, Settings
from trainloop.compare.screen import as_text
from trainloop.compare.verdict import Verdict
from trainloop.data.pipeline import Batch
from trainloop.errors import UsageError
from trainloop.manual import RULES, Tape
from trainloop.manual.rule import RuleTable
from trainloop.stages import Stages

Batches = Iterable[Batch | tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class TrainingStep:
    """A training step: a model and what happens to it.

    Args:
        model: with the weights to start from; copied, never changed.
        optimizer: parameters or groups of them → an optimizer with ``step()``, ``param_groups`` and ``state``, as those of
            ``torch.optim`` and of ``trainloop.manual.optim``.
        loss: (output, labels) → mean loss, shape ().
        backward: loss → nothing, fills ``param.grad``; None takes ``loss.backward()``, or the tape's.
        tape: record forward and loss on a tape of this project and walk it backward, instead of autograd.
        rules: of the tape.
        clip: parameters → nothing, changes their gradients before the update.
        parts: pieces that a batch is split into; their gradients add up.
        title: what it is called in reports.
    """

    model: nn.Module
    optimizer: Callable[[Any], Any]
    loss: Callable[[Any, Any], Tensor] = F.cross_entropy
    backward: Callable[[Tensor], None] | None = None
    tape: bool = False
    rules: RuleTable | None = None
    clip: Callable[[Sequence[nn.Parameter]], object] | None = None
    parts: int = 1
    title: str = ""

    def implementation(self, name: str) -> Implementation:
        """Return the recipe that a comparison builds sides from.

        Args:
            name: ``reference`` or ``candidate``.
        """
        device = next((param.device for param in self.model.parameters()), torch.device("cpu"))
        return Implementation(
            name,
            self.title or self._own_title(),
            self.model,
            self._build,
            parts=self.parts,
            device=device,
            optimizer_cases=lambda bag, changes: self._over_bag(name, bag, changes),
            decays=self._decays(),
            by_autograd=lambda: dataclasses.replace(self, tape=False, backward=None).implementation(name),
        )

    def _build(self, model: nn.Module, _exact: bool) -> Built:
        params = [param for param in model.parameters() if param.requires_grad]
        return self._stages(model, self.optimizer(params))

    def _stages(self, model: nn.Module, optimizer: Any) -> Built:
        params = [param for param in model.parameters() if param.requires_grad]
        tape = Tape(rules=self.rules or RULES)
        peak_lrs = [group.get("lr", 1.0) for group in optimizer.param_groups]

        def forward(x: Tensor) -> Tensor:
            if not self.tape:
                return model(x)  # type: ignore[no-any-return]
            tape.clear()
            with tape:
                return model(x)  # type: ignore[no-any-return]

        def loss(output: Tensor, labels: Tensor, share: float) -> Tensor:
            if not self.tape:
                return self._share(self.loss(output, labels), share)
            with tape:
                return self._share(self.loss(output, labels), share)

        def step(lr: float) -> None:
            for group, peak in zip(optimizer.param_groups, peak_lrs, strict=True):
                group["lr"] = peak * lr
            optimizer.step()

        backward = self.backward or (tape.backward if self.tape else Tensor.backward)
        clip = self.clip

        def sync() -> None:
            if clip is not None:
                clip(params)

        zero_grad = getattr(optimizer, "zero_grad", model.zero_grad)
        return Stages(zero_grad, forward, loss, backward, sync, step), [optimizer]

    @staticmethod
    def _share(mean: Tensor, share: float) -> Tensor:
        return mean if share == 1 or not isinstance(mean, Tensor) else mean * share

    def _over_bag(self, name: str, bag: nn.Module, changes: Mapping[str, Any]) -> Implementation:
        """Return the same optimizer over the parameters of the optimizer cases, in two groups."""

        def build(own: nn.Module, _exact: bool) -> Built:
            halves: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
            for param_name, param in own.named_parameters():
                halves[not param_name.startswith(DECAYED)].append(param)
            optimizer = self.optimizer([{"params": half} for half in halves])
            first, second = optimizer.param_groups
            if "weight_decay" in first:
                first["weight_decay"] = (
                    (first["weight_decay"] or changes["weight_decay"]) if changes["weight_decay"] else 0.0
                )
                second["weight_decay"] = 0.0
            if "lr" in second:
                second["lr"] = 0.5 * second["lr"]
            return self._stages(own, optimizer)

        return Implementation(name, self.title, bag, build, device=next(bag.parameters()).device)

    def _decays(self) -> bool:
        optimizer = self._trial()
        return optimizer is not None and "weight_decay" in optimizer.param_groups[0]

    def _own_title(self) -> str:
        optimizer = self._trial()
        name = "an optimizer" if optimizer is None else type(optimizer).__name__
        return f"{type(self.model).__name__}, {name}{', on a tape' if self.tape else ''}"

    def _trial(self) -> Any:
        """Return the optimizer over one small parameter; None if it cannot be built like that."""
        with contextlib.suppress(Exception):
            return self.optimizer([nn.Parameter(torch.zeros(2, 2))])
        return None


def compare(
    reference: TrainingStep | Implementation,
    candidate: TrainingStep | Implementation,
    batches: Batches,
    *,
    steps: int | None = None,
    lr: Callable[[int], float] = lambda _: 1.0,
    stages: Sequence[Stage] = STAGES,
    exact: bool = False,
    cases: bool = True,
    timeout_s: float | None = 120.0,
    timing_budget_s: float = 0.0,
    reproduction: Path | None = None,
) -> Verdict:
    """Compare two training steps over some batches.

    Args:
        reference: what is right.
        candidate: what is to be judged; starts from the reference's weights.
        batches: (x, labels) pairs or ``Batch`` objects, one a step.
        steps: how many of them; None takes all.
        lr: step (from 0) → factor on the optimizers' own lr.
        stages: those that are compared.
        exact: every bit counts; otherwise differences are held against float64 and measured noise.
        cases: also run steps that tell known variants apart (``cases.py``).
        timeout_s: how long one call of a stage may take; None for ever.
        timing_budget_s: measure the times of both for about as long if they are equal; 0 measures nothing.
        reproduction: folder to make if they are different, with the recorded tensors and a script; None makes none.

    Returns:
        The verdict; ``verdict.passed`` and ``verdict.reason`` are its short form.

    Raises:
        UsageError: there is no batch, a side cannot be built, or the parameters of the two models cannot be matched.
    """
    began = time.perf_counter()
    one, two = _implementation(reference, REFERENCE), _implementation(candidate, CANDIDATE)
    if two.model is not one.model:
        two = dataclasses.replace(two, names=match_models(one.model, two.model))
    listed = itertools.islice(_as_batches(batches), steps)
    first = next(listed, None)
    if first is None:
        raise UsageError("there is no batch to compare on", where="batches", expected="at least one (x, labels)")
    chosen = tuple(stage for stage in STAGES if stage in stages)
    settings = Settings(2**62 if steps is None else steps, chosen, exact, cases, timeout_s)
    comparison = Comparison(one, two, settings)
    comparison.run(itertools.chain([first], listed), lr)
    return finish(comparison, first, lr(0), Extras(timing_budget_s, reproduction), began)


def assert_same_step(
    reference: TrainingStep | Implementation,
    candidate: TrainingStep | Implementation,
    batches: Batches,
    **options: Any,
) -> Verdict:
    """Fail a test unless two training steps are equal, bit for bit or up to rounding.

    Args:
        reference: see :func:`compare`.
        candidate: likewise.
        batches: likewise.
        options: likewise.

    Returns:
        the verdict.

    Raises:
        AssertionError: they are different, or it is inconclusive; the message is the whole report.
    """
    verdict = compare(reference, candidate, batches, **options)
    if not verdict.passed:
        raise AssertionError("\n" + as_text(verdict))
    return verdict


def _implementation(step: TrainingStep | Implementation, name: str) -> Implementation:
    return step.implementation(name) if isinstance(step, TrainingStep) else step


def _as_batches(batches: Batches) -> Iterator[Batch]:
    for number, batch in enumerate(batches):
        if isinstance(batch, Batch):
            yield batch
            continue
        x, labels = batch
        yield Batch(x, labels, torch.arange(len(labels)) + number * len(labels))
