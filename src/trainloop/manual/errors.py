"""What the manual path raises; each message says what was found, what is expected and how to go on.

RuntimeError
├── TapeError              the tape cannot do what was asked
│   ├── NoRuleError        an operation without a rule
│   ├── RefusedError       something that a tape can never record: autocast, a custom backward, a hook, …
│   └── ChangedInPlaceError  a tensor that a vjp needs was overwritten after it was saved
├── FormError              a fast form of an optimizer that cannot be had
│   └── CompilerError      for want of a C++ compiler that works
└── ConvError              a convolution that cannot be (a ValueError too)
    ├── ConvShapeError     its shapes and numbers do not fit together
    └── UnsupportedConvError  the algorithm that was named does not do this one, or there is none of that name
"""

from __future__ import annotations


class TapeError(RuntimeError):
    """The tape cannot do what was asked of it."""


class NoRuleError(TapeError):
    """An operation that a gradient has to pass through has no rule.

    Args:
        function: its name, such as ``torch.cumsum``.
        module: the path of the module that called it, such as ``layer3.0.downsample.1``.
    """

    def __init__(self, function: str, module: str) -> None:
        super().__init__(
            f"no rule for {function}, called in {module}; a rule is one forward and one vjp: add it to a file of "
            "trainloop/manual/rules, or pass it as Tape(rules=…) (docs/write-a-rule.md shows how)"
        )
        self.function = function
        self.module = module


class RefusedError(TapeError):
    """Something happened inside a tape that it cannot record, and must not ignore."""


class ChangedInPlaceError(TapeError):
    """A tensor that a vjp needs is no longer what it was when it was saved."""


class FormError(RuntimeError):
    """A fast form of an optimizer cannot be had.

    Args:
        what: the reason, in one clause.
        instead: the form that can be had: loop or foreach.
    """

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(f"{what}; use the {instead} form")
        self.instead = instead


class CompilerError(FormError):
    """A compiled form needs a C++ compiler that is missing or fails.

    Args:
        command: what was called, such as ``g++``.
        reason: what the system or the compiler said.
    """

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(
            f"the compiled form needs a C++ compiler with OpenMP, and {command!r} does not work: {reason}; install g++, or "
            "name another one in the environment variable CXX",
            instead="foreach",
        )
        self.command = command
        self.reason = reason


class ConvError(RuntimeError, ValueError):
    """A convolution that cannot be computed: a RuntimeError as torch raises it, and a ValueError as what it is."""


class ConvShapeError(ConvError):
    """Shapes, types or numbers of a convolution do not fit together."""


class UnsupportedConvError(ConvError):
    """An algorithm cannot do what was asked of it, or is not known.

    Args:
        algorithm: its name, such as ``winograd``.
        reason: why not, in one clause.
        instead: how to go on, in one clause.
    """

    module = ""
    """path of the module that asked for it, where a tape knows"""

    def __init__(self, algorithm: str, reason: str, instead: str) -> None:
        super().__init__(f"algorithm {algorithm!r} cannot do this convolution: {reason}; {instead}")
        self.algorithm = algorithm
        self.reason = reason
        self.instead = instead
