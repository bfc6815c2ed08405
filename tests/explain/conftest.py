"""What the tests of explain-step share: the built-in example, explained."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import pytest

from trainloop.config import load_config
from trainloop.explain.run import built_in_run
from trainloop.explain.step import explain_step


def configs(*overrides):
    """The same config with every stage manual, and with every stage built-in."""
    return [load_config(None, [*overrides, f"mode={mode}"]).config for mode in ("manual", "builtin")]


def tiny_run(*overrides):
    return built_in_run(*configs(*overrides))


@functools.lru_cache(maxsize=64)
def explained(*overrides, **choice):
    """An explanation of the built-in example; frozen, so it can be shared."""
    return explain_step(tiny_run(*overrides), **choice)


@pytest.fixture(scope="session")
def tiny():
    return SimpleNamespace(configs=configs, run=tiny_run, explained=explained)
