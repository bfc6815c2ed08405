"""What the table of examples does not show of softmax: large and infinite logits, and the dimension that is not given."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from trainloop.manual import Tape

FORMS = ("aten", "formula")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("function", [torch.softmax, torch.log_softmax, torch.logsumexp])
@pytest.mark.parametrize("logits", [[1000.0, 999.0, -1000.0], [-math.inf, 0.0, 1.0], [5.0, 5.0, 5.0]])
def test_no_exponential_overflows(function, logits, form, differentiate, assert_close):
    x = torch.tensor([logits], dtype=torch.float64, requires_grad=True)
    output, (found,) = differentiate(lambda x: function(x, 1), [x], form)
    _, (expected,) = differentiate(lambda x: function(x, 1), [x])
    assert not output.isnan().any()
    assert_close(found, expected)


@pytest.mark.parametrize("form", FORMS)
def test_a_row_of_minus_infinity_gives_nan_as_in_torch(form, differentiate):
    x = torch.full((1, 3), -math.inf, requires_grad=True)
    output, (found,) = differentiate(lambda x: x.softmax(1), [x], form)
    assert output.isnan().all()
    assert found.isnan().all()


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax, F.softmin])
@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 3, 4), (2, 3, 4, 5)])
@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
def test_without_a_dimension_the_one_is_taken_that_torch_takes(function, shape, differentiate, draw, assert_close):
    x = draw(*shape)
    for form in FORMS:
        found = differentiate(function, [x], form)
        expected = differentiate(function, [x])
        assert torch.equal(found[0], expected[0])
        assert_close(found[1][0], expected[1][0])


def test_without_a_dimension_torch_warns():
    x = torch.ones(2, 3, requires_grad=True)
    with pytest.warns(UserWarning, match="Implicit dimension choice for softmax"), Tape():
        F.softmax(x)


@pytest.mark.parametrize("function", [torch.softmax, torch.log_softmax])
def test_it_keeps_its_output_and_no_input(function):
    x = torch.randn(2, 3, requires_grad=True)
    with Tape() as tape:
        y = function(x, 1)
    assert tape.nodes[0].saved[0] is y
    assert sum(isinstance(saved, torch.Tensor) for saved in tape.nodes[0].saved) == 1


def test_a_dimension_out_of_range_fails_as_in_torch():
    x = torch.ones(2, 3, requires_grad=True)
    with pytest.raises(IndexError, match="got 2"), Tape():
        x.softmax(2)
