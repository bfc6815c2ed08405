"""What the tests of the optimizers share: cases made from each one's own ``options``, parameters, gradients, the comparison.

A test that asks for ``crossed_case``, ``refused_case``, ``toggled_case``, ``twin_case`` (a toggled one of an optimizer that
has torch's bits), ``fast_case`` (one of an optimizer that has fast forms) or ``fused_case`` (the last one of each that torch
fuses) runs once for each case of that kind: an optimizer's name and its settings. Registering enrols.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from trainloop.manual.optim import OPTIMIZERS

SHAPES = ((4, 3, 2, 2), (), (6, 5))
BITS = {torch.float32: torch.int32, torch.float64: torch.int64}
SLOW = ("adafactor", "muon")  # use whole tensors: a norm, a matrix product
FUSED = ("sgd", "adam", "adamw", "adagrad")  # torch has a fused form for the CPU
COMPARABLE = [name for name, ours in OPTIMIZERS.items() if ours.deviation_reason is None]


def torch_twin(name):
    """torch's optimizer in its readable form: one parameter after the other."""
    return functools.partial(getattr(torch.optim, OPTIMIZERS[name].__name__), foreach=False)


def accepts(make, settings):
    try:
        make([torch.nn.Parameter(torch.zeros(3, 3))], **settings)
    except ValueError:
        return False
    return True


def crossed(options):
    """Every combination of the values of every option."""
    return [dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())]


def toggled(options):
    """The first value of every option; another value of one of them; other values of all."""
    first = {name: values[0] for name, values in options.items()}
    changes = [{name: value} for name, values in options.items() for value in values[1:]]
    return [first, *({**first, **change} for change in changes), {name: values[-1] for name, values in options.items()}]


def toggled_cases(names):
    made = [(name, settings) for name in names for settings in toggled(OPTIMIZERS[name].options)]
    return [(name, settings) for name, settings in made if accepts(OPTIMIZERS[name], settings)]


def crossed_cases(names, accepted):
    made = [(name, settings) for name in names for settings in crossed(OPTIMIZERS[name].options)]
    return [(name, settings) for name, settings in made if accepts(torch_twin(name), settings) == accepted]


CASES = {
    "crossed_case": lambda: crossed_cases(COMPARABLE, accepted=True),
    "refused_case": lambda: crossed_cases(COMPARABLE, accepted=False),
    "toggled_case": lambda: toggled_cases(OPTIMIZERS),
    "twin_case": lambda: toggled_cases(COMPARABLE),
    "fused_case": lambda: [(name, toggled_cases([name])[-1][1]) for name in FUSED],
    "fast_case": lambda: toggled_cases([name for name in OPTIMIZERS if name not in SLOW]),
}


def pytest_generate_tests(metafunc):
    for kind in CASES.keys() & set(metafunc.fixturenames):
        metafunc.parametrize(kind, CASES[kind](), ids=lambda case: f"{case[0]}-{case[1]}")


def make_params(dtype, shapes=SHAPES):
    generator = torch.Generator().manual_seed(5)
    params = [torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype)) for shape in shapes]
    params[0].data = params[0].data.to(memory_format=torch.channels_last)
    return params


def fitting(name, params):
    """Those of the parameters that an optimizer takes."""
    return [param for param in params if param.ndim >= OPTIMIZERS[name].fewest_dims]


@functools.lru_cache(maxsize=256)
def make_grads(step, dtype):
    """Gradients of one step, not to be changed: now and then one is None, some elements or all are zero."""
    generator = torch.Generator().manual_seed(1000 + step)
    grads = [torch.randn(shape, generator=generator, dtype=dtype) for shape in SHAPES]
    grads[0] = grads[0].to(memory_format=torch.channels_last)
    if step % 3 == 0:
        grads[0][1].zero_()
    if step % 11 == 5:
        grads = [torch.zeros_like(grad) for grad in grads]
    if step % 7 == 3:
        grads[1] = None
    return tuple(grads)


def set_grads(params, grads):
    for param, grad in zip(params, grads, strict=True):
        param.grad = None if grad is None else grad.clone()


def as_groups(params):
    return [{"params": params[:2]}, {"params": params[2:], "lr": 0.003, "weight_decay": 0.01}]


def make_pair(make_ours, name, settings, dtype):
    """Ours and torch's, over equal parameters in two groups."""
    ours = make_ours(as_groups(make_params(dtype)), lr=0.01, **settings)
    return ours, torch_twin(name)(as_groups(make_params(dtype)), lr=0.01, **settings)


def step_pair(ours, theirs, steps, grads_of):
    """Take the same steps with both, and compare after each."""
    for step in steps:
        grads = grads_of(step)
        for optimizer in (ours, theirs):
            set_grads(all_params(optimizer), grads)
            if step == 50:
                scale_lr(optimizer, 0.1)
            optimizer.step()
        assert_same_bits(ours, theirs, f"step {step}")


def all_params(optimizer):
    return [param for group in optimizer.param_groups for param in group["params"]]


def scale_lr(optimizer, factor):
    for group in optimizer.param_groups:
        group["lr"] *= factor


def same_bits(one, two):
    """Equal to the last bit: minus zero is not zero, and a NaN is that NaN."""
    if one.dtype != two.dtype or one.shape != two.shape:
        return False
    if one.dtype not in BITS:
        return torch.equal(one, two)
    return torch.equal(one.contiguous().view(BITS[one.dtype]), two.contiguous().view(BITS[one.dtype]))


def assert_same_bits(ours, theirs, place):
    """Parameters and states of two optimizers, in order."""
    pairs = zip(all_params(ours), all_params(theirs), strict=True)
    for index, (one, two) in enumerate(pairs):
        assert same_bits(one.data, two.data), f"{place}, parameter {index}: ours {one.data}, theirs {two.data}"
        state = {name: value for name, value in theirs.state.get(two, {}).items() if value is not None}
        assert set(ours.state.get(one, {})) == set(state), f"{place}, parameter {index}, names of the state"
        for name, value in state.items():
            mine = ours.state[one][name]
            assert same_bits(mine, value), f"{place}, parameter {index}, state {name}: ours {mine}, theirs {value}"


def with_fault(name, right, wrong, folder):
    """The optimizer's class from a copy of its source in which one text stands for another."""
    source = Path(inspect.getfile(OPTIMIZERS[name])).read_text(encoding="utf-8")
    assert source.count(right) == 1, f"{name}: {source.count(right)} places have the text {right}"
    path = folder / f"faulty_{name}.py"
    path.write_text(source.replace(right, wrong), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, OPTIMIZERS[name].__name__)


@pytest.fixture
def optim():
    return SimpleNamespace(
        shapes=SHAPES,
        torch_twin=torch_twin,
        make_params=make_params,
        fitting=fitting,
        make_grads=make_grads,
        set_grads=set_grads,
        make_pair=make_pair,
        step_pair=step_pair,
        all_params=all_params,
        scale_lr=scale_lr,
        same_bits=same_bits,
        assert_same_bits=assert_same_bits,
        with_fault=with_fault,
    )
