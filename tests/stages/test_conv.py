"""``stages.conv``: who does the convolutions of a run."""

from __future__ import annotations

import json

import pytest

from trainloop import train
from trainloop.config import load_config
from trainloop.errors import StageError
from trainloop.manual.conv import CONV2D


def run(tmp_path, *overrides):
    quick = ("train.max_steps=2", "train.batch_size=8", "train.eval_batch_size=500")
    config = load_config(None, [*quick, *overrides]).config
    return train(config, run_dir=tmp_path / "run")


def test_every_convolution_by_one_algorithm(tmp_path):
    summary = run(tmp_path, "mode=manual", "stages.conv=winograd")
    assert {name for by_direction in summary.convolutions.values() for name in by_direction.values()} == {"winograd"}
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["convolutions"] == summary.convolutions


def test_the_first_layer_needs_no_gradient_of_its_input(tmp_path):
    found = run(tmp_path, "mode=manual", "stages.conv=auto").convolutions
    assert found["n8 c3 o32 h32 k3 p1"].keys() == {"forward", "grad_weight"}


def test_the_usual_rule_is_not_recorded(tmp_path):
    assert run(tmp_path, "mode=manual").convolutions == {}


def test_what_the_algorithm_cannot_do_names_the_layer_and_the_way_out(tmp_path):
    with pytest.raises(StageError) as caught:
        run(tmp_path, "mode=manual", "stages.conv=winograd", "model.name=resnet20")
    fault = caught.value.faults[0]
    assert fault.what == "winograd cannot do a convolution of this model"
    assert fault.where.endswith("(Conv2d)")
    assert fault.found in ("stride must be 1, found 2×2", "the kernel must be 3×3, found 1×1")
    assert fault.help == "--set stages.conv=winograd,aten, or stages.conv=auto"


def test_several_in_order_of_preference(tmp_path):
    found = run(tmp_path, "mode=manual", "stages.conv=winograd,aten", "model.name=resnet20").convolutions
    assert {name for by_direction in found.values() for name in by_direction.values()} == {"winograd", "aten"}


def test_an_unknown_algorithm_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(StageError) as caught:
        run(tmp_path, "mode=manual", "stages.conv=winograt")
    fault = caught.value.faults[0]
    assert (fault.what, fault.where, fault.found) == (
        "there is no such algorithm for convolution",
        "stages.conv",
        "winograt",
    )
    assert fault.help == f"did you mean winograd? known: {', '.join(CONV2D)}, auto"


@pytest.mark.parametrize(("key", "value"), [("conv", "winograd"), ("rules", "formula")])
def test_a_choice_without_effect_is_refused(tmp_path, key, value):
    with pytest.raises(StageError) as caught:
        run(tmp_path, f"stages.{key}={value}")
    fault = caught.value.faults[0]
    assert fault.what == f"stages.{key} chooses within the manual path, but the forward is builtin"
    assert fault.help == f"--mode manual, or leave stages.{key} out"
