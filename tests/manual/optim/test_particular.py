"""What single optimizers do that no other does: Adagrad, Adadelta, RMSprop, Rprop, ASGD and Adafactor."""

from __future__ import annotations

import pytest
import torch

from trainloop.manual.optim import ASGD, OPTIMIZERS, Adadelta, Adafactor, Adagrad, RMSprop, Rprop

PARAM = torch.nn.Parameter(torch.zeros(2, 3))


def param_of(*values, dtype=torch.float32):
    return torch.nn.Parameter(torch.tensor(values, dtype=dtype))


def step(optimizer, param, *grad):
    param.grad = torch.tensor(grad, dtype=param.dtype)
    optimizer.step()
    return param.tolist()


def test_adagrad_has_its_state_before_the_first_step():
    param = param_of(1.0, 2.0)
    state = Adagrad([param], initial_accumulator_value=0.5).state[param]
    assert state["step"].item() == 0
    assert state["sum"].tolist() == [0.5, 0.5]


def test_adagrad_gives_a_late_group_its_state_when_it_gets_a_gradient():
    first, late = param_of(1.0), param_of(1.0)
    optimizer = Adagrad([first], lr=1.0, initial_accumulator_value=3.0, eps=0.0)
    optimizer.add_param_group({"params": [late], "initial_accumulator_value": 8.0})
    assert late not in optimizer.state
    assert step(optimizer, late, 1.0) == [0.5]


def test_adagrad_divides_its_lr_by_the_steps_done():
    param = param_of(0.0)
    optimizer = Adagrad([param], lr=5.0, lr_decay=0.5, initial_accumulator_value=7.0, eps=0.0)
    # 5 · 3/√16 and then, with half the lr, 2.5 · 3/√25.
    assert [step(optimizer, param, grad) for grad in (3.0, 0.0, 3.0)] == [[-3.75], [-3.75], [-5.25]]


def test_adadelta_moves_by_the_root_of_eps_at_first():
    param = param_of(0.0)
    # v = 3, so the change is √1 / √4 · 2.
    assert step(Adadelta([param], rho=0.25, eps=1.0), param, 2.0) == [-1.0]


def test_rmsprop_centered_divides_by_the_standard_deviation():
    param = param_of(0.0)
    optimizer = RMSprop([param], lr=1.0, alpha=0.5, eps=0.0, centered=True)
    # v = 2, a = 1, so the variance is 1.
    assert step(optimizer, param, 2.0) == [-2.0]


def test_rprop_goes_faster_while_the_sign_stays_and_stands_still_where_it_turns():
    param = param_of(0.0, 0.0)
    optimizer = Rprop([param], lr=1.0, etas=(0.5, 2.0))
    assert step(optimizer, param, 3.0, 0.5) == [-1.0, -1.0]
    assert step(optimizer, param, 0.5, -5.0) == [-3.0, -1.0]
    assert optimizer.state[param]["prev"].tolist() == [0.5, 0.0]
    assert step(optimizer, param, 1.0, -5.0) == [-7.0, -0.5]


def test_rprop_keeps_its_step_sizes_when_the_lr_changes():
    param = param_of(0.0)
    optimizer = Rprop([param], lr=1.0, step_sizes=(0.0, 1.0))
    step(optimizer, param, 1.0)
    optimizer.param_groups[0]["lr"] = 0.0
    assert step(optimizer, param, 1.0) == [-2.0]


def test_asgd_keeps_a_mean_of_its_own_once_the_averaging_begins():
    param = param_of(0.0)
    optimizer = ASGD([param], lr=1.0, lambd=0.0, t0=1.0)
    means = []
    for _ in range(4):
        step(optimizer, param, 1.0)
        means.append(optimizer.state[param]["ax"].item())
    # The rate is 1 for three steps, then 1 / (3 - t0).
    assert means == [-1.0, -2.0, -3.0, -3.5]
    assert param.item() == -4.0


def test_the_mean_of_asgd_is_never_the_parameter_itself():
    param = param_of(0.0)
    optimizer = ASGD([param], lr=1.0)
    step(optimizer, param, 1.0)
    param.data.fill_(7.0)
    assert optimizer.state[param]["ax"].item() != 7.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_asgd_keeps_its_step_size_in_single_precision(dtype):
    param = param_of(0.0, dtype=dtype)
    optimizer = ASGD([param], lr=0.1)
    step(optimizer, param, 1.0)
    assert {optimizer.state[param][name].dtype for name in ("eta", "mu", "step")} == {torch.float32}


def test_adafactor_keeps_rows_and_columns_of_a_matrix_and_all_of_a_vector():
    kernel, vector = torch.nn.Parameter(torch.ones(4, 3, 2, 5)), torch.nn.Parameter(torch.ones(7))
    for param in (kernel, vector):
        param.grad = torch.ones_like(param)
    optimizer = Adafactor([kernel, vector])
    optimizer.step()
    shapes = [
        {name: tuple(value.shape) for name, value in optimizer.state[param].items()} for param in (kernel, vector)
    ]
    assert shapes[0] == {"step": (), "row_var": (4, 3, 2, 1), "col_var": (4, 3, 1, 5)}
    assert shapes[1] == {"step": (), "variance": (7,)}


def test_adafactor_never_moves_further_than_its_lr_allows():
    param = param_of(4.0, 4.0, -4.0, -4.0)
    # RMS(P) = 4, and the update is the sign of the gradient, whatever its size.
    assert step(Adafactor([param], lr=0.5), param, 2.0**30, -1.0, 4.0, -(2.0**-20)) == [2.0, 6.0, -6.0, -2.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_adafactor_takes_the_spacing_of_the_dtype_as_its_smallest_denominator(dtype):
    spacing = torch.finfo(dtype).eps
    by_default, by_name, other = (
        step(Adafactor([param], eps=(eps1, 1e-3)), param, spacing / 2)
        for param, eps1 in ((param_of(1.0, dtype=dtype), eps1) for eps1 in (None, spacing, spacing / 4))
    )
    assert by_default == by_name
    assert by_default != other


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("adagrad", {"lr": -0.1}, "lr must be >= 0, found -0.1"),
        ("adagrad", {"lr_decay": -1.0}, "lr_decay must be >= 0, found -1.0"),
        ("adagrad", {"weight_decay": -1.0}, "weight_decay must be >= 0, found -1.0"),
        ("adagrad", {"initial_accumulator_value": -2}, "initial_accumulator_value must be >= 0, found -2"),
        ("adagrad", {"eps": float("nan")}, "eps must be >= 0, found nan"),
        ("adadelta", {"rho": 1.5}, "rho must be <= 1, found 1.5"),
        ("adadelta", {"rho": -0.5}, "rho must be >= 0, found -0.5"),
        ("rmsprop", {"alpha": -0.5}, "alpha must be >= 0, found -0.5"),
        ("rmsprop", {"momentum": -0.5}, "momentum must be >= 0, found -0.5"),
        ("rprop", {"etas": (1.0, 1.2)}, r"0 < etas\[0\] < 1 < etas\[1\], found 1.0 and 1.2"),
        ("rprop", {"etas": (0.5, 1.0)}, r"0 < etas\[0\] < 1 < etas\[1\], found 0.5 and 1.0"),
        ("asgd", {"lambd": -1e-4}, "lambd must be >= 0, found -0.0001"),
        ("asgd", {"alpha": -1}, "alpha must be >= 0, found -1"),
        ("adafactor", {"beta2_decay": 0.5}, "beta2_decay must be <= 0, found 0.5"),
        ("adafactor", {"eps": (-1.0, 1e-3)}, r"eps\[0\] must be >= 0, found -1.0"),
        ("adafactor", {"eps": (None, -1e-3)}, r"eps\[1\] must be >= 0, found -0.001"),
        ("adafactor", {"d": 0.5}, "d must be >= 1, found 0.5"),
    ],
    ids=str,
)
def test_a_hyper_parameter_out_of_range_is_refused(name, settings, message):
    with pytest.raises(ValueError, match=message):
        OPTIMIZERS[name]([PARAM], **settings)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("rprop", {"etas": (torch.tensor(0.5), 1.2)}, r"etas\[0\] must be a Python number, found 0.5"),
        ("adafactor", {"d": torch.tensor(2.0)}, "d must be a Python number, found 2.0"),
    ],
)
def test_a_hyper_parameter_that_is_a_tensor_is_refused(name, settings, message):
    with pytest.raises(TypeError, match=message):
        OPTIMIZERS[name]([PARAM], **settings)
