"""RMS norm and local response norm: by hand, as modules, and what is refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trainloop.manual import Tape


def test_rms_norm_by_hand(assert_close):
    x = torch.tensor([3.0, 4.0, 0.0, 0.0], requires_grad=True)  # the root of the mean square is 2.5
    with Tape() as tape:
        y = F.rms_norm(x, (4,), eps=0.0)
    assert_close(y.detach(), torch.tensor([1.2, 1.6, 0.0, 0.0]), "output")
    tape.backward(y, torch.tensor([1.0, 0.0, 1.0, 0.0]))
    assert_close(x.grad, torch.tensor([0.4 - 0.144, -0.192, 0.4, 0.0]))


def test_an_eps_of_none_is_that_of_the_dtype(differentiate, draw):
    x = draw(2, 5).detach().mul(1e-4).requires_grad_()
    module = nn.RMSNorm(5)
    expected, found = differentiate(module, [x]), differentiate(module, [x], "aten")
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1][0], expected[1][0])


def test_rms_norm_names_shapes_that_do_not_fit(draw):
    x, weight = draw(2, 6), draw(5)
    with Tape():
        with pytest.raises(RuntimeError, match=r"normalized_shape \(=\(5,\)\) must be the last axes .* \(2, 6\)"):
            F.rms_norm(x, (5,), weight)
        with pytest.raises(RuntimeError, match=r"weight has shape \(5,\), expected normalized_shape \(=\(6,\)\)"):
            F.rms_norm(x, (6,), weight)


@pytest.mark.parametrize("layout", [(2, 7, 5), (2, 7, 5, 4), (2, 7, 3, 2, 4)], ids=str)
def test_the_module_of_local_response_norm(differentiate, draw, layout):
    module, x = nn.LocalResponseNorm(3, alpha=0.2), draw(*layout)
    expected, found = differentiate(module, [x]), differentiate(module, [x], "aten")
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1][0], expected[1][0])


def test_local_response_norm_needs_a_spatial_axis(draw):
    with Tape(), pytest.raises(ValueError, match=r"Expected 3D or higher dimensionality input \(got 2 dimensions\)"):
        F.local_response_norm(draw(2, 3), 2)


def test_local_response_norm_of_nothing_is_nothing():
    x = torch.empty(0, 3, 4, 4, requires_grad=True)
    with Tape():
        y = x * 1
        assert F.local_response_norm(y, 2) is y
