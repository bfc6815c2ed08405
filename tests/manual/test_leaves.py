"""Leaves, detach and no_grad: what has no gradient, and what must not be changed in place."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from trainloop.manual import Tape

LEAF = r"a leaf of shape .* that requires grad was changed in place"
SWITCHED_OFF = r"requires_grad of an intermediate of shape \(4, 6\) was switched off"


def test_changed_under_no_grad(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x + w
        with torch.no_grad():
            h.mul_(2)
        return h * 3


def test_a_view_changed_under_no_grad(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x + w
        v = h[0]
        with torch.no_grad():
            v.mul_(2)
        return h + v


def test_a_view_made_and_changed_under_no_grad(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x + w
        with torch.no_grad():
            h[0].mul_(2)
        return h * 3


def test_a_detached_tensor_changed_that_nobody_saved(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x + w
        h.detach().add_(1)
        return h * 2


def test_data_changed_after_being_saved(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x + 1
        y = h * w
        h.data.add_(1)
        return y


def test_a_leaf_changed_under_no_grad_before_its_use(same_gradients):
    @same_gradients
    def situation(x, w):
        with torch.no_grad():
            x.add_(1)
        return x * w


def test_a_constant_view_of_a_leaf(same_gradients):
    @same_gradients
    def situation(x, w):
        with torch.no_grad():
            v = x[0] * 1
        v.add_(1)
        return v * w


def test_a_leaf_that_is_a_view(same_gradients):
    @same_gradients
    def situation(x, w):
        flat = torch.ones(24, dtype=x.dtype)
        leaf = flat[:6].requires_grad_()
        y = leaf + x
        with torch.no_grad():
            flat.add_(1)
        z = leaf + w
        return y.sum() + z


def test_a_clone_is_no_view(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * w
        c = h[0].clone()
        h.mul_(2)
        return c + h


def test_a_view_outlives_the_tape_and_its_leaf_was_changed_under_no_grad():
    x = torch.ones(2, 3, requires_grad=True)
    with Tape() as tape:
        v = x.view(-1)
        with torch.no_grad():
            x.add_(1)
        loss = (v * 2).sum()
    tape.backward(loss)
    assert torch.equal(x.grad, torch.full((2, 3), 2.0))


def test_a_view_of_the_leaf_is_read(same_gradients):
    @same_gradients
    def situation(x, w):
        return x.view(-1)[3:9] * w[0]


def test_detached_in_place(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * 2
        h.detach_()
        return h * w


def test_a_leaf_frozen_after_its_first_use(same_gradients):
    @same_gradients
    def situation(x, w):
        y = x * 2
        x.requires_grad = False
        return y + x * w


def test_a_leaf_frozen_by_its_method(same_gradients):
    @same_gradients
    def situation(x, w):
        y = x * 2
        x.requires_grad_(False)
        return y + x * w


def test_an_intermediate_that_requires_grad_anyway(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * 2
        h.requires_grad_()
        return h * w


def test_a_leaf_changed(both_refuse):
    @both_refuse(LEAF)
    def situation(x, w):
        x.mul_(2)
        return x * w


def test_a_leaf_changed_through_a_view(both_refuse):
    @both_refuse(LEAF)
    def situation(x, w):
        x[0].mul_(2)
        return x * w


def test_a_leaf_assigned_to(both_refuse):
    @both_refuse(LEAF)
    def situation(x, w):
        x[0] = 1.0
        return x * w


def test_a_leaf_changed_after_a_view_was_taken(both_refuse):
    @both_refuse(LEAF)
    def situation(x, w):
        v = x.view(-1)
        v.add_(1)
        return x * w


def test_a_leaf_relu_in_place(both_refuse):
    @both_refuse(LEAF)
    def situation(x, w):
        return F.relu(x, inplace=True) * w


def test_a_leaf_that_is_a_view_changed(both_refuse):
    @both_refuse(LEAF)
    def situation(x, w):
        leaf = torch.ones(24, dtype=x.dtype).view(4, 6).requires_grad_()
        leaf.mul_(x)
        return leaf * w


def test_a_leaf_that_is_a_view_changed_through_its_base(both_refuse):
    @both_refuse("after its base was changed in place")
    def situation(x, w):
        flat = torch.ones(24, dtype=x.dtype)
        leaf = flat[:6].requires_grad_()
        y = leaf * x
        flat.mul_(w.view(-1))
        leaf.add_(1)
        return y


def test_requires_grad_of_an_intermediate_switched_off(both_refuse):
    @both_refuse(SWITCHED_OFF)
    def situation(x, w):
        h = x * w
        h.requires_grad_(False)
        return h * w


def test_requires_grad_of_an_intermediate_set_to_false(both_refuse):
    @both_refuse(SWITCHED_OFF)
    def situation(x, w):
        h = x * w
        h.requires_grad = False
        return h * w


def test_a_view_detached_in_place(both_refuse):
    @both_refuse("detach views in-place")
    def situation(x, w):
        h = x * w
        v = h[0]
        v.detach_()
        return v * w


def test_a_view_made_under_no_grad_is_changed(both_refuse):
    @both_refuse(LEAF)
    def situation(x, w):
        h = x * w
        with torch.no_grad():
            v = h[0]
        v.mul_(2)
        return h


def test_a_view_made_under_no_grad_is_changed_by_a_tracked_tensor(both_refuse):
    @both_refuse(LEAF)
    def situation(x, w):
        h = x * w
        with torch.no_grad():
            v = h[0]
        v.mul_(w[0])
        return h


def test_the_base_of_a_view_made_under_no_grad_is_changed(both_refuse):
    @both_refuse("view was created in no_grad mode and its base")
    def situation(x, w):
        h = x * w
        with torch.no_grad():
            v = h[0]
        h.mul_(2)
        return v * w


def test_the_base_of_a_view_made_and_seen_under_no_grad_is_changed(both_refuse):
    @both_refuse("after its base was changed in place")
    def situation(x, w):
        h = x * w
        with torch.no_grad():
            v = h[0]
        y = v + w
        h.mul_(2)
        return v * y


def test_a_view_of_a_leaf_made_under_no_grad_is_changed(both_refuse):
    @both_refuse(LEAF)
    def situation(x, w):
        with torch.no_grad():
            v = x[0]
        v.mul_(2)
        return x * w


def test_a_leaf_that_must_not_be_changed_keeps_its_values():
    x = torch.ones(3, requires_grad=True)
    with Tape(), pytest.raises(RuntimeError, match=LEAF):
        x[1:].mul_(2)
    assert torch.equal(x, torch.ones(3))


def test_two_leaves_never_share_the_memory_of_a_gradient():
    a, b = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    seed = torch.ones(3)
    with Tape() as tape:
        y = a + b
    tape.backward(y, seed)
    a.grad.zero_()
    assert torch.equal(b.grad, torch.ones(3))
    assert torch.equal(seed, torch.ones(3))
