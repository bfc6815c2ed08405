"""What a run looks like: in a terminal, outside one, and as JSON lines."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from trainloop.loop.events import (
    EpochDone,
    EvaluationStarted,
    RunFinished,
    RunStarted,
    StepNotFinite,
    StepRecord,
    StepsDone,
    TestDone,
)
from trainloop.report.console import ConsoleSink, Speed, make_console
from trainloop.report.curves import History, curves_png
from trainloop.report.json_lines import JsonLines, step_line
from trainloop.report.summary import Summary

SUMMARY = Summary(
    mode="manual",
    stages={"step": "manual"},
    device="cpu",
    threads=2,
    seed=0,
    model="small_cnn",
    parameters=94_762,
    dataset="cifar10-mini",
    data_digest="0" * 64,
    steps=200,
    skipped_steps=0,
    epochs=2,
    seconds=61.2,
    train_seconds=50.0,
    images_per_second=512.0,
    final_train_loss=1.5,
    final_train_accuracy=0.45,
    val_accuracy=None,
    test_loss=1.6,
    test_accuracy=0.4321,
    convolutions={},
    stages_ms={"data": 1.0, "forward": 3.0},
    timing_method="median of 5 sampled steps, one in 20, wall clock",
    peak_memory_mib=900.0,
    resumed=[],
    weights_sha256="1" * 64,
)


def record(step, seconds):
    return StepRecord(step=step, epoch=1, lr=0.05, loss=2.0, correct=64, samples=128, seconds=seconds)


def run_events():
    return [
        RunStarted({"model": "small_cnn", "run folder": "runs/[red]x"}, total_steps=200, epochs=2, steps_per_epoch=100),
        StepsDone((record(1, 1.0), record(2, 2.0))),
        StepsDone((record(3, 12.5),)),
        EpochDone(1, 100, 0.025, 1.9, 0.31, 1.8, 0.35, 640.0, 20.0),
        EvaluationStarted("test", 500),
        TestDone(1.6, 0.4321, 500, 61.0),
        RunFinished(SUMMARY, "runs/[red]x"),
    ]


def printed(*, live, rows=True):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120) if live else make_console(live=False)
    console.file = stream
    sink = ConsoleSink(console, live=live, rows=rows)
    for event in run_events():
        sink.handle(event)
    sink.close()
    return stream.getvalue()


def test_plain_output_is_whole_and_free_of_control_characters():
    assert printed(live=False) == (
        "model       small_cnn\n"
        "run folder  runs/[red]x\n"
        "\n"
        "  epoch    step        lr     loss    train      val  images/s         time\n"
        "  step 3 of 200: epoch 1/2  loss 2.0000  acc 50.00 %  lr 0.05  116 images/s  6 min 24 s left\n"
        "    1/2     100     0.025   1.9000  31.00 %  35.00 %       640       20.0 s\n"
        "\n"
        "stage       ms a step   share\n"
        "data            1.000  25.0 %\n"
        "forward         3.000  75.0 %\n"
        "whole step      4.000\n"
        "median of 5 sampled steps, one in 20, wall clock\n"
        "\n"
        "test accuracy 43.21 %\n"
        "200 steps in 1 min 01 s, 512 images/s in training, test loss 1.6000\n"
        "run folder: runs/[red]x\n"
    )


def test_a_terminal_gets_a_live_line_that_goes_away():
    text = printed(live=True)
    assert "epoch 1/2  loss 2.0000  acc 50.00 %" in text
    assert "evaluating 500 test images" in text
    assert "\x1b[2K" in text
    assert text.rstrip().endswith("runs/[red]x")


def test_without_rows_only_header_and_end_are_printed():
    text = printed(live=False, rows=False)
    assert "epoch" not in text
    assert "test accuracy 43.21 %" in text


def test_json_lines_tell_the_whole_run():
    lines = []
    sink = JsonLines(lines.append, whole_run=True)
    for event in run_events():
        sink.handle(event)
    events = [json.loads(line) for line in "".join(lines).splitlines()]
    assert [event["event"] for event in events] == ["start", "step", "step", "step", "epoch", "test", "end"]
    assert events[-1]["summary"]["test_accuracy"] == 0.4321


def test_metrics_hold_what_was_measured_at_the_interval_asked_for():
    lines = []
    sink = JsonLines(lines.append, every=2)
    for event in run_events():
        sink.handle(event)
    events = [json.loads(line) for line in "".join(lines).splitlines()]
    assert [(event["event"], event.get("step")) for event in events] == [("step", 2), ("epoch", 100), ("test", None)]


def test_a_step_line_keeps_full_precision():
    line = step_line(StepRecord(7, 2, 0.1 + 0.2, 1 / 3, 5, 16, 1.5))
    assert json.loads(line) == {
        "event": "step",
        "step": 7,
        "epoch": 2,
        "lr": 0.1 + 0.2,
        "loss": 1 / 3,
        "correct": 5,
        "samples": 16,
        "seconds": 1.5,
    }


def test_speed_counts_images_and_steps():
    speed = Speed()
    speed.add(StepsDone((record(1, 1.0), record(2, 2.0))))
    assert speed.images_per_second == pytest.approx(128.0)
    assert speed.seconds_per_step == pytest.approx(1.0)


def test_curves_are_a_png():
    history = History()
    for event in run_events():
        history.handle(event)
    assert curves_png(history, "title").startswith(b"\x89PNG\r\n\x1a\n")
    assert list(history.steps) == [1, 2, 3]


def test_the_speed_of_a_run_that_goes_on_does_not_count_the_time_before():
    speed = Speed()
    speed.add(StepsDone((record(101, 500.0),)))
    assert speed.images_per_second == 0.0
    speed.add(StepsDone((record(102, 500.5), record(103, 501.0))))
    assert speed.images_per_second == 256.0
    assert speed.seconds_per_step == 0.5


def test_of_many_steps_without_update_the_first_are_told():
    stream = io.StringIO()
    console = make_console(live=False)
    console.file = stream
    sink = ConsoleSink(console, live=False)
    for step in range(1, 20):
        sink.handle(StepNotFinite(step, 1, 0.1, "loss", "the loss", "nan", (1, 2), skipped=True))
    sink.handle(StepNotFinite(20, 1, 0.1, "loss", "the loss", "nan", (1, 2), skipped=False))
    assert stream.getvalue() == (
        "no update in step 1: the loss has nan\n"
        "no update in step 2: the loss has nan\n"
        "no update in step 3: the loss has nan; further ones are in metrics.jsonl only\n"
    )
