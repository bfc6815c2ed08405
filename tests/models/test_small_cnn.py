import torch

from trainloop.models import parameter_count
from trainloop.models.small_cnn import small_cnn


def test_the_number_of_parameters_is_the_documented_one() -> None:
    assert parameter_count(small_cnn()) == 94_762


def test_it_gives_a_row_of_logits_for_each_image() -> None:
    assert small_cnn(7)(torch.zeros(2, 3, 32, 32)).shape == (2, 7)


def test_it_takes_the_smallest_documented_image() -> None:
    assert small_cnn(7, in_channels=1)(torch.zeros(2, 1, 4, 4)).shape == (2, 7)


def test_width_scales_every_block() -> None:
    widths = [layer.weight.shape[0] for layer in small_cnn(width=8).modules() if isinstance(layer, torch.nn.Conv2d)]
    assert widths == [8, 16, 32]
