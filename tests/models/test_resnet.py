import pytest
import torch
from torch import nn

from trainloop.models import parameter_count
from trainloop.models.resnet import PadShortcut, ResNet, resnet18, resnet20


@pytest.mark.parametrize(("model", "count"), [(resnet20, 269_722), (resnet18, 11_173_962)])
def test_the_number_of_parameters_is_the_documented_one(model: type, count: int) -> None:
    assert parameter_count(model()) == count


def weighted_layers(model: ResNet) -> int:
    """Convolutions and linear layers on the main path: 1×1 convolutions stand in shortcuts."""
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3)]
    return len(convolutions) + 1


def test_resnet20_has_twenty_layers_with_weights() -> None:
    assert weighted_layers(resnet20()) == 20


def test_resnet18_has_eighteen_layers_with_weights() -> None:
    assert weighted_layers(resnet18()) == 18


@pytest.mark.parametrize("model", [resnet20, resnet18])
@pytest.mark.parametrize("side", [32, 9])
def test_it_gives_a_row_of_logits_for_each_image(model: type, side: int) -> None:
    assert model(7, in_channels=1, width=4)(torch.zeros(2, 1, side, side)).shape == (2, 7)


def test_the_pad_shortcut_keeps_every_second_pixel_and_adds_zero_channels() -> None:
    x = torch.arange(18.0).view(1, 2, 3, 3)
    y = PadShortcut(2, 3, 2)(x)
    assert y[0].tolist() == [[[0, 2], [6, 8]], [[9, 11], [15, 17]], [[0, 0], [0, 0]]]


def test_a_block_whose_branch_gives_zero_passes_its_input_on() -> None:
    block = resnet20(width=4).groups[0][0].eval()
    nn.init.zeros_(block.norm2.weight)
    x = torch.rand(2, 4, 5, 5)
    assert torch.equal(block(x), x)


def test_convolutions_start_with_the_documented_variance() -> None:
    torch.manual_seed(0)
    weight = resnet18().groups[3][0].conv1.weight
    assert weight.shape == (512, 256, 3, 3)
    assert weight.var().item() == pytest.approx(2 / (512 * 9), rel=0.01)
    assert weight.mean().item() == pytest.approx(0, abs=1e-4)
