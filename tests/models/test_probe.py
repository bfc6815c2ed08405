import pytest
import torch
from torch import Tensor, nn

from trainloop.models.probe import misfit, probe


class Restless(nn.Module):
    """Draws random numbers and changes a buffer whenever it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)
        self.frozen = nn.BatchNorm1d(3).eval()
        self.calls = nn.Buffer(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += torch.rand(1)
        return self.layer(self.frozen(x.mean((2, 3))))


def test_the_output_for_two_images_is_returned() -> None:
    output = probe(Restless(), (3, 5, 6))
    assert isinstance(output, Tensor)
    assert output.shape == (2, 4)
    assert not output.requires_grad


def test_the_random_state_is_left_as_it_was() -> None:
    model, before = Restless(), torch.get_rng_state()
    probe(model, (3, 5, 5))
    assert torch.equal(torch.get_rng_state(), before)


def test_buffers_are_left_as_they_were() -> None:
    model = Restless()
    probe(model, (3, 5, 5))
    assert model.calls.item() == 0


def test_the_training_flag_of_each_layer_is_left_as_it_was() -> None:
    model = Restless()
    probe(model, (3, 5, 5))
    assert (model.training, model.layer.training, model.frozen.training) == (True, True, False)


def test_a_failing_model_is_left_as_it_was() -> None:
    model = Restless()
    with pytest.raises(RuntimeError):
        probe(model, (2, 5, 5))
    assert model.training
    assert model.calls.item() == 0


def test_lazy_layers_get_their_shape() -> None:
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(4), nn.LazyBatchNorm1d())
    probe(model, (3, 2, 2))
    assert model[1].weight.shape == (4, 12)


def test_logits_fit() -> None:
    assert misfit(torch.zeros(2, 5), 5) == ""


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ((torch.zeros(2, 5),), "an output of type tuple"),
        (torch.zeros(2, 6), "an output of shape (2, 6)"),
        (torch.zeros(2, 5, 1), "an output of shape (2, 5, 1)"),
        (torch.zeros(2, 5, dtype=torch.int64), "an output of dtype torch.int64"),
    ],
)
def test_anything_else_is_told_apart(output: object, expected: str) -> None:
    assert misfit(output, 5) == expected
