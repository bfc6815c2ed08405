"""What the tests of explain-conv share: problems drawn at random, with every parameter."""

from __future__ import annotations

import contextlib
import functools
import random
import warnings
from types import SimpleNamespace

import pytest

from trainloop.errors import UsageError
from trainloop.explain_conv.explain import explain_conv
from trainloop.explain_conv.parse import DEFAULT_PROBLEM, parse_problem

LARGEST = 9


def random_text(source):
    """The text of a module and of its input's size; many do not fit together."""
    num_axes, transposed = source.choice([1, 2, 2]), source.random() < 0.5
    groups = source.choice([1, 1, 2, 3])
    channels = [groups * source.choice([1, 1, 2]) for _ in range(2)]

    def numbers(low, high):
        drawn = tuple(source.randint(low, high) for _ in range(num_axes))
        return drawn if source.random() < 0.6 else drawn[0]

    named = {"stride": numbers(1, 4), "dilation": numbers(1, 3), "groups": groups, "bias": source.random() < 0.6}
    kernel = numbers(1, 5)
    if transposed:
        named |= {"padding": numbers(0, 3), "output_padding": numbers(0, 2)}
    else:
        named["padding"] = source.choice([numbers(0, 4), numbers(0, 4), "same", "valid"])
        named["padding_mode"] = source.choice(["zeros", "zeros", "reflect", "replicate", "circular"])
        if named["padding"] == "same":
            named["stride"] = 1
    name = f"{'ConvTranspose' if transposed else 'Conv'}{num_axes}d"
    arguments = ", ".join([*map(str, channels), str(kernel), *(f"{key}={value!r}" for key, value in named.items())])
    return f"{name}({arguments})", "x".join(str(source.randint(1, LARGEST)) for _ in range(num_axes))


def random_problems(count, seed):
    source, found = random.Random(seed), []
    while len(found) < count:
        with contextlib.suppress(UsageError):
            found.append(parse_problem(*random_text(source)))
    return found


@functools.lru_cache(maxsize=64)
def explained(text=DEFAULT_PROBLEM, input=None, **places):
    """An explanation; frozen, so it can be shared."""
    return explain_conv(parse_problem(text, input), **places)


def run_program(text):
    """The names that a printed program leaves behind."""
    names = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Using padding='same'")
        exec(compile(text, "program", "exec"), names)  # noqa: S102 - what the command prints
    return names


@pytest.fixture(scope="session")
def conv():
    return SimpleNamespace(
        explained=explained, random_problems=random_problems, random_text=random_text, run_program=run_program
    )
