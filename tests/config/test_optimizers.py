"""The section ``optimizer``: every optimizer has one, with the keys and defaults of torch.optim's constructor."""

from __future__ import annotations

import inspect
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

from trainloop.config.optimizers import AdamWConfig, MuonConfig, OptimizerConfig
from trainloop.config.section import Section
from trainloop.manual.optim import OPTIMIZERS

ADAPTER: TypeAdapter[Any] = TypeAdapter(OptimizerConfig)
OWN_DEFAULTS = {"sgd": {"lr": 0.1, "momentum": 0.9}}
NOT_IN_A_CONFIG = {"params", "maximize", "foreach", "fused", "capturable", "differentiable"}


def section(name: str) -> Section:
    config = ADAPTER.validate_python({"name": name})
    assert isinstance(config, Section)
    return config


def test_every_optimizer_has_a_section() -> None:
    names = [get_args(kind.model_fields["name"].annotation)[0] for kind in get_args(get_args(OptimizerConfig)[0])]
    assert names == list(OPTIMIZERS)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_keys_and_defaults_are_those_of_the_constructor(name: str) -> None:
    parameters = inspect.signature(OPTIMIZERS[name]).parameters
    defaults = {key: parameter.default for key, parameter in parameters.items() if key not in NOT_IN_A_CONFIG}
    keys = {key: value for key, value in section(name).model_dump().items() if key not in ("name", "groups")}
    keys = {key: value for key, value in keys.items() if not key.startswith("rest_")}
    assert keys == defaults | OWN_DEFAULTS.get(name, {})


def test_the_rest_of_muon_has_the_keys_and_defaults_of_adamw_but_for_the_decay() -> None:
    rest = {
        key.removeprefix("rest_"): field.default
        for key, field in MuonConfig.model_fields.items()
        if key.startswith("rest_")
    }
    adamw = {key: AdamWConfig.model_fields[key].default for key in rest}
    assert rest == {**adamw, "weight_decay": 0.0}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_first_line_says_what_it_is(name: str) -> None:
    first = (type(section(name)).__doc__ or "").partition("\n")[0]
    assert f"torch.optim.{OPTIMIZERS[name].__name__}" in first
    assert first.endswith(".")
