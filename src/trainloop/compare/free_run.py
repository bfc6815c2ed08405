"""Each side on its own: the candidate goes its own way from the first step on where its bits differ."""

from __future__ import annotations

from trainloop.compare.evidence import Standpoint, forked
from trainloop.compare.guard import SideError, called
from trainloop.compare.implementation import Implementation, Side
from trainloop.compare.key import Key
from trainloop.compare.measure import largest, largest_gap
from trainloop.compare.record import StepRecord, differentiate
from trainloop.compare.verdict import FreeRun


class FreeRunner:
    """Note losses and distances of two runs that start alike.

    As long as every bit agreed, the candidate in lock-step is also the candidate on its own way, so there is nothing to run.

    Args:
        candidate: its recipe.
    """

    def __init__(self, candidate: Implementation) -> None:
        self._candidate = candidate
        self._side: Side | None = None
        self._reference_losses: list[float] = []
        self._candidate_losses: list[float] = []
        self._distances: list[float] = []
        self.failure = ""

    def follow(self, record: StepRecord, candidate: tuple[Side, Standpoint], *, same: bool) -> None:
        """Take the step that the reference took.

        Args:
            record: of the reference.
            candidate: the candidate in lock-step, and where it stood before the step.
            same: all bits of this step agreed in lock-step.
        """
        loss = record.outputs["loss"][Key("loss")]
        assert loss is not None
        self._reference_losses.append(loss.item())
        if self._side is None and same:
            self._candidate_losses.append(loss.item())
            self._distances.append(0.0)
            return
        if self.failure:
            return
        try:
            if self._side is None:
                self._side = forked(self._candidate, candidate[0], record.before, candidate[1])
            self._candidate_losses.append(self._step(self._side, record))
            self._distances.append(self._distance(self._side, record))
        except SideError as error:
            self.failure = f"on its own way the candidate failed at step {record.step}: {error.what}"
        finally:
            record.random_after.rewind()

    def result(self) -> FreeRun:
        """Return what was noted."""
        return FreeRun(tuple(self._reference_losses), tuple(self._candidate_losses), tuple(self._distances))

    @staticmethod
    def _step(side: Side, record: StepRecord) -> float:
        record.random.rewind()
        with side.running():
            called(side, "zero_grad", side.stages.zero_grad)
            passed = differentiate(side, record.batch, side.of.parts, listen=False)
            called(side, "sync", side.stages.sync)
            called(side, "step", side.stages.step, record.lr * side.of.lr_factor)
        return passed.loss.item()

    @staticmethod
    def _distance(side: Side, record: StepRecord) -> float:
        distance = 0.0
        for name, param in side.params().items():
            reference = record.outputs["step"].get(Key("param", name))
            if reference is not None and (scale := largest(reference)):
                distance = max(distance, largest_gap(reference, param.detach()) / scale)
        return distance
