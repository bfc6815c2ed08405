"""Which differences between two runs are none, which cost the bits, and which make another run."""

from __future__ import annotations

import pytest

from trainloop.checkpoint.capture import Origin
from trainloop.checkpoint.same_run import compare_runs
from trainloop.config.outline import every_key


@pytest.fixture
def compared(saved_at, tiny_config):
    """Return a function: changes of the config → what differs from the run without them."""

    def compare(digest="0" * 64, plugins=None, machine=None, **changes):
        before = saved_at(1).facts
        facts = before.model_copy(update={"config": tiny_config().model_dump(mode="json")})
        now = Origin(
            tiny_config(**changes).model_dump(mode="json"),
            before.machine.model_copy(update=machine or {}),
            digest,
            plugins or {},
        )
        found = compare_runs(facts, now)
        return [one.what for one in found.inexact], [one.what for one in found.other]

    return compare


def test_the_same_run_differs_in_nothing(compared):
    assert compared() == ([], [])


@pytest.mark.parametrize(
    "changes",
    [
        {"mode": "manual"},
        {"stages": {"step": "manual"}},
        {"log": {"every": 5}},
        {"checkpoint": {"keep": 7}},
        {"threads": 2},
        {"keep_memory": False},
    ],
    ids=str,
)
def test_what_has_no_effect_is_no_difference(compared, changes):
    assert compared(**changes) == ([], [])


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"model": {"args": {"width": 5}}}, "model.args.width"),
        ({"model": {"name": "resnet20", "args": {}}}, "model.name"),
        ({"optimizer": {"name": "sgd", "lr": 0.2}}, "optimizer.lr"),
        ({"seed": 1}, "seed"),
        ({"deterministic": "strict"}, "deterministic"),
        ({"train": {"batch_size": 50}}, "train.batch_size"),
    ],
    ids=str,
)
def test_what_makes_another_run_is_named(compared, changes, key):
    assert key in compared(**changes)[1]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"mode": "manual", "stages": {"step": "foreach"}}, "stages.step"),
        ({"mode": "manual", "stages": {"conv": "winograd"}}, "stages.conv"),
        ({"train": {"eval_batch_size": 7}}, "train.eval_batch_size"),
        ({"machine": {"torch": "9"}}, "torch"),
    ],
    ids=str,
)
def test_what_costs_the_bits_is_named(compared, changes, key):
    assert compared(**changes) == ([key], [])


def test_other_images_and_other_code_make_another_run(compared):
    assert compared(digest="1" * 64)[1] == ["the data set"]
    assert compared(plugins={"mine.py": "2" * 64})[1] == ["the file mine.py"]


def test_every_key_that_is_free_is_one_of_the_schema():
    from trainloop.checkpoint.same_run import FREE, FREE_SECTIONS, INEXACT

    known = {key.path for key in every_key()}
    assert {*FREE, *FREE_SECTIONS, *INEXACT} <= known
