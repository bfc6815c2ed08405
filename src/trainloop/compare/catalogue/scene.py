"""What a known deviation gets to see, and what it is."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trainloop.compare.catalogue.calls import (
    Backward,
    Deviating,
    Forward,
    Kind,
    Listening,
    right_backward,
    right_forward,
)
from trainloop.compare.catalogue.observed import Observed
from trainloop.compare.evidence import forked
from trainloop.compare.guard import SideError
from trainloop.compare.judge import floor_of
from trainloop.compare.key import Key, Stage
from trainloop.compare.replay import replay
from trainloop.tolerance import ROUNDING_FACTOR

if TYPE_CHECKING:
    from trainloop.compare.run import Differing

Predicted = Mapping[Key, Tensor | None]
"""tensors of a stage that a deviation would have produced; what is left out it leaves as the reference has it"""


MAX_EXACT_SIZE = 60_000_000
"""elements of all activations: a small network and a large batch, some seconds in float64"""


@dataclass
class Scene:
    """One recorded step in which a stage differs.

    Args:
        differing: the step with both sides.
        stage: the stage that differs.
    """

    differing: Differing
    stage: Stage

    @cached_property
    def kinds(self) -> frozenset[Kind]:
        """Return the kinds of operations that the reference's model and its loss call."""
        side, record = self.differing.reference[0], self.differing.record
        model = copy.deepcopy(side.model)
        dtype = next(param.dtype for param in model.parameters())
        with torch.random.fork_rng(devices=[]), Listening() as listening:
            model(record.batch.x[:2].to(side.device, dtype))
        return frozenset({*listening.kinds, "cross_entropy"})

    @cached_property
    def reference(self) -> dict[Key, Tensor | None]:
        """Return what the reference produced; in float64 where that was computed."""
        record, evidence = self.differing.record, self.differing.evidence
        exact = evidence.oracle.get(self.stage, {}) if evidence is not None else {}
        return {key: self._best(exact.get(key), value) for key, value in record.outputs[self.stage].items()}

    @cached_property
    def candidate(self) -> dict[Key, Tensor | None]:
        """Return what the candidate produced; in float64 where that was computed."""
        evidence = self.differing.evidence
        exact = evidence.twin.get(self.stage, {}) if evidence is not None else {}
        found = self.differing.outputs.get(self.stage, {})
        return {key: self._best(exact.get(key), value) for key, value in found.items()}

    @cached_property
    def observed(self) -> dict[Key, Observed]:
        """Return the change of every tensor that both sides have."""
        reference, candidate = self.reference, self.candidate
        return {
            key: Observed(one, candidate[key], ROUNDING_FACTOR * self.floor(key))
            for key, one in reference.items()
            if key in candidate
        }

    def floor(self, key: Key) -> float:
        """Return what rounding explains of a tensor, in the precision that the two above have."""
        evidence, record = self.differing.evidence, self.differing.record
        floor = floor_of(record, self.stage, key, evidence)
        if self.dtype == torch.float64 and evidence is not None and key in evidence.twin.get(self.stage, {}):
            return floor * torch.finfo(torch.float64).eps / torch.finfo(torch.float32).eps
        return floor

    @cached_property
    def dtype(self) -> torch.dtype:
        """Return what deviations are carried out in: float64, or what the run has where float64 would take too long."""
        size = sum(value.numel() for value in self.differing.record.activations().values())
        return torch.float64 if size <= MAX_EXACT_SIZE else torch.float32

    def rerun(self, mode: Deviating) -> Predicted | None:
        """Return what the reference produces with some operations deviating, on the recorded inputs; None if it cannot be run.

        Args:
            mode: on while forward and loss run.
        """
        side, standpoint = self.differing.reference
        if side.of.by_autograd is None:
            return None
        of = side.of.by_autograd()
        fork = forked(of, side, self.differing.record.before, standpoint, dtype=self.dtype, exact=True)
        forward, loss = fork.stages.forward, fork.stages.loss

        def deviating_forward(x: Tensor) -> Tensor:
            with mode:
                return forward(x)

        def deviating_loss(logits: Tensor, labels: Tensor, share: float) -> Tensor:
            with mode:
                return loss(logits, labels, share)

        fork.stages = dataclasses.replace(fork.stages, forward=deviating_forward, loss=deviating_loss)
        if self.stage == "forward":
            fork.stages = dataclasses.replace(fork.stages, backward=lambda _: None)
        try:
            return replay(fork, self.differing.record, (self.stage,)).outputs[self.stage]
        except SideError:
            return None

    @staticmethod
    def _best(exact: Tensor | None, value: Tensor | None) -> Tensor | None:
        if exact is not None and value is not None and exact.shape == value.shape:
            return exact.double()
        return None if value is None else value.double()


@dataclass(frozen=True)
class Deviation:
    """One thing that people get wrong.

    Args:
        name: in words that name the mistake.
        stage: where it acts.
        predict: what the reference would have produced with this mistake; None where it cannot be made, for instance
            for want of weight decay. Several ways to make one mistake are tried one after the other.
    """

    name: str
    stage: Stage
    predict: Sequence[Callable[[Scene], Predicted | None]]


def deviation(name: str, stage: Stage, *predict: Callable[[Scene], Predicted | None]) -> Deviation:
    """Return a deviation that can be made in one or more ways."""
    return Deviation(name, stage, predict)


def call_deviation(
    name: str, stage: Stage, kind: Kind, *, forward: Forward = right_forward, backward: Backward = right_backward
) -> Deviation:
    """Return a deviation that is a mistake in operations of one kind; it acts only where the model has some."""

    def predict(scene: Scene) -> Predicted | None:
        return scene.rerun(Deviating(kind, forward, backward)) if kind in scene.kinds else None

    return deviation(name, stage, predict)
