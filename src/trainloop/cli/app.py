"""The ``trainloop`` command: its subcommands, its exit codes, and what it says when something goes wrong."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from trainloop import __version__
from trainloop.cli.benchmark_conv import benchmark_conv
from trainloop.cli.compare_modes import compare_modes
from trainloop.cli.config import app as config_app
from trainloop.cli.data import app as data_app
from trainloop.cli.doctor import doctor
from trainloop.cli.evaluate import evaluate
from trainloop.cli.explain_conv import explain_conv
from trainloop.cli.explain_step import explain_step
from trainloop.cli.lists import models, optimizers, schedules
from trainloop.cli.options import CliState
from trainloop.cli.predict import predict
from trainloop.cli.rules import rules
from trainloop.cli.runs import app as runs_app
from trainloop.cli.streams import install_output, lost_output
from trainloop.cli.train import train
from trainloop.cli.verify_resume import verify_resume
from trainloop.errors import INTERNAL_ERROR_EXIT_CODE, InterruptedRunError, ResourceError, TrainloopError
from trainloop.interruption import STOPPING

app = typer.Typer(
    name="trainloop",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(train)
app.command()(evaluate)
app.command()(predict)
app.command("compare-modes")(compare_modes)
app.command("verify-resume")(verify_resume)
app.command("explain-step")(explain_step)
app.command("explain-conv")(explain_conv)
app.command("benchmark-conv")(benchmark_conv)
app.add_typer(data_app, name="data")
app.add_typer(config_app, name="config")
app.command()(doctor)
app.add_typer(runs_app, name="runs")
app.command()(models)
app.command()(optimizers)
app.command()(schedules)
app.command()(rules)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trainloop {__version__}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train a CNN on CIFAR-10, with every stage of the training step readable and switchable."""


def main() -> None:
    """Run the command line and end the process with the exit code that errors.py documents."""
    state = CliState()
    output = install_output()
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal's encoding lacks becomes a question mark instead of a crash.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    for number in (getattr(signal, name) for name in STOPPING if hasattr(signal, name)):
        # What nohup ignores stays ignored; a shell's background job hears Ctrl-C all the same.
        if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    code = _run(state)
    reason = lost_output(output)
    if reason and code == 0:
        code = _report(_lost(reason), debug=state.debug)
    sys.exit(code)


def _run(state: CliState) -> int:
    """Run the command and return its exit code."""
    try:
        app(obj=state)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 0
    except (TrainloopError, InterruptedRunError) as error:
        return _report(error, debug=state.debug)
    except Exception as error:  # noqa: BLE001 - the one place where an error of ours becomes a message
        return _report_internal(error, debug=state.debug)
    return 0


def _lost(reason: str) -> ResourceError:
    return ResourceError(
        "what was to be printed is not whole, though the command itself did its work",
        where="standard output",
        found=reason,
        help="send the output elsewhere",
    )


def _interrupt(number: int, _frame: FrameType | None) -> None:
    name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    raise InterruptedRunError(f"interrupted by {name}", exit_code=128 + number)


def _report(error: TrainloopError | InterruptedRunError, *, debug: bool) -> int:
    from trainloop.cli.render import print_faults

    if debug:
        raise error
    print_faults(error.faults)
    return error.exit_code


def _report_internal(error: Exception, *, debug: bool) -> int:
    from trainloop.cli.render import print_faults
    from trainloop.cli.render_internal import internal_fault

    if debug:
        raise error
    print_faults([internal_fault(error)])
    return INTERNAL_ERROR_EXIT_CODE
