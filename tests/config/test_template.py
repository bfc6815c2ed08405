from __future__ import annotations

import re
from pathlib import Path

from trainloop.config import RunConfig, load_config
from trainloop.config.outline import every_key
from trainloop.config.template import commented_yaml


def test_it_reads_back_to_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(commented_yaml(), encoding="utf-8")
    assert load_config(path).config == RunConfig()


def test_it_gives_every_leaf(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(commented_yaml(), encoding="utf-8")
    assert {origin.kind for origin in load_config(path).origins.values()} == {"file"}


def test_it_names_every_key_of_every_choice() -> None:
    text = commented_yaml()
    assert [key.path for key in every_key() if not re.search(rf"^[ #]*{key.name}:", text, re.MULTILINE)] == []


def test_a_key_has_its_meaning_and_what_it_accepts_above_it() -> None:
    assert (
        "  # images an update; the last batch of an epoch may be smaller [a whole number ≥ 1]\n  batch_size: 128\n"
        in (commented_yaml())
    )


def test_the_keys_of_another_choice_stand_in_comments() -> None:
    text = commented_yaml()
    assert "  # With `name: adamw` (remove momentum, dampening, nesterov):\n" in text
    assert "  #   lr: 0.001  # step size [a number > 0]\n" in text
    assert "  #   milestones: (must be given)  # epochs after which the lr drops" in text
