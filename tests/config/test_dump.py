from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from trainloop.config import RunConfig, dump_yaml, load_config
from trainloop.config.dump import scalar_text
from trainloop.config.optimizers import AdamWConfig, GroupConfig
from trainloop.config.schema import ModelConfig, MultistepConfig, TrainConfig


def read_back(config: RunConfig) -> RunConfig:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(dump_yaml(config), encoding="utf-8")
        return load_config(path).config


def test_the_defaults_read_back() -> None:
    assert read_back(RunConfig()) == RunConfig()


def test_lists_groups_paths_and_small_numbers_read_back() -> None:
    config = RunConfig(
        optimizer=AdamWConfig(name="adamw", eps=1e-12, groups=(GroupConfig(match="*.bias", weight_decay=0.0),)),
        schedule=MultistepConfig(name="multistep", milestones=(1.5, 3.0)),
        model=ModelConfig(weights=Path("a b/#c.safetensors"), args={"width": 3}),
        train=TrainConfig(ema_decay=0.999),
    )
    assert read_back(config) == config


_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
_VALUE: Any = st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT


@given(st.dictionaries(_TEXT, _VALUE, max_size=3), st.text(st.characters(exclude_categories=("Cs",)), min_size=1))
def test_any_text_and_number_reads_back(args: dict[str, bool | int | float | str], name: str) -> None:
    config = RunConfig(model=ModelConfig(name=name, args=args))
    assert read_back(config) == config


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("small_cnn", "small_cnn"),
        ("path/to/file.py:Class", "path/to/file.py:Class"),
        ("off", '"off"'),
        ("None", '"None"'),
        ("true", '"true"'),
        ("3", '"3"'),
        ("1e-3", '"1e-3"'),
        ("", '""'),
        ("a b", '"a b"'),
        ("*.bias", '"*.bias"'),
        ("\x7f", '"\\x7f"'),
        (1e-8, "1.0e-08"),
        (0.1, "0.1"),
        (3, "3"),
        (True, "true"),
        (None, "null"),
    ],
)
def test_scalars_are_quoted_only_where_needed(value: bool | int | float | str | None, text: str) -> None:
    assert scalar_text(value) == text


def test_other_yaml_readers_read_the_same() -> None:
    config = RunConfig(model=ModelConfig(name="on", args={"a": "1:30", "b": "1e3", "c": 1e-7}))
    assert yaml.safe_load(dump_yaml(config)) == config.model_dump(mode="json")
