from __future__ import annotations

from collections.abc import Callable

import pytest

from trainloop.config import LoadedConfig, Override, load_config
from trainloop.errors import ConfigError, Fault

Refuse = Callable[..., tuple[Fault, ...]]
Load = Callable[..., LoadedConfig]


def refused(*overrides: str | Override) -> Fault:
    with pytest.raises(ConfigError) as caught:
        load_config(None, overrides)
    (fault,) = caught.value.faults
    return fault


def test_a_later_override_beats_an_earlier_one() -> None:
    loaded = load_config(None, ["train.epochs=2", "train.epochs=3"])
    assert loaded.config.train.epochs == 3
    assert loaded.origins["train.epochs"].where == "--set train.epochs=3"


def test_only_the_value_that_applies_is_judged() -> None:
    assert load_config(None, ["train.epochs=zero", "train.epochs=3"]).config.train.epochs == 3


def test_a_list_in_brackets() -> None:
    optimizer = load_config(None, ["optimizer.name=adamw", "optimizer.betas=[0.9, 0.95]"]).config.optimizer
    assert optimizer.name == "adamw"
    assert optimizer.betas == (0.9, 0.95)


def test_a_whole_section_in_braces_replaces_the_files(load: Load) -> None:
    optimizer = load("optimizer: {momentum: 0.5}", "optimizer={name: adamw, lr: 1e-3}").config.optimizer
    assert (optimizer.name, optimizer.lr) == ("adamw", 1e-3)


def test_nothing_after_the_equals_sign_is_null(load: Load) -> None:
    assert load("model: {weights: a.safetensors}", "model.weights=").config.model.weights is None


@pytest.mark.parametrize("value", ["*.py:Net", "a: b", "x=y", "# no comment", "@home", "it's"])
def test_text_needs_no_quotes(value: str) -> None:
    assert load_config(None, [f"model.name={value}"]).config.model.name == value


def test_quotes_make_text_of_a_number() -> None:
    assert load_config(None, ["model.args.x='3'"]).config.model.args == {"x": "3"}


def test_a_key_of_model_args_joins_the_files(load: Load) -> None:
    assert load("model: {args: {a: 1}}", "model.args.b=2").config.model.args == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("optimizer.lr", "an override needs a `=`"),
        ("=3", "an override needs a key before the `=`"),
        ("a..b=1", "a part of the key is empty"),
        (".lr=1", "a part of the key is empty"),
    ],
)
def test_an_override_of_the_wrong_form(text: str, what: str) -> None:
    fault = refused(text)
    assert (fault.what, fault.where, fault.found) == (what, f"--set {text}", text)
    assert (fault.expected, fault.help) == ("KEY=VALUE", "for instance: --set optimizer.lr=0.2")


@pytest.mark.parametrize(
    ("text", "what", "help"),
    [
        ("optimzer.lr=0.2", "unknown key `optimzer` at the top level", "did you mean `optimizer`?"),
        ("optimizer.lrr=0.2", "unknown key `lrr` in section `optimizer`", "did you mean `optimizer.lr`?"),
        (
            "lr=1",
            "unknown key `lr` at the top level",
            "`lr` belongs to section `optimizer`: did you mean `optimizer.lr`?",
        ),
        ("optimizer=adamw", "`optimizer` is a section, not a value", "did you mean `optimizer.name=adamw`?"),
        ("data.path=None", "`data.path` is None, not a path", "did you mean `null`?"),
        ("optimizer.lr.x=1", "`optimizer.lr` is a value, not a section", ""),
        ("optimizer.betas=[1", "a list `[` is not closed", "close it with `]` and put commas between its items"),
        ("seed=\udc80", "text that is not valid Unicode", ""),
    ],
)
def test_a_wrong_override(text: str, what: str, help: str) -> None:
    fault = refused(text)
    assert (fault.what, fault.help) == (what, help)
    assert fault.where.startswith("--set ")


def test_the_files_value_in_place_of_a_section_stays_a_fault(refuse: Refuse) -> None:
    (fault,) = refuse("optimizer: 3", "optimizer.lr=0.1")
    assert (fault.where, fault.what) == ("c.yaml:1:12", "`optimizer` is a section, not a value")


def test_another_option_can_be_shown() -> None:
    loaded = load_config(None, [Override("device=cpu", "--device cpu")])
    assert loaded.origins["device"].where == "--device cpu"


def test_line_breaks_in_an_override_are_shown_escaped() -> None:
    assert refused("seed=a\nb").where == "--set seed=a\\nb"
