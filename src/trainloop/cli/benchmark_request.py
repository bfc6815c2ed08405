"""What ``trainloop benchmark-conv`` is asked for: its options, checked, and turned into what the measurement takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from trainloop.errors import UsageError

if TYPE_CHECKING:
    import torch

    from trainloop.bench.problem import Problem
    from trainloop.bench.run import Settings
    from trainloop.manual.conv import Algorithm, TransposedAlgorithm

DEFAULT_SUITE, TRANSPOSED_SUITE = "cifar", "transpose"
LAYOUTS = ("channels_last", "nchw")
DTYPES = ("float32", "float64", "float16", "bfloat16")
CHECK_CASES = 200
MAX_THREADS = 1024
"""of an operation; the system ends a process that asks for very many more"""


@dataclass(frozen=True)
class Request:
    """The options, as they were typed.

    Args:
        suites: names, several with commas between them.
        problems: texts.
        input: shape of the input of modules.
        directions: names, likewise.
        transpose: whether problems in words are transposed convolutions.
        algorithms: names, likewise.
        kernels: ``file.py:function``.
        threads: of an operation.
        layout: memory format of the algorithms.
        device: name.
        dtype: name; None for float32, in a check for float32 and float64.
        time_budget_s: of everything.
        cases: of a check.
        seed: of all values.
        force: whether loops may take minutes.
    """

    suites: Sequence[str]
    problems: Sequence[str]
    input: str | None
    directions: Sequence[str]
    transpose: bool
    algorithms: Sequence[str]
    kernels: Sequence[str]
    threads: int | None
    layout: str
    device: str
    dtype: str | None
    time_budget_s: float | None
    cases: int | None
    seed: int
    force: bool

    def settings(self) -> Settings:
        """Return what is to be measured, and set the threads.

        Raises:
            UsageError: a name that is not known, a number that cannot be, or a problem that there is not.
            DeviceError: the device is not there.
        """
        self.check_numbers()
        layout = one_of(self.layout, LAYOUTS, "--layout", "memory format")
        dtype = one_of(self.dtype or DTYPES[0], DTYPES, "--dtype", "type")
        directions = self.chosen_directions()

        import torch

        from trainloop.bench.run import Settings
        from trainloop.device import choose_device

        found = self.found_problems()
        kinds = {problem.transposed for problem, _ in found}
        device = choose_device(self.device)
        self.set_threads()
        return Settings(
            problems=found,
            directions=directions,
            algorithms=self.chosen_algorithms(kinds),
            kernels=self.kernels,
            layout=layout,
            dtype=getattr(torch, dtype),
            device=device,
            seed=self.seed,
            time_budget_s=self.time_budget_s,
            force=self.force,
        )

    def check_numbers(self) -> None:
        """Refuse numbers that are too small, and more threads than any machine has.

        Raises:
            UsageError: naming the first of them.
        """
        for option, value, least in (
            ("--threads", self.threads, 1),
            ("--time-budget", self.time_budget_s, 0),
            ("--cases", self.cases, 1),
            ("--seed", self.seed, 0),
        ):
            # Not `value < least`, which a NaN would pass.
            if value is not None and not value >= least:
                raise UsageError(
                    f"{option} is too small", where=option, found=f"{value:g}", expected=f"{least} or more"
                )
        if self.threads is not None and self.threads > MAX_THREADS:
            raise UsageError(
                "--threads is too large", where="--threads", found=f"{self.threads}", expected=f"{MAX_THREADS} or less"
            )

    def found_problems(self) -> list[tuple[Problem, str]]:
        """Return the problems of the suites, then the single ones, each once, with where it comes from.

        Raises:
            UsageError: a suite that is not known, or a problem that there is not.
        """
        from trainloop.bench.parse import parse_problems
        from trainloop.bench.suites import SUITES

        names = named(self.suites, SUITES, "--suite", "suite")
        if not names and not self.problems:
            names = [TRANSPOSED_SUITE if self.transpose else DEFAULT_SUITE]
        found: dict[Problem, str] = {}
        for name in names:
            for problem, layer in SUITES[name].problems(transpose=self.transpose):
                found.setdefault(problem, layer)
        for problem in parse_problems(list(self.problems), self.input, transpose=self.transpose):
            found.setdefault(problem, "")
        return list(found.items())

    def chosen_directions(self) -> list[str]:
        """Return the directions in the order of a training step.

        Raises:
            UsageError: one that is not known.
        """
        from trainloop.manual.conv.job import DIRECTIONS

        names = named(self.directions, DIRECTIONS, "--direction", "direction")
        return [direction for direction in DIRECTIONS if not names or direction in names]

    def chosen_algorithms(self, kinds: Iterable[bool]) -> list[str] | None:
        """Return the algorithms that are named, or None for all.

        Args:
            kinds: whether of transposed convolutions, or of others, or both.

        Raises:
            UsageError: one that is not known.
        """
        from trainloop.manual.conv import CONV2D, CONV_TRANSPOSE2D

        known = dict.fromkeys(name for kind in sorted(kinds) for name in (CONV_TRANSPOSE2D if kind else CONV2D))
        return named(self.algorithms, known, "--algorithm", "algorithm") or None

    def check_dtypes(self) -> list[torch.dtype]:
        """Return the types that a check is for.

        Raises:
            UsageError: one that is not known.
        """
        import torch

        names = ("float32", "float64") if self.dtype is None else (one_of(self.dtype, DTYPES, "--dtype", "type"),)
        return [getattr(torch, name) for name in names]

    def check_algorithms(self) -> list[Algorithm | TransposedAlgorithm]:
        """Return what is to be checked: all algorithms, or those that are named.

        With kernels of the user's own and no names: these and the library.

        Raises:
            UsageError: an algorithm that is not known.
            PluginError: the file of a kernel.
        """
        from trainloop.manual.conv import CONV2D, CONV_TRANSPOSE2D
        from trainloop.own_kernel import load_kernel

        kinds = (True,) if self.transpose else (False, True)
        names = self.chosen_algorithms(kinds) or (["aten"] if self.kernels else None)
        tables: list[Mapping[str, Algorithm | TransposedAlgorithm]] = [CONV_TRANSPOSE2D if k else CONV2D for k in kinds]
        known = [table[name] for table in tables for name in table if names is None or name in names]
        return [*known, *(load_kernel(text, transposed=self.transpose)[0] for text in self.kernels)]

    def set_threads(self) -> None:
        """Set how many threads an operation has, if that was asked for."""
        import torch

        if self.threads is not None:
            torch.set_num_threads(self.threads)


def named(texts: Sequence[str], known: Iterable[str], option: str, what: str) -> list[str]:
    """Return the names in texts with commas, each once.

    Args:
        texts: as they were typed.
        known: the names that there are.
        option: that they were given by.
        what: they are the name of.

    Raises:
        UsageError: one of them is not known; with the nearest that is.
    """
    names = [name.strip() for text in texts for name in text.split(",") if name.strip()]
    if texts and not names:
        raise UsageError(
            f"{option} names nothing", where=option, found=repr(",".join(texts)), expected=f"some of {', '.join(known)}"
        )
    return [one_of(name, known, option, what) for name in dict.fromkeys(names)]


def one_of(name: str, known: Iterable[str], option: str, what: str) -> str:
    """Return a name that is known; arguments and errors as above."""
    from trainloop.config.suggest import nearest

    every = list(known)
    if name in every:
        return name
    close = nearest(name, every)
    raise UsageError(
        f"there is no such {what}",
        where=option,
        found=name,
        expected=", ".join(every),
        help=f"did you mean `{close}`?" if close else "",
    )


def refuse_beside(context: typer.Context, option: str, allowed: Sequence[str]) -> None:
    """Refuse options that would be passed over.

    Args:
        context: of the command line.
        option: that makes them mean nothing.
        allowed: names of the parameters that mean something beside it.

    Raises:
        UsageError: naming the first of the others.
    """
    switch = option.removeprefix("--")
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        typed = source is not None and source.name == "COMMANDLINE"
        if typed and name not in allowed and name != "debug" and option not in parameter.opts:
            others = [other.opts[0] for other in context.command.params if other.name in allowed]
            raise UsageError(
                f"{parameter.opts[0]} means nothing beside {option}",
                where=parameter.opts[0],
                expected=f"no more than {', '.join(others)} beside {option}" if others else f"--{switch} alone",
            )


def refuse_without_check(request: Request) -> None:
    """Refuse what means something to a check of correctness only.

    Raises:
        UsageError: ``--cases`` is given.
    """
    if request.cases is not None:
        raise UsageError("--cases means nothing without --check", where="--cases", found=f"{request.cases}")
