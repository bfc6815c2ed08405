"""The two sides as the command line describes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainloop.compare.settings import Plugins, default_candidate, describe_sides, order_of, split_settings
from trainloop.errors import ConfigError, StageError, UsageError


def message(error):
    return str(error.value)


def test_without_settings_builtin_meets_manual():
    sides = describe_sides(None)
    assert (sides.reference.mode, sides.candidate.mode) == ("builtin", "manual")
    assert (sides.reference_title, sides.candidate_title) == ("builtin", "manual")


def test_the_mode_and_the_stages_of_a_config_count_for_nothing(tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text("mode: manual\nstages: {step: foreach}\n", encoding="utf-8")
    sides = describe_sides(config)
    assert (sides.reference.mode, sides.candidate.mode) == ("builtin", "manual")
    assert (sides.reference.stages.step, sides.candidate.stages.step) == (None, None)


def test_the_rest_of_a_config_counts_for_both(tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text("train: {batch_size: 12}\n", encoding="utf-8")
    sides = describe_sides(config)
    assert (sides.reference.train.batch_size, sides.candidate.train.batch_size) == (12, 12)


def test_overrides_count_for_both():
    sides = describe_sides(None, ["optimizer.name=adamw"])
    assert (sides.reference.optimizer.name, sides.candidate.optimizer.name) == ("adamw", "adamw")


def test_each_side_has_its_settings():
    sides = describe_sides(None, reference="mode=manual", candidate="mode=manual,stages.step=foreach")
    assert sides.reference.stages.step is None
    assert sides.candidate.stages.step == "foreach"
    assert (sides.reference_title, sides.candidate_title) == ("manual", "manual, stages.step=foreach")


def test_with_a_part_of_ones_own_the_candidate_is_what_the_reference_is():
    sides = describe_sides(None, plugins=Plugins(optimizer="mine.py:Mine"))
    assert sides.candidate.mode == "builtin"
    assert sides.candidate_title == "builtin, mine.py:Mine"


def test_with_a_rule_of_ones_own_the_candidate_is_manual():
    assert default_candidate(["mode=builtin"], Plugins(rule="mine.py:relu")) == ["mode=manual"]


def test_plugins_are_named_by_kind():
    assert Plugins(optimizer="a.py:A", loss="b.py:b").named() == {"optimizer": "a.py:A", "loss": "b.py:b"}


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("", []),
        ("mode=manual", ["mode=manual"]),
        (" mode=manual , stages.step=foreach ", ["mode=manual", "stages.step=foreach"]),
        ("optimizer.betas=[0.9, 0.99],mode=manual", ["optimizer.betas=[0.9, 0.99]", "mode=manual"]),
        ("model.args={width: 4, depth: 2}", ["model.args={width: 4, depth: 2}"]),
        ("log.dir='a,b',seed=1", ["log.dir='a,b'", "seed=1"]),
        ("mode=manual,,", ["mode=manual"]),
    ],
)
def test_settings_are_split_at_commas_outside_of_brackets_and_quotes(text, settings):
    assert split_settings(text) == settings


def test_a_setting_without_a_value_is_named_with_its_option():
    with pytest.raises(ConfigError) as error:
        describe_sides(None, candidate="mode")
    assert "an override needs a `=`" in message(error)
    assert '--candidate "mode"' in message(error)


def test_an_unknown_key_is_named_with_its_option():
    with pytest.raises(ConfigError) as error:
        describe_sides(None, reference="optimizer.lrr=1")
    assert '--reference "optimizer.lrr=1"' in message(error)
    assert "lrr" in message(error)
    assert "lr" in message(error)


def test_an_unknown_mode_has_its_nearest_name():
    with pytest.raises(ConfigError) as error:
        describe_sides(None, candidate="mode=manuel")
    assert "found: manuel" in message(error)
    assert "did you mean `manual`?" in message(error)


@pytest.mark.parametrize(
    ("option", "key", "mine", "default"),
    [
        ("candidate", "seed", "3", "0"),
        ("reference", "train.batch_size", "7", "128"),
        ("candidate", "model.name", "resnet18", "small_cnn"),
    ],
)
def test_what_both_must_have_in_common_is_named_with_both_values(option, key, mine, default):
    with pytest.raises(UsageError) as error:
        describe_sides(None, **{option: f"mode=manual,{key}={mine}"})
    text = message(error)
    assert f"--{option}: reference and candidate differ in {key}, which both must have in common" in text
    assert mine in text
    assert default in text
    assert f"set it for both with --set {key}=…" in text


def test_a_config_that_is_missing_is_named():
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        describe_sides(Path("nowhere.yaml"))


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("winograd", "winograd,aten"),
        ("my.py:f, fft", "my.py:f,fft,aten"),
        ("im2col,aten", "im2col,aten"),
        ("auto", "auto"),
    ],
)
def test_what_an_algorithm_does_not_support_is_the_librarys_by_name(text, order):
    assert order_of(text) == order


def test_an_algorithm_for_convolutions_makes_the_candidate_manual_and_stands_in_its_title():
    sides = describe_sides(None, plugins=Plugins(conv="winograd"))
    assert (sides.candidate.mode, sides.candidate.stages.conv) == ("manual", "winograd,aten")
    assert sides.reference.stages.conv == "aten"
    assert (sides.reference_title, sides.candidate_title) == ("builtin", "manual, stages.conv=winograd,aten")


def test_an_algorithm_of_the_config_stands_in_the_title_of_the_side_that_it_acts_in():
    sides = describe_sides(None, ["stages.conv=fft"])
    assert (sides.reference_title, sides.candidate_title) == ("builtin", "manual, stages.conv=fft")


def test_an_algorithm_for_a_builtin_candidate_is_refused():
    with pytest.raises(StageError) as error:
        describe_sides(None, candidate="mode=builtin", plugins=Plugins(conv="winograd"))
    assert "stages.conv chooses within the manual path, but the forward is builtin" in message(error)
