"""A base and its views share their memory: a change through one is seen by all, and the tape has autograd's gradients."""

from __future__ import annotations

import torch
import torch.nn.functional as F

SAVED = "was changed in place afterwards"


# Every kind of region


def test_a_column_scaled(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * w
        h[:, 0].mul_(2)
        return h * w


def test_rows_added_to(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * 1
        h[1:] += w[1:]
        return h * 3


def test_a_flat_view_changed_and_used(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * w
        v = h.view(-1)
        h.relu_()
        return v.view(4, 6) * w


def test_a_flat_view_changed_and_the_base_used(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * w
        v = h.view(-1)
        v.relu_()
        return h * w


def test_the_view_used_before_and_after(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * w
        v = h[1]
        before = v * 2
        v.add_(w[0])
        return before + v + h.sum()


def test_two_views_one_changed(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * 1
        one, two = h[:3], h[1:]
        one.add_(w[:3])
        return two * 2


def test_two_views_both_changed(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * 1
        one, two = h[:3], h[1:]
        one.add_(w[:3])
        two.add_(w[1:])
        return one + h[1:]


def test_a_view_of_a_view_changed(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * 1
        v = h.view(2, 12)
        v[:, 3:6].add_(w[:2, :3])
        return h * w


def test_a_view_of_a_view_follows_its_base(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * 1
        v = h.view(2, 12)[1].view(3, 4)
        h.mul_(2)
        return v * w[1:, :4] * v.sum()


def test_a_view_of_a_view_is_changed_and_the_first_view_used(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * 1
        first = h[1:]
        second = first[:, 2:]
        second.mul_(3)
        return first * w[1:]


def test_a_transposed_view_changed(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * w
        h.t().mul_(w.t())
        return h


def test_a_transposed_view_follows_its_base(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * 1
        v = h.transpose(0, 1)
        h.add_(w)
        return v * w.t()


def test_a_permuted_slice_changed(same_gradients):
    @same_gradients
    def situation(x, w):
        h = (x * 1).view(2, 2, 6)
        h.permute(2, 0, 1)[1:4].add_(w[0, 0])
        return h.view(4, 6) * w


def test_an_expanded_view_follows_its_base(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x[:1] * 1
        v = h.expand(4, 6)
        h.add_(w[:1])
        return v * w


def test_an_unsqueezed_view_changed(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * 1
        h.unsqueeze(1).mul_(2)
        return h * w


def test_a_squeezed_view_changed(same_gradients):
    @same_gradients
    def situation(x, w):
        h = (x * 1).view(4, 1, 6)
        h.squeeze(1).add_(w)
        return h


def test_a_diagonal_changed(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * w
        h.diagonal().mul_(5)
        return h


def test_a_step_of_two_changed(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * w
        h[:, ::2].relu_()
        return h * w


def test_windows_follow_their_base(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * 1
        v = h.unfold(1, 3, 1)
        h.mul_(w)
        return v.sum(2)


def test_a_flattened_view_changed(same_gradients):
    @same_gradients
    def situation(x, w):
        h = (x * w).view(2, 2, 6)
        h.flatten(1).mul_(2)
        return h


def test_a_reshape_that_copies_stands_alone(same_gradients):
    @same_gradients
    def situation(x, w):
        h = (x * w).t()
        copy = h.reshape(-1)
        copy.add_(1)
        return h * copy.sum()


def test_a_reshape_that_is_a_view_does_not(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * w
        h.reshape(-1).add_(w.reshape(-1))
        return h


def test_one_row_of_many_changed_in_a_loop(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * 1
        for row in range(4):
            h[row].add_(w[row] * row)
        return h


def test_a_row_changed_by_another_row(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * w
        h[0].add_(h[1])
        return h


def test_a_row_changed_by_an_overlapping_slice(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * 1
        h[:, 1:3] += h[:, 3:5]
        return h * w


def test_a_channels_last_region(same_gradients):
    @same_gradients
    def situation(x, w):
        h = (x * 1).view(1, 2, 3, 4).contiguous(memory_format=torch.channels_last)
        h[:, 1].mul_(2)
        return h * w.view(1, 2, 3, 4)


def test_a_channels_last_view_follows_its_base(same_gradients):
    @same_gradients
    def situation(x, w):
        h = (x * 1).view(1, 2, 3, 4).to(memory_format=torch.channels_last) * 1
        v = h[:, :, 1:, 2]
        h.add_(w.view(1, 2, 3, 4))
        return v * 2


def test_a_dense_view_of_channels_last(same_gradients):
    @same_gradients
    def situation(x, w):
        h = (x * 1).view(2, 2, 2, 3).contiguous(memory_format=torch.channels_last)
        h.permute(0, 2, 3, 1).view(-1, 2).add_(w[0, :2])
        return h


def test_a_transposed_base(same_gradients):
    @same_gradients
    def situation(x, w):
        h = (x * w).t().clone()
        h[2:4].mul_(3)
        return h * 2


def test_an_empty_region(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * w
        h[2:2].mul_(2)
        return h


def test_an_empty_base(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x[:0] * 1
        v = h.view(-1)
        h.mul_(2)
        v.mul_(2)
        return v.sum() + w


def test_a_zero_dimensional_region(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * 1
        h[1, 2].add_(w[0, 0])
        return h


def test_the_base_is_gone(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * w
        v = h[1:]
        del h
        v.mul_(2)
        return v * 3


def test_the_base_is_gone_and_a_view_follows_another(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * w
        one, two = h[1:], h.view(-1)
        del h
        one.mul_(2)
        return two


def test_relu_in_place_of_a_module(same_gradients):
    @same_gradients
    def situation(x, w):
        h = x * w
        v = h[:, :3]
        F.relu(v, inplace=True)
        return h + w


# Refused


def test_an_expanded_view_changed(both_refuse):
    @both_refuse("more than one element of the written-to tensor")
    def situation(x, w):
        h = x[:1] * 1
        h.expand(4, 6).add_(w)
        return h


def test_saved_and_changed_through_a_view(both_refuse):
    @both_refuse(SAVED)
    def situation(x, w):
        h = x * 1
        y = h * w
        h[0].add_(1)
        return y


def test_a_view_saved_and_its_base_changed(both_refuse):
    @both_refuse(SAVED)
    def situation(x, w):
        h = x * 1
        y = h[0] * w
        h.add_(1)
        return y


def test_multiplied_by_an_overlapping_slice(both_refuse):
    @both_refuse(SAVED)
    def situation(x, w):
        h = x * w
        h[:, 1:3].mul_(h[:, 2:4])
        return h
