"""Where in the model a call came from, found by looking at the running frames: free until somebody asks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn
from torch.overrides import resolve_name

_CALL = nn.Module._call_impl.__code__
_COMPILER = str(Path("torch", "_dynamo", "eval_frame.py"))


def module_path() -> str:
    """Return the path of the innermost module that is being called, such as ``layer3.0.downsample.1 (Conv2d)``."""
    modules: list[nn.Module] = []
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code is _CALL:
            modules.append(frame.f_locals["self"])
    if not modules:
        return "no module"
    innermost, outermost = modules[0], modules[-1]
    name = next((name for name, module in outermost.named_modules() if module is innermost), "?")
    return f"{name or 'the model itself'} ({type(innermost).__name__})"


def called_by_compiler() -> bool:
    """Return whether a frame that ``torch.compile`` entered is running; a look at ``sys.modules`` when it never was used."""
    if "torch._dynamo" not in sys.modules:
        return False
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_name == "compile_wrapper" and frame.f_code.co_filename.endswith(_COMPILER):
            return True
    return False


def function_name(function: Callable[..., Any]) -> str:
    """Return the public name of a torch function, such as ``torch.Tensor.add_``."""
    try:
        name = resolve_name(function)
    except (AttributeError, TypeError):
        name = None
    name = name or getattr(function, "__qualname__", None) or str(function)
    return name.replace("_VariableFunctionsClass.", "torch.")
