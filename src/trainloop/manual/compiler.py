"""Turn C++ text into a library of this process, and keep it for the next one.

A library is kept under a name that says what it was made of: the text, the compiler and its version, the flags, and what
the CPU can do. It is written by the compiler beside its place and moved there when it is whole, so that a process that is
killed, a full disk or two processes at once leave nothing half done. Where the folder cannot be written, libraries live as
long as the process.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from trainloop.manual.errors import CompilerError

FLAGS = (
    *("-std=c++20", "-O3", "-march=native", "-fopenmp", "-shared", "-fPIC"),
    # errno and traps, which nobody reads, may not hinder vectors.
    *("-fno-math-errno", "-fno-trapping-math"),
)
UNFUSED = "-ffp-contract=off"
"""no product and sum are fused but where the source says so"""
FUSED = "-ffp-contract=fast"
"""every sum of a product is one fused multiply-add, rounded once"""


@functools.cache
def library(source: str, compiler: str, *flags: str) -> ctypes.CDLL:
    """Compile and load a text, or load what an earlier process has compiled; the same text returns the same library.

    Args:
        source: C++.
        compiler: a command such as ``g++`` or ``ccache clang++``.
        flags: beside ``FLAGS``.

    Raises:
        CompilerError: there is no such command, or it fails.
    """
    command = [*shlex.split(compiler), *FLAGS, *flags]
    name = f"{_digest(source, _version(compiler), command)}.so"
    kept = cache_folder() / name
    if kept.is_file():
        return ctypes.CDLL(str(kept))
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as workshop:
            return ctypes.CDLL(str(_compiled(source, command, Path(workshop) / name).replace(kept)))
    except OSError:  # the folder cannot be written, or is full
        with tempfile.TemporaryDirectory() as workshop:
            return ctypes.CDLL(str(_compiled(source, command, Path(workshop) / name)))


def chosen_compiler() -> str:
    """Return the command in the environment's CXX, or ``g++``."""
    return os.environ.get("CXX") or "g++"


def cache_folder() -> Path:
    """Return where compiled libraries are kept: ``$TRAINLOOP_CACHE``, or ``trainloop`` in the user's cache folder."""
    if chosen := os.environ.get("TRAINLOOP_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trainloop"


def _compiled(source: str, command: Sequence[str], library: Path) -> Path:
    """Compile into the file and return it.

    Raises:
        CompilerError: the compiler fails.
    """
    whole = [*command, "-x", "c++", "-", "-o", str(library)]
    pipe = subprocess.PIPE
    # A group of its own, for a compiler has children that would outlive it.
    with subprocess.Popen(whole, stdin=pipe, stdout=pipe, stderr=pipe, text=True, process_group=0) as process:
        try:
            _, errors = process.communicate(source)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        raise CompilerError(command[0], f"it ended with code {process.returncode}: {errors.strip()}")
    return library


@functools.cache
def _version(compiler: str) -> str:
    """Return what the compiler says of itself.

    Raises:
        CompilerError: there is no such command, or it fails.
    """
    try:
        command = [*shlex.split(compiler), "--version"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except OSError as error:
        raise CompilerError(compiler, error.strerror or str(error)) from error
    except subprocess.CalledProcessError as error:
        raise CompilerError(compiler, f"it ended with code {error.returncode}: {error.stderr.strip()}") from error


@functools.cache
def _cpu() -> str:
    """Return what the CPU can do, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    features = [line for line in lines if line.startswith(("flags", "Features", "model name"))]
    return "\n".join([platform.machine(), platform.processor(), *sorted(set(features))])


def _digest(source: str, version: str, command: Sequence[str]) -> str:
    parts = "\0".join([source, version, *command, _cpu()])
    return hashlib.sha256(parts.encode()).hexdigest()[:32]
