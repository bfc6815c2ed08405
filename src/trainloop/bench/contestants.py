"""Who takes part: the library in each of its forms, the algorithms of this project, and kernels of the user's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from trainloop.bench.kernel_names import NNPACK_BACKEND, backend, describe
from trainloop.manual.conv import CONV2D, CONV_TRANSPOSE2D, Algorithm, Job, TransposedAlgorithm, TransposedJob
from trainloop.manual.conv.job import FORWARD

ATEN, NNPACK = "aten", "nnpack"
CHANNELS_LAST, NCHW = "channels_last", "nchw"
AnyJob = Job | TransposedJob
AnyAlgorithm = Algorithm | TransposedAlgorithm


@dataclass(frozen=True, eq=False)
class Contestant:
    """One way to compute, in one memory format.

    Args:
        name: of the algorithm.
        layout: memory format of its tensors.
        kernel: its functions.
        builtin: whether it is the library's.
        file: of the user's own kernel, else None.
    """

    name: str
    layout: str
    kernel: AnyAlgorithm
    builtin: bool = False
    file: Path | None = None

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Let the library choose as this contestant wants it; outside of what is timed."""
        if self.name != NNPACK:
            yield
            return
        before = torch._C._get_mkldnn_enabled()
        torch._C._set_mkldnn_enabled(False)
        try:
            yield
        finally:
            torch._C._set_mkldnn_enabled(before)

    def refuses(self, job: AnyJob, direction: str) -> str | None:
        """Return why it does not do this, or None; to be called while it is active."""
        if self.name != NNPACK:
            missing: str | None = getattr(getattr(self.kernel, direction), "missing", None)
            return missing or self.kernel.refuses(job)  # type: ignore[arg-type]  # a job of its own kind
        found = backend(job)
        if found != NNPACK_BACKEND:
            return f"with oneDNN off torch takes {describe(found, job)} for this shape"
        return None

    def workspace_mib(self, job: AnyJob, direction: str) -> float | None:
        """Return what it says that it needs beside arguments and result; None where it says nothing."""
        if self.builtin or self.file is not None:
            return None
        return self.kernel.workspace(job, direction) / 2**20  # type: ignore[arg-type]  # a job of its own kind

    def multiplications(self, job: AnyJob, direction: str) -> int | None:
        """Return how many it carries out; None where nobody knows."""
        if self.file is not None or self.name == NNPACK or (self.builtin and job.device != "cpu"):
            return None
        return self.kernel.multiplications(job, direction)  # type: ignore[arg-type]  # a job of its own kind


def contestants(
    job: AnyJob, direction: str, *, layout: str, names: Sequence[str] | None, own: Sequence[Contestant] = ()
) -> list[Contestant]:
    """Return everybody, the built-ins first; NNPACK does forward convolutions on the CPU only.

    Args:
        job: what is to be computed.
        direction: forward, grad_input or grad_weight.
        layout: memory format for all but the built-ins, which are measured in both.
        names: of the algorithms; all of them for None.
        own: the user's own kernels.
    """
    transposed = isinstance(job, TransposedJob)
    table: Mapping[str, AnyAlgorithm] = CONV_TRANSPOSE2D if transposed else CONV2D
    library = table[ATEN]
    builtins = [Contestant(ATEN, CHANNELS_LAST, library, builtin=True), Contestant(ATEN, NCHW, library, builtin=True)]
    if not transposed and direction == FORWARD and job.device == "cpu":
        builtins.append(Contestant(NNPACK, NCHW, library, builtin=True))
    chosen = [name for name in table if name != ATEN and (names is None or name in names)]
    return [*builtins, *(Contestant(name, layout, table[name]) for name in chosen), *own]
