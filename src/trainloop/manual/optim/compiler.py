"""Turn a C++ file with one function ``update`` into a function of this process."""

from __future__ import annotations

import ctypes
import functools
import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainloop.manual.errors import CompilerError

FLAGS = (
    *("-std=c++17", "-O3", "-march=native", "-fopenmp", "-shared", "-fPIC"),
    # No product and sum are fused but where the source says so; errno and traps, which nobody reads, may not hinder vectors.
    *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
)


@functools.cache
def compiled(source: str, compiler: str) -> Callable[..., None]:
    """Compile and load a file; a second call with the same text returns the same function.

    It takes about a second. The library is loaded into this process and left nowhere else.

    Args:
        source: C++.
        compiler: a command such as ``g++`` or ``ccache clang++``.

    Raises:
        CompilerError: there is no such command, or it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "update.so"
        command = [*shlex.split(compiler), *FLAGS, "-x", "c++", "-", "-o", str(library)]
        try:
            done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
        except OSError as error:
            raise CompilerError(compiler, error.strerror or str(error)) from error
        if done.returncode:
            raise CompilerError(compiler, f"it ended with code {done.returncode}: {done.stderr.strip()}")
        return _function(library)


def chosen_compiler() -> str:
    """Return the command in the environment's CXX, or ``g++``."""
    return os.environ.get("CXX") or "g++"


def _function(library: Path) -> Callable[..., None]:
    function: Any = ctypes.CDLL(str(library)).update
    function.argtypes = [
        *(ctypes.c_int64, ctypes.POINTER(ctypes.c_int64), ctypes.POINTER(ctypes.c_void_p)),
        *(ctypes.POINTER(ctypes.c_double), ctypes.c_int),
    ]
    function.restype = None
    return function  # type: ignore[no-any-return]
