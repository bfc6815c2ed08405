"""Which algorithm does a convolution: one by name, several in order of preference, or ``auto``.

``auto`` takes the fastest that supports the job, by a rule made of measurements (``benchmarks/conv_cifar.md``) rather than
by trying: a trial would give other algorithms, and other bits, from run to run. The rule: Winograd's compiled form beats
the library where a product at a point is large enough to pay for the transforms, that is from about 24 channels on either
side, 1,024 pairs of channels and 64 tiles on; everything else is the library's. What was chosen is recorded.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

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

    Raises:
        UnsupportedConvError: a name is not in the table.
    """

    def __init__(self, text: str, table: Mapping[str, Algorithm]) -> None:
        self.text = text
        self.names = [name.strip() for name in text.split(",")]
        for name in self.names:
            if name != AUTO and name not in table:
                raise unknown(name, table)
        self._table = table
        self.chosen: dict[tuple[Job, str], str] = {}

    def __call__(self, job: Job, direction: str) -> Algorithm:
        """Return the algorithm for one direction of a job.

        Raises:
            UnsupportedConvError: none of the named ones supports it; with the reason of the first.
        """
        known = self.chosen.get((job, direction))
        if known is not None:
            return self._table[known]
        reasons = []
        for name in self.names:
            algorithm = fastest(job, direction) if name == AUTO else self._table[name]
            reason = algorithm.refuses(job)
            if reason is None:
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
