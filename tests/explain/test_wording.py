from __future__ import annotations

import dataclasses

import pytest

from trainloop.explain.results import AllCompared, Compared, Link, Operation, Seen, Sync, Use, WithoutGrad
from trainloop.explain.wording import (
    all_beside,
    beside,
    change,
    folded,
    grad_changes,
    head,
    operation_lines,
    optimizer_call,
    passed_over_text,
    place,
    scalars_text,
    seen_text,
    size,
    sync_text,
    use_text,
    uses_text,
    weight_name,
    why_zero_moves,
    without_grad_text,
)


def operation(name, symbols, numbers=None, value=None, kept_as="", shape=(2, 2)):
    return Operation(name, kept_as, symbols, numbers, value, shape)


def test_a_weight_is_named_with_its_index(tiny):
    weight = tiny.explained().weight
    assert weight_name(weight) == "first.weight[0, 0]"
    assert weight_name(dataclasses.replace(weight, index=(), param="shift")) == "shift"


@pytest.mark.parametrize(("shape", "text"), [((2, 3), "2×3"), ((5,), "5"), ((), "one number")])
def test_a_size_is_read_as_a_product(shape, text):
    assert size(shape) == text


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (1.0, 0.8, "1 → 0.8"),
        (1.0, 1.0, "1 → 1"),
        (0.12345678, 0.12345679, "0.12345678 → 0.12345679"),
        (float("nan"), float("nan"), "nan → nan"),
    ],
)
def test_a_change_has_as_many_digits_as_it_takes(before, after, text):
    assert change(before, after) == text


def test_gradients_begin_at_none():
    assert grad_changes((None, 2.0, 3.5)) == "None → 2 → 3.5"


def test_the_head_says_what_was_run(tiny):
    subject = tiny.explained().subject
    assert head(subject) == "step 1 of the built-in example TinyNet · batch 1×2 · cpu"
    real = dataclasses.replace(
        subject, built_in=False, name="resnet18", data="cifar10", parts=2, step=1200, batch_shape=(8, 3, 32, 32)
    )
    assert head(real) == "step 1,200 of resnet18 on cifar10 · batch 8×3×32×32 in 2 parts · cpu"


def test_an_optimizer_is_shown_with_what_is_switched_on(tiny):
    assert optimizer_call(tiny.explained().subject) == "sgd(lr=0.1, momentum=0.9)"
    assert "betas=(0.9, 0.999)" in optimizer_call(tiny.explained("optimizer.name=adam").subject)


@pytest.mark.parametrize(
    ("compared", "text"),
    [
        (Compared(1.0, 1.0, same_bits=True, ulps=0), "builtin: same bits"),
        (Compared(1.0, 1.00000012, same_bits=False, ulps=1), "builtin: 1.00000012, 1 ulp away"),
        (Compared(0.0, -0.0, same_bits=False, ulps=0), "builtin: -0, 0 ulp away"),
        (Compared(float("nan"), 1.0, same_bits=False, ulps=None), "builtin: 1"),
        (Compared(1.0, None, same_bits=False, ulps=None), "builtin: None"),
    ],
)
def test_the_other_path_stands_beside(compared, text):
    assert beside(compared) == text


def test_all_tensors_agree_or_are_counted():
    assert all_beside(AllCompared(3, 3, 0.0), "gradients") == "all 3 gradients: same bits as builtin"
    assert all_beside(AllCompared(3, 2, 1e-7), "gradients") == (
        "2 of 3 gradients have builtin's bits; largest difference 1e-07 of the largest element"
    )


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        (Seen((), 1.0, (1.0,)), "1"),
        (Seen((1, 2), 2.0, (2.0, 0.0)), "[2, 0]"),
        (Seen((8, 8), 0.123456, ()), "norm 0.1235"),
    ],
)
def test_a_gradient_in_passing(seen, text):
    assert seen_text(seen) == text


@pytest.mark.parametrize(
    ("module", "text"),
    [("", "the loss"), ("the model itself (Net)", "the model (Net)"), ("a.0 (ReLU)", "a.0 (ReLU)")],
)
def test_a_rule_is_called_in_a_place(module, text):
    assert place(Link("relu", module, Seen((), 1.0, (1.0,)), "")) == text


def test_uses_add_up():
    uses = [Use((), 1, 2.0), Use((), 4, -0.5)]
    assert uses_text("w", []) == "no gradient comes to w"
    assert uses_text("w", uses[:1]) == "from the loss back to w:"
    assert uses_text("w", uses[1:]) == "from the loss back to w (the shortest of 4 ways):"
    assert uses_text("w", uses) == "w is used 2 times in the forward, and the gradients add up: 2 + -0.5"
    assert [use_text(1, uses[0]), use_text(2, uses[1])] == ["use 1: 2", "use 2, the shortest of 4 ways: -0.5"]


def test_what_has_no_gradient_is_listed_by_reason():
    many = [WithoutGrad(f"p{i}", frozen=True) for i in range(8)]
    assert without_grad_text(many) == "p0, p1, p2, p3, p4, p5 and 2 more (frozen)"
    assert without_grad_text([WithoutGrad("q", frozen=False)]) == "q (the loss does not depend on it)"
    assert without_grad_text([]) == ""


@pytest.mark.parametrize(
    ("sync", "text"),
    [
        (Sync(False, 1.0, 1.0), "nothing to do: no clipping"),
        (Sync(True, None, None), "gradients are clipped, and this one is None"),
        (Sync(True, 1.0, 1.0), "clipping leaves grad at 1"),
        (Sync(True, 1.0, 0.5), "clipping: grad 1 → 0.5"),
    ],
)
def test_clipping_in_words(tiny, sync, text):
    assert sync_text(dataclasses.replace(tiny.explained(), sync=sync)) == text


def test_why_an_optimizer_passes_over(tiny):
    assert passed_over_text(tiny.explained(param="unused")).startswith("grad is None")
    assert passed_over_text(tiny.explained(param="scale")).startswith("the parameter is frozen")


def test_rounds_that_repeat_are_folded():
    once, y, x, last = (operation(name, name) for name in ("a", "y", "x", "z"))
    assert folded([once, y, x, y, x, y, x, last]) == [([once], 1), ([y, x], 3), ([last], 1)]


def test_what_has_numbers_is_never_folded():
    line = operation("a", "a·b", "2·3", 6.0)
    assert folded([line, line]) == [([line], 1), ([line], 1)]


def test_an_equation_has_a_line_in_names_and_one_in_numbers():
    assert operation_lines(operation("a", "b·c", "2·3", 6.0)) == ("b·c", "2·3 = 6")
    assert operation_lines(operation("a", "b", "6", 6.0, "kept")) == ("b", "6   (kept as kept)")
    assert operation_lines(operation("a", "matmul(x, y)")) == ("matmul(x, y)   2×2",)


def test_the_numbers_of_a_step_say_what_they_are(tiny):
    assert scalars_text(tiny.explained("optimizer.name=adamax").step) == "step_size 0.02   (lr / (1 − β₁ᵗ))"
    assert scalars_text(tiny.explained("optimizer.name=rmsprop").step) == "lr 0.01"


@pytest.mark.parametrize(
    ("overrides", "choice", "text"),
    [
        ((), {}, "updated all the same (momentum_buffer)"),
        (("optimizer.name=adamw",), {}, "updated all the same (exp_avg, exp_avg_sq, weight_decay)"),
        (("optimizer.momentum=0",), {}, "updated, but nothing comes of it here"),
        ((), {"param": "scale"}, "frozen: whatever its grad, the optimizer does not have it"),
    ],
)
def test_what_a_zero_gradient_does(tiny, overrides, choice, text):
    assert why_zero_moves(tiny.explained(*overrides, **choice)) == text
