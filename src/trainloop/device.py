"""The machine: which device, how many threads, which knobs of determinism, and what to write down about them."""

from __future__ import annotations

import ctypes
import os
import platform
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainloop.config.schema import RunConfig
from trainloop.errors import DeviceError

CUBLAS_WORKSPACE = ":4096:8"
MOST_THREADS_A_CORE = 4
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""parameter numbers of glibc's mallopt, from malloc.h"""


def choose_device(name: str) -> torch.device:
    """Return the device that a name means on this machine.

    Args:
        name: auto (cuda, then mps, then cpu), cpu, cuda, cuda:N or mps.

    Raises:
        DeviceError: the device is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise _missing(name, "no device that torch knows") from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise _missing(name, f"{device.type}, which trainloop does not use")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise _missing(name, "torch finds no cuda device on this machine")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise _missing(name, f"this machine has {torch.cuda.device_count()} cuda device(s), numbered from 0")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise _missing(name, "torch finds no mps device on this machine")
    return device


def _missing(name: str, found: str) -> DeviceError:
    return DeviceError(
        f"device {name} is not there",
        where="device",
        found=found,
        expected=", ".join(["auto", *available_devices()]),
        help="use --device auto",
    )


def available_devices() -> list[str]:
    """Return the names of the devices that can be asked for here."""
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return ["cpu", *cuda, *(["mps"] if torch.backends.mps.is_available() else [])]


def check_precision(config: RunConfig, device: torch.device) -> None:
    """Refuse a precision that the device does not have.

    Raises:
        DeviceError: fp16 on the CPU, or bf16 on a cuda device without it.
    """
    precision = config.train.precision
    unsupported = (precision == "fp16" and device.type == "cpu") or (
        precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported()
    )
    if unsupported:
        raise DeviceError(
            f"{precision} training does not work on {device.type} here",
            where="train.precision",
            found=precision,
            expected="fp32 or bf16" if device.type == "cpu" else "fp32 or fp16",
            help="use --set train.precision=fp32",
        )


def set_knobs(config: RunConfig) -> dict[str, Any]:
    """Set threads, seeds and determinism for this process, and return every knob with its value.

    ``off`` leaves torch as it is, only the run's own seed is used; ``seeded`` seeds Python, numpy and torch and stops cuDNN
    from choosing kernels by timing them; ``strict`` allows only deterministic kernels, so that an operation without one
    ends the run.

    Args:
        config: the run's.

    Raises:
        DeviceError: so many threads that they would only wait for each other.
    """
    if config.keep_memory:
        keep_freed_memory()
    if config.threads is not None:
        _require_sensible(config.threads)
        torch.set_num_threads(config.threads)
    strict = config.deterministic == "strict"
    seeded = config.deterministic != "off"
    if seeded:
        random.seed(config.seed)
        # numpy's global stream takes seeds of 32 bits.
        np.random.seed(config.seed % 2**32)
    torch.manual_seed(config.seed)
    if strict:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)
    # Setting it loads the compiler, more than a second of it, so it is left alone where it is right.
    if torch.are_deterministic_algorithms_enabled() != strict:
        torch.use_deterministic_algorithms(strict)
    torch.backends.cudnn.deterministic = strict
    torch.backends.cudnn.benchmark = not seeded
    return knobs(config)


def _require_sensible(threads: int) -> None:
    """Refuse far more threads than there are cores: they wait for each other at the end of every operation."""
    most = MOST_THREADS_A_CORE * (os.cpu_count() or 1)
    if threads > most:
        raise DeviceError(
            "so many threads would spend their time waiting for each other",
            where="threads",
            found=f"{threads:,} on {os.cpu_count()} cores",
            expected=f"1 to {most}; one for each core without this key",
            help="leave threads out",
        )


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory in the process; for good, there is no way back. Say whether it took effect.

    By default glibc maps every large block anew and returns it when it is freed, so that each step pays a page fault for
    every 4 KiB of its temporaries. With no block mapped on its own (M_MMAP_MAX 0) and the heap never trimmed
    (M_TRIM_THRESHOLD), the pages stay. The results have the same bits. Source: mallopt(3).
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


def knobs(config: RunConfig) -> dict[str, Any]:
    """Return the knobs that decide whether two runs give the same bits, as they stand now."""
    return {
        "deterministic": config.deterministic,
        "seed": config.seed,
        "python_seeded": config.deterministic != "off",
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "cublas_workspace_config": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "keep_memory": config.keep_memory and platform.libc_ver()[0] == "glibc",
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
    }


def environment(config: RunConfig, device: torch.device) -> dict[str, Any]:
    """Return what ``env.json`` holds: versions, hardware, knobs, git; never environment variables at large."""
    import torchvision

    vision = {"torchvision": torchvision.__version__}
    return {
        "versions": {**versions(), **vision},
        "hardware": hardware(device),
        "knobs": knobs(config),
        "git": git_state(),
    }


def versions() -> dict[str, str | None]:
    """Return the versions of this package and of those that numbers depend on."""
    import numpy

    from trainloop import __version__

    return {
        "trainloop": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "cuda": torch.version.cuda,
    }


def hardware(device: torch.device) -> dict[str, Any]:
    """Return what is known of the machine."""
    return {
        "device": str(device),
        "device_name": device_name(device),
        "cpu": cpu_name(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cpu_count": os.cpu_count(),
        "system": platform.platform(),
    }


def device_name(device: torch.device) -> str:
    """Return the model name of a device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.processor() or platform.machine()} (mps)" if device.type == "mps" else cpu_name()


def cpu_name() -> str:
    """Return the CPU's own name, or its architecture where the system does not tell."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def git_state() -> dict[str, Any] | None:
    """Return commit and cleanliness of the source trainloop runs from; None when it is not a git checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        dirty = bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": dirty}


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    return done.stdout.strip()


def peak_memory_mib(device: torch.device) -> float:
    """Return the largest memory this process has held: of the device on cuda, else resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource

    # Linux counts kibibytes, macOS bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
