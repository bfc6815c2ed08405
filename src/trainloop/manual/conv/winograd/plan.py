"""How a Winograd convolution is cut up: tiles, blocks of tile rows, who works on a block, and the memory it takes.

An axis of P outputs is cut into tiles of 4, 3 and 2 with the fewest points in all: 15 → 4 + 4 + 4 + 3 (23 points where four
tiles of 4 would take 24), 7 → 4 + 3 (11 instead of 12), 32 → 8 · 4.

A block is a number of rows of tiles. Its V and M (or Z) lie in the cache from one phase to the next:

* With few channels for many tiles each thread works on blocks of its own (``alone``), which stay in its second-level cache.
  U is made once; in grad_weight each thread has a sum of its own.
* With many channels for few tiles U would not stay anywhere, so all threads share one larger block, and each makes the part
  of U that it is about to use.

The sizes were chosen by measuring on two cores with 1 MiB of second-level and 32 MiB of third-level cache.
"""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass

from trainloop.manual.conv.winograd.points import TAPS
from trainloop.manual.windows import Sizes

NUM_POINTS = 6
ALONE_BYTES = {"forward": 1 << 20, "grad_weight": 2 << 20}
"""V and M (V and Z) of one thread's block"""
SHARED_BYTES, WHOLE_BYTES = 6 << 20, 24 << 20
"""of a block that all threads share; what is no larger than the second is done as one block, with one pass over the weight"""
ALONE_CHANNELS = 128 * 256
"""grad_weight: in_channels · out_channels up to which each thread can have its own sum"""
U_BYTES = 400 << 10
"""forward: the row of U that one item makes, so that it stays in the second-level cache"""
CHANNELS_AN_ITEM = 24
"""grad_weight: two times the rows of a product, so that the row of S that an item makes stays near"""
STREAM_BYTES = 8 << 20
"""results from this size on are written past the cache"""


@dataclass(frozen=True)
class Case:
    """The sizes of one call of the compiled kernel.

    Args:
        num: N.
        channels: C, of the input.
        out_channels: O.
        sizes: (H, W).
        padding: zeros on both sides; negative where the border is left out.
    """

    num: int
    channels: int
    out_channels: int
    sizes: Sizes
    padding: Sizes

    @property
    def output_sizes(self) -> Sizes:
        """(P, Q)."""
        return tuple(size + 2 * pad - TAPS + 1 for size, pad in zip(self.sizes, self.padding, strict=True))


@dataclass(frozen=True)
class Plan:
    """A case cut up, as the kernel takes it.

    Args:
        rows: sizes of the tiles along the first axis.
        columns: along the second.
        rows_a_block: rows of tiles.
        share: outputs (grad_weight: channels) of one item.
        threads: how many work.
        alone: whether each has blocks of its own.
        floats: size of the workspace.
    """

    rows: Sizes
    columns: Sizes
    rows_a_block: int
    share: int
    threads: int
    alone: bool
    floats: int

    def numbers(self, *, streams: bool) -> ctypes.Array[ctypes.c_int64]:
        """Return the plan as the kernel reads it; ``streams``: write the result past the cache."""
        axes = [number for sizes in (self.rows, self.columns) for number in (*sizes, *_starts(sizes))]
        head = (self.rows_a_block, self.share, self.threads, self.alone, streams, len(self.rows), len(self.columns))
        return (ctypes.c_int64 * (len(head) + len(axes)))(*head, *axes)


@functools.cache
def tile_sizes(outputs: int) -> Sizes:
    """Return the sizes of the tiles that cover an axis of that many outputs, the largest first."""
    fewest: list[tuple[int, Sizes]] = [(0, ())]
    for covered in range(1, outputs + 1):
        options = []
        for size in (4, 3, 2):
            points, before = fewest[max(0, covered - size)]
            options.append((points + size + TAPS - 1, (*before, size)))
        fewest.append(min(options, key=lambda option: (option[0], len(option[1]))))
    return tuple(sorted(fewest[outputs][1], reverse=True))


def num_points(outputs: int) -> int:
    """Return the points of all tiles of an axis."""
    return sum(size + TAPS - 1 for size in tile_sizes(outputs))


@functools.lru_cache(maxsize=1024)
def plan(case: Case, direction: str, threads: int, lanes: int) -> Plan:
    """Cut up a case.

    Args:
        case: the sizes.
        direction: ``forward`` (grad_input is one, too) or ``grad_weight``.
        threads: that may work.
        lanes: floats of one vector.
    """
    rows, columns = (tile_sizes(size) for size in case.output_sizes)
    total_rows, channels = case.num * len(rows), case.channels
    tiles = total_rows * len(columns)
    threads = max(1, min(threads, total_rows))
    wide = _up(case.out_channels, 2 * lanes)
    alone = 2 * tiles >= 3 * max(channels, case.out_channels)
    if direction == "grad_weight":
        alone = alone and channels * wide <= ALONE_CHANNELS
    share = _share(case, direction, lanes)
    pitch = _up(case.out_channels, share) if direction == "forward" else wide
    width_of_tile = _up(channels, lanes) + lanes + pitch + lanes
    bytes_of_row = NUM_POINTS**2 * len(columns) * width_of_tile * 4
    budget = ALONE_BYTES[direction] if alone else SHARED_BYTES
    if not alone and total_rows * bytes_of_row <= WHOLE_BYTES:
        budget = WHOLE_BYTES
    rows_a_block = max(1, min(total_rows, budget // bytes_of_row))
    if alone:
        rows_a_block = min(rows_a_block, -(-total_rows // threads))
    blocks = -(-total_rows // rows_a_block)
    rows_a_block = -(-total_rows // (_up(blocks, threads) if alone else blocks))
    points = NUM_POINTS**2 * (rows_a_block * len(columns) * width_of_tile + 2 * 32)
    floats = (threads if alone else 1) * points + _up(max(channels, case.out_channels), 16)
    if direction == "forward":
        items = NUM_POINTS * (pitch // share) if alone else threads
        floats += TAPS**2 * channels * pitch + items * NUM_POINTS * channels * share
    else:
        sums = NUM_POINTS**2 * (channels * wide + 32) if alone else NUM_POINTS * (share * wide + 32)
        floats += threads * sums + NUM_POINTS * TAPS * (channels * wide + 32)
    return Plan(rows, columns, rows_a_block, share, threads, alone, floats)


def _share(case: Case, direction: str, lanes: int) -> int:
    """Return the outputs (grad_weight: channels) of an item."""
    if direction == "grad_weight":
        return CHANNELS_AN_ITEM
    panel = 2 * lanes
    fitting = U_BYTES // (4 * NUM_POINTS * case.channels) // panel * panel
    return max(panel, min(64, _up(case.out_channels, panel), fitting))


def _starts(sizes: Sizes) -> list[int]:
    return [sum(sizes[:index]) for index in range(len(sizes))]


def _up(number: int, unit: int) -> int:
    """Round up to a multiple."""
    return -(-number // unit) * unit
