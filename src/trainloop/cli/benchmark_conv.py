"""``trainloop benchmark-conv``: every way to compute a convolution beside the library's, checked and timed."""

from __future__ import annotations

from typing import Annotated

import typer

from trainloop.cli import options
from trainloop.cli.benchmark_outputs import BenchmarkOutputs, print_suites, run_and_show, run_check
from trainloop.cli.benchmark_request import (
    CHECK_CASES,
    DEFAULT_SUITE,
    DTYPES,
    LAYOUTS,
    Request,
    refuse_beside,
    refuse_without_check,
)

Suites = Annotated[
    list[str] | None,
    typer.Option("--suite", metavar="NAME,…", help=f"Problems declared beforehand (--list); {DEFAULT_SUITE} without."),
]
Problems = Annotated[
    list[str] | None,
    typer.Option(
        "--problem", metavar="TEXT", help="'n128 c64 o256 h15 k3 p1', or 'Conv2d(64, 256, 3, padding=1)'; repeatable."
    ),
]
Input = Annotated[str | None, typer.Option("--input", metavar="N,C,H,W", help="Shape of the input of a module's text.")]
Directions = Annotated[
    list[str] | None, typer.Option("--direction", metavar="NAME,…", help="Of forward, grad_input, grad_weight.")
]
Transpose = Annotated[
    bool, typer.Option("--transpose", help="Problems in words are transposed convolutions; alone, the suite of these.")
]
Algorithms = Annotated[
    list[str] | None,
    typer.Option("--algorithm", metavar="NAME,…", help="These only, beside the built-ins, which always take part."),
]
Kernels = Annotated[
    list[str] | None,
    typer.Option("--kernel", metavar="FILE.py:FUNCTION", help="A kernel of your own, measured too; repeatable."),
]
Threads = Annotated[int | None, typer.Option("--threads", help="Threads of an operation; torch's choice without.")]
Layout = Annotated[
    str, typer.Option("--layout", metavar="|".join(LAYOUTS), help="Of the algorithms; the built-ins run in both.")
]
Device = Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda|mps", help="Where to measure.")]
Dtype = Annotated[str | None, typer.Option("--dtype", metavar="|".join(DTYPES), help="Type of all tensors.")]
Json = Annotated[
    str | None, typer.Option("--json", metavar="FILE|-", help="Write every sample as JSON too; - prints nothing else.")
]
Markdown = Annotated[
    str | None, typer.Option("--markdown", metavar="FILE|-", help="Write Markdown too; - prints nothing else.")
]
Chart = Annotated[
    str | None, typer.Option("--chart", metavar="FILE.svg|png", help="Draw the speed-ups with their intervals.")
]
TimeBudget = Annotated[
    float | None,
    typer.Option(
        "--time-budget",
        metavar="SECONDS",
        help="For all; 6 a problem and direction without. Everybody is called five times, however small.",
    ),
]
Check = Annotated[
    bool, typer.Option("--check", help="Instead: correctness alone, over corner cases and drawn ones, no times.")
]
Cases = Annotated[
    int | None, typer.Option("--cases", help=f"With --check: drawn cases of each algorithm; {CHECK_CASES} without.")
]
Seed = Annotated[int, typer.Option("--seed", help="Of all values.")]
Force = Annotated[bool, typer.Option("--force", help="Let loops do problems that they take minutes for.")]
ListSuites = Annotated[bool, typer.Option("--list", help="Show the suites and their problems, and end.")]


def benchmark_conv(
    context: typer.Context,
    suites: Suites = None,
    problems: Problems = None,
    input: Input = None,
    directions: Directions = None,
    transpose: Transpose = False,
    algorithms: Algorithms = None,
    kernels: Kernels = None,
    threads: Threads = None,
    layout: Layout = LAYOUTS[0],
    device: Device = "auto",
    dtype: Dtype = None,
    json_file: Json = None,
    markdown: Markdown = None,
    chart: Chart = None,
    time_budget: TimeBudget = None,
    check: Check = False,
    cases: Cases = None,
    seed: Seed = 0,
    force: Force = False,
    list_suites: ListSuites = False,
    debug: options.Debug = False,  # noqa: ARG001 - its callback has taken note of it
) -> None:
    """Measure every way to compute a convolution beside the library's: 0 all right, 1 a wrong result."""
    if list_suites:
        refuse_beside(context, "--list", ())
        print_suites()
        return
    outputs = BenchmarkOutputs(json_file, markdown, chart)
    request = Request(
        suites=suites or [],
        problems=problems or [],
        input=input,
        directions=directions or [],
        transpose=transpose,
        algorithms=algorithms or [],
        kernels=kernels or [],
        threads=threads,
        layout=layout,
        device=device,
        dtype=dtype,
        time_budget_s=time_budget,
        cases=cases,
        seed=seed,
        force=force,
    )
    if check:
        refuse_beside(context, "--check", BESIDE_CHECK)
        raise typer.Exit(run_check(request, outputs))
    refuse_without_check(request)
    raise typer.Exit(run_and_show(request.settings(), outputs))


BESIDE_CHECK = (
    *("directions", "transpose", "algorithms", "kernels", "threads", "dtype", "json_file", "time_budget", "cases"),
    *("seed", "force"),
)
"""parameters that mean something to a check of correctness"""
