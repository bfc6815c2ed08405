from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainloop.config import LoadedConfig, Origin, Override, RunConfig, load_config
from trainloop.config.dump import flow_text
from trainloop.config.load import MAX_LISTED
from trainloop.config.outline import every_key
from trainloop.errors import ConfigError, Fault

Load = Callable[..., LoadedConfig]
Refuse = Callable[..., tuple[Fault, ...]]


def test_no_file_gives_the_defaults() -> None:
    assert load_config(None).config == RunConfig()


def test_every_leaf_of_the_defaults_has_the_origin_default() -> None:
    origins = load_config(None).origins
    assert origins["optimizer.lr"] == Origin("default")
    assert set(origins.values()) == {Origin("default")}


def test_a_file_beats_the_defaults(load: Load) -> None:
    loaded = load("optimizer:\n  lr: 0.3\n")
    assert (loaded.config.optimizer.lr, loaded.config.train.epochs) == (0.3, 10)
    assert loaded.origins["optimizer.lr"] == Origin("file", "c.yaml:2:7")
    assert loaded.path == Path("c.yaml")


def test_an_override_beats_the_file(load: Load) -> None:
    loaded = load("optimizer: {lr: 0.3}", "optimizer.lr=0.4")
    assert loaded.config.optimizer.lr == 0.4
    assert loaded.origins["optimizer.lr"] == Origin("override", "--set optimizer.lr=0.4")


def test_the_file_itself_is_never_changed(load: Load) -> None:
    load("optimizer: {lr: 0.3}  # mine", "optimizer.lr=0.4")
    assert Path("c.yaml").read_text() == "optimizer: {lr: 0.3}  # mine"


def test_origins_name_exactly_the_leaves_of_the_config(load: Load) -> None:
    loaded = load("model: {args: {width: 3}}")
    assert loaded.origins["model.args.width"] == Origin("file", "c.yaml:1:23")
    assert "model.args" not in loaded.origins
    assert loaded.origins["optimizer.groups"] == Origin("default")


def test_lists_become_tuples(load: Load) -> None:
    config = load("schedule: {name: multistep, milestones: [3, 4.5]}").config
    assert config.schedule.name == "multistep"
    assert config.schedule.milestones == (3.0, 4.5)


def test_text_becomes_a_path_as_written(load: Load) -> None:
    assert load("model: {weights: ../runs/a.safetensors}").config.model.weights == Path("../runs/a.safetensors")


def test_a_whole_number_is_fine_where_a_number_is_expected(load: Load) -> None:
    lr = load("optimizer: {lr: 1}").config.optimizer.lr
    assert (lr, type(lr)) == (1.0, float)


def test_a_number_with_an_exponent_is_fine_where_a_whole_number_is_expected(load: Load) -> None:
    assert load("train: {max_steps: 1e4}").config.train.max_steps == 10_000


def test_a_section_without_a_name_means_the_default_choice(load: Load) -> None:
    loaded = load("optimizer: {momentum: 0.5}")
    assert (loaded.config.optimizer.name, loaded.origins["optimizer.name"].kind) == ("sgd", "default")


@pytest.mark.parametrize("value", ["true", "3", "0.5", "'3'", "wide"])
def test_model_arguments_keep_their_type(load: Load, value: str) -> None:
    expected = {"true": True, "3": 3, "0.5": 0.5, "'3'": "3", "wide": "wide"}[value]
    found = load(f"model: {{args: {{x: {value}}}}}").config.model.args["x"]
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n"])
def test_an_empty_file_is_named_with_the_way_on(refuse: Refuse, text: str) -> None:
    (fault,) = refuse(text)
    if text == "---\n":
        assert fault.what == "a config is a section: keys with values"
    else:
        assert (fault.what, fault.where) == ("the config file is empty", "c.yaml")
        assert "trainloop config init c.yaml" in fault.help


@pytest.mark.parametrize(("text", "found"), [("- a\n- b", "[a, b]"), ("train", "train"), ("3", "3"), ("null", "null")])
def test_a_file_that_is_no_section_is_refused(refuse: Refuse, text: str, found: str) -> None:
    (fault,) = refuse(text)
    assert (fault.what, fault.where, fault.found) == ("a config is a section: keys with values", "c.yaml:1:1", found)
    assert fault.help == "`trainloop config init -` prints an example"


def test_an_empty_section_of_braces_is_fine(load: Load) -> None:
    assert load("{}").config == RunConfig()


def test_a_byte_order_mark_and_windows_line_ends_keep_the_positions(refuse: Refuse) -> None:
    (fault,) = refuse(b"\xef\xbb\xbfseed: 1\r\nmode: manal\r\n")
    assert fault.where == "c.yaml:2:7"


def test_a_file_that_cannot_be_parsed_still_reports_broken_overrides(refuse: Refuse) -> None:
    wheres = [fault.where for fault in refuse("optimizer: {lr: 1", "seed")]
    assert wheres == ["c.yaml:1:12", "--set seed"]


def test_another_optimizer_by_override_names_both_places(refuse: Refuse) -> None:
    (fault,) = refuse("optimizer:\n  name: sgd\n  lr: 0.3\n  momentum: 0.5\n", "optimizer.name=adamw")
    assert fault.where == "c.yaml:4:3"
    assert "optimizer.name is adamw (--set optimizer.name=adamw)" in fault.help
    assert "--set 'optimizer={name: adamw}'" in fault.help


def test_another_optimizer_by_override_keeps_what_fits(load: Load) -> None:
    optimizer = load("optimizer: {name: sgd, lr: 0.3}", "optimizer.name=adamw").config.optimizer
    assert (optimizer.name, optimizer.lr) == ("adamw", 0.3)


def test_an_override_is_shown_as_the_option_that_was_typed(refuse: Refuse) -> None:
    (fault,) = refuse("seed: 1", Override("mode=manul", "--mode manul"))
    assert (fault.where, fault.help) == ("--mode manul", "did you mean `manual`?")


def test_very_many_faults_end_in_their_number(refuse: Refuse) -> None:
    faults = refuse("".join(f"key{number}: 1\n" for number in range(MAX_LISTED + 23)))
    assert len(faults) == MAX_LISTED + 1
    assert faults[-1].what == "and 23 more faults like these"


def test_neither_importing_nor_a_faulty_load_imports_torch_or_numpy(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("seeed: 1\nmode: manal\n")
    code = (
        "import sys, pathlib\n"
        "from trainloop.config import load_config\n"
        "from trainloop.errors import ConfigError\n"
        "try:\n    load_config(pathlib.Path(sys.argv[1]), ['x'])\n"
        "except ConfigError as error:\n    print(len(error.faults))\n"
        "print(sorted({'torch', 'torchvision', 'numpy', 'PIL', 'matplotlib'} & set(sys.modules)))\n"
    )
    result = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert result.stdout.split("\n")[:2] == ["3", "[]"]


_NAMES = sorted({key.name for key in every_key()} | {"lrr", "x.y", "on", "0"})
_SCALARS: Any = st.sampled_from(
    [None, True, 0, -1, 3, 0.5, 1e300, float("inf"), "", "sgd", "adamw", "multistep", "manual", "cuda:0", "3", "a b"]
)
_DATA: Any = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(_NAMES), _DATA, max_size=6))
def test_whatever_an_override_sets_is_either_a_config_or_placed_faults(data: dict[str, Any]) -> None:
    faults = _faults_or_none([f"{key}={flow_text(value)}" for key, value in data.items()])
    assert all(fault.where.startswith("--set ") for fault in faults)
    assert len({(fault.where, fault.what, fault.found) for fault in faults}) == len(faults)


def _faults_or_none(overrides: list[str]) -> tuple[Fault, ...]:
    try:
        load_config(None, overrides)
    except ConfigError as error:
        return error.faults
    return ()
