"""The tape has torch's semantics: what is accumulated, what stays None, what is released, what is refused."""

from __future__ import annotations

import gc
import warnings
import weakref

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from trainloop.manual import RULES, Form, Rule, T, Tape, call
from trainloop.manual.errors import ChangedInPlaceError, NoRuleError, RefusedError, TapeError


@pytest.fixture
def w():
    return torch.tensor([[1.0, -2.0], [3.0, 0.5]], requires_grad=True)


@pytest.fixture
def x():
    return torch.tensor([[2.0, 1.0], [-1.0, 4.0]])


def recorded(function):
    with Tape() as tape:
        loss = function()
    return tape, loss


def test_backward_fills_grad(w, x):
    tape, loss = recorded(lambda: (w * x).sum())
    tape.backward(loss)
    assert torch.equal(w.grad, x)
    assert x.grad is None


def test_gradients_accumulate_over_calls(w, x):
    for _ in range(2):
        tape, loss = recorded(lambda: (w * x).sum())
        tape.backward(loss)
    assert torch.equal(w.grad, x + x)


def test_a_parameter_used_twice_receives_both_gradients(w, x):
    tape, loss = recorded(lambda: (w * x).sum() + (w * w).sum())
    tape.backward(loss)
    assert torch.equal(w.grad, 2 * w.detach() + x)


def test_an_unused_parameter_keeps_none(w, x):
    unused = torch.ones(2, requires_grad=True)
    tape, loss = recorded(lambda: (w * x).sum())
    tape.backward(loss)
    assert unused.grad is None


def test_an_output_that_the_loss_does_not_use_gives_no_gradient(w, x):
    other = torch.ones(2, 2, requires_grad=True)

    def forward():
        _aside = other * x
        return (w * x).sum()

    tape, loss = recorded(forward)
    tape.backward(loss)
    assert other.grad is None


def test_a_frozen_parameter_receives_nothing(w, x):
    frozen = torch.ones(2, 2)
    tape, loss = recorded(lambda: (w * frozen * x).sum())
    tape.backward(loss)
    assert frozen.grad is None
    assert torch.equal(w.grad, x)


def test_gradient_of_what_nobody_needs_is_not_computed(w, x):
    asked = []

    def product(input, other):
        return input * other, (input, other)

    def product_vjp(grad_output, input, other, *, needs):
        asked.append(needs)
        return (grad_output * other if needs[0] else None), (grad_output * input if needs[1] else None)

    rule = Rule(
        "product", (torch.mul,), {"formula": Form(product, product_vjp)}, (call(T(2), T(2)),), wrt=("input", "other")
    )
    with Tape(rules={**RULES, torch.mul: rule}) as tape:
        loss = torch.mul(x, w).sum()
    tape.backward(loss)
    assert asked == [(False, True)]


def test_no_intermediate_has_a_grad_fn_and_all_require_grad_inside(w, x):
    with Tape():
        hidden = w * x
        out = hidden.relu()
        assert hidden.grad_fn is None
        assert out.grad_fn is None
        assert hidden.requires_grad
        assert out.requires_grad
    assert not hidden.requires_grad
    assert not out.requires_grad


def test_loss_backward_after_the_block_fails_by_name(w, x):
    _, loss = recorded(lambda: (w * x).sum())
    with pytest.raises(RuntimeError, match="does not require grad"):
        loss.backward()


def test_loss_backward_inside_the_block_is_refused(w, x):
    with (
        Tape(),
        pytest.raises(RefusedError, match=r"torch\.Tensor\.backward in no module: call tape\.backward\(loss\)"),
    ):
        (w * x).sum().backward()


def test_operations_on_constants_are_not_recorded(x):
    tape, _ = recorded(lambda: (x * x).relu().sum())
    assert tape.nodes == []


def test_no_grad_makes_constants(w, x):
    def forward():
        with torch.no_grad():
            scale = (w * x).sum()
        return (w * scale).sum()

    tape, loss = recorded(forward)
    tape.backward(loss)
    assert torch.equal(w.grad, torch.full_like(w, float((w * x).sum().detach())))


def test_detach_makes_a_constant(w, x):
    tape, loss = recorded(lambda: (w * (w * x).detach()).sum())
    tape.backward(loss)
    assert torch.equal(w.grad, (w * x).detach())


def test_what_was_saved_is_released_as_backward_goes(w):
    with Tape() as tape:
        hidden = (w * w).relu()
        loss = hidden.sum()
    alive = weakref.ref(hidden)
    del hidden
    assert alive() is not None
    tape.backward(loss)
    gc.collect()
    assert alive() is None


def test_an_intermediate_that_no_vjp_needs_is_not_kept(w, x):
    with Tape() as tape:
        hidden = w + x
        loss = (hidden + x).sum()
        alive = weakref.ref(hidden)
        del hidden
        assert alive() is None
    tape.backward(loss)


def test_a_second_backward_is_an_error(w, x):
    tape, loss = recorded(lambda: (w * x).sum())
    tape.backward(loss)
    with pytest.raises(TapeError, match=r"backward came a second time to sum, .* pass retain_graph=True"):
        tape.backward(loss)


def test_retain_graph_allows_a_second_backward(w, x):
    tape, loss = recorded(lambda: (w * x).sum())
    tape.backward(loss, retain_graph=True)
    tape.backward(loss)
    assert torch.equal(w.grad, 2 * x)


def test_two_losses_of_one_tape(w, x):
    with Tape() as tape:
        one, two = (w * x).sum(), (w * w).sum()
    tape.backward(one)
    tape.backward(two)
    assert torch.equal(w.grad, x + 2 * w.detach())


def test_a_tape_starts_anew_after_a_backward(w, x):
    tape = Tape()
    for _ in range(3):
        with tape:
            loss = (w * x).sum()
        tape.backward(loss)
    assert len(tape.nodes) == 2
    assert torch.equal(w.grad, x + x + x)


def test_a_tape_can_be_entered_again_before_its_backward(w, x):
    tape = Tape()
    with tape:
        hidden = w * x
    with tape:
        loss = hidden.sum()
    tape.backward(loss)
    assert torch.equal(w.grad, x)


def test_gradients_returns_instead_of_accumulating(w, x):
    unused = torch.ones(2, requires_grad=True)
    tape, loss = recorded(lambda: (w * x).sum())
    grad, none = tape.gradients(loss, [w, unused])
    assert torch.equal(grad, x)
    assert none is None
    assert w.grad is None


def test_the_gradient_of_an_input(w, x):
    x.requires_grad_()
    tape, loss = recorded(lambda: (w * x).sum())
    tape.backward(loss)
    assert torch.equal(x.grad, w)


def test_grad_seeds_the_walk(w, x):
    tape, out = recorded(lambda: w * x)
    seed = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    tape.backward(out, seed)
    assert torch.equal(w.grad, seed * x)


def test_a_loss_that_is_no_scalar_is_refused(w, x):
    tape, out = recorded(lambda: w * x)
    with pytest.raises(TapeError, match=r"a loss of shape \(2, 2\) is no scalar"):
        tape.backward(out)


def test_a_seed_of_another_shape_is_refused(w, x):
    tape, loss = recorded(lambda: (w * x).sum())
    with pytest.raises(TapeError, match=r"grad has shape \(3,\), expected that of the loss, \(\)"):
        tape.backward(loss, torch.ones(3))


def test_a_loss_from_elsewhere_is_refused(x):
    with pytest.raises(TapeError, match=r"of shape \(\) was not recorded on this tape"):
        Tape().backward(x.sum())


def test_mixed_dtypes_give_each_input_its_own_dtype(w, x):
    double = x.double().requires_grad_()
    tape, loss = recorded(lambda: (w * double).sum())
    tape.backward(loss)
    assert w.grad.dtype == torch.float32
    assert double.grad.dtype == torch.float64


def test_the_gradient_has_the_strides_of_the_parameter():
    w = torch.randn(4, 3).t().requires_grad_()
    tape, loss = recorded(lambda: (w * torch.ones(3, 4)).sum())
    tape.backward(loss)
    assert w.grad.stride() == w.stride()


def test_a_zero_size_batch():
    empty = torch.ones(0, 2)
    bias = torch.ones(2, requires_grad=True)
    tape, loss = recorded(lambda: (bias * empty).sum())
    tape.backward(loss)
    assert torch.equal(bias.grad, torch.zeros(2))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_non_finite_gradients_are_autograds(w, x, bad):
    x[0, 1] = bad
    tape, loss = recorded(lambda: ((w * x).relu() * w).sum())
    tape.backward(loss)
    ours, w.grad = w.grad, None
    ((w * x).relu() * w).sum().backward()
    assert torch.equal(ours.nan_to_num(7), w.grad.nan_to_num(7))


# What has no rule, and what is refused


class Unknown(nn.Module):
    def forward(self, x):
        return torch.erfinv(x)


def test_an_operation_without_a_rule_names_function_module_and_file():
    model = nn.Sequential(nn.Sequential(nn.Identity(), Unknown()))
    weight = torch.rand(3, requires_grad=True)
    with Tape(), pytest.raises(NoRuleError) as caught:
        model(weight * 0.5)
    assert str(caught.value) == (
        "no rule for torch.erfinv, called in 0.1 (Unknown); a rule is one forward and one vjp: add it to a file of "
        "trainloop/manual/rules, or pass it as Tape(rules=…) (docs/write-a-rule.md shows how)"
    )
    assert (caught.value.function, caught.value.module) == ("torch.erfinv", "0.1 (Unknown)")


def test_an_operation_without_a_rule_is_fine_on_constants(x):
    with Tape():
        assert torch.erfinv(x * 0.1).shape == x.shape


def test_what_returns_no_floating_point_tensor_needs_no_rule(w, x):
    with Tape():
        hidden = w * x
        assert hidden.argmax().item() == 0
        assert hidden.shape == (2, 2)
        assert hidden.size(0) == 2
        assert (hidden > 0).sum() == 2
        assert hidden.dtype == torch.float32
        assert float(hidden[0, 0].detach()) == 2.0


def test_numpy_of_an_intermediate_is_refused_as_under_autograd(w, x):
    with (
        Tape(),
        pytest.raises(RefusedError, match=r"torch\.Tensor\.numpy in no module: a numpy array carries no gradient"),
    ):
        (w * x).numpy()


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(_ctx, input):
        return input * 2

    @staticmethod
    def backward(_ctx, grad_output):
        return grad_output


def scripted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(_tripled)


def _tripled(x: torch.Tensor) -> torch.Tensor:
    return x * 3


def test_a_custom_backward_is_refused_by_name(w, x):
    with (
        Tape(),
        pytest.raises(RefusedError, match=r"shape \(2, 2\) that reached no module was made by DoubledBackward"),
    ):
        Doubled.apply(w * x).sum()


def test_a_scripted_function_is_refused(w, x):
    triple = scripted()
    with Tape(), pytest.raises(RefusedError, match="outside this tape: by a custom autograd"):
        triple(w * x).sum()


def test_a_tensor_made_before_the_block_is_refused(w, x):
    before = w * x
    with Tape(), pytest.raises(RefusedError, match="made by MulBackward0"):
        before.sum()


def test_checkpointing_gives_the_right_gradient_and_a_reentrant_one_is_refused(w, x):
    def forward():
        return checkpoint(lambda a: (a * w).relu(), w * x, use_reentrant=False).sum()

    tape, loss = recorded(forward)
    tape.backward(loss)
    ours, w.grad = w.grad, None
    forward().backward()
    assert torch.equal(ours, w.grad)
    with Tape(), pytest.raises(RefusedError, match="CheckpointFunctionBackward"):
        checkpoint(lambda a: a * w, w * x, use_reentrant=True).sum()


def test_autocast_is_refused_by_name(w, x):
    with Tape(), torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(RefusedError, match="autocast is on"):
        w * x


def test_out_is_refused(w, x):
    with Tape(), pytest.raises(RefusedError, match=r"torch\.mul with out= in no module"):
        torch.mul(w, x, out=torch.empty(2, 2))


def test_hooks_are_refused(w, x):
    with Tape(), pytest.raises(RefusedError, match=r"torch\.Tensor\.register_hook in no module"):
        (w * x).register_hook(print)
    w.register_hook(print)
    with (
        Tape(),
        pytest.raises(RefusedError, match=r"a parameter of shape \(2, 2\) used in no module has a gradient hook"),
    ):
        w * x


def test_retain_grad_is_refused(w, x):
    with Tape(), pytest.raises(RefusedError, match=r"torch\.Tensor\.retain_grad"):
        (w * x).retain_grad()


def test_a_gradient_for_an_argument_outside_wrt_is_refused(w, x):
    rule = Rule(
        "half", (torch.mul,), {"formula": Form(lambda input, other: (input * other, ()), lambda g: g)}, (call(T(1)),)
    )
    with Tape(rules={torch.mul: rule}), pytest.raises(RefusedError, match="rule half gives gradients to input only"):
        torch.mul(x, w)


def test_a_vjp_with_the_wrong_number_of_gradients(w, x):
    rule = Rule(
        "one",
        (torch.mul,),
        {"formula": Form(lambda input, other: (input * other, ()), lambda g: (g, g))},
        (call(T(1)),),
    )
    with Tape(rules={**RULES, torch.mul: rule}) as tape:
        loss = torch.mul(w, x).sum()
    with pytest.raises(TapeError, match="the vjp of rule one gave 2 gradients for 1 inputs"):
        tape.backward(loss)


def test_a_vjp_with_the_wrong_shape(w, x):
    rule = Rule(
        "bad",
        (torch.mul,),
        {"formula": Form(lambda input, other: (input * other, ()), lambda g: g[0, 0])},
        (call(T(1)),),
    )
    with Tape(rules={**RULES, torch.mul: rule}) as tape:
        loss = torch.mul(w, x).sum()
    with pytest.raises(TapeError, match=r"rule bad gave a gradient of shape \(\) for an input of shape \(2, 2\)"):
        tape.backward(loss)


# In-place changes; views have a file of their own


def test_an_in_place_change_gives_the_tensor_a_new_value(w, x):
    def forward():
        hidden = w * x
        hidden += w
        hidden.relu_()
        return hidden.sum()

    tape, loss = recorded(forward)
    tape.backward(loss)
    ours, w.grad = w.grad, None
    forward().backward()
    assert torch.equal(ours, w.grad)


def test_a_saved_tensor_that_is_changed_in_place_is_noticed(w, x):
    with Tape() as tape:
        hidden = w * x
        loss = (hidden * hidden).sum()
        hidden.add_(1)
    with pytest.raises(ChangedInPlaceError, match=r"mul saved a tensor of shape \(2, 2\).*found version 1, expected 0"):
        tape.backward(loss)


def test_a_leaf_is_not_changed_in_place(w):
    with Tape(), pytest.raises(RefusedError, match=r"a leaf of shape \(2, 2\) that requires grad was changed in place"):
        w.add_(1)


def test_a_constant_that_something_is_added_to_becomes_a_value(w, x):
    def forward():
        total = torch.zeros(2, 2)
        total += w * x
        return (total * total).sum()

    tape, loss = recorded(forward)
    tape.backward(loss)
    ours, w.grad = w.grad, None
    forward().backward()
    assert torch.equal(ours, w.grad)


@pytest.mark.parametrize("form", ["aten", "formula"])
def test_the_form_is_chosen_by_name(w, x, form):
    with Tape(form=form) as tape:
        (w * x).relu().sum()
    used = {node.name: node.form for node in tape.nodes}
    assert used["relu"] is RULES[torch.relu].forms[form]
    assert used["mul"] is RULES[torch.mul].forms["formula"]


@pytest.mark.parametrize(
    "function",
    [
        lambda h: torch.fft.fft(h).abs().sum(),
        lambda h: (h * 1j).abs().sum(),
        lambda h: h.to(torch.complex64).abs().sum(),
        lambda h: torch.complex(h, h).abs().sum(),
        lambda h: torch.view_as_complex(torch.stack([h, h], -1)).abs().sum(),
    ],
)
def test_complex_numbers_are_refused_and_never_taken_for_constants(w, function):
    with Tape(), pytest.raises(TapeError, match=r"complex|no rule for torch"):
        function(w * 2)


def test_a_complex_parameter_is_refused(x):
    weight = torch.ones(2, 2, dtype=torch.complex64, requires_grad=True)
    with Tape(), pytest.raises(RefusedError, match=r"a complex parameter of shape \(2, 2\)"):
        weight * x


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match="form must be one of aten, formula, found 'forumla'"):
        Tape(form="forumla")


def test_the_gradient_of_an_intermediate_is_refused(w, x):
    with Tape() as tape:
        hidden = w * x
        loss = hidden.sum()
    with pytest.raises(TapeError, match=r"a tensor of shape \(2, 2\) is no leaf"):
        tape.gradients(loss, [hidden])


@pytest.mark.parametrize(
    ("returned", "found"),
    [(lambda y: y, "Tensor"), (lambda y: (y, 3.0), "Tensor and float"), (lambda y: (y, y), "Tensor and Tensor")],
)
def test_a_forward_that_returns_no_pair_is_named(w, x, returned, found):
    form = Form(lambda input, other: returned(input * other), lambda g: (g, g))
    rule = Rule("odd", (torch.mul,), {"formula": form}, (call(T(1)),), wrt=("input", "other"))
    with Tape(rules={torch.mul: rule}), pytest.raises(TapeError, match=f"rule odd must return .*; found {found}$"):
        torch.mul(w, x)


def test_a_loss_of_an_inner_tape_names_the_cause(w, x):
    with Tape() as outer, Tape():
        loss = (w * x).sum()
    with pytest.raises(TapeError, match="in the same thread and with no other tape open within"):
        outer.backward(loss)
