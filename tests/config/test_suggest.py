from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainloop.config.outline import allowed_values, every_key
from trainloop.config.suggest import (
    OTHER_KEYS,
    OTHER_VALUES,
    allowed_edits,
    distance,
    nearest,
    nearest_value,
    normal,
)


@pytest.mark.parametrize(
    ("left", "right", "edits"),
    [("lr", "lr", 0), ("seeed", "seed", 1), ("sede", "seed", 1), ("epohc", "epoch", 1), ("kitten", "sitting", 3)],
)
def test_distance_counts_edits_and_swaps(left: str, right: str, edits: int) -> None:
    assert distance(left, right, limit=5) == edits


def test_distance_stops_one_above_the_limit() -> None:
    assert distance("optimizer", "schedule", limit=2) == 3


@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_distance_is_symmetric(left: str, right: str) -> None:
    assert distance(left, right, 9) == distance(right, left, 9)


@pytest.mark.parametrize("word", ["batchSize", "batch-size", "Batch_Size", "batch size", " batch_size "])
def test_spellings_of_several_words_agree(word: str) -> None:
    assert normal(word) == "batch_size"


@pytest.mark.parametrize(("word", "edits"), [("lr", 1), ("epochs", 2), ("batch_size", 3), ("a" * 50, 3)])
def test_longer_words_may_have_more_edits(word: str, edits: int) -> None:
    assert allowed_edits(word) == edits


def test_nearest_takes_the_fewest_edits_and_the_first_of_equals() -> None:
    assert nearest("bat", ["cat", "bat", "rat"]) == "bat"
    assert nearest("xat", ["cat", "rat"]) == "cat"


def test_nearest_is_none_when_nothing_is_near() -> None:
    assert nearest("zzzz", ["cat", "rat"]) is None
    assert nearest("a" * 100, ["a" * 100]) is None
    assert nearest("cat", []) is None


def test_a_value_known_elsewhere_beats_spelling() -> None:
    assert nearest_value("gpu", ["cpu", "cuda"]) == "cuda"


def test_every_key_of_other_trainers_leads_to_a_key_of_the_schema() -> None:
    known = {key.path for key in every_key()} | {"model.args.width"}
    assert {target for target in OTHER_KEYS.values() if target not in known} == set()


def test_no_key_of_the_schema_is_taken_for_another_trainers() -> None:
    assert {key.name for key in every_key()} & {name for name in OTHER_KEYS if "." not in name} <= {"width"}


def test_every_value_of_other_trainers_leads_to_an_allowed_value() -> None:
    allowed = {str(value) for key in every_key() for value in allowed_values(key.spec)}
    allowed |= {choice for key in every_key() for choice in [key.choice]}
    assert {value for values in OTHER_VALUES.values() for value in values} <= allowed
