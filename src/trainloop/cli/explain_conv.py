"""``trainloop explain-conv``: one convolution or transposed convolution with every number, and what can be asked about it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trainloop.cli import explain_conv_options as conv_options
from trainloop.cli import options
from trainloop.cli.explain_conv_pictures import PICTURES, Looks
from trainloop.cli.explain_conv_request import Request, parse_image, parse_place, parse_solve
from trainloop.cli.outputs import PAGE, STANDARD_OUTPUT, check_outputs

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from trainloop.explain_conv.explanation import Explanation


def explain_conv(
    problem: conv_options.Problem = None,
    input: conv_options.Input = None,
    cell: conv_options.Cell = None,
    pixel: conv_options.Pixel = None,
    solve: Annotated[
        str | None,
        typer.Option("--solve", metavar="7x7:14x14", help="List the parameters that map one size to another."),
    ] = None,
    transpose: Annotated[bool, typer.Option("--transpose", help="Solve by transposed convolutions.")] = False,
    match: Annotated[
        str | None, typer.Option("--match", metavar="MODULE", help="Name the module that undoes the shape of this one.")
    ] = None,
    stack: Annotated[
        str | None,
        typer.Option("--stack", metavar="MODEL|CONFIG", help="Sizes and receptive field through a whole network."),
    ] = None,
    plugins: options.Plugin = None,
    code: Annotated[
        bool, typer.Option("--code", help="Print a program, plain loops and torch, that gives exactly these numbers.")
    ] = False,
    view: conv_options.View = None,
    frames: conv_options.Frames = False,
    step: conv_options.Step = False,
    svg: conv_options.Svg = None,
    png: conv_options.Png = None,
    gif: conv_options.Gif = None,
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE|-", help="Write one JSON object too; - prints nothing else.")
    ] = None,
    html_file: Annotated[
        str | None,
        typer.Option(
            "--html", metavar="FILE", help="Write one self-contained page to step, point and change numbers in."
        ),
    ] = None,
    debug: options.Debug = False,  # noqa: ARG001 - its callback has taken note of it
) -> None:
    """Explain a convolution until nothing is left: size, every cell, equal views, overlap, cost; checked against torch."""
    request = Request(problem, input, cell, pixel, solve, transpose, match, stack, code, html_file)
    request.check()
    looks = Looks(view, frames, step, svg, png, gif)
    looks.check(request.question, json_file)
    check_outputs({"--json": json_file, "--html": html_file, **looks.files}, {**PICTURES, "--html": PAGE})
    _reply(request, looks, plugins or [], json_file)


def _reply(request: Request, looks: Looks, plugins: list[Path], json_file: str | None) -> None:
    """Answer the question that is asked, or explain."""
    if request.code:
        _code(request, json_file)
    elif request.solve is not None:
        _solve(request.solve, request.transpose, json_file)
    elif request.match is not None:
        _match(request.match, request.input, json_file)
    elif request.stack is not None:
        _stack(request.stack, request.input, plugins, json_file)
    else:
        _explain(request, looks, json_file)


def _explain(request: Request, looks: Looks, json_file: str | None) -> None:
    from trainloop.explain_conv.as_json import as_json
    from trainloop.explain_conv.explain import explain_conv as explain
    from trainloop.explain_conv.page.html import page_html
    from trainloop.explain_conv.parse import DEFAULT_PROBLEM, parse_problem
    from trainloop.explain_conv.screen.page import page

    problem = parse_problem(DEFAULT_PROBLEM if request.problem is None else request.problem, request.input)
    cell = parse_place(request.cell, "--cell", problem, problem.out_channels, problem.output_sizes)
    pixel = parse_place(request.pixel, "--pixel", problem, problem.in_channels, problem.input_sizes)
    looks.check_view(problem)
    console = _console()
    looks.check_screen(console)
    explanation = explain(problem, cell, pixel)
    html = None if request.html is None else page_html(explanation)
    lines = [] if looks.show(explanation, console) else page(explanation, console.width)
    _answer(lines, console, json_file, lambda: as_json(explanation))
    looks.write(explanation, quiet=json_file == STANDARD_OUTPUT)
    if html is not None:
        _write_page(Path(str(request.html)), html, quiet=json_file == STANDARD_OUTPUT)
    _require_same(explanation)


def _require_same(explanation: Explanation) -> None:
    """End with 1 where torch has other numbers.

    Raises:
        CheckFailedError: with what differs.
    """
    from trainloop.errors import CheckFailedError

    differing = [check.what for check in explanation.checks if not check.same]
    if differing:
        raise CheckFailedError(
            "this project's numbers are not torch's",
            found=f"{', '.join(differing)} of {explanation.text} differ",
            expected=f"what torch {explanation.torch_version} computes",
            help="`trainloop doctor` checks which of the two this machine computes wrongly",
        )


def _code(request: Request, json_file: str | None) -> None:
    from trainloop.explain_conv.code import program
    from trainloop.explain_conv.parse import DEFAULT_PROBLEM, parse_problem

    problem = parse_problem(DEFAULT_PROBLEM if request.problem is None else request.problem, request.input)
    text = program(problem)
    if json_file != STANDARD_OUTPUT:
        typer.echo(text, nl=False)
    _write_json(json_file, lambda: _as_object("code", {"problem": problem.text, "program": text}), quiet=True)


def _solve(text: str, transpose: bool, json_file: str | None) -> None:
    from trainloop.explain_conv.screen.answers import solve_lines
    from trainloop.explain_conv.solver import solve

    sizes, wanted = parse_solve(text)
    solved = solve(sizes, wanted, transposed=transpose)
    console = _console()
    _answer(solve_lines(solved, console.width), console, json_file, lambda: _as_object("solve", solved))


def _match(text: str, input: str | None, json_file: str | None) -> None:
    from trainloop.explain_conv.match import match
    from trainloop.explain_conv.parse import parse_problem
    from trainloop.explain_conv.screen.answers import match_lines

    found = match(parse_problem(text, input, where="--match"))
    console = _console()
    _answer(match_lines(found, console.width), console, json_file, lambda: _as_object("match", found))


def _stack(name: str, input: str | None, plugins: list[Path], json_file: str | None) -> None:
    image = parse_image(input)

    from trainloop.explain_conv.screen.answers import stack_lines
    from trainloop.explain_conv.stack.source import stack_of

    found = stack_of(name, image, plugins)
    console = _console()
    _answer(stack_lines(found, console.width), console, json_file, lambda: _as_object("stack", found))


def _console() -> Console:
    from trainloop.cli.render import make_plain_or_rich_console

    return make_plain_or_rich_console()


def _answer(lines: Iterable[Text], console: Console, json_file: str | None, as_json: Any) -> None:
    """Print lines, or write the JSON, or both.

    Args:
        lines: for a person.
        console: where to.
        json_file: as it was typed.
        as_json: makes the text of the JSON.
    """
    from trainloop.explain_conv.screen.show import show

    if json_file != STANDARD_OUTPUT:
        show(lines, console)
    _write_json(json_file, as_json)


def _as_object(kind: str, facts: Any) -> str:
    from trainloop.explain_conv.as_json import SCHEMA_VERSION, one_object, plain

    return one_object({"schema_version": SCHEMA_VERSION, "kind": kind, **plain(facts)})


def _write_json(where: str | None, as_json: Any, *, quiet: bool = False) -> None:
    from trainloop import files

    if where == STANDARD_OUTPUT:
        typer.echo(as_json())
    elif where is not None:
        files.write_text(Path(where), as_json() + "\n")
        if not quiet:
            typer.echo(f"\nwritten: {where}")


def _write_page(path: Path, html: str, *, quiet: bool) -> None:
    from trainloop import files

    files.write_text(path, html)
    if not quiet:
        typer.echo(f"\nwritten: {path}")
