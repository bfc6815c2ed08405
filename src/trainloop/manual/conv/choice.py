"""Which algorithm does a convolution: one by name, several in order of preference, or ``auto``.

``auto`` takes the fastest that supports the job, by a rule made of measurements (``benchmarks/conv_cifar.md``) rather than
by trying: a trial would give other algorithms, and other bits, from run to run. The rule: Winograd's compiled form beats
the library where a product at a point is large enough to pay for the transforms, that is from about 24 channels on either
side, 1,024 pairs of channels and 64 tiles on; everything else is the library's. What was chosen is recorded.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping

import torch

from trainloop.manual.conv.algorithm import Algorithm
from trainloop.manual.conv.aten import ATEN
from trainloop.manual.conv.job import GRAD_INPUT, Job
from trainloop.manual.conv.winograd import WINOGRAD, compiled
from trainloop.manual.conv.winograd.plan import tile_sizes
from trainloop.manual.errors import UnsupportedConvError

AUTO = "auto"
FEWEST_CHANNELS, FEWEST_PAIRS, FEWEST_TILES = 24, 1_024, 64
"""from which on the compiled Winograd is the faster one"""


class Choice:
    """Choose an algorithm for each job, and remember which.

    Args:
        text: ``auto``, or a name of the table, or several with commas between them, the preferred one first.
        table: every algorithm by name.
        decide_as: choose as for tensors of this type, whatever they have. A copy of a run in float64 must be done by the
            algorithms of the run, or it says nothing about them; one that cannot do float64 is refused then, not passed over.

    Raises:
        UnsupportedConvError: a name is not in the table.
    """

    def __init__(self, text: str, table: Mapping[str, Algorithm], *, decide_as: torch.dtype | None = None) -> None:
        self.text = text
        self._decide_as = decide_as
        self.names = [name.strip() for name in text.split(",")]
        for name in self.names:
            if name != AUTO and name not in table:
                raise unknown(name, table)
        self._table = table
        self.chosen: dict[tuple[Job, str], str] = {}

    def __call__(self, job: Job, direction: str) -> Algorithm:
        """Return the algorithm for one direction of a job.

        Raises:
            UnsupportedConvError: none of the named ones supports it, with the reason of the first; or the one that would be
                chosen for the type ``decide_as`` does not support the job's own.
        """
        known = self.chosen.get((job, direction))
        if known is not None:
            return self._table[known]
        reasons = []
        asked = job if self._decide_as is None else dataclasses.replace(job, dtype=self._decide_as)
        for name in self.names:
            algorithm = fastest(asked, direction) if name == AUTO else self._table[name]
            reason = algorithm.lacks.get(direction) or algorithm.refuses(asked)
            if reason is None:
                if asked is not job and (reason := algorithm.refuses(job)) is not None:
                    raise UnsupportedConvError(algorithm.name, reason, "there is no other way to do what it does")
                self.chosen[job, direction] = algorithm.name
                return algorithm
            reasons.append(reason)
        raise UnsupportedConvError(self.names[0], reasons[0], "name another algorithm, or auto")


def fastest(job: Job, direction: str) -> Algorithm:
    """Return the algorithm that is fastest by the rule at the top of this file."""
    if WINOGRAD.refuses(job) or compiled.why_not(job.dtype, job.device) or job.geometry.groups > 1:
        return ATEN
    out_channels, channels = job.weight_shape[:2]
    sizes = job.input_shape[2:] if direction == GRAD_INPUT else job.output_sizes
    tiles = job.input_shape[0] * len(tile_sizes(sizes[0])) * len(tile_sizes(sizes[1]))
    worth = min(channels, out_channels) >= FEWEST_CHANNELS and channels * out_channels >= FEWEST_PAIRS
    return WINOGRAD if worth and tiles >= FEWEST_TILES else ATEN


def unknown(name: str, table: Mapping[str, Algorithm]) -> UnsupportedConvError:
    """Return the error for a name that is not in the table, with the nearest that is."""
    close = difflib.get_close_matches(name, [*table, AUTO], n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return UnsupportedConvError(name, "there is none of this name", f"{hint}known: {', '.join(table)}, {AUTO}")
