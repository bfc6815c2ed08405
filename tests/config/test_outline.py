from __future__ import annotations

import pytest

from trainloop.config.outline import (
    allowed_values,
    choices,
    default_choice,
    every_key,
    in_words,
    json_schema,
    properties,
    section_name,
    spec_at,
)


def _spec(path: str, **names: str) -> dict[str, object]:
    data = {section: {"name": name} for section, name in names.items()}
    spec = spec_at(tuple(path.split(".")), data)
    assert spec is not None
    return dict(spec)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("mode", "builtin or manual"),
        ("device", "such as auto, cpu, mps, cuda or cuda:0"),
        ("threads", "a whole number ≥ 1, or null"),
        ("seed", "a whole number ≥ 0 and < 2^63"),
        ("data", "a section (keys with values, indented below it)"),
        ("data.path", "a path, or null"),
        ("data.fetch", "true or false"),
        ("data.image_size", "a whole number from 8 to 1024, or null"),
        ("model.name", "text (not empty)"),
        ("model.args", "keys with values: true or false, a whole number, a number or text"),
        ("optimizer.lr", "a number > 0"),
        ("optimizer.groups", "a list, each with the keys match, lr_scale, weight_decay"),
        ("stages.step", "builtin, manual, foreach, compiled or null"),
        ("stages.loss", "builtin, manual or null"),
        ("train.ema_decay", "a number > 0 and < 1, or null"),
    ],
)
def test_what_a_key_accepts_in_words(path: str, words: str) -> None:
    assert in_words(_spec(path)) == words


def test_lists_in_words() -> None:
    assert in_words(_spec("optimizer.betas", optimizer="adamw")) == "a list of 2, each a number ≥ 0 and < 1"
    assert (
        in_words(_spec("optimizer.etas", optimizer="rprop")) == "a list of 2: a number > 0 and < 1, then a number > 1"
    )
    words = in_words(_spec("schedule.milestones", schedule="multistep"))
    assert words == "a list of at least 1, each a number > 0"


def test_a_key_of_another_choice_is_not_there() -> None:
    assert spec_at(("optimizer", "momentum"), {"optimizer": {"name": "adamw"}}) is None


def test_an_item_of_a_list_has_its_own_keys() -> None:
    data = {"optimizer": {"groups": [{"match": "a"}]}}
    spec = spec_at(("optimizer", "groups", 0, "lr_scale"), data)
    assert spec is not None
    assert in_words(spec) == "a number ≥ 0"


def test_the_choices_of_a_section_with_several() -> None:
    spec = json_schema()["properties"]["schedule"]
    assert list(choices(spec)) == ["constant", "cosine", "triangle", "one_cycle", "multistep"]
    assert default_choice(spec) == "cosine"
    assert allowed_values(spec) == ("constant", "cosine", "triangle", "one_cycle", "multistep")


def test_name_is_the_first_key_of_a_section() -> None:
    section = choices(json_schema()["properties"]["optimizer"])["adamw"]
    assert next(iter(properties(section))) == "name"


def test_every_key_has_a_meaning() -> None:
    assert [key.path for key in every_key() if not key.spec.get("description")] == []


def test_keys_of_choices_and_items_are_listed() -> None:
    paths = {(key.path, key.choice) for key in every_key()}
    assert {("optimizer.betas", "adamw"), ("optimizer.momentum", "sgd"), ("optimizer.groups.match", "")} <= paths
    assert {("data.augment.flip", ""), ("mode", "")} <= paths


def test_the_section_of_an_item_is_written_with_brackets() -> None:
    assert section_name(("optimizer", "groups", 3)) == "optimizer.groups[]"
