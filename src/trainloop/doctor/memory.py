"""The allocator: what is set, and whether memory that was freed comes back without page faults."""

from __future__ import annotations

import mmap
import os
import platform

import torch

from trainloop.device import keep_freed_memory
from trainloop.doctor.line import Line, State

SECTION = "memory"
VARIABLES = (
    *("LD_PRELOAD", "DYLD_INSERT_LIBRARIES", "GLIBC_TUNABLES"),
    *("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_NO_CUDA_MEMORY_CACHING"),
    *("PYTORCH_MPS_HIGH_WATERMARK_RATIO", "PYTORCH_MPS_LOW_WATERMARK_RATIO"),
)
"""environment variables that choose or steer an allocator, besides those that begin with ``PREFIX``"""
PREFIX = "MALLOC_"
"""glibc's, such as MALLOC_ARENA_MAX, and MALLOC_CONF, which is jemalloc's"""
BLOCK_BYTES = 32 << 20
"""glibc maps blocks of this size anew each time, unless it is told otherwise (DEFAULT_MMAP_THRESHOLD_MAX)"""
NUM_USES = 6
LARGEST_SHARE = 0.1
"""of the pages of a block that may fault when the block is used again"""


def memory_lines() -> list[Line]:
    """Return what is known of the allocators."""
    return [settings_line(), kept_line()]


def settings_line() -> Line:
    """Name the allocator's settings."""
    libc, version = platform.libc_ver()
    chosen = [
        f"{name}={os.environ[name]}" for name in sorted(os.environ) if name in VARIABLES or name.startswith(PREFIX)
    ]
    return Line(SECTION, "allocator", State.ok, " · ".join([f"{libc or platform.system()} {version}".strip(), *chosen]))


def kept_line() -> Line:
    """Use a large block again and again, as the steps do with their temporaries, and count the page faults."""
    keep_freed_memory()
    faults, pages = faults_again()
    if faults is None:
        return Line(SECTION, "freed memory", State.note, "this system does not count page faults")
    found = f"{faults:,} page faults for the {pages:,} pages of a block that is used again"
    if faults <= LARGEST_SHARE * pages:
        return Line(SECTION, "freed memory", State.ok, f"stays in the process: {found}")
    advice = "training works, slower; on Linux with glibc `keep_memory: true` helps, elsewhere another allocator (LD_PRELOAD)"
    return Line(SECTION, "freed memory", State.note, f"goes back to the system: {found}", advice)


def faults_again() -> tuple[int | None, int]:
    """Return the page faults of using a block again, None where they cannot be counted, and the number of its pages.

    The fewest of several uses: in the first ones a small block may take a part of its place, as in the first steps of a run.
    """
    pages = BLOCK_BYTES // mmap.PAGESIZE
    try:
        import resource
    except ImportError:  # only Unix counts them
        return None, pages
    faults = []
    for use in range(NUM_USES):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.empty(BLOCK_BYTES, dtype=torch.uint8).fill_(use)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return min(faults[1:]), pages
