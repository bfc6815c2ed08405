"""Whatever goes wrong in a stage has a side, a stage and a reason."""

from __future__ import annotations

import signal
import threading
import time
from types import SimpleNamespace

import pytest
import torch

from trainloop.compare.guard import SideError, TimeLimit, called
from trainloop.errors import StageError

SIDE = SimpleNamespace(name="candidate")


@pytest.fixture(autouse=True)
def _limit(monkeypatch):
    monkeypatch.setattr(TimeLimit, "seconds", None)


def failure(stage, function):
    with pytest.raises(SideError) as caught:
        called(SIDE, stage, function)
    return caught.value


def raising(error):
    def function():
        raise error

    return function


def hang():
    while True:
        time.sleep(0.001)


def test_what_a_stage_returns_is_handed_on():
    assert called(SIDE, "forward", lambda x: x + 1, torch.ones(1)).item() == 2


def test_an_exception_keeps_its_class_and_its_first_line():
    error = failure("step", raising(ValueError("no\nmore of it")))
    assert (error.side, error.stage, error.what) == ("candidate", "step", "ValueError: no")


def test_an_exception_without_words_is_its_class():
    assert failure("step", raising(KeyError())).what == "KeyError"


def test_the_whole_message_names_side_and_stage():
    assert str(failure("step", raising(ValueError("no")))) == (
        "the candidate failed in stage optimizer step: ValueError: no"
    )


def test_an_error_of_this_project_speaks_for_itself():
    error = failure("forward", raising(StageError("there is no rule for cross", where="head", found="torch.cross")))
    assert error.what == "there is no rule for cross: torch.cross"


@pytest.mark.parametrize(
    ("value", "what"),
    [(None, "it returned None instead of a tensor"), ((1, 2), "it returned a tuple instead of a tensor")],
)
@pytest.mark.parametrize("stage", ["forward", "loss"])
def test_forward_and_loss_have_to_return_a_tensor(stage, value, what):
    assert failure(stage, lambda: value).what == what


def test_the_other_stages_may_return_anything():
    assert called(SIDE, "step", lambda: 3) == 3


def test_a_loss_has_to_be_one_number():
    assert failure("loss", lambda: torch.ones(4)).what == "it returned a tensor of shape (4,) instead of one number"


def test_a_loop_without_end_is_interrupted(monkeypatch):
    monkeypatch.setattr(TimeLimit, "seconds", 0.05)
    assert failure("backward", hang).what == "no answer after 0.05 s (--timeout sets the limit)"


def test_code_that_swallows_every_exception_is_interrupted_too(monkeypatch):
    monkeypatch.setattr(TimeLimit, "seconds", 0.05)

    def stubborn():
        while True:
            try:
                time.sleep(0.001)
            except Exception:  # noqa: BLE001
                continue

    assert failure("backward", stubborn).what.startswith("no answer after")


def test_the_alarm_is_off_afterwards(monkeypatch):
    monkeypatch.setattr(TimeLimit, "seconds", 5.0)
    before = signal.getsignal(signal.SIGALRM)
    called(SIDE, "step", lambda: None)
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    assert signal.getsignal(signal.SIGALRM) == before


def test_another_thread_runs_without_a_limit(monkeypatch):
    monkeypatch.setattr(TimeLimit, "seconds", 0.01)
    done = []
    thread = threading.Thread(target=lambda: done.append(called(SIDE, "step", lambda: time.sleep(0.05) or 7)))
    thread.start()
    thread.join()
    assert done == [7]


def test_an_interrupt_by_the_user_is_no_fault_of_the_side():
    with pytest.raises(KeyboardInterrupt):
        called(SIDE, "step", raising(KeyboardInterrupt()))
