"""Views of what was a constant when they were taken, and views that come several at once."""

from __future__ import annotations

import torch


def test_a_view_of_a_buffer_taken_before(same_gradients):
    @same_gradients
    def situation(x, w):
        buffer = torch.zeros(4, 6, dtype=x.dtype)
        v = buffer[0]
        buffer.copy_(x * w)
        return v * 2


def test_another_view_of_a_buffer_changed(same_gradients):
    @same_gradients
    def situation(x, w):
        buffer = torch.zeros(4, 6, dtype=x.dtype)
        one, two = buffer[:3], buffer[1:]
        one.copy_(x[:3])
        return two * w[1:]


def test_a_buffer_changed_through_a_view_taken_before(same_gradients):
    @same_gradients
    def situation(x, w):
        buffer = torch.zeros(4, 6, dtype=x.dtype)
        v = buffer.t()
        v.add_(x.t())
        return buffer * w


# Autograd refuses these, the tape need not: their gradient is that of the reference


def test_a_view_of_a_view_of_a_buffer(same_gradients_as):
    def reference(x, w):
        grid = torch.cat([x[:2], x[2:3] * w[:1], x[3:]])
        return grid + grid

    @same_gradients_as(reference)
    def situation(x, w):
        buffer = torch.zeros(24, dtype=x.dtype)
        grid = buffer.view(4, 6)
        row = grid[2]
        grid.add_(x)
        row.mul_(w[0])
        return buffer.view(4, 6) + grid


def test_a_buffer_partly_filled(same_gradients_as):
    def reference(x, w):
        return torch.cat([x * w, 2 * torch.ones(4, 6, dtype=x.dtype)], 1)

    @same_gradients_as(reference)
    def situation(x, w):
        buffer = torch.ones(4, 12, dtype=x.dtype)
        left, right = buffer[:, :6], buffer[:, 6:]
        left.copy_(x)
        right.mul_(2)
        left.mul_(w)
        return buffer


def test_a_buffer_zeroed_again(same_gradients_as):
    def reference(x, w):
        return torch.cat([x[:1] * 0, w[1:2], x[2:] * 0])

    @same_gradients_as(reference)
    def situation(x, w):
        buffer = torch.zeros(4, 6, dtype=x.dtype)
        v = buffer[1]
        buffer.copy_(x)
        buffer.zero_()
        v.add_(w[1])
        return buffer


def test_a_buffer_gets_a_value_and_its_view_was_made_under_no_grad(same_gradients_as):
    def reference(x, w):
        return x[0] * w

    @same_gradients_as(reference)
    def situation(x, w):
        buffer = torch.zeros(4, 6, dtype=x.dtype)
        with torch.no_grad():
            v = buffer[0]
        buffer.add_(x)
        return v * w


def test_a_chunk_changed(same_gradients_as):
    def reference(x, w):
        h = x * w
        return torch.cat([h[:, :3] * 2, h[:, 3:]], 1) * w

    @same_gradients_as(reference)
    def situation(x, w):
        h = x * w
        h.chunk(2, 1)[0].mul_(2)
        return h * w


def test_a_split_part_changed_and_the_parts_used(same_gradients_as):
    def reference(x, w):
        h = x * w
        return torch.cat([h[:, :3] * 2, h[:, 3:]], 1) * w

    @same_gradients_as(reference)
    def situation(x, w):
        left, right = (x * w).split(3, dim=1)
        left.mul_(2)
        return torch.cat([left, right], 1) * w


def test_the_base_of_chunks_changed(same_gradients_as):
    def reference(x, w):
        h = x * w
        return torch.cat([h[:, :3] * 2, h[:, 3:]], 1) * w

    @same_gradients_as(reference)
    def situation(x, w):
        h = x * w
        left, right = h.chunk(2, 1)
        h[:, :3].mul_(2)
        return torch.cat([left, right], 1) * w


def test_a_row_of_unbind_changed(same_gradients_as):
    def reference(x, w):
        return (x * w)[1] * 2

    @same_gradients_as(reference)
    def situation(x, w):
        rows = (x * w).unbind(0)
        rows[1].mul_(2)
        return rows[1]
