"""Call a stage of a side so that whatever goes wrong in it has a side, a stage and a reason."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from torch import Tensor

from trainloop.compare.implementation import Side
from trainloop.compare.key import Stage, title
from trainloop.errors import PluginError, TrainloopError

DEFAULT_TIMEOUT_S = 120.0
MUST_RETURN_A_TENSOR: tuple[Stage, ...] = ("forward", "loss")


class SideError(Exception):
    """A stage of one side failed.

    Args:
        side: ``reference`` or ``candidate``.
        stage: which one.
        what: the reason in one clause.
    """

    def __init__(self, side: str, stage: Stage, what: str) -> None:
        self.side, self.stage, self.what = side, stage, what
        self.outputs: dict[Stage, Any] = {}
        """of the stages before it in the same step"""
        super().__init__(f"the {side} failed in stage {title(stage)}: {what}")


class TimeLimit:
    """How long one stage may take; one for the process.

    A stage that runs longer is interrupted if it executes Python code, on the main thread of a system with interval timers
    (Linux, macOS); a hang inside one library call is not.
    """

    seconds: float | None = DEFAULT_TIMEOUT_S


class _TimeoutError(BaseException):
    """Not an Exception, so that the code that hangs cannot swallow it."""


def called(side: Side, stage: Stage, function: Callable[..., Any], *args: Any) -> Any:
    """Call a stage.

    Raises:
        SideError: it raised, took too long, or did not return what the stage has to give.
        PluginError: a part of the user's own that is guarded, such as a kernel, says what is wrong with it.
    """
    try:
        with _limited():
            result = function(*args)
    except _TimeoutError:
        what = f"no answer after {TimeLimit.seconds:g} s (--timeout sets the limit)"
        raise SideError(side.name, stage, what) from None
    except PluginError:
        raise  # the user's own code does not do what it has to, which is no verdict about the step
    except TrainloopError as error:
        fault = error.faults[0]
        raise SideError(side.name, stage, f"{fault.what}: {fault.found}" if fault.found else fault.what) from error
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        raise SideError(
            side.name, stage, f"{type(error).__name__}: {first}" if first else type(error).__name__
        ) from error
    if stage in MUST_RETURN_A_TENSOR and not isinstance(result, Tensor):
        raise SideError(side.name, stage, f"it returned {_kind(result)} instead of a tensor")
    if stage == "loss" and result.numel() != 1:
        raise SideError(side.name, stage, f"it returned a tensor of shape {tuple(result.shape)} instead of one number")
    return result


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    on_main_thread = threading.current_thread() is threading.main_thread()
    if TimeLimit.seconds is None or not on_main_thread or not hasattr(signal, "setitimer"):
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise _TimeoutError

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, TimeLimit.seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
