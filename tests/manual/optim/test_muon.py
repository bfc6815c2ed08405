"""Muon against a float64 oracle that uses the singular value decomposition, and against torch's where both can run."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from trainloop.manual.optim import Muon
from trainloop.manual.optim.muon import ADJUST_LR, orthogonalized
from trainloop.tolerance import tolerance

QUINTIC = (3.4445, -4.7750, 2.0315)
SHAPES = ((5, 9), (9, 5), (6, 6), (1, 4), (4, 1), (16, 3, 3, 3), (3, 16, 5, 5), (64, 32, 3, 3))
BAND = (0.68, 1.21)
NARROWEST = 0.003
"""singular values from this share of the norm on end in the band"""


def randn(*shape, dtype=torch.float32, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def stretched(values, rounds=5):
    """The quintic for singular values alone."""
    a, b, c = QUINTIC
    for _ in range(rounds):
        values = a * values + b * values**3 + c * values**5
    return values


def oracle(matrix, rounds=5):
    """What Muon makes of a matrix: the same singular vectors, stretched singular values; in float64."""
    left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    return left @ torch.diag(stretched(values / values.norm(), rounds)) @ right


def assert_near(found, expected, quantity="orthogonal"):
    dtype = str(found.dtype).removeprefix("torch.")
    bound = tolerance(dtype, quantity).bound(expected.abs().max().item())
    error = (found.double() - expected).abs()
    assert error.max() <= bound, f"off by {error.max()} > {bound}, at {error.argmax()}"


def one_step(grad, param=None, **settings):
    param = torch.nn.Parameter(torch.zeros_like(grad) if param is None else param)
    param.grad = grad
    optimizer = Muon([param], **settings)
    optimizer.step()
    return param.data


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("rounds", [0, 1, 5])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_iteration_has_the_singular_vectors_of_its_matrix(shape, rounds, dtype):
    matrix = randn(*shape, dtype=dtype).flatten(1)
    assert_near(orthogonalized(matrix, QUINTIC, rounds, 1e-7), oracle(matrix, rounds))


@pytest.mark.parametrize("decades", [2, 4])
def test_badly_conditioned_matrices_are_near_the_oracle_too(decades):
    left, _, right = torch.linalg.svd(randn(64, 96, dtype=torch.float64), full_matrices=False)
    matrix = (left @ torch.diag(torch.logspace(0, -decades, 64, dtype=torch.float64)) @ right).float()
    assert_near(orthogonalized(matrix, QUINTIC, 5, 1e-7), oracle(matrix))


def assert_ten_steps_are_near_the_oracle(kind, shape, nesterov):
    lr, decay, momentum = 0.05, 0.1, 0.9
    param = torch.nn.Parameter(randn(*shape))
    optimizer = kind([param], lr=lr, weight_decay=decay, momentum=momentum, nesterov=nesterov)
    expected, buffer = param.data.double().flatten(1), torch.zeros(shape, dtype=torch.float64).flatten(1)
    ratio = math.sqrt(max(1.0, expected.size(0) / expected.size(1)))
    for step in range(10):
        param.grad = randn(*shape, seed=step + 1)
        optimizer.step()
        grad = param.grad.double().flatten(1)
        buffer = momentum * buffer + (1 - momentum) * grad
        mixed = momentum * buffer + (1 - momentum) * grad if nesterov else buffer
        expected = (1 - lr * decay) * expected - lr * ratio * oracle(mixed)
    assert_near(param.data.flatten(1), expected)
    assert_near(optimizer.state[param]["momentum_buffer"].flatten(1), buffer, "state")


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_ten_steps_are_near_the_oracle(shape, nesterov):
    assert_ten_steps_are_near_the_oracle(Muon, shape, nesterov)


FAULTS = [
    ("the wrong sign", "-step_size.to(param)", "step_size.to(param)"),
    ("the decay grows the weight", "1 - lr * group", "1 + lr * group"),
    ("no decay", "add_scaled(decayed", "add_scaled(param"),
    ("the buffer takes the wrong share", "grad, 1 - momentum)", "grad, momentum)"),
    ("nesterov looks back", "torch.lerp(grad, buffer, momentum)", "torch.lerp(buffer, grad, momentum)"),
    ("the ratio without its root", "math.sqrt(max(1, rows / columns))", "max(1, rows / columns)"),
    ("filters are columns", "update.flatten(1)", "update.transpose(0, 1).flatten(1)"),
    ("one round too few", "range(steps)", "range(steps - 1)"),
    ("b and c exchanged", "beta=b, alpha=c", "beta=c, alpha=b"),
    ("no division by the norm", "x = x / x.norm().clamp(min=eps)", "x = x * 1.0"),
    ("the transposed update", "return x.T if tall else x", "return x"),
]


@pytest.mark.parametrize(("right", "wrong"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_a_seeded_fault_is_far_from_the_oracle(optim, right, wrong, tmp_path):
    kind = optim.with_fault("muon", right, wrong, tmp_path)
    with pytest.raises(AssertionError, match="off by"):
        assert_ten_steps_are_near_the_oracle(kind, (16, 2, 2, 2), nesterov=True)


def test_singular_values_end_in_the_band_of_the_coefficients():
    values = torch.logspace(math.log10(NARROWEST), 0, 100_001, dtype=torch.float64)
    assert (stretched(values) >= BAND[0]).all()
    assert (stretched(values) <= BAND[1]).all()
    assert stretched(torch.tensor(NARROWEST / 2)) < BAND[0]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_update_is_nearly_orthogonal(shape):
    grad = randn(*shape)
    before = torch.linalg.svdvals(grad.flatten(1))
    assert (before / before.norm()).min() > NARROWEST, "this example says nothing about the band"
    change = one_step(grad, lr=1.0, adjust_lr_fn="original") / ADJUST_LR["original"](*grad.flatten(1).shape)
    values = torch.linalg.svdvals(change.flatten(1))
    assert values.min() >= BAND[0]
    assert values.max() <= BAND[1]


def test_a_convolution_is_a_matrix_with_a_row_for_each_filter():
    grad, param = randn(8, 3, 5, 5), randn(8, 3, 5, 5, seed=1)
    flat = one_step(grad.flatten(1), param.flatten(1).clone())
    assert torch.equal(one_step(grad, param.clone()), flat.view_as(grad))


def test_a_channels_last_convolution_keeps_its_layout_and_is_near_the_other():
    grad, param = randn(8, 3, 5, 5), randn(8, 3, 5, 5, seed=1)
    plain = one_step(grad, param.clone())
    other = one_step(*(x.clone().to(memory_format=torch.channels_last) for x in (grad, param)))
    assert other.is_contiguous(memory_format=torch.channels_last)
    assert_near(other, plain.double())


def test_the_size_of_the_gradient_does_not_matter():
    grad = randn(8, 27)
    assert_near(one_step(grad * 2**40), one_step(grad).double())


def test_a_zero_gradient_leaves_nothing_but_the_decay():
    param = randn(4, 6)
    assert torch.equal(one_step(torch.zeros(4, 6), param.clone(), lr=0.5, weight_decay=0.5), param * 0.75)


@pytest.mark.parametrize(
    ("name", "tall", "wide"),
    [("original", 2.0, 1.0), ("match_rms_adamw", 0.8, 0.8), ("spectral_unclamped", 2.0, 0.5), (None, 2.0, 1.0)],
)
def test_the_lr_is_adjusted_to_the_shape(name, tall, wide):
    for shape, ratio in (((16, 4), tall), ((4, 16), wide), ((4, 4, 2, 2), wide)):
        grad = randn(*shape)
        expected = -0.5 * ratio * orthogonalized(grad.flatten(1), QUINTIC, 5, 1e-7).double().reshape(shape)
        assert_near(one_step(grad, lr=0.5, adjust_lr_fn=name, nesterov=False, momentum=0.0), expected, "output")


def test_the_weight_decay_is_not_adjusted_to_the_shape():
    param = torch.ones(16, 4)
    assert torch.equal(one_step(torch.zeros(16, 4), param, lr=0.25, weight_decay=1.0), torch.full((16, 4), 0.75))


# Where torch's Muon can run, it differs in nothing but the dtype of the iteration.


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (1, 4), (64, 48)], ids=str)
def test_the_iteration_in_bfloat16_has_the_bits_of_torch(shape):
    matrix = randn(*shape)
    theirs = torch.optim._muon._zeropower_via_newtonschulz(matrix, QUINTIC, 5, 1e-7)
    assert torch.equal(orthogonalized(matrix.bfloat16(), QUINTIC, 5, 1e-7), theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_with_the_same_iteration_100_steps_have_the_bits_of_torch(optim, monkeypatch, dtype):
    monkeypatch.setattr(torch.optim._muon, "_zeropower_via_newtonschulz", orthogonalized)
    for values in itertools.product(*Muon.options.values()):
        settings = dict(zip(Muon.options, values, strict=True))
        ours, theirs = (
            kind([torch.nn.Parameter(randn(*shape, dtype=dtype)) for shape in ((5, 9), (9, 5))], lr=0.02, **settings)
            for kind in (Muon, torch.optim.Muon)
        )
        for step in range(100):
            for optimizer in (ours, theirs):
                for index, param in enumerate(optimizer.param_groups[0]["params"]):
                    param.grad = None if (step, index) == (3, 1) else randn(*param.shape, dtype=dtype, seed=step)
                optimizer.param_groups[0]["lr"] = 0.02 if step < 50 else 0.002
                optimizer.step()
        optim.assert_same_bits(ours, theirs, str(settings))


def test_the_defaults_are_those_of_torch():
    param = torch.nn.Parameter(randn(2, 2))
    ours, theirs = Muon([param]), torch.optim.Muon([param])
    assert ours.defaults == theirs.defaults
    assert list(ours.param_groups[0]) == list(theirs.param_groups[0])


def test_the_state_can_be_loaded_into_torch_and_back():
    params = [torch.nn.Parameter(randn(3, 5)) for _ in range(2)]
    for param in params:
        param.grad = randn(3, 5, seed=1)
    ours, theirs = Muon(params[:1], lr=0.5), torch.optim.Muon(params[1:])
    ours.step()
    theirs.load_state_dict(ours.state_dict())
    again = Muon(params[:1])
    again.load_state_dict(theirs.state_dict())
    assert again.param_groups[0]["lr"] == 0.5
    buffers = [optimizer.state_dict()["state"][0]["momentum_buffer"] for optimizer in (ours, theirs, again)]
    assert torch.equal(buffers[0], buffers[1])
    assert torch.equal(buffers[0], buffers[2])


@pytest.mark.parametrize("shape", [(7,), ()], ids=str)
def test_a_parameter_that_is_no_matrix_is_refused(shape):
    params = [torch.nn.Parameter(torch.zeros(2, 3)), torch.nn.Parameter(torch.zeros(shape))]
    message = r"two dimensions or more, found one of shape \(.*: give biases and norms to another optimizer"
    with pytest.raises(ValueError, match=message):
        Muon(params)
    optimizer = Muon(params[:1])
    with pytest.raises(ValueError, match=message):
        optimizer.add_param_group({"params": params[1:]})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": -0.5}, "lr must be >= 0, found -0.5"),
        ({"momentum": -1}, "momentum must be >= 0, found -1"),
        ({"weight_decay": -2.0}, "weight_decay must be >= 0, found -2.0"),
        ({"ns_steps": 100}, "ns_steps must be < 100, found 100"),
        ({"ns_coefficients": (1.0, 2.0)}, r"ns_coefficients must be three numbers, found \(1.0, 2.0\)"),
        (
            {"adjust_lr_fn": "spectral"},
            "adjust_lr_fn must be None or one of original, match_rms_adamw, spectral_unclamped, found 'spectral'",
        ),
    ],
)
def test_a_hyper_parameter_out_of_range_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Muon([torch.nn.Parameter(torch.zeros(2, 2))], **settings)
