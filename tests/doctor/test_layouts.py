"""Five ways to lie in memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainloop.doctor.layouts import GAP, LAYOUTS
from trainloop.doctor.whole_numbers import some_numbers

SHAPE = (3, 5, 4, 7)
VALUES = some_numbers(SHAPE, 1)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_the_view_shows_the_values_and_the_memory_has_gaps_beside_them(layout):
    memory, view = layout.place(VALUES, torch.device("cpu"))
    assert np.array_equal(view.numpy(), VALUES)
    assert view.untyped_storage().data_ptr() == memory.untyped_storage().data_ptr()
    assert memory.is_contiguous()
    view.fill_(0)
    assert int((memory == GAP).sum()) == memory.numel() - view.numel()


def test_no_two_layouts_are_alike():
    views = [layout.place(VALUES, torch.device("cpu"))[1] for layout in LAYOUTS]
    assert len({(view.stride(), view.storage_offset()) for view in views}) == len(LAYOUTS)
    assert sum(view.is_contiguous() for view in views) == 2
    assert views[1].is_contiguous(memory_format=torch.channels_last)
