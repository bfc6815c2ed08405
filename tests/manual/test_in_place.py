"""A tensor that is changed in place gets a new value: the tape has the gradients that autograd has, or both raise."""

from __future__ import annotations

import torch

SAVED = "was changed in place afterwards"


# Changed as a whole


def test_relu_of_an_intermediate(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * w
        h.relu_()
        return h * 2


def test_the_old_value_was_used_before(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * 2
        y = h + w
        h.add_(w)
        return y * h


def test_changed_twice(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x + 1
        h.mul_(3)
        h.add_(w)
        return h


def test_changed_by_itself(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * w
        h.add_(h)
        return h


def test_zeroed(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * w
        h.zero_()
        return h + w


def test_filled_with_a_number(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * w
        h.fill_(3.0)
        return h * w


def test_filled_with_an_intermediate(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * 1
        h.fill_((w * w).sum())
        return h * 2


def test_copied_over(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * 1
        h.copy_(w)
        return h * 2


def test_copied_over_with_a_row(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * 1
        h.copy_(w[0])
        return h * 2


def test_augmented_assignment(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * 1
        h += w
        h *= 2
        return h


def test_a_buffer_copied_into(same_gradients):
    @same_gradients
    def situation(x, w):
        buffer = torch.zeros(4, 6, dtype=x.dtype)
        buffer.copy_(x)
        return buffer * w


def test_a_buffer_added_to(same_gradients):
    @same_gradients
    def situation(x, w):
        buffer = torch.ones(4, 6, dtype=x.dtype)
        for _ in range(3):
            buffer += x * w
        return buffer


def test_a_buffer_of_fewer_elements_is_not_changed(same_gradients):
    @same_gradients
    def situation(x, w):
        buffer = torch.ones(6, dtype=x.dtype)
        h = buffer + x
        buffer.add_(1)
        return h * w


def test_a_tracked_tensor_zeroed_and_used_as_a_buffer(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * w
        h.zero_()
        h.add_(w)
        return h


def test_multiplied_by_itself(same_gradients_as):
    def reference(x, w):
        return (x * w) ** 2

    @same_gradients_as(reference)
    def situation(x, w):
        h = x * w
        h.mul_(h)
        return h


# Assigned to at an index


def test_an_element_assigned(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * 1
        h[0, 0] = w[1, 1]
        return h * w


def test_a_number_assigned(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * w
        h[1:3, 2] = 7.0
        return h * w


def test_rows_assigned_in_a_buffer(same_gradients):
    @same_gradients
    def situation(x, w):
        buffer = torch.zeros(4, 6, dtype=x.dtype)
        for row in range(4):
            buffer[row] = x[row] * w[3 - row]
        return buffer * 2


def test_a_mask_assigned(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * 1
        h[h > 0] = 0
        return h * w


def test_assigned_through_a_view(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * 1
        v = h[1:]
        v[:, 2] = w[1:, 0]
        return h * w


def test_augmented_assignment_of_a_mask(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * 1
        h[:, [0, 2]] += w[:, [1, 3]]
        return h


def test_scattered_in_place_through_a_view(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * 1
        h[1:].scatter_add_(1, torch.zeros(3, 6, dtype=torch.int64), w[1:])
        return h


# Changed after it was saved for a gradient: noticed


def test_saved_and_changed(both_refuse):
    @both_refuse(SAVED)
    def situation(x, w):
        h = x * 1
        y = h * w
        h.add_(1)
        return y


def test_saved_and_detached_and_changed(both_refuse):
    @both_refuse(SAVED)
    def situation(x, w):
        h = x * 1
        y = h * w
        h.detach().add_(1)
        return y


def test_saved_and_changed_under_no_grad(both_refuse):
    @both_refuse(SAVED)
    def situation(x, w):
        h = x * 1
        y = h * w
        with torch.no_grad():
            h[1].zero_()
        return y


def test_an_output_saved_and_changed(both_refuse):
    @both_refuse(SAVED)
    def situation(x, w):
        y = (x * w).relu()
        y.add_(1)
        return y


def test_a_parameter_changed_under_no_grad_after_its_use(both_refuse):
    @both_refuse(SAVED)
    def situation(x, w):
        y = x * w
        with torch.no_grad():
            w.add_(1)
        return y


def test_an_index_changed(both_refuse):
    @both_refuse(SAVED)
    def situation(x, w):
        index = torch.tensor([0, 2])
        y = x[index]
        index.add_(1)
        return y * w[:2]


def test_an_index_inside_a_tuple_changed(both_refuse):
    @both_refuse(SAVED)
    def situation(x, w):
        index = torch.tensor([0, 2])
        y = x[:, index]
        index.add_(1)
        return y * w[:, :2]


def test_a_mask_changed(both_refuse):
    @both_refuse(SAVED)
    def situation(x, w):
        h = x * w
        mask = torch.ones(4, 6, dtype=torch.bool)
        h[mask] = 0
        mask.logical_not_()
        return h


def test_an_index_assigned_to_changed(both_refuse):
    @both_refuse(SAVED)
    def situation(x, w):
        h = x * w
        index = torch.tensor([0, 2])
        h[:, index] = 0
        index.add_(1)
        return h
