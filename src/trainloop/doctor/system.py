"""Versions, processor, threads and compiler."""

from __future__ import annotations

import math
import os
import platform
import re
from importlib import metadata
from pathlib import Path

import torch

from trainloop.device import cpu_name, versions
from trainloop.doctor.line import Line, State
from trainloop.manual.compiler import chosen_compiler, library
from trainloop.manual.errors import CompilerError

SECTION = "machine"
DISTRIBUTION = "trainloop-lab"
CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")
SLOW_CAPABILITIES = {"DEFAULT", "NO AVX"}
"""what torch calls kernels that use none of the processor's vector instructions"""
ANSWER = 42
PROGRAM = f'extern "C" int answer() {{ return {ANSWER}; }}'


def system_lines() -> list[Line]:
    """Return what is known of the machine itself."""
    return [versions_line(), cpu_line(), threads_line(), compiler_line()]


def versions_line() -> Line:
    """Name the versions, and hold those installed against those that this package asks for."""
    import torchvision

    named = {name: version for name, version in versions().items() if version}
    found = " · ".join(
        f"{name} {version}" for name, version in {**named, "torchvision": torchvision.__version__}.items()
    )
    old = too_old()
    if not old:
        return Line(SECTION, "versions", State.ok, found)
    return Line(
        SECTION, "versions", State.failed, f"{', '.join(old)}; {found}", "install trainloop again: pip upgrades them"
    )


def too_old() -> list[str]:
    """Return the packages that are older than this one asks for; none where it is not installed but run from its source."""
    try:
        required = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []
    old = []
    for requirement in required:
        found = re.fullmatch(r"([\w.-]+)\s*>=\s*([\d.]+)", requirement)
        if found is None:  # those of the developers, which have a condition
            continue
        name, least = found.groups()
        version = metadata.version(name)
        if _numbers(version) < _numbers(least):
            old.append(f"{name} {version} is older than {least}")
    return old


def _numbers(version: str) -> tuple[int, ...]:
    """Return 2.14.1+cu130 as (2, 14, 1)."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0]))


def cpu_line() -> Line:
    """Say which vector instructions torch uses."""
    capability = torch.backends.cpu.get_cpu_capability()
    forced = os.environ.get("ATEN_CPU_CAPABILITY")
    found = f"{cpu_name()} · {capability} kernels" + (f" (ATEN_CPU_CAPABILITY={forced})" if forced else "")
    slow = capability in SLOW_CAPABILITIES and platform.machine() in ("x86_64", "AMD64")
    if not slow:
        return Line(SECTION, "processor", State.ok, found)
    advice = (
        "unset ATEN_CPU_CAPABILITY"
        if forced
        else "this processor has no AVX2, which makes training several times slower"
    )
    return Line(SECTION, "processor", State.note, found, advice)


def threads_line() -> Line:
    """Hold the number of threads against the cores that this process may use."""
    threads, cores = torch.get_num_threads(), usable_cores()
    variable = os.environ.get("OMP_NUM_THREADS")
    found = f"{threads} for {cores} usable core{'s' if cores != 1 else ''}"
    found += f" (OMP_NUM_THREADS={variable})" if variable else ""
    if threads == cores:
        return Line(SECTION, "threads", State.ok, found)
    why = "cores stay idle" if threads < cores else "threads wait for each other"
    return Line(
        SECTION, "threads", State.note, f"{found}: {why}", f"set `threads: {cores}`, or OMP_NUM_THREADS={cores}"
    )


def usable_cores(quota: Path = CGROUP_QUOTA) -> int:
    """Return how many cores this process may use: those it may run on, or less if its container has a quota.

    Args:
        quota: the file in which Linux says so: microseconds of every period, and the period.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        share, period = quota.read_text(encoding="ascii").split()
        return min(allowed, max(1, math.ceil(int(share) / int(period))))
    except (OSError, ValueError):  # there is no such file, or it says "max"
        return allowed


def compiler_line() -> Line:
    """Compile a small program and run it."""
    name = chosen_compiler()
    try:
        works = library(PROGRAM, name).answer() == ANSWER
        fault = "" if works else "what it compiles returns a wrong number"
    except (CompilerError, OSError) as error:
        fault = error.reason if isinstance(error, CompilerError) else str(error)
    if not fault:
        return Line(SECTION, "C++ compiler", State.ok, f"{name} compiles for this processor, with OpenMP")
    advice = (
        "`stages.step: compiled`, `train.compile` and the fast `winograd` need one: install g++, or name another in CXX"
    )
    return Line(SECTION, "C++ compiler", State.note, f"{name} does not work: {fault.partition(chr(10))[0]}", advice)
