"""Groups, state and the walk over parameters, which every optimizer shares."""

from __future__ import annotations

import pytest
import torch

from trainloop.manual.optim import OPTIMIZERS, SGD


@pytest.fixture
def params(optim):
    params = optim.make_params(torch.float32)
    optim.set_grads(params, optim.make_grads(0, torch.float32))
    return params


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_zero_grad_sets_none(optim, params, name):
    params = optim.fitting(name, params)
    OPTIMIZERS[name](params, lr=0.1).zero_grad()
    assert all(param.grad is None for param in params)


def test_zero_grad_can_fill_with_zeros_and_leaves_none_alone(params):
    params[1].grad = None
    SGD(params).zero_grad(set_to_none=False)
    assert params[1].grad is None
    assert all(torch.count_nonzero(param.grad) == 0 for param in params if param is not params[1])


def test_zeros_are_cut_off_from_the_graph_that_made_the_gradient():
    param = torch.nn.Parameter(torch.ones(3))
    (grad,) = torch.autograd.grad((param**3).sum(), param, create_graph=True)
    param.grad = grad
    SGD([param]).zero_grad(set_to_none=False)
    assert param.grad.grad_fn is None


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_parameter_without_gradient_is_left_alone(optim, name):
    params = optim.fitting(name, optim.make_params(torch.float32))
    before = [param.detach().clone() for param in params]
    OPTIMIZERS[name]([{"params": params, "weight_decay": 0.5}], lr=0.1).step()
    assert all(torch.equal(one, two) for one, two in zip(before, params, strict=True))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_changes_no_tensor_in_place(optim, params, name):
    params = optim.fitting(name, params)
    optimizer = OPTIMIZERS[name](params, lr=0.1)
    optimizer.step()
    tensors = [param.data for param in params] + [param.grad for param in params]
    tensors += [value for state in optimizer.state.values() for value in state.values()]
    before = [tensor.clone() for tensor in tensors]
    optimizer.step()
    assert all(optim.same_bits(one, two) for one, two in zip(tensors, before, strict=True))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_parameters_gradients_and_states_share_no_memory(optim, params, name):
    params = optim.fitting(name, params)
    optimizer = OPTIMIZERS[name](params, lr=0.1)
    for _ in range(2):
        optimizer.step()
        tensors = [param.data for param in params] + [param.grad for param in params]
        tensors += [value for state in optimizer.state.values() for value in state.values()]
        assert len({tensor.data_ptr() for tensor in tensors}) == len(tensors)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_parameters_keep_their_layout(optim, params, name):
    OPTIMIZERS[name](optim.fitting(name, params), lr=0.1).step()
    assert params[0].is_contiguous(memory_format=torch.channels_last)


def test_step_runs_the_closure_first_and_returns_its_loss():
    param = torch.nn.Parameter(torch.ones(2))

    def closure():
        param.grad = torch.ones(2)
        return "the loss"

    assert SGD([param], lr=0.5).step(closure) == "the loss"
    assert param.tolist() == [0.5, 0.5]


def test_a_group_wins_over_the_defaults_and_keeps_what_others_put_there(params):
    optimizer = SGD([{"params": params[:1], "lr": 0.5, "lr_scale": 8.0}, {"params": params[1:]}], lr=0.1)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.1]
    assert optimizer.param_groups[0]["lr_scale"] == 8.0


def test_a_group_of_the_caller_is_not_changed(params):
    group = {"params": params}
    SGD([group])
    assert list(group) == ["params"]


def test_a_group_can_come_later(params):
    optimizer = SGD(params[:1], lr=0.5)
    optimizer.add_param_group({"params": params[1]})
    before = params[1].detach().clone()
    optimizer.step()
    assert torch.equal(params[1], torch.add(before, params[1].grad, alpha=-0.5))


def test_named_parameters_leave_their_names_in_the_group(params):
    optimizer = SGD([("one", params[0]), ("two", params[1])])
    assert optimizer.param_groups[0]["param_names"] == ["one", "two"]
    assert optimizer.param_groups[0]["params"] == params[:2]


def test_a_parameter_that_stands_twice_is_warned_of_and_updated_twice():
    param = torch.nn.Parameter(torch.ones(1))
    with pytest.warns(UserWarning, match="2 parameters of which 1 differ") as caught:
        optimizer = SGD([param, param], lr=0.25)
    assert caught[0].filename == __file__
    param.grad = torch.ones(1)
    optimizer.step()
    assert param.item() == 0.5


LEAF = torch.nn.Parameter(torch.zeros(2, 3))
OTHER = torch.nn.Parameter(torch.zeros(1))


COMPLEX = torch.nn.Parameter(torch.zeros(4, dtype=torch.complex64))

REFUSED_BY_TORCH_TOO = [
    ([], ValueError, "at least one parameter, found none"),
    (LEAF, TypeError, r"found one tensor of shape \(2, 3\)"),
    ([{"params": {LEAF}}], TypeError, "the same in every run, found a set of 1"),
    ([{"lr": 0.1}], ValueError, r"needs the key 'params', found \['lr'\]"),
    ([{"params": LEAF}, [OTHER]], TypeError, "a parameter group must be a dict, found list"),
    (["weight"], TypeError, "an optimizer updates tensors, found 'weight'"),
    ([LEAF * 2], ValueError, r"the result of an operation, of shape \(2, 3\)"),
    ([("name", LEAF), OTHER], ValueError, "found 1 names for 2"),
    ([{"params": [LEAF]}, {"params": [LEAF]}], ValueError, r"one group only, found one of shape \(2, 3\) in two"),
    ([{"params": [LEAF]}, {"params": [("name", OTHER)]}], ValueError, "found a group with names after one without"),
    ([{"params": [("name", LEAF)]}, {"params": [OTHER]}], ValueError, "found a group without names after one with"),
]
REFUSED_HERE_ALONE = [
    ({LEAF}, TypeError, "the same in every run, found a set of 1"),
    ([COMPLEX], TypeError, r"found torch.complex64 of shape \(4,\)"),
    ([{"params": [LEAF], "foreach": True}], ValueError, "foreach must be None or False, found True"),
    ([{"params": [LEAF], "lr": torch.tensor(0.5)}], TypeError, "lr must be a Python number, found 0.5"),
]


def name_of(value):
    return value if isinstance(value, str) else ""


@pytest.mark.parametrize(("params", "error", "message"), REFUSED_BY_TORCH_TOO, ids=name_of)
def test_params_that_torch_refuses_are_refused(params, error, message):
    with pytest.raises((ValueError, TypeError, KeyError)):
        torch.optim.SGD(params)
    with pytest.raises(error, match=message):
        SGD(params)


@pytest.mark.parametrize(("params", "error", "message"), REFUSED_HERE_ALONE, ids=name_of)
def test_params_that_the_formulas_do_not_cover_are_refused(params, error, message):
    with pytest.raises(error, match=message):
        SGD(params)


def test_a_sparse_gradient_is_refused():
    param = torch.nn.Parameter(torch.zeros(4, 2))
    param.grad = torch.zeros(4, 2).to_sparse()
    with pytest.raises(RuntimeError, match=r"sparse gradients are not supported, found one of shape \(4, 2\)"):
        SGD([param]).step()


def test_its_name_and_numbers_are_shown():
    optimizer = SGD([torch.nn.Parameter(torch.ones(1))], lr=0.25)
    assert repr(optimizer).startswith("SGD(lr=0.25, momentum=0")
