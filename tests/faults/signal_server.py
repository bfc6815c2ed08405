"""Forks runs that halt at a chosen place: a process that has imported everything once, so that each costs half a second.

Reads one JSON object a line: ``place``, ``words`` (of the command line), ``marker`` (a file that appears when the run is at the
place), ``out`` (where it prints to). Answers with the process number, and when it is gone with its exit code.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

from trainloop import interruption
from trainloop.checkpoint import folder
from trainloop.cli.app import main as command
from trainloop.config.schema import RunConfig
from trainloop.data import pipeline
from trainloop.data.sources import download
from trainloop.doctor import gate
from trainloop.loop import trainer
from trainloop.report import curves
from trainloop.training import train

HALT_SECONDS = 0.4
"""of work that is finished in spite of a signal"""
DEAF_SECONDS = 3.0
"""of an evaluation that no signal ends"""
FOREVER_SECONDS = 60.0
"""of work that a signal ends"""
STEP = 5
"""at which a run halts"""


def halted(function, marker, at, seconds):
    """Return the function with a halt before its call number ``at``; the marker tells that it is there."""
    calls = 0

    @functools.wraps(function)
    def halting(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == at:
            marker.touch()
            time.sleep(seconds)
        return function(*args, **kwargs)

    return halting


def halting_epoch(marker):
    """Return the batches of an epoch with a halt while number ``STEP`` is awaited."""
    epoch = pipeline.BatchPipeline.epoch

    def batches(self, number, first_batch=0):
        for index, batch in enumerate(epoch(self, number, first_batch), 1):
            if index == STEP:
                marker.touch()
                time.sleep(HALT_SECONDS)
            yield batch

    return batches


def halt(place, marker):
    """Make this process halt at a place."""
    if place == "step":
        trainer.train_step = halted(trainer.train_step, marker, STEP, HALT_SECONDS)
    elif place == "data":
        pipeline.BatchPipeline.epoch = halting_epoch(marker)
    elif place == "validation":
        trainer.evaluate = halted(trainer.evaluate, marker, 1, FOREVER_SECONDS)
    elif place == "test":
        trainer.evaluate = halted(trainer.evaluate, marker, 3, FOREVER_SECONDS)
    elif place in ("save", "hung save"):
        seconds = HALT_SECONDS if place == "save" else FOREVER_SECONDS
        folder.write_new = halted(folder.write_new, marker, 2, seconds)
    elif place == "results":
        curves.curves_png = halted(curves.curves_png, marker, 1, HALT_SECONDS)
        import trainloop.training

        trainloop.training.curves_png = curves.curves_png
    elif place == "download":
        download._opened = halted(download._opened, marker, 1, FOREVER_SECONDS)
    elif place == "deaf":
        interruption.Control.request_stop = lambda *_: None
        trainer.evaluate = halted(trainer.evaluate, marker, 1, DEAF_SECONDS)
    elif place == "checks":
        gate.run_checks = halted(gate.run_checks, marker, 1, FOREVER_SECONDS)
    elif place != "compiler":
        raise ValueError(place)


def live(request):
    """Be the run."""
    os.setsid()
    code = 99
    out = os.open(request["out"], os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    for descriptor in (1, 2):
        os.dup2(out, descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(request.get("environment", {}))
    sys.argv = ["trainloop", *request["words"]]
    try:
        halt(request["place"], Path(request["marker"]))
        command()
        code = 0
    except SystemExit as error:
        code = error.code or 0
    except BaseException:  # noqa: BLE001 - it is printed, and ends this process
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def warm_up():
    """Train a little, so that everything is imported that a run imports when it needs it."""
    config = RunConfig.model_validate({"threads": 1, "train": {"max_steps": 1, "batch_size": 8}})
    with tempfile.TemporaryDirectory() as place:
        train(config, run_dir=Path(place) / "run")
    gate._sound.clear()


def main():
    """Serve until standard input ends."""
    warm_up()
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            live(json.loads(line))
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
