from __future__ import annotations

from trainloop.config import RunConfig
from trainloop.config.flatten import leaves
from trainloop.config.schema import ModelConfig


def test_lists_and_empty_sections_are_leaves() -> None:
    flat = leaves(RunConfig())
    assert flat["optimizer", "groups"] == []
    assert flat["model", "args"] == {}
    assert flat["data", "augment", "flip"] == "random"


def test_a_filled_section_is_no_leaf() -> None:
    flat = leaves(RunConfig(model=ModelConfig(args={"width": 3})))
    assert ("model", "args") not in flat
    assert flat["model", "args", "width"] == 3
