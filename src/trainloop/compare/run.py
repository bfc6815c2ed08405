"""Compare two implementations of a training step: the reference runs, the candidate replays each of its steps stage by stage.

    verdict = compare(reference, candidate, batches, steps=20)

Two ways of running at once. In *lock-step* every stage of the candidate gets the reference's inputs (``replay.py``), so an
error is seen where it is made. *Free-running*, from the first step where bits differ on, another copy of the candidate goes its
own way, and the distance between the two is noted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from trainloop.compare.cases import OPTIMIZER_CASES, batch_cases, observe_updates, optimizer_sides
from trainloop.compare.evidence import Evidence, Standpoint, gather
from trainloop.compare.free_run import FreeRunner
from trainloop.compare.guard import DEFAULT_TIMEOUT_S, SideError, TimeLimit
from trainloop.compare.implementation import Implementation, Side
from trainloop.compare.judge import Judged, floor_of, judge
from trainloop.compare.key import GRADIENT_STAGES, STAGES, Key, Stage, title
from trainloop.compare.measure import Difference, difference, largest, largest_gap
from trainloop.compare.record import Outputs, StepRecord, observe
from trainloop.compare.replay import SHARED, Replayed, replay
from trainloop.compare.tally import Tally, has_nan, unequal
from trainloop.data.pipeline import Batch
from trainloop.random_state import RandomState
from trainloop.report.weights import weights_sha256
from trainloop.tolerance import ROUNDING_FACTOR

MAX_EVIDENCE = 3
"""steps of one case that get an oracle whatever they show; later ones get one if they show more than those did"""


@dataclass(frozen=True)
class Settings:
    """What a comparison does.

    Args:
        steps: of the run's own batches.
        stages: those that are compared.
        exact: every bit counts.
        cases: run the discriminating cases too.
        timeout_s: how long one stage may take; None for ever.
    """

    steps: int = 20
    stages: tuple[Stage, ...] = STAGES
    exact: bool = False
    cases: bool = True
    timeout_s: float | None = DEFAULT_TIMEOUT_S


@dataclass
class Differing:
    """The step that settled the verdict, kept whole so that its cause can be looked for and shown.

    Args:
        record: of the reference.
        judged: the first tensor that is different.
        outputs: of the candidate.
        reference: the side, and where it stood before the step.
        candidate: likewise.
        evidence: for this step; None if every bit counted.
        stages: those that are different.
    """

    record: StepRecord
    judged: Judged
    outputs: Outputs
    reference: tuple[Side, Standpoint]
    candidate: tuple[Side, Standpoint]
    evidence: Evidence | None
    stages: tuple[Stage, ...]


@dataclass
class Comparison:
    """A comparison that goes on, and after it what it found.

    Args:
        reference: one implementation.
        candidate: the other.
        settings: what to do.
        announce: told in one line what takes time.
    """

    reference: Implementation
    candidate: Implementation
    settings: Settings
    announce: Callable[[str], None] = lambda _: None
    tally: Tally = field(init=False)
    differing: list[Differing] = field(default_factory=list)
    optimizer_steps: list[Differing] = field(default_factory=list)
    """every step of the optimizer cases whose update differs: many small ones tell variants apart that one would not"""
    remarks: dict[str, None] = field(default_factory=dict)
    failure: str = ""
    steps: int = 0
    cases: list[str] = field(default_factory=list)
    weights_digest: str = ""
    free: FreeRunner = field(init=False)
    _at: tuple[str, int] = ("config", 1)
    """case and step that run now"""
    _evidence_of_case: dict[str, int] = field(default_factory=dict)
    _settled: set[tuple[bool, Stage]] = field(default_factory=set)
    """(on the run's own batches, stage) that are different"""
    _known_floors: dict[tuple[Stage, Key], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with nothing found."""
        self.tally = Tally(self.settings.stages)
        self.free = FreeRunner(self.candidate)

    def run(self, batches: Iterable[Batch], lr: Callable[[int], float]) -> None:
        """Compare all steps and all cases; what goes wrong in a stage ends the comparison and is kept as ``failure``."""
        TimeLimit.seconds = self.settings.timeout_s
        try:
            self._run(batches, lr)
        except SideError as error:
            case, step = self._at
            where = "" if case == "config" else f" ({case})"
            self.failure = f"step {step} · {title(error.stage)} · {error.side}: {error.what}{where}"

    def _run(self, batches: Iterable[Batch], lr: Callable[[int], float]) -> None:
        reference, candidate = self.reference.side(), self.candidate.side()
        for number, batch in zip(range(self.settings.steps), batches, strict=False):
            if number == 0 and self.settings.cases:
                with _streams_untouched(reference):
                    self._run_cases(batch, lr(0))
            self._at = ("config", number + 1)
            standpoints = Standpoint.of(reference), Standpoint.of(candidate)
            record = observe(reference, batch, lr(number), case="config", step=number + 1)
            same = self._compare(record, (reference, standpoints[0]), (candidate, standpoints[1]))
            self.free.follow(record, (candidate, standpoints[1]), same=same)
            self.steps = number + 1
        self.weights_digest = weights_sha256(reference.model)

    def _run_cases(self, batch: Batch, lr: float) -> None:
        if "step" in self.settings.stages or "sync" in self.settings.stages:
            sides = optimizer_sides(self.reference, self.candidate, self.reference_lr(lr))
            if sides is None:
                self.remarks["the optimizer cases were left out: one side takes no parameters without a model"] = None
            else:
                self.cases.append(OPTIMIZER_CASES)
                self._at = (OPTIMIZER_CASES, 1)
                for standpoints, record in _with_standpoints(sides.reference, sides.candidate, observe_updates(sides)):
                    one, two = standpoints
                    self._compare(record, (sides.reference, one), (sides.candidate, two))
        if any(stage in self.settings.stages for stage in GRADIENT_STAGES):
            for name, blank in batch_cases(batch):
                self._at = (name, 1)
                reference, candidate = self.reference.side(), self.candidate.side()
                standpoints = Standpoint.of(reference), Standpoint.of(candidate)
                record = observe(reference, blank, lr, case=name, step=1)
                self.cases.append(name)
                self._compare(record, (reference, standpoints[0]), (candidate, standpoints[1]))

    def reference_lr(self, lr: float) -> float:
        """Return the lr that the optimizer cases begin with."""
        return lr or 1.0

    def _compare(
        self, record: StepRecord, reference: tuple[Side, Standpoint], candidate: tuple[Side, Standpoint]
    ) -> bool:
        """Replay a step with the candidate and judge it; return whether all bits agree.

        Raises:
            SideError: a stage failed; those before it are judged all the same.
        """
        self._at = (record.case, record.step)
        stages = [stage for stage in self.settings.stages if stage in record.stages]
        failed: SideError | None = None
        try:
            replayed = replay(candidate[0], record, stages)
        except SideError as error:
            replayed, failed = Replayed(error.outputs), error
            stages = [stage for stage in stages if stage in error.outputs]
        for stage, remark in replayed.remarks.items():
            self.remarks[f"{title(stage)}: the candidate did more than its task: {remark}"] = None
        if replayed.unmatched:
            names = ", ".join(replayed.unmatched)
            self.remarks[f"the candidate keeps its own {names}: no entry of the reference's optimizer state fits"] = (
                None
            )
        if (nan := _first_nan(record)) is not None and not self.tally.nan:
            self.tally.nan = f"step {record.step} · {title(nan[0])} · {nan[1]}: NaN on the reference"
        found = [item for item in unequal(record, replayed.outputs) if item[0] in stages]
        count: dict[Stage, int] = {}
        for stage, _, _ in found:
            count[stage] = count.get(stage, 0) + 1
        self.tally.count(record, replayed.outputs, count)
        evidence = self._gather(record, reference, candidate, stages, found)
        different = [_sharing(name, owner) for name, owner in replayed.shared.items() if "backward" in stages]
        for judged in different:
            self.tally.add(record, judged)
        for stage, key, value in found:
            judged = self._judge(record, stage, key, value, evidence)
            if replayed.unmatched:
                # The twin has the candidate's own state, rounded to float32, so what float64 shows is not about formulas alone.
                judged = dataclasses.replace(judged, hidden=False)
            self.tally.add(record, judged)
            if judged.word == "different":
                different.append(judged)
        if different:
            where = tuple(dict.fromkeys(judged.stage for judged in different))
            if record.case != OPTIMIZER_CASES:  # which are cheap, and each of their steps helps to find the cause
                self._settled |= {(record.case == "config", stage) for stage in where}
            self._keep(Differing(record, different[0], replayed.outputs, reference, candidate, evidence, where))
        if failed is not None:
            raise failed
        return not found and not different

    def _keep(self, differing: Differing) -> None:
        # One of the run's own batches and one of the cases: a batch made up for the purpose may show what the run's do not, and
        # be too simple to tell causes apart. The run's own comes first, as it does in the report.
        own = differing.record.case == "config"
        if all((kept.record.case == "config") != own for kept in self.differing):
            self.differing.insert(0 if own else len(self.differing), differing)
        if differing.record.case == OPTIMIZER_CASES and differing.judged.stage == "step":
            self.optimizer_steps.append(differing)

    def _gather(
        self,
        record: StepRecord,
        reference: tuple[Side, Standpoint],
        candidate: tuple[Side, Standpoint],
        stages: Collection[Stage],
        found: Sequence[tuple[Stage, Key, torch.Tensor | None]],
    ) -> Evidence | None:
        """Return the evidence that a step needs; for a step without a difference the first one of each case."""
        if self.settings.exact:
            return None
        given = self._evidence_of_case.get(record.case, 0)
        if found and all((record.case == "config", stage) in self._settled for stage, _, _ in found):
            return None  # an oracle costs several steps, and these stages are known to be different
        if not given and record.case in ("config", OPTIMIZER_CASES):
            wanted = list(stages)
        elif found and (given < MAX_EVIDENCE or self._shows_more(record, found)):
            wanted = [stage for stage in stages if any(stage == where for where, _, _ in found)]
        else:
            return None
        self._evidence_of_case[record.case] = given + 1
        differing = {(stage, key): value for stage, key, value in found}
        evidence = gather(record, reference, candidate, wanted, differing)
        if evidence.twin_refusal:
            self.remarks[f"the candidate does not compute in float64: {evidence.twin_refusal}"] = None
        if not given:
            self.tally.show_floor(record, evidence)
        return evidence

    def _shows_more(self, record: StepRecord, found: Sequence[tuple[Stage, Key, object]]) -> bool:
        """Whether a difference is larger than those of the same tensors that turned out to be rounding."""
        for stage, key, value in found:
            reference = record.outputs[stage].get(key)
            known = self._known_floors.get((stage, key), 0.0)
            candidate = value if isinstance(value, torch.Tensor) else None
            gap = largest_gap(reference, candidate)
            if gap > ROUNDING_FACTOR * known * (largest(reference) if reference is not None else 0.0):
                return True
        return False

    def _judge(
        self, record: StepRecord, stage: Stage, key: Key, value: torch.Tensor | None, evidence: Evidence | None
    ) -> Judged:
        exact = self.settings.exact
        if evidence is None and not exact:
            return self._judge_by_earlier(record, stage, key, value)
        judged = judge(record, stage, key, value, evidence, exact=exact)
        if judged.word == "equal_up_to_rounding" and judged.difference.scale:
            share = max(judged.floor, judged.difference.abs_err) / judged.difference.scale
            self._known_floors[stage, key] = max(share, self._known_floors.get((stage, key), 0.0))
        return judged

    def _judge_by_earlier(self, record: StepRecord, stage: Stage, key: Key, value: torch.Tensor | None) -> Judged:
        """Judge without an oracle: what is as small as rounding was before, or lies in a stage that is different anyway."""
        gap = difference(record.outputs[stage].get(key), value)
        known = self._known_floors.get((stage, key), 0.0) * gap.scale
        floor = max(known, floor_of(record, stage, key, None))
        larger = bool(gap.problem) or gap.abs_err > ROUNDING_FACTOR * floor
        return Judged(stage, key, "different" if larger else "equal_up_to_rounding", gap, floor)


def _sharing(name: str, owner: str) -> Judged:
    """Return the verdict on a gradient that lies in the memory of another."""
    gap = Difference(abs_err=math.inf, rel_err=math.inf, ulp=None, problem=f"{SHARED}grad of {owner}")
    return Judged("backward", Key("grad", name), "different", gap, 0.0)


def _with_standpoints(
    reference: Side, candidate: Side, records: Iterator[StepRecord]
) -> Iterator[tuple[tuple[Standpoint, Standpoint], StepRecord]]:
    """Yield each record with where both sides stood before its step."""
    while True:
        standpoints = Standpoint.of(reference), Standpoint.of(candidate)
        record = next(records, None)
        if record is None:
            return
        yield standpoints, record


@contextlib.contextmanager
def _streams_untouched(side: Side) -> Iterator[None]:
    random = RandomState(side.device)
    try:
        yield
    finally:
        random.rewind()


def _first_nan(record: StepRecord) -> tuple[Stage, Key] | None:
    for stage in STAGES:
        key = has_nan(record.outputs.get(stage, {}))
        if key is not None:
            return stage, key
    return None
