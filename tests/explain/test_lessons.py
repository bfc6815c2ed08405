from __future__ import annotations

from trainloop.explain.step import explain_step


def test_two_backwards_double_the_gradient_and_change_the_step(tiny):
    lesson = tiny.explained("optimizer.momentum=0").without_zero_grad
    assert (lesson.grad_once, lesson.grad_twice) == (2.0, 4.0)
    assert lesson.after_once == tiny.close(0.8)
    assert lesson.after_twice == tiny.close(0.6)


def test_two_backwards_are_of_one_forward(tiny):
    lesson = explain_step(tiny.net_run(parts=2), param="conv.weight").without_zero_grad
    assert lesson.grad_twice == 2 * lesson.grad_once


def test_a_zero_gradient_moves_by_momentum_and_none_does_not(tiny):
    lesson = tiny.explained("optimizer.momentum=0.9").none_or_zero
    assert lesson.before == lesson.after_none
    assert lesson.after_zero == tiny.close(lesson.before - 0.1 * 0.9 * 2)
    assert lesson.state == ("momentum_buffer",)


def test_a_zero_gradient_moves_by_weight_decay_even_what_is_unused(tiny):
    lesson = tiny.explained("optimizer.name=adamw", param="unused").none_or_zero
    assert lesson.before == lesson.after_none == 0.25
    assert lesson.after_zero == tiny.close(0.25 * (1 - 1e-3 * 1e-2))
    assert lesson.state == ()


def test_without_momentum_and_decay_zero_is_like_none(tiny):
    lesson = tiny.explained("optimizer.momentum=0").none_or_zero
    assert lesson.before == lesson.after_none == lesson.after_zero
