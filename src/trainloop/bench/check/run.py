"""Correctness alone, over many jobs: the corner cases first, then drawn ones, in each direction, type and layout.

Job by job rather than algorithm by algorithm: all see the same operands, whose right results are computed once.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch

from trainloop.bench.check.adjoint import adjoints
from trainloop.bench.check.corners import CORNERS
from trainloop.bench.check.drawn import drawn
from trainloop.bench.check.kernel import Kernel
from trainloop.bench.check.memory import filled_with_nan
from trainloop.bench.check.record import Record
from trainloop.bench.check.report import CheckReport
from trainloop.bench.check.shape import CONV_TRANSPOSE2D, OPERATORS, Shape
from trainloop.bench.check.trial import CHANNELS_LAST, LAYOUTS, NCHW, Case, Trial
from trainloop.manual.conv import DIRECTIONS
from trainloop.manual.conv.job import FORWARD

MOST_DRAWN_PER_CASE = 20
"""how many jobs are drawn, for each that is wanted, to find those that an algorithm does not refuse"""
DRAWN_LAYOUTS = (NCHW, CHANNELS_LAST)
"""of the drawn jobs; the corner cases come in sliced tensors too"""
ADJOINT_JOBS = 20
"""drawn jobs for the adjoint identity, beside the corner cases"""
ADJOINT_PRODUCTS = 200_000
"""of the largest job for the adjoint identity, which slow algorithms do with each of the others"""
SHARE_OF_CASES = 0.85
"""of the time budget; the rest is for the adjoint identity"""


@dataclass(frozen=True)
class _Plan:
    directions: Sequence[str]
    dtypes: Sequence[torch.dtype]
    cases: int
    seed: int
    device: str
    deadline: float
    share_s: float


def check(
    algorithms: Iterable[Kernel],
    *,
    directions: Sequence[str] = DIRECTIONS,
    dtypes: Sequence[torch.dtype] = (torch.float32, torch.float64),
    cases: int = 200,
    seed: int = 0,
    budget_s: float | None = None,
) -> CheckReport:
    """Check algorithms for convolution and transposed convolution, on torch's default device.

    Args:
        algorithms: of ``CONV2D``, ``CONV_TRANSPOSE2D``, or any object with the same functions; see ``Kernel``.
        directions: which of forward, grad_input and grad_weight.
        dtypes: of the operands.
        cases: how many jobs to draw for each algorithm, beside the corner cases; those that it refuses do not count.
        seed: of the drawn jobs and of all values.
        budget_s: seconds that the whole may take, about; each algorithm has an equal share. None for no limit.

    Returns:
        What was found; no failure of an algorithm is raised.
    """
    started = time.perf_counter()
    records = [Record(kernel) for kernel in algorithms]
    budget = math.inf if budget_s is None else budget_s
    share = SHARE_OF_CASES * budget
    device = torch.get_default_device().type
    plan = _Plan(directions, dtypes, cases, seed, device, started + share, share / max(1, len(records)))
    with filled_with_nan():
        for operator in OPERATORS:
            _try_all([record for record in records if record.operator == operator], operator, plan)
        convolutions, transposed = ([one.kernel for one in records if one.operator == name] for name in OPERATORS)
        pairs = adjoints(convolutions, transposed, _adjoint_shapes(seed), seed, deadline=started + budget)
    return CheckReport(
        rows=tuple(row for record in records for row in record.rows()),
        failures=tuple(failure for record in records for failure in record.failures()),
        coverage=tuple(record.coverage() for record in records),
        adjoints=tuple(pairs),
        cases=cases,
        seed=seed,
        seconds=time.perf_counter() - started,
    )


def _try_all(records: Sequence[Record], operator: str, plan: _Plan) -> None:
    """Put all algorithms of an operator to the corner cases, and then to drawn ones until each has had enough."""
    for corner, shape in corners(operator):
        _try(records, shape, corner, plan)
    for shape in itertools.islice(drawn(operator, plan.seed), plan.cases * MOST_DRAWN_PER_CASE):
        wanting = [record for record in records if record.drawn < plan.cases and not record.stopped]
        if not wanting:
            return
        _try(wanting, shape, "", plan)


def corners(operator: str) -> Iterator[tuple[str, Shape]]:
    """Yield the corner cases that there are for an operator, each with the name of its family.

    Args:
        operator: conv2d or conv_transpose2d.
    """
    for name, shapes in CORNERS.items():
        yield from ((name, shape) for shape in shapes if shape.can_be(operator))


def _try(records: Sequence[Record], shape: Shape, corner: str, plan: _Plan) -> None:
    """Put those of the algorithms that do a job, and still have time, to each of its cases."""
    doing: dict[torch.dtype, list[Record]] = {dtype: [] for dtype in plan.dtypes}
    for record in records:
        if record.spent_s > plan.share_s or time.perf_counter() > plan.deadline:
            record.stopped = True
            continue
        if record.is_too_slow(shape.job(record.operator)):
            continue
        accepted = [dtype for dtype in plan.dtypes if record.accepts(shape.job(record.operator, dtype, plan.device))]
        for dtype in accepted:
            doing[dtype].append(record)
        record.count(corner, done=bool(accepted))
    for (dtype, accepting), direction in itertools.product(doing.items(), plan.directions):
        trying = [record for record in accepting if direction not in record.missing]
        for layout in LAYOUTS if corner else DRAWN_LAYOUTS:
            _try_layout(trying, shape, (direction, dtype, layout), corner, plan)


def _try_layout(
    records: Sequence[Record], shape: Shape, kind: tuple[str, torch.dtype, str], corner: str, plan: _Plan
) -> None:
    """Put algorithms to one case; a forward has a bias in all layouts but one."""
    if records:
        direction, _, layout = kind
        bias = direction == FORWARD and layout != CHANNELS_LAST
        trial = Trial(Case(shape, records[0].operator, *kind, bias, plan.seed, plan.device))
        for record in records:
            record.try_case(trial, corner)


def _adjoint_shapes(seed: int) -> list[Shape]:
    few = itertools.islice(drawn(CONV_TRANSPOSE2D, seed), ADJOINT_JOBS)
    shapes = [*(shape for _, shape in corners(CONV_TRANSPOSE2D)), *few]
    return [shape for shape in shapes if shape.job(CONV_TRANSPOSE2D).direct_multiplications <= ADJOINT_PRODUCTS]
