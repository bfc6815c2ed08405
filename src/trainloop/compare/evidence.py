"""What a difference is held against: the same step in float64, and the same step after changes that mean nothing.

* The *oracle* is the reference itself, computing in float64 on the recorded inputs. How far the reference is from it is the
  reference's own error, the yardstick for everybody else's.
* The *twin* is the candidate in float64. Where the two sides differ by rounding, oracle and twin agree to some 2⁻²⁹ of that;
  where a formula differs, they differ as much as before. A twin by another kernel than the candidate's is believed only as
  long as the candidate errs as such a twin lets expect.
* The *noise* is what the reference makes of the same inputs with one thread, with the batch in another order, in another
  memory format.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from trainloop.compare.guard import SideError
from trainloop.compare.implementation import Implementation, OptimizerState, Side, plain_attributes, plain_values
from trainloop.compare.key import GRADIENT_STAGES, Key, Stage
from trainloop.compare.measure import largest, largest_gap
from trainloop.compare.record import Outputs, State, StepRecord
from trainloop.compare.replay import replay, set_state
from trainloop.data.pipeline import Batch
from trainloop.errors import PluginError
from trainloop.tolerance import OTHER_KERNEL_FACTOR, ROUNDING_FACTOR

Differs = Mapping[tuple[Stage, Key], Tensor | None]
"""the tensors whose bits differ → what the candidate has"""
REPEATED_WITHIN = 0.5
"""of a difference: a copy that departs from the candidate by more than this share of it does not do what the candidate does"""
FORGETFUL = (
    "a copy of it does something else than itself, so it remembers what the state of its optimizers does not hold"
)
OTHER_KERNEL = "not by the kernel that ran, which errs by far more than the one that takes its place there"


@dataclass(frozen=True)
class Standpoint:
    """What one side's optimizers hold at a moment, beyond what the reference holds too.

    Args:
        state: of the optimizers, under the reference's names.
        attributes: of each optimizer, see :func:`plain_attributes`.
        groups: of each optimizer, the numbers, texts and flags of its parameter groups; some count there.
        number_kinds: int or float for the entries of ``state`` that are Python numbers.
    """

    state: OptimizerState
    attributes: list[dict[str, Any]]
    groups: list[list[dict[str, Any]]]
    number_kinds: dict[tuple[str, str], type]

    @classmethod
    def of(cls, side: Side) -> Standpoint:
        """Note where a side stands now."""
        state = {key: value.detach().clone() for key, value in side.optimizer_state().items()}
        return cls(
            state,
            [plain_attributes(optimizer) for optimizer in side.optimizers],
            [[plain_values(group) for group in optimizer.param_groups] for optimizer in side.optimizers],
            side.number_kinds(),
        )


def forked(
    of: Implementation,
    side: Side,
    before: State,
    standpoint: Standpoint,
    *,
    dtype: torch.dtype | None = None,
    exact: bool = False,
    model: nn.Module | None = None,
) -> Side:
    """Build another side that stands where ``side`` stood before a step.

    Args:
        of: its recipe.
        side: which one.
        before: what the reference held then.
        standpoint: of ``side`` then.
        dtype: to convert to.
        exact: see :class:`Implementation`.
        model: to copy instead of the side's.
    """
    fork = of.side(side.model if model is None else model, dtype=dtype, exact=exact)
    for optimizer, attributes in zip(fork.optimizers, standpoint.attributes, strict=False):
        for name, value in attributes.items():
            setattr(optimizer, name, value)
    for optimizer, groups in zip(fork.optimizers, standpoint.groups, strict=False):
        for group, values in zip(optimizer.param_groups, groups, strict=False):
            group.update(values)
    fork.entry_names = dict(side.entry_names)
    fork.set_optimizer_state(standpoint.state, create=True, kinds=standpoint.number_kinds)
    fork.set_optimizer_state(before.optimizer, create=not standpoint.state)
    set_state(fork, before)
    return fork


@dataclass(frozen=True)
class Evidence:
    """What is known about one step besides the two sides' own outputs.

    Args:
        errors: stage → tensor → how far the reference is from its own float64.
        oracle: the reference in float64, where the candidate differs from it.
        twin: the candidate in float64, likewise; empty where it cannot compute in float64.
        twin_refusal: why not.
        noise: stage → tensor → the largest change that a harmless change made.
        variants: the harmless changes that were made.
    """

    errors: Mapping[Stage, Mapping[Key, float]]
    oracle: Outputs
    twin: Outputs = field(default_factory=dict)
    twin_refusal: str = ""
    noise: Mapping[Stage, Mapping[Key, float]] = field(default_factory=dict)
    variants: tuple[str, ...] = ()


def gather(
    record: StepRecord,
    reference: tuple[Side, Standpoint],
    candidate: tuple[Side, Standpoint],
    stages: Collection[Stage],
    differing: Differs,
) -> Evidence:
    """Compute the oracle, the twin and the noise of a recorded step.

    Args:
        record: of the reference.
        reference: the side, and where it stood before the step.
        candidate: likewise.
        stages: those that evidence is needed for.
        differing: the tensors whose bits differ, as the candidate has them.

    Raises:
        SideError: the reference cannot compute in float64.
    """
    oracle = _exact(record, *reference, stages)
    errors = {
        stage: {key: largest_gap(record.outputs[stage].get(key), value) for key, value in tensors.items()}
        for stage, tensors in oracle.items()
    }
    # Float64 tensors of a whole step are large, so only what will be looked at is kept.
    oracle = _only(oracle, differing)
    twin: Outputs = {}
    refusal = ""
    if differing:
        try:
            twin = _only(_exact(record, *candidate, stages), differing)
            if _is_far(record, oracle, differing) and not _repeats(record, *candidate, stages, differing):
                twin, refusal = {}, FORGETFUL
        except SideError as error:
            refusal = error.what
        except PluginError as error:
            refusal = f"{error.faults[0].what}: {error.faults[0].found}"
    noise, variants = _noise(record, *reference, stages)
    for stage, key in _misleading(record, candidate[0].of, differing, oracle, twin, noise):
        del twin[stage][key]
        refusal = OTHER_KERNEL
    record.random_after.rewind()
    return Evidence(errors, oracle, twin, refusal, noise, variants)


def _is_far(record: StepRecord, oracle: Outputs, differing: Differs) -> bool:
    """Whether the candidate errs by more than the reference does, so that it takes a twin to call it rounding."""
    for (stage, key), value in differing.items():
        exact, reference = oracle.get(stage, {}).get(key), record.outputs[stage].get(key)
        if exact is None or reference is None:
            continue
        unit = torch.finfo(reference.dtype if reference.is_floating_point() else torch.float32).eps * largest(reference)
        if largest_gap(value, exact) > ROUNDING_FACTOR * max(unit, largest_gap(reference, exact)):
            return True
    return False


def _misleading(
    record: StepRecord,
    of: Implementation,
    differing: Differs,
    oracle: Outputs,
    twin: Outputs,
    noise: Mapping[Stage, Mapping[Key, float]],
) -> list[tuple[Stage, Key]]:
    """Return the tensors whose twin says nothing: it is by another kernel, and errs by less than that one's kind would.

    What rounds errs 2²⁹ times as much in float32 as in float64; a candidate far above that, and far above the floor, has done
    something else than its twin.
    """
    found = []
    for (stage, key), value in differing.items():
        exact, reference, double = (part.get(stage, {}).get(key) for part in (oracle, record.outputs, twin))
        if stage not in of.other_kernels or exact is None or reference is None or double is None:
            continue
        eps = torch.finfo(reference.dtype if reference.is_floating_point() else torch.float32).eps
        expected = largest_gap(double, exact) * eps / torch.finfo(torch.float64).eps
        floor = max(eps * largest(reference), largest_gap(reference, exact), noise.get(stage, {}).get(key, 0.0))
        if largest_gap(value, exact) > OTHER_KERNEL_FACTOR * max(expected, floor):
            found.append((stage, key))
    return found


def _repeats(
    record: StepRecord, side: Side, standpoint: Standpoint, stages: Collection[Stage], differing: Differs
) -> bool:
    """Whether a copy of the candidate, in the precision of the run, does again what the candidate did.

    If not, it remembers more than a copy can be given (a gradient of an earlier step, say), and a copy in float64 would
    acquit it of what it did.
    """
    again = replay(forked(side.of, side, record.before, standpoint), record, stages).outputs
    return all(
        largest_gap(again[stage].get(key), value)
        <= REPEATED_WITHIN * largest_gap(record.outputs[stage].get(key), value)
        for (stage, key), value in differing.items()
        if stage in again
    )


def _only(outputs: Outputs, wanted: Collection[tuple[Stage, Key]]) -> Outputs:
    return {
        stage: {key: value for key, value in tensors.items() if (stage, key) in wanted}
        for stage, tensors in outputs.items()
    }


def _exact(record: StepRecord, side: Side, standpoint: Standpoint, stages: Collection[Stage]) -> Outputs:
    fork = forked(side.of, side, record.before, standpoint, dtype=torch.float64, exact=True)
    return replay(fork, record, stages).outputs


def _noise(
    record: StepRecord, side: Side, standpoint: Standpoint, stages: Collection[Stage]
) -> tuple[dict[Stage, dict[Key, float]], tuple[str, ...]]:
    noise: dict[Stage, dict[Key, float]] = {}
    names = []
    for name, outputs in _variants(record, side, standpoint, stages):
        names.append(name)
        for stage, tensors in outputs.items():
            known = noise.setdefault(stage, {})
            for key, value in tensors.items():
                known[key] = max(known.get(key, 0.0), largest_gap(record.outputs[stage].get(key), value))
    return noise, tuple(names)


def _variants(
    record: StepRecord, side: Side, standpoint: Standpoint, stages: Collection[Stage]
) -> Iterator[tuple[str, Outputs]]:
    """Yield what the reference makes of the step after each harmless change."""

    def rerun(of: Implementation, model: nn.Module | None, changed: StepRecord) -> Outputs:
        return replay(forked(of, side, record.before, standpoint, model=model), changed, stages).outputs

    if torch.get_num_threads() > 1 and side.device.type == "cpu":
        yield "one thread", rerun(dataclasses.replace(side.of, threads=1), None, record)
    if not any(stage in stages for stage in GRADIENT_STAGES):
        return
    record.random.rewind()
    if side.of.parts == 1 and record.random_after_gradient.is_now():
        outputs = rerun(side.of, None, reversed_rows(record))
        rows = len(record.batch.y)
        yield "the batch in reverse order", {stage: with_rows_reversed(out, rows) for stage, out in outputs.items()}
    if record.batch.x.dim() == 4:
        last = not record.batch.x.is_contiguous()
        layout = torch.contiguous_format if last else torch.channels_last
        of = dataclasses.replace(side.of, channels_last=not last)
        yield "another memory format", rerun(of, copy.deepcopy(side.model).to(memory_format=layout), record)


def reversed_rows(record: StepRecord) -> StepRecord:
    """Return a record with the images of the batch in reverse order."""
    batch = Batch(record.batch.x.flip(0), record.batch.y.flip(0), record.batch.indices.flip(0))
    outputs: Outputs = {**record.outputs, "forward": with_rows_reversed(record.outputs["forward"], len(batch.y))}
    return dataclasses.replace(record, batch=batch, outputs=outputs)


def with_rows_reversed(tensors: Mapping[Key, Tensor | None], rows: int) -> dict[Key, Tensor | None]:
    """Return the same tensors, those that have a row for each image in reverse order."""

    def has_rows(key: Key, value: Tensor | None) -> bool:
        return key.kind in ("activation", "logits") and value is not None and value.dim() > 0 and len(value) == rows

    return {
        key: value.flip(0) if value is not None and has_rows(key, value) else value for key, value in tensors.items()
    }
