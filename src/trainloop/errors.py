"""Every error trainloop raises on purpose, in one tree, with the exit code each one ends the command with.

TrainloopError
├── CheckFailedError         1   a check that was asked for did not pass
├── UsageError               2   wrong usage
│   ├── ConfigError          2   faults of a config file or an override, all of them at once
│   ├── PluginError          2   a user's own model cannot be imported, found or built
│   ├── ModelError           2   a model cannot be named, built or fed with these images
│   ├── DeviceError          2   a device that is not there, or cannot do what was asked
│   └── StageError           2   a stage that cannot be built, or a mix that cannot work together
├── DataError                3   data missing, damaged or not what it claims to be
├── CheckpointError          4   saved weights missing, damaged or of another model
├── NonFiniteError           5   training met a NaN or an infinity
├── ResourceError            6   out of disk or memory
└── RunFolderBusyError       8   another process writes this run folder

InterruptedRunError        130   Ctrl-C (143 for SIGTERM); stands apart, so that no `except Exception` can swallow it

Codes 7 (stalled), 9 (inconclusive) and 70 (internal error) are reserved; 70 is what the command line uses for any
exception outside this tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

INTERNAL_ERROR_EXIT_CODE = 70


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: what, where, what was found, what is expected, and how to go on.

    Args:
        what: the fault in one clause, without a full stop.
        where: a file, ``file:line:column``, or the name of an option; empty when there is no place.
        found: the offending value as the user wrote it.
        expected: the values that are allowed.
        help: the next thing to do, for instance the nearest valid name or a command.
    """

    what: str
    where: str = ""
    found: str = ""
    expected: str = ""
    help: str = ""

    def __str__(self) -> str:
        """Return the plain-text form: one line for the fault, one for each further fact."""
        head = f"{self.where}: {self.what}" if self.where else self.what
        facts = (("found", self.found), ("expected", self.expected), ("help", self.help))
        return "\n".join([head, *(f"  {name}: {text}" for name, text in facts if text)])


class TrainloopError(Exception):
    """The root: carries one or more faults and the exit code of the command.

    Args:
        what: the fault in one clause, or the faults themselves.
        where, found, expected, help: see :class:`Fault`; only with a text as ``what``.
    """

    exit_code = INTERNAL_ERROR_EXIT_CODE

    def __init__(
        self, what: str | Sequence[Fault], *, where: str = "", found: str = "", expected: str = "", help: str = ""
    ) -> None:
        self.faults: tuple[Fault, ...] = (
            (Fault(what, where, found, expected, help),) if isinstance(what, str) else tuple(what)
        )
        super().__init__("\n".join(str(fault) for fault in self.faults))


class CheckFailedError(TrainloopError):
    """A check that the user asked for did not pass."""

    exit_code = 1


class UsageError(TrainloopError):
    """The command cannot mean what was typed."""

    exit_code = 2


class ConfigError(UsageError):
    """A config file or an override has faults; carries every one of them."""


class PluginError(UsageError):
    """A user's own class cannot be imported, found or built, or was not allowed on the command line."""


class ModelError(UsageError):
    """A model cannot be named, built or fed with images of this size."""


class DeviceError(UsageError):
    """A device is not there, or cannot do what was asked of it."""


class StageError(UsageError):
    """An implementation of a stage that cannot be built here, or a mix that cannot work together."""


class DataError(TrainloopError):
    """Data is missing, damaged or not what it claims to be."""

    exit_code = 3


class CheckpointError(TrainloopError):
    """Saved weights are missing, damaged or belong to another model."""

    exit_code = 4


class NonFiniteError(TrainloopError):
    """Training met a NaN or an infinity."""

    exit_code = 5


class ResourceError(TrainloopError):
    """The disk or the memory is full, or may not be written."""

    exit_code = 6


class RunFolderBusyError(TrainloopError):
    """Another process writes this run folder."""

    exit_code = 8


class InterruptedRunError(BaseException):
    """The run was stopped by a signal.

    Not an Exception: a signal may come in the middle of any library, and a library's own ``except Exception`` (there are some
    around imports) must not swallow it.

    Args:
        what: which signal came.
        where, found, help: what is kept, and how to go on; see :class:`Fault`.
        exit_code: 130 for Ctrl-C, 143 for SIGTERM.
    """

    def __init__(self, what: str, *, where: str = "", found: str = "", help: str = "", exit_code: int = 130) -> None:
        self.faults = (Fault(what, where, found, help=help),)
        self.exit_code = exit_code
        super().__init__(str(self.faults[0]))
