"""Which kernel the library really ran: asked of torch, and of oneDNN, which says so itself.

``torch._C._select_conv_backend`` returns the library that torch takes for a shape. Where that is oneDNN, one call with its
verbose mode on prints the kernel (``brg_conv_fwd:avx2``); what C code prints goes past Python, so for that call the file
descriptor of standard output is led into a file.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from trainloop.manual.conv import Job, TransposedJob

ONEDNN_BACKEND, NNPACK_BACKEND = "Mkldnn", "NnpackSpatial"
WORDS = {
    ONEDNN_BACKEND: "oneDNN",
    NNPACK_BACKEND: "NNPACK",
    "Slow2d": "columns and products of matrices",
    "SlowDilated2d": "columns and products of matrices",
    "SlowTranspose2d": "products of matrices, added up",
    "Overrideable": "the device's own",
    "MkldnnEmpty": "nothing: the batch is empty",
    "Empty": "nothing: the batch is empty",
}
"""what torch's names for its back ends mean; others are shown as they are"""
T = TypeVar("T")


def backend(job: Job | TransposedJob) -> str:
    """Return torch's name for what it takes for a job, as its switches stand now; empty where it does not tell."""
    select = getattr(torch._C, "_select_conv_backend", None)
    if select is None:
        return ""
    # Uninitialised memory costs nothing: nobody touches the pages.
    input, weight = (
        torch.empty(shape, dtype=job.dtype, device=job.device) for shape in (job.input_shape, job.weight_shape)
    )
    geometry = job.geometry
    transposed, more = isinstance(job, TransposedJob), [0, 0]
    if isinstance(job, TransposedJob):
        more = list(job.geometry.output_padding)
    numbers = ([*geometry.stride], [*geometry.padding], [*geometry.dilation], transposed, more, geometry.groups)
    try:
        return str(select(input, weight, None, *numbers)).rpartition(".")[2]
    except (RuntimeError, TypeError):
        return ""


def describe(name: str, job: Job | TransposedJob) -> str:
    """Return a back end in words.

    Args:
        name: as :func:`backend` returns it.
        job: what it does.
    """
    if name == NNPACK_BACKEND and job.kernel_size == (3, 3) and set(job.geometry.stride) == {1}:
        return "NNPACK F(6×6,3×3)"
    return WORDS.get(name, name) or "not told"


def call_and_name(function: Callable[[], T], job: Job | TransposedJob) -> tuple[T, str]:
    """Call a function of the library, and return what it returns and which kernel ran.

    Args:
        function: one convolution.
        job: what it does.
    """
    name = backend(job)
    if name != ONEDNN_BACKEND:
        return function(), describe(name, job)
    with _printed() as printed, _verbose():
        result = function()
    told = kernels_in("".join(printed))
    return result, told or f"{describe(name, job)}, which does not tell its kernel"


def kernels_in(text: str) -> str:
    """Return the names of the kernels that oneDNN says it ran, joined by ``+``.

    Args:
        text: what its verbose mode printed: comma separated, with ``exec``, the engine, the primitive and the kernel's name.
    """
    found: list[str] = []
    for line in text.splitlines():
        fields = line.split(",")
        if "onednn_verbose" not in fields[0] or "exec" not in fields:
            continue
        primitive, kernel = [*fields[fields.index("exec") + 2 :], "", ""][:2]
        if primitive in ("convolution", "deconvolution") and kernel.strip("?") and kernel not in found:
            found.append(kernel)
    return " + ".join(found)


@contextlib.contextmanager
def _verbose() -> Iterator[None]:
    with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):  # type: ignore[no-untyped-call]
        yield


@contextlib.contextmanager
def _printed() -> Iterator[list[str]]:
    """Yield a list that holds, after the block, what was written to the file descriptor of standard output in it.

    Where there is no such descriptor, or no C library to flush, the list stays empty.
    """
    texts: list[str] = []
    try:
        flush = ctypes.CDLL(None).fflush
        kept = os.dup(1)
    except (OSError, TypeError, AttributeError):
        yield texts
        return
    try:
        with tempfile.TemporaryFile() as file:
            sys.stdout.flush()
            flush(None)
            os.dup2(file.fileno(), 1)
            try:
                yield texts
            finally:
                sys.stdout.flush()
                flush(None)
                os.dup2(kept, 1)
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    finally:
        os.close(kept)
